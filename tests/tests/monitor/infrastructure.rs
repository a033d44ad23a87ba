//! What can be wrong with the store's own objects.

use domain_events_tests::{Db, Engine, engines};

use crate::{infrastructure, lively, provoke};

/// Runs what the findings tell to run, and expects none after it.
#[track_caller]
fn mend(db: &Db, expected: &str) {
    let mut admin = db.admin();
    assert_eq!(infrastructure(&mut admin), expected);
    for told in admin.table("select distinct detail from domain_events.check_infrastructure()").lines() {
        let (_, statement) = told.split_once(" runs: ").unwrap_or_else(|| panic!("no remedy: {told}"));
        admin.run(statement);
    }
    assert_eq!(infrastructure(&mut admin), "");
}

engines! {
    a_healthy_store_gives_none, a_swapped_function, a_missing_function, a_function_of_another_owner, append_only_switched_off,
    an_append_only_trigger_swapped, a_foreign_trigger, a_missing_key, a_sequence_with_a_cache, what_readers_rest_on,
    readers_that_wait_for_a_writer, foreign_transactions, engines_that_disagree, rights_too_many, rights_missing,
    what_is_told_mends_it, what_is_told_mends_a_restore_of_data,
}

fn a_healthy_store_gives_none(db: &Db) {
    assert_eq!(infrastructure(&mut db.owner()), "");
    lively(db);
    assert_eq!(infrastructure(&mut db.owner()), "");
}

fn a_swapped_function(db: &Db) {
    let mut admin = db.admin();
    for function in [
        "domain_events.append_event(text,text,text,jsonb,text,jsonb,bigint,uuid,text,text,text,timestamp with time zone,integer)",
        "domain_events.read_stream(text,text,bigint,bigint,bigint,boolean)",
        "domain_events._refuse_change()",
        "domain_events.check_infrastructure()",
    ] {
        let old = admin.one(&format!("select pg_get_functiondef('{function}'::regprocedure)"));
        // The body does something else, the properties stay.
        let head = old.split("\nAS ").next().expect("a definition");
        let body = if head.contains("LANGUAGE sql") || head.contains("LANGUAGE plpgsql") {
            let body = old.split_once("\nAS ").expect("a body").1;
            let (open, rest) =
                body.split_once('$').map(|_| body.split_at(body[1..].find('$').expect("a quote") + 2)).expect("a body");
            format!("{open} /* swapped */ {rest}")
        } else {
            "'select null::domain_events.events'".to_owned()
        };
        let swapped = format!("{} AS {body}", head.replace("LANGUAGE c", "LANGUAGE sql"));
        provoke(db, infrastructure, &swapped, "function_altered", &old);
        let named =
            admin.attempt(&swapped).map(|_| admin.one("select object from domain_events.check_infrastructure()"));
        assert_eq!(named.expect("swapped"), function);
        admin.run(&old);
    }
    // The same text with other properties.
    provoke(
        db,
        infrastructure,
        "alter function domain_events.fold_stream(text, text, bigint) reset search_path",
        "function_altered",
        "alter function domain_events.fold_stream(text, text, bigint) set search_path = pg_catalog, pg_temp",
    );
}

fn a_missing_function(db: &Db) {
    let mut admin = db.admin();
    if db.engine == Engine::Native {
        admin.run("alter extension pg_domain_events drop function domain_events.baseline_capture(regclass, int)");
    }
    admin.run("drop function domain_events.baseline_capture(regclass, int)");
    assert_eq!(infrastructure(&mut admin), "function_missing");
}

fn a_function_of_another_owner(db: &Db) {
    let other = db.role("other");
    let mut admin = db.admin();
    admin.run(&format!("alter function domain_events.disable_capture(regclass, boolean) owner to {other}"));
    assert_eq!(infrastructure(&mut admin), "", "it runs with its caller's rights");
    admin.run(&format!("alter function domain_events._run_command() owner to {other}"));
    assert_eq!(infrastructure(&mut admin), "function_owner");
}

fn append_only_switched_off(db: &Db) {
    for trigger in ["events_append_only", "events_append_only_truncate"] {
        for state in ["disable", "enable", "enable replica"] {
            provoke(
                db,
                infrastructure,
                &format!("alter table domain_events.events {state} trigger {trigger}"),
                "append_only_disabled",
                &format!("alter table domain_events.events enable always trigger {trigger}"),
            );
        }
    }
}

fn an_append_only_trigger_swapped(db: &Db) {
    provoke(
        db,
        infrastructure,
        "create function public.nothing() returns trigger language plpgsql as 'begin return null; end';
         create or replace trigger events_append_only before update or delete on domain_events.events
           for each statement execute function public.nothing();
         alter table domain_events.events enable always trigger events_append_only",
        "append_only_disabled",
        "create or replace trigger events_append_only before update or delete on domain_events.events
           for each statement execute function domain_events._refuse_change();
         alter table domain_events.events enable always trigger events_append_only",
    );
}

