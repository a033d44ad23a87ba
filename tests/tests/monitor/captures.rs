//! What can be wrong with captures and with ported triggers.

use domain_events_tests::{Db, Engine, engines};

use crate::{infrastructure, lively, provoke};

engines! {
    a_trigger_disabled, a_trigger_dropped, a_trigger_swapped, a_trigger_function_swapped, a_table_dropped, a_table_swapped_by_rename,
    names_that_lose_no_change, columns_that_changed,
    an_identity_column_dropped, a_redacted_column_dropped, a_paused_capture, a_dead_letter, a_configuration_deleted,
    a_partition_not_captured, a_legacy_trigger_that_came_back, a_ported_trigger_gone, a_ported_function_replaced,
}

const CAPTURE: &str = "\" domain_events_capture\"";

fn a_trigger_disabled(db: &Db) {
    lively(db);
    for state in ["disable", "enable replica", "enable always"] {
        provoke(
            db,
            infrastructure,
            &format!("alter table public.users {state} trigger {CAPTURE}"),
            "capture_trigger_missing",
            &format!("alter table public.users enable trigger {CAPTURE}"),
        );
    }
    provoke(
        db,
        infrastructure,
        "alter table public.users disable trigger \" domain_events_truncate\"",
        "truncate_trigger_missing",
        "alter table public.users enable trigger \" domain_events_truncate\"",
    );
}

fn a_trigger_dropped(db: &Db) {
    lively(db);
    let mut admin = db.admin();
    if db.engine == Engine::Native {
        // An event trigger refuses it; a superuser gets round that.
        admin.error(&format!("drop trigger {CAPTURE} on public.users")).expect("23001");
        admin.run("alter event trigger domain_events_guard_table disable");
    }
    admin.run(&format!("drop trigger {CAPTURE} on public.users"));
    let mut expected = vec!["capture_trigger_missing"];
    if db.engine == Engine::Native {
        expected.push("event_trigger_missing");
    }
    assert_eq!(infrastructure(&mut admin), expected.join(" "));
}

