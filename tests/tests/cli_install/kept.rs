//! The way back after `uninstall --keep-events`, and indexes that are built on demand.

use domain_events_tests::{Db, Engine, engines};

use crate::{capture_users, catalogue, empty, installed};

engines! { kept_events_are_taken_over, what_hangs_on_kept_events, kept_events_are_no_place_for_plain_sql, indexes_on_demand }

/// Who installed, and may install again.
fn installer(db: &Db) -> &'static str {
    if db.engine == Engine::Native { "postgres" } else { "app_owner" }
}

fn kept_events_are_taken_over(db: &Db) {
    capture_users(db);
    let mut owner = db.owner();
    owner.run("select domain_events.append_event('Order', '1', 'OrderPlaced', event_id => '00000000-0000-7000-8000-000000000001')");
    // drawn and not used
    owner.run("begin; select domain_events.append_event('Order', '2', 'OrderPlaced'); rollback");
    let events = "select md5(string_agg(e::text, '|' order by e.global_position)) from domain_events.events e where aggregate_type <> 'domain_events.Table'";
    let before = db.admin().one(events);
    let last = db.admin().number("select last_value from domain_events.events_global_position_seq");
    let install = ["install", "--engine", db.engine.name()];
    for round in 1..=2 {
        db.cli(installer(db), &["uninstall", "--keep-events", "--yes"]).expect(0).saying("the way back");
        db.cli(installer(db), &["status"]).expect(3);
        let planned = db.cli(installer(db), &["install", "--engine", db.engine.name(), "--dry-run"]).expect(3);
        assert!(planned.stdout.contains("_domain_events_kept"), "{}", planned.stdout);
        db.cli(installer(db), &install).expect(0).saying("kept are in the store again").saying("capture enable");
        assert_eq!(db.admin().one(events), before, "round {round}");
    }
    if db.engine == Engine::Native {
        db.admin().run("grant domain_events_reader, domain_events_writer, domain_events_admin to app_owner");
    }
    // no position twice, versions go on, ids are known, the store is append-only, and the capture of before can be had again
    assert!(db.admin().number("select last_value from domain_events.events_global_position_seq") >= last);
    let mut owner = db.owner();
    assert_eq!(owner.number("select (domain_events.append_event('Order', '1', 'OrderPaid')).aggregate_version"), 2);
    assert_eq!(
        owner.number("select (domain_events.append_event('Order', '1', 'OrderPlaced', event_id => '00000000-0000-7000-8000-000000000001')).aggregate_version"),
        1
    );
    db.admin().error("delete from domain_events.events").expect("23001");
    db.cli("app_owner", &["capture", "enable", "users"]).expect(0);
    owner.run("update public.users set email = 'again@x' where id = 1");
    assert_eq!(owner.one("select max(aggregate_version) from domain_events.events where aggregate_type = 'User' and aggregate_id = '1'"), "3");
    db.check_versions();
    assert_eq!(owner.table("select code, detail from domain_events.check_integrity()"), "");
    assert_eq!(db.admin().number("select count(*) from pg_namespace where nspname = '_domain_events_kept'"), 0);
    let findings = db
        .admin()
        .table("select code, object, detail from domain_events.check_infrastructure() where severity <> 'info'");
    assert_eq!(findings, "");
}

/// What came by an adoption or an import keeps its times, and is known as such afterwards.
#[test]
fn imported_events_stay_what_they_were() {
    let db = installed();
    db.owner().run(
        "insert into domain_events.adoptions (source, state, first_position, last_position, first_place, moved, events)
         select 'old', 'moved', min(p), max(p), 1, 3, 3 from (select nextval('domain_events.events_global_position_seq') as p from generate_series(1, 3)) d;
         insert into domain_events.events (global_position, aggregate_type, aggregate_id, aggregate_version, event_type, recorded_at, origin)
         select v, 'Old', '1', v, 'OldTold', '2020-01-01', 'imported' from generate_series(1, 3) v;
         select domain_events.append_event('Old', '1', 'Told')",
    );
    assert_eq!(db.owner().table("select code, detail from domain_events.check_integrity()"), "");
    db.cli("app_owner", &["uninstall", "--keep-events"]).expect(0);
    db.cli("app_owner", &["install", "--engine", "portable"]).expect(0);
    assert_eq!(db.owner().table("select code, detail from domain_events.check_integrity()"), "");
    assert_eq!(db.owner().number("select (domain_events.append_event('Old', '1', 'Told')).aggregate_version"), 5);
    db.check_versions_of("Other");
}