/// Each in plain words, with the statement that puts it right.
fn what_is_told_mends_it(db: &Db) {
    let stranger = db.role("stranger");
    let mut admin = db.admin();
    db.owner().run(
        "create table public.users (id int primary key); select domain_events.enable_capture('public.users', replication => 'always');
         create table public.\"Sales\" (id int primary key) partition by range (id); create table public.\"Sales 1\" partition of public.\"Sales\" default;
         select domain_events.enable_capture('public.\"Sales\"')",
    );
    for (broken, expected) in [
        ("alter table domain_events.events disable trigger events_append_only", "append_only_disabled"),
        ("alter table domain_events.events enable trigger user", "append_only_disabled"),
        ("alter table domain_events.events enable replica trigger events_append_only_truncate", "append_only_disabled"),
        (
            "create function public.nothing() returns trigger language plpgsql as 'begin return null; end';
             create or replace trigger events_append_only before delete or update on domain_events.events for each statement execute function public.nothing();
             create or replace trigger events_append_only_truncate before truncate on domain_events.events for each statement execute function public.nothing()",
            "append_only_disabled",
        ),
        (
            "set session_replication_role = replica; drop trigger events_append_only on domain_events.events; reset session_replication_role",
            "append_only_disabled",
        ),
        ("alter table public.users enable trigger all", "capture_trigger_missing"),
        (
            "alter table public.users disable trigger all; alter table public.\"Sales\" disable trigger all",
            "capture_trigger_missing truncate_trigger_missing",
        ),
        ("grant insert on domain_events.events to {}", "privilege_excessive"),
        ("grant execute on function domain_events.append_event to public", "privilege_excessive"),
        ("revoke select on domain_events.events from domain_events_reader", "privilege_missing"),
    ] {
        admin.run(&broken.replace("{}", &stranger));
        mend(db, expected);
    }
    if db.engine == Engine::Native {
        admin.run("alter event trigger domain_events_follow_ddl disable");
        mend(db, "event_trigger_missing");
    }
    admin.error("delete from domain_events.events").expect_code("23001");
    db.owner().run("insert into public.users values (1); insert into public.\"Sales\" values (1)");
    admin.run(
        "set session_replication_role = replica; insert into public.users values (2); reset session_replication_role",
    );
    db.check_table("User", "public.users");
}

/// "pg_restore --data-only --disable-triggers" ends with ENABLE TRIGGER ALL.
fn what_is_told_mends_a_restore_of_data(db: &Db) {
    db.owner().run(
        "create table public.users (id int primary key); select domain_events.enable_capture('public.users', replication => 'always');
         create table public.sales (id int primary key) partition by range (id); create table public.sales_1 partition of public.sales default;
         select domain_events.enable_capture('public.sales', replication => 'always');
         insert into public.users values (1); insert into public.sales values (1)",
    );
    let copy = db.restored_data_only();
    mend(&copy, "append_only_disabled capture_trigger_missing");
    let mut admin = copy.admin();
    admin.run("set session_replication_role = replica");
    admin.error("delete from domain_events.events").expect_code("23001");
    admin.run(
        "insert into public.users values (2); insert into public.sales values (2); reset session_replication_role",
    );
    copy.check_table("User", "public.users");
    copy.check_table("Sale", "public.sales");
}

fn a_foreign_trigger(db: &Db) {
    provoke(
        db,
        infrastructure,
        "create function public.spy() returns trigger language plpgsql as 'begin return new; end';
         create trigger spy before insert on domain_events.events for each row execute function public.spy()",
        "trigger_unknown",
        "alter table domain_events.events rename to events_; drop trigger spy on domain_events.events_; alter table domain_events.events_ rename to events",
    );
}

fn a_missing_key(db: &Db) {
    for (key, columns) in [
        ("uk_aggregate_version", "aggregate_type, aggregate_id, aggregate_version"),
        ("events_event_id_key", "event_id"),
    ] {
        provoke(
            db,
            infrastructure,
            &format!("alter table domain_events.events drop constraint {key}"),
            "unique_key_missing",
            &format!("alter table domain_events.events add constraint {key} unique ({columns})"),
        );
    }
}

/// As somebody tunes a sequence that is drawn from often.
fn a_sequence_with_a_cache(db: &Db) {
    let sequence = "alter sequence domain_events.events_global_position_seq";
    for altered in ["cache 32", "increment 10", "maxvalue 1000000 cycle"] {
        let back = format!("{sequence} increment 1 cache 1 no maxvalue no cycle");
        provoke(db, infrastructure, &format!("{sequence} {altered}"), "sequence_altered", &back);
    }
}