fn a_trigger_swapped(db: &Db) {
    lively(db);
    let mut admin = db.admin();
    let old = admin.one(&format!(
        "select pg_get_triggerdef(oid) from pg_trigger where tgrelid = 'public.users'::regclass and tgname = '{}'",
        CAPTURE.trim_matches('"')
    ));
    let replace = old.replacen("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1);
    for swapped in [
        replace.replacen("INSERT OR DELETE OR UPDATE", "INSERT OR DELETE", 1),
        replace.replacen("FOR EACH ROW", "FOR EACH ROW WHEN (false)", 1).replacen(
            "INSERT OR DELETE OR UPDATE",
            "UPDATE",
            1,
        ),
    ] {
        assert_ne!(swapped, replace);
        provoke(db, infrastructure, &swapped, "capture_trigger_missing", &replace);
    }
}

fn a_trigger_function_swapped(db: &Db) {
    lively(db);
    let mut admin = db.admin();
    let old = admin.one("select pg_get_functiondef('domain_events.capture_1()'::regprocedure)");
    provoke(
        db,
        infrastructure,
        "create or replace function domain_events.capture_1() returns trigger language plpgsql security definer
           set search_path = pg_catalog, pg_temp as 'begin return null; end'",
        "capture_function_altered",
        &old,
    );
}

fn a_table_dropped(db: &Db) {
    lively(db);
    db.owner().run("drop table public.users");
    assert_eq!(infrastructure(&mut db.owner()), "captured_table_missing");
}

/// As pg-osc, pgslice and pg-online-schema-change do it.
fn a_table_swapped_by_rename(db: &Db) {
    lively(db);
    let mut s = db.owner();
    s.run(
        "insert into public.users values (300, 'a', 'b');
         create table public.users_new (like public.users including all);
         insert into public.users_new select * from public.users",
    );
    assert_eq!(infrastructure(&mut s), "");
    s.run(
        "begin;
         alter table public.users rename to users_old;
         alter table public.users_new rename to users;
         commit",
    );
    let finding =
        "select object, severity from domain_events.check_infrastructure() where code = 'captured_table_replaced'";
    assert_eq!(s.table(finding), "public.users|error");
    let advice =
        s.one("select detail from domain_events.check_infrastructure() where code = 'captured_table_replaced'");
    assert!(advice.contains("a table that is called public.users_old now"), "{advice}");
    assert!(advice.contains("domain_events.disable_capture('public.users_old')"), "{advice}");
    assert!(advice.contains("enable_capture('public.users', aggregate_type => 'User')"), "{advice}");
    s.run(
        "select domain_events.disable_capture('public.users_old');
         select domain_events.enable_capture('public.users', aggregate_type => 'User');
         update public.users set email = 'c' where id = 300",
    );
    assert_eq!(infrastructure(&mut s), "");
    let newest = "select max(aggregate_version) from domain_events.events where (aggregate_type, aggregate_id) = ('User', '300')";
    assert_eq!(s.one(newest), "2");
    assert_eq!(s.one("select domain_events.fold_stream('User', '300') ->> 'email'"), "c");
    // The old table goes: nothing hangs on it.
    s.run("drop table public.users_old");
    assert_eq!(infrastructure(&mut s), "");
}

/// Two captured tables that swap their names, a name that nothing takes over, and a view in front of the table lose no change.
fn names_that_lose_no_change(db: &Db) {
    lively(db);
    let mut s = db.owner();
    s.run(
        "create table public.items (id int primary key); select domain_events.enable_capture('public.items');
         alter table public.items rename to between;
         alter table public.users rename to items;
         alter table public.between rename to users",
    );
    assert_eq!(infrastructure(&mut s), "");
    s.run("alter table public.users rename to items_base; create view public.users as select * from public.items_base");
    assert_eq!(infrastructure(&mut s), "");
    s.run("insert into public.items_base values (7)");
    assert_eq!(s.one("select max(aggregate_version) from domain_events.events where (aggregate_type, aggregate_id) = ('Item', '7')"), "1");
    // The table is dropped, and one that nobody captures has its old name.
    s.run("drop view public.users; drop table public.items; create table public.users (id int primary key)");
    assert_eq!(infrastructure(&mut s), "captured_table_missing");
    assert!(s.one("select detail from domain_events.check_infrastructure()").contains("the one that has its name now"));
}

fn columns_that_changed(db: &Db) {
    lively(db);
    let mut s = db.owner();
    s.run("alter table public.users add column phone text");
    if db.engine == Engine::Portable {
        // Without an event trigger it is followed by the next write.
        assert_eq!(
            s.table("select code, severity from domain_events.check_infrastructure()"),
            "capture_table_changed|info"
        );
    }
    s.run("insert into public.users values (1, 'a', 'b', 'c')");
    assert_eq!(infrastructure(&mut s), "");
}

fn an_identity_column_dropped(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table public.items (a int not null, b int not null, c text);
         select domain_events.enable_capture('public.items', aggregate_id => '{a,b}');
         insert into public.items values (1, 1, 'x');
         alter table public.items drop column a",
    );
    assert!(infrastructure(&mut s).contains("capture_identity_missing"), "{}", infrastructure(&mut s));
}

fn a_redacted_column_dropped(db: &Db) {
    lively(db);
    let mut s = db.owner();
    s.run("alter table public.users drop column secret");
    assert!(infrastructure(&mut s).contains("redaction_without_column"), "{}", infrastructure(&mut s));
}

fn a_paused_capture(db: &Db) {
    lively(db);
    let mut s = db.owner();
    s.run("select domain_events.pause_capture('public.users')");
    assert_eq!(infrastructure(&mut s), "capture_paused");
    s.run("select domain_events.resume_capture('public.users')");
    assert_eq!(infrastructure(&mut s), "");
}

fn a_dead_letter(db: &Db) {
    lively(db);
    let mut s = db.owner();
    // An event with that id exists: no event of this row can be stored.
    s.run(
        "create table public.notes (id text, body text);
         select domain_events.enable_capture('public.notes', aggregate_id => '{id}');
         insert into public.notes values (null, 'x')",
    );
    assert_eq!(
        s.table("select code, severity, object, detail from domain_events.check_infrastructure()"),
        "capture_failures_pending|warning|public.notes|1 events wait for domain_events.retry_capture_failures()"
    );
}

fn a_configuration_deleted(db: &Db) {
    lively(db);
    let mut admin = db.admin();
    admin.run("delete from domain_events.capture_config");
    assert_eq!(infrastructure(&mut admin), "capture_without_configuration");
}