/// Kept by one engine, taken over by the other; by nobody but their owner.
#[test]
fn kept_events_change_the_engine_and_not_the_owner() {
    let db = installed();
    capture_users(&db);
    db.cli("app_owner", &["uninstall", "--keep-events"]).expect(0);
    let before = catalogue(&db);
    let other = db.role("other");
    db.admin().run(&format!("grant create on database {} to {other}", db.name));
    for user in ["postgres", &other] {
        db.cli(user, &["install", "--engine", "portable"]).expect_error(1, "42P06").saying("app_owner");
    }
    assert_eq!(before, catalogue(&db));
    db.cli("app_owner", &["install", "--engine", "portable"]).expect(0);
    assert_eq!(db.owner().number("select count(*) from domain_events.events where aggregate_type = 'User'"), 3);
    let db = empty();
    db.cli("postgres", &["install", "--engine", "portable"]).expect(0);
    db.admin().run("select domain_events.append_event('A', '1', 'Made')");
    db.cli("postgres", &["uninstall", "--keep-events"]).expect(0);
    db.cli("postgres", &["install", "--engine", "native"]).expect(0);
    assert_eq!(db.admin().number("select (domain_events.append_event('A', '1', 'Made')).aggregate_version"), 2);
    assert_eq!(db.admin().table("select code from domain_events.check_integrity()"), "");
}

fn indexes_on_demand(db: &Db) {
    let user = installer(db);
    let mut admin = db.admin();
    let made = |args: &[&str]| db.cli(user, args).expect(0);
    made(&["install", "--index", "time"]).saying("events_by_time");
    let again = made(&["install", "--index", "correlation,time,type"]);
    assert!(!again.stderr.contains("events_by_time"), "{}", again.stderr);
    let document = made(&["install", "--index", "type", "--format", "json"]).json();
    assert_eq!(document["indexes_made"].as_array().map(Vec::len), Some(0));
    assert_eq!(
        admin.table("select c.relname, a.amname from pg_class c join pg_am a on a.oid = c.relam where c.relname like 'events_by_%' order by 1"),
        "events_by_correlation|btree\nevents_by_time|brin\nevents_by_type|btree"
    );
    let status = db.cli(user, &["status", "--format", "json"]).json();
    assert_eq!(status["indexes"], serde_json::json!(["events_by_correlation", "events_by_time", "events_by_type"]));
    // they are used, and nothing calls them strange
    admin.run("select domain_events.append_event('A', g::text, 'Made', correlation_id => g::text) from generate_series(1, 2000) g; set enable_seqscan = off; analyze domain_events.events");
    for (filter, index) in [
        ("correlation_id = '7'", "events_by_correlation"),
        ("event_type = 'Gone'", "events_by_type"),
        ("recorded_at < '2000-01-01'", "events_by_time"),
    ] {
        let plan = admin.table(&format!("explain select * from domain_events.events where {filter}"));
        assert!(plan.contains(index), "{filter}: {plan}");
    }
    assert_eq!(
        admin.table("select code, object from domain_events.check_infrastructure() where severity <> 'info'"),
        ""
    );
    db.cli("postgres", &["status"]);
    // a build that was interrupted is told, and made good
    admin.run("update pg_index set indisvalid = false where indexrelid = 'domain_events.events_by_type'::regclass");
    let told = db.cli(user, &["status"]).expect(3);
    assert!(told.stdout.contains("index_unfinished"), "{}", told.stdout);
    made(&["install", "--index", "type"]).saying("events_by_type");
    assert_eq!(admin.number("select count(*) from pg_index where not indisvalid"), 0);
    db.cli(user, &["install", "--index", "colour"]).expect(2);
    db.check_versions();
}