/// What the order of reading rests on.
fn what_readers_rest_on(db: &Db) {
    let default =
        |text: &str| format!("alter table domain_events.events alter column global_position set default {text}");
    let sequence = "'domain_events.events_global_position_seq'::regclass";
    let back = default(&format!("nextval(case when pg_catalog.pg_current_xact_id() is not null then {sequence} end)"));
    let altered = default(&format!("nextval({sequence})"));
    provoke(db, infrastructure, &altered, "position_before_transaction", &back);
    let columns = "domain_events.events (transaction_id, global_position)";
    provoke(
        db,
        infrastructure,
        "drop index domain_events.events_transaction_id_idx",
        "reader_index_missing",
        &format!("create index events_transaction_id_idx on {columns}"),
    );
}

/// After a restore, until a moment in which nobody writes.
fn readers_that_wait_for_a_writer(db: &Db) {
    let (mut admin, mut writer) = (db.admin(), db.owner());
    writer.run("select domain_events.append_event('T', 'A', 'E')");
    admin.run("select count(*) from domain_events.read_all()");
    writer.run("begin; select domain_events.append_event('T', 'A', 'E')");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert_eq!(infrastructure(&mut admin), "");
    admin.run("update domain_events.eras set cluster = cluster + 1");
    let pid = writer.one("select pg_backend_pid()");
    assert!(infrastructure(&mut admin).contains("readers_wait"));
    let detail = admin.one("select detail from domain_events.check_infrastructure() where code = 'readers_wait'");
    assert!(detail.contains(&format!("process {pid} ")), "{detail}");
    writer.run("commit");
    assert_eq!(infrastructure(&mut admin), "");
}

/// Of another cluster: replicated into a store that is read already.
fn foreign_transactions(db: &Db) {
    let mut admin = db.admin();
    admin.run("select domain_events.append_event('T', 'A', 'E')");
    let cursor = admin.one("select domain_events.latest_cursor()");
    let foreign =
        "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, transaction_id)
         values ('T', 'foreign', 1, 'E', '900000000000')";
    admin.run(foreign);
    assert!(infrastructure(&mut admin).contains("foreign_transactions"));
    admin.run("select domain_events.begin_era()");
    // It serves when what is open now has ended, in other tests, too.
    while admin.one("select (domain_events._newest_era()).era = max(e.era) from domain_events.eras e") == "f" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(infrastructure(&mut admin), "");
    let read = format!("select string_agg(aggregate_id, ',') from domain_events.read_all('{cursor}')");
    assert_eq!(admin.one(&read), "foreign");
}

fn engines_that_disagree(db: &Db) {
    let mut admin = db.admin();
    let old = admin.one("select pg_get_functiondef('domain_events.engine()'::regprocedure)");
    let other = if db.engine == Engine::Native { "portable" } else { "native" };
    admin.run(&old.replace(&format!("'{}'::text", db.engine.name()), &format!("'{other}'::text")));
    assert!(infrastructure(&mut admin).contains("engine_disagrees"));
    admin.run(&old);
    assert_eq!(infrastructure(&mut admin), "");
    if db.engine == Engine::Native {
        provoke(
            db,
            infrastructure,
            "update pg_extension set extversion = '0.0.9' where extname = 'pg_domain_events'",
            "engine_disagrees",
            "update pg_extension set extversion = '0.1.0' where extname = 'pg_domain_events'",
        );
        provoke(
            db,
            infrastructure,
            "alter event trigger domain_events_guard_drop disable",
            "event_trigger_missing",
            "alter event trigger domain_events_guard_drop enable",
        );
    }
}

fn rights_too_many(db: &Db) {
    let stranger = db.role("stranger");
    for (grant, revoke) in [
        ("grant insert on domain_events.events to {}", "revoke insert on domain_events.events from {}"),
        (
            "grant delete on domain_events.events to domain_events_writer",
            "revoke delete on domain_events.events from domain_events_writer",
        ),
        ("grant select on domain_events.events to public", "revoke select on domain_events.events from public"),
        ("grant update on domain_events.capture_config to {}", "revoke update on domain_events.capture_config from {}"),
        ("grant create on schema domain_events to {}", "revoke create on schema domain_events from {}"),
        (
            "grant execute on function domain_events._propagates(text) to public",
            "revoke execute on function domain_events._propagates(text) from public",
        ),
        (
            "grant execute on function domain_events._seal_capture(regclass) to {}",
            "revoke execute on function domain_events._seal_capture(regclass) from {}",
        ),
        (
            "grant usage on sequence domain_events.events_global_position_seq to {}",
            "revoke usage on sequence domain_events.events_global_position_seq from {}",
        ),
    ] {
        provoke(
            db,
            infrastructure,
            &grant.replace("{}", &stranger),
            "privilege_excessive",
            &revoke.replace("{}", &stranger),
        );
    }
    // What a ported trigger needs is granted on purpose.
    db.admin().run(&format!(
        "grant execute on function domain_events.next_aggregate_version(text, text, regclass) to {stranger}"
    ));
    assert_eq!(infrastructure(&mut db.admin()), "");
}

fn rights_missing(db: &Db) {
    provoke(
        db,
        infrastructure,
        "revoke select on domain_events.events from domain_events_reader",
        "privilege_missing",
        "select domain_events.grant_privileges()",
    );
}