fn a_partition_not_captured(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table public.sales (id int, region text, primary key (id, region)) partition by list (region);
         create table public.sales_eu partition of public.sales for values in ('eu');
         create table public.sales_us partition of public.sales for values in ('us');
         select domain_events.enable_capture('public.sales');
         insert into public.sales values (1, 'eu'), (2, 'us')",
    );
    assert_eq!(infrastructure(&mut s), "");
    provoke(
        db,
        infrastructure,
        "alter table public.sales_us disable trigger \" domain_events_capture_1\"",
        "capture_trigger_missing",
        "alter table public.sales_us enable trigger \" domain_events_capture_1\"",
    );
    s.run("alter table public.sales detach partition public.sales_us");
    if db.engine == Engine::Portable {
        assert!(infrastructure(&mut s).contains("partition_gone"), "{}", infrastructure(&mut s));
        s.run("select domain_events.follow_partitions('public.sales')");
    }
    assert!(!infrastructure(&mut s).contains("partition_gone"), "{}", infrastructure(&mut s));
}

/// What "domain-events apply" leaves: the old trigger disabled, a new trigger and a function, all in the journal.
fn ported(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table public.log (kind text, id text, version bigint);
         create table public.accounts (id int primary key);
         create function public.old_log() returns trigger language plpgsql as 'begin return null; end';
         create function public.new_log() returns trigger language plpgsql as 'begin return new; end';
         create trigger old_log after insert on public.accounts for each row execute function public.old_log();
         create trigger new_log before insert on public.log for each row execute function public.new_log();
         alter table public.accounts disable trigger old_log;
         insert into domain_events.migration_plans (plan_id, state, plan, tool_version) values ('p1', 'applied', '{}', '0.1.0');
         insert into domain_events.migration_journal (plan_id, entry, action, step, statement, object_kind, object, before_state, after_state) values
           ('p1', 1, 'apply', 'the old trigger is disabled', 'alter table ..', 'trigger', 'old_log on public.accounts', '{\"enabled\":\"O\"}', '{\"enabled\":\"D\"}'),
           ('p1', 2, 'apply', 'a trigger assigns versions', 'create trigger ..', 'trigger', 'new_log on public.log', null, '{\"enabled\":\"O\"}'),
           ('p1', 3, 'apply', 'its function', 'create function ..', 'function', 'public.new_log()', null,
            jsonb_build_object('fingerprint', md5(pg_get_functiondef('public.new_log()'::regprocedure))))",
    );
    assert_eq!(infrastructure(&mut s), "");
}

fn a_legacy_trigger_that_came_back(db: &Db) {
    ported(db);
    provoke(
        db,
        infrastructure,
        "alter table public.accounts enable trigger old_log",
        "legacy_trigger_back",
        "alter table public.accounts disable trigger old_log",
    );
    // Finished: it was dropped, and a deployment creates it again.
    db.owner().run(
        "drop trigger old_log on public.accounts;
         update domain_events.migration_plans set state = 'finished';
         insert into domain_events.migration_journal (plan_id, entry, action, step, statement, object_kind, object, before_state, after_state)
         values ('p1', 4, 'finish', 'the old trigger is dropped', 'drop trigger ..', 'trigger', 'old_log on public.accounts', '{\"enabled\":\"D\"}', null)",
    );
    provoke(
        db,
        infrastructure,
        "create trigger old_log after insert on public.accounts for each row execute function public.old_log()",
        "legacy_trigger_back",
        "drop trigger old_log on public.accounts",
    );
    // Rolled back, it may be there.
    db.owner().run(
        "create trigger old_log after insert on public.accounts for each row execute function public.old_log();
         update domain_events.migration_plans set state = 'rolled_back'",
    );
    assert_eq!(infrastructure(&mut db.owner()), "");
}

fn a_ported_trigger_gone(db: &Db) {
    ported(db);
    provoke(
        db,
        infrastructure,
        "alter table public.log disable trigger new_log",
        "ported_trigger_missing",
        "alter table public.log enable trigger new_log",
    );
}

fn a_ported_function_replaced(db: &Db) {
    ported(db);
    provoke(
        db,
        infrastructure,
        "create or replace function public.new_log() returns trigger language plpgsql as 'begin new.version := 1; return new; end'",
        "ported_function_altered",
        "create or replace function public.new_log() returns trigger language plpgsql as 'begin return new; end'",
    );
}