/// What a view, a key, a right .. of users' would lose by a new table of events is refused by its name; indexes and rights to
/// read are made again.
fn what_hangs_on_kept_events(db: &Db) {
    capture_users(db);
    let user = installer(db);
    db.cli(user, &["uninstall", "--keep-events", "--yes"]).expect(0);
    let (mut admin, peon) = (db.admin(), db.role("peon"));
    admin.run("grant create on schema public to public; create schema theirs");
    let install = ["install", "--engine", db.engine.name()];
    for (made, undone, name) in [
        (
            "create view report as select event_type, count(*) from domain_events.events group by 1",
            "drop view report",
            "view public.report",
        ),
        (
            "create materialized view report as select * from domain_events.events",
            "drop materialized view report",
            "materialized view public.report",
        ),
        (
            "create table note (event_id uuid references domain_events.events (event_id))",
            "drop table note",
            "note_event_id_fkey",
        ),
        ("create table note (e domain_events.events)", "drop table note", "column e of table public.note"),
        ("create table note (o domain_events.event_origin)", "drop table note", "column o of table public.note"),
        ("create table heir () inherits (domain_events.events)", "drop table heir", "table public.heir"),
        (
            "create function f(domain_events.events) returns int language sql as 'select 1'",
            "drop function f(domain_events.events)",
            "function public.f",
        ),
        ("create publication pub for table domain_events.events", "drop publication pub", "publication pub"),
        (
            "create statistics theirs.s on aggregate_type, event_type from domain_events.events",
            "drop statistics theirs.s",
            "statistics object theirs.s",
        ),
        ("create policy p on domain_events.events using (true)", "drop policy p on domain_events.events", "policy p"),
        (
            "alter table domain_events.events enable row level security",
            "alter table domain_events.events disable row level security",
            "row level security",
        ),
        (
            "create rule r as on insert to domain_events.events do also notify x",
            "drop rule r on domain_events.events",
            "rule r",
        ),
        (
            "create trigger t before insert on domain_events.events for each row execute function suppress_redundant_updates_trigger()",
            "drop trigger t on domain_events.events",
            "trigger t",
        ),
        (
            "alter table domain_events.events add column mine int default 1",
            "alter table domain_events.events drop column mine",
            "column mine",
        ),
        (
            "alter table domain_events.events add constraint mine check (event_type <> '')",
            "alter table domain_events.events drop constraint mine",
            "constraint mine",
        ),
        (
            "alter table domain_events.events set (fillfactor = 90)",
            "alter table domain_events.events reset (fillfactor)",
            "storage parameters",
        ),
        (
            "alter table domain_events.events replica identity full",
            "alter table domain_events.events replica identity default",
            "replica identity",
        ),
        ("create view domain_events.v as select 1 as one", "drop view domain_events.v", "view domain_events.v"),
        (
            "create function domain_events.f() returns int language sql as 'select 1'",
            "drop function domain_events.f()",
            "function domain_events.f()",
        ),
        (
            &format!("grant insert on domain_events.events to {peon}"),
            &format!("revoke insert on domain_events.events from {peon}"),
            &format!("right of {peon} to insert"),
        ),
        (
            &format!("grant select (event_type) on domain_events.events to {peon}"),
            &format!("revoke select (event_type) on domain_events.events from {peon}"),
            "column event_type",
        ),
        (
            &format!("grant create on schema domain_events to {peon}"),
            &format!("revoke create on schema domain_events from {peon}"),
            "schema domain_events",
        ),
        (
            &format!("grant usage on sequence domain_events.events_global_position_seq to {peon}"),
            &format!("revoke usage on sequence domain_events.events_global_position_seq from {peon}"),
            "events_global_position_seq",
        ),
        (
            "create index mine on domain_events.events (event_type); alter table domain_events.events cluster on mine",
            "drop index domain_events.mine",
            "index domain_events.mine",
        ),
    ] {
        admin.run(made);
        db.cli(user, &install)
            .expect_error(1, "2BP01")
            .saying(name)
            .saying("nothing was changed")
            .saying("make it again");
        db.cli(user, &["install", "--engine", db.engine.name(), "--dry-run"]).expect_error(1, "2BP01").saying(name);
        admin.run(undone);
    }
    // nor are the kept events dropped from under it
    admin.run("create view report as select * from domain_events.events");
    db.cli(user, &["uninstall", "--drop-events"]).expect_error(1, "2BP01").saying("view public.report");
    admin.run("drop view report");
    let indexes = "select string_agg(pg_get_indexdef(indexrelid) || coalesce(obj_description(indexrelid), ''), '|' order by indexrelid::regclass::text)
       from pg_index where indrelid = 'domain_events.events'::regclass and not indisunique or indexrelid = to_regclass('domain_events.\"My one\"')";
    admin.run(&format!(
        "create index on domain_events.events (event_type) where aggregate_type <> 'it''s'; comment on index domain_events.events_event_type_idx is 'it''s mine';
         create unique index \"My one\" on domain_events.events ((event_id::text || 'x') desc) include (event_type);
         grant select on domain_events.events to {peon} with grant option"
    ));
    let before = admin.one(indexes);
    db.cli(user, &install).expect(0).saying("kept are in the store again");
    assert_eq!(admin.one(indexes), before);
    assert!(before.contains("it's mine") && before.contains("My one"), "{before}");
    assert_eq!(
        admin.one(&format!("select has_table_privilege('{peon}', 'domain_events.events', 'select with grant option')")),
        "t"
    );
    assert_eq!(
        admin.table("select code, object, detail from domain_events.check_infrastructure() where severity <> 'info'"),
        ""
    );
    admin.run(&format!("revoke all on domain_events.events from {peon} cascade; drop schema theirs"));
    db.check_versions();
}

/// Who installs by SQL alone is sent to the command line, which takes the events over.
fn kept_events_are_no_place_for_plain_sql(db: &Db) {
    capture_users(db);
    db.cli(installer(db), &["uninstall", "--keep-events"]).expect(0);
    let told = if db.engine == Engine::Native {
        let failure = db.admin().error("create extension pg_domain_events");
        format!("{failure:?}")
    } else {
        let out = db.install_command(installer(db)).output().expect("psql");
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    assert!(told.contains("domain-events install") && !told.to_lowercase().contains("rename"), "{told}");
    db.cli(installer(db), &["install", "--engine", db.engine.name()]).expect(0);
    db.check_versions();
}
