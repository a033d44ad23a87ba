//! `uninstall`: never events, users' writes or users' objects in silence.

use domain_events_tests::{Cluster, Db, Engine, engines};
use serde_json::json;

engines! { dead_letters_stop_it }

use crate::{capture_users, catalogue, empty, installed};

#[test]
fn without_events_the_store_goes_and_leaves_no_trace() {
    let db = empty();
    let before = catalogue(&db);
    db.cli("app_owner", &["install", "--engine", "portable"]).expect(0);
    let run = db.cli("app_owner", &["--format", "json", "uninstall"]).expect(0);
    assert_eq!(run.json()["changed"], true);
    assert_eq!(before, catalogue(&db));
    let again = db.cli("app_owner", &["--format", "json", "uninstall"]).expect(0).saying("not installed");
    assert_eq!(again.json(), json!({"changed": false}));
}

#[test]
fn while_events_exist_it_is_refused_and_names_both_ways() {
    let db = installed();
    capture_users(&db);
    let before = catalogue(&db);
    let run = db.cli("app_owner", &["uninstall"]).expect_error(1, "2BP01");
    run.saying("3 events").saying("--keep-events").saying("--drop-events");
    assert_eq!(before, catalogue(&db));
    db.cli("app_owner", &["uninstall", "--keep-events", "--drop-events"]).expect(2);
    assert_eq!(before, catalogue(&db));
}

#[test]
fn keep_events_leaves_the_table_readable_and_append_only() {
    let db = installed();
    capture_users(&db);
    let columns = "select aggregate_type, aggregate_id, aggregate_version, event_type, event_data, recorded_at from domain_events.events";
    let users = format!("{columns} where aggregate_type = 'User' order by 1, 2, 3");
    let before = db.owner().table(&users);

    let run = db.cli("app_owner", &["--format", "json", "uninstall", "--keep-events"]).expect(0);
    run.saying("public.users");
    // three of the users and one that says the capture has ended
    let db_json = db.cli("app_owner", &["--format", "json", "status"]).expect(3).json();
    assert_eq!(db_json["findings"][0]["code"], "kept_events");

    let mut owner = db.owner();
    assert_eq!(before, owner.table(&users));
    assert_eq!(
        owner.one("select event_type from domain_events.events where aggregate_type = 'domain_events.Table'"),
        "CaptureDisabled"
    );
    assert_eq!(owner.table("select relname, relkind from pg_class where relnamespace = 'domain_events'::regnamespace and relkind in ('r', 'v', 'S') order by 1"),
        "events|r\nevents_global_position_seq|S");
    assert_eq!(
        owner.table("select proname from pg_proc where pronamespace = 'domain_events'::regnamespace"),
        "_refuse_change"
    );
    assert_eq!(owner.one("select count(origin) = count(*) from domain_events.events"), "t");
    owner.error("delete from domain_events.events").expect_code("23001");
    owner.error("truncate domain_events.events").expect_code("23001");
    owner.run(
        "insert into public.users values (3, 'd@x'); update public.users set email = 'e@x'; truncate public.users",
    );
    assert_eq!(
        owner.number("select count(*) from pg_trigger where not tgisinternal and tgrelid = 'public.users'::regclass"),
        0
    );
}

#[test]
fn kept_events_can_be_dropped_later() {
    let db = installed();
    capture_users(&db);
    db.cli("app_owner", &["uninstall", "--keep-events"]).expect(0);
    db.cli("app_owner", &["uninstall", "--drop-events"]).expect(0).saying("dropped for ever: 4 events");
    db.cli("app_owner", &["install", "--engine", "portable"]).expect(0);
}

#[test]
fn drop_events_drops_them_and_the_triggers_of_every_captured_table() {
    let db = installed();
    capture_users(&db);
    db.owner().run(
        "create schema \"Odd.Schema\";
         create table \"Odd.Schema\".\"it's \\ \"\"odd\"\"\" (id int primary key) partition by range (id);
         create table \"Odd.Schema\".leaf partition of \"Odd.Schema\".\"it's \\ \"\"odd\"\"\" for values from (0) to (100);
         select domain_events.enable_capture('\"Odd.Schema\".\"it''s \\ \"\"odd\"\"\"', 'Odd', replication => 'always');
         insert into \"Odd.Schema\".leaf values (1);",
    );
    let run = db.cli("app_owner", &["--format", "json", "uninstall", "--drop-events"]).expect(0);
    assert_eq!(run.json()["captured_tables"].as_array().map(Vec::len), Some(2));
    let mut owner = db.owner();
    assert_eq!(owner.number("select count(*) from pg_trigger where not tgisinternal"), 0);
    assert_eq!(owner.number("select count(*) from pg_namespace where nspname like '%domain_events%'"), 0);
    owner.run("update public.users set email = 'z'; insert into \"Odd.Schema\".leaf values (2)");
}

#[test]
fn a_superuser_uninstalls_what_an_owner_installed() {
    let db = installed();
    capture_users(&db);
    db.cli("postgres", &["uninstall", "--keep-events"]).expect(0);
    // it stays the owner's
    assert_eq!(db.owner().number("select count(*) from domain_events.events"), 4);
    let owner = "select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'domain_events'";
    assert_eq!(db.owner().one(owner), "app_owner");
}

#[test]
fn what_a_superuser_installed_goes_with_its_event_triggers() {
    let db = empty();
    db.cli("postgres", &["install", "--engine", "portable"]).expect(0);
    db.admin().run("select domain_events.append_event('A', '1', 'Made')");
    db.admin().error("drop schema domain_events cascade").expect("2BP01");
    db.cli("postgres", &["uninstall"]).expect_error(1, "2BP01");
    db.cli("postgres", &["uninstall", "--keep-events"]).expect(0);
    assert_eq!(db.admin().number("select count(*) from pg_event_trigger"), 0);
    assert_eq!(db.admin().number("select count(*) from domain_events.events"), 1);
}

#[test]
fn the_table_of_another_owner_loses_its_triggers_too() {
    let db = installed();
    let other = db.role("other");
    db.admin().run(&format!("grant domain_events_admin to {other}; create schema theirs authorization {other};"));
    db.session(&other).run(
        "create table theirs.things (id int primary key);
         select domain_events.enable_capture('theirs.things');
         insert into theirs.things values (1);",
    );
    db.cli("app_owner", &["uninstall", "--drop-events"]).expect(0).saying("theirs.things");
    db.session(&other).run("insert into theirs.things values (2)");
}

#[test]
fn another_role_may_not() {
    let db = installed();
    let other = db.role("other");
    db.cli(&other, &["uninstall", "--drop-events"]).expect_error(1, "42501").saying("app_owner");
}

#[test]
fn a_foreign_schema_is_not_dropped() {
    let db = empty();
    db.owner().run("create schema domain_events; create table domain_events.events (id int); insert into domain_events.events values (1)");
    let before = catalogue(&db);
    db.cli("app_owner", &["uninstall", "--drop-events"]).expect_error(1, "42P06");
    assert_eq!(before, catalogue(&db));
}

#[test]
fn objects_of_the_user_that_depend_on_the_store_stop_it() {
    let db = installed();
    for (create, drop, name) in [
        ("create view public.mine as select * from domain_events.streams", "drop view public.mine", "view public.mine"),
        (
            "create function public.newest() returns domain_events.events language sql as 'select * from domain_events.events limit 1'",
            "drop function public.newest()",
            "function public.newest()",
        ),
        (
            "create table public.refs (position bigint references domain_events.events)",
            "drop table public.refs",
            "refs_position_fkey",
        ),
    ] {
        db.owner().run(create);
        let before = catalogue(&db);
        db.cli("app_owner", &["uninstall"]).expect_error(1, "2BP01").saying(name);
        assert_eq!(before, catalogue(&db), "{create}");
        db.owner().run(drop);
    }
    db.cli("app_owner", &["uninstall"]).expect(0);
}

#[test]
fn a_trigger_that_calls_the_store_stops_it_until_it_is_disabled() {
    let db = installed();
    db.owner().run(
        "create table public.notes (id int primary key);
         create function public.note() returns trigger language plpgsql as $$
         begin perform domain_events.append_event('Note', new.id::text, 'NoteWritten'); return new; end $$;
         create trigger note after insert on public.notes for each row execute function public.note();",
    );
    db.cli("app_owner", &["uninstall"]).expect_error(1, "2BP01").saying("note()");
    db.owner().run("alter table public.notes disable trigger note");
    db.cli("app_owner", &["uninstall"]).expect(0).saying("warning: public.note() calls the store");
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_would_go() {
    let db = installed();
    capture_users(&db);
    let before = catalogue(&db);
    let run = db.cli("app_owner", &["uninstall", "--drop-events", "--dry-run"]).expect(3);
    assert!(run.stdout.contains("drop schema domain_events cascade;"), "{}", run.stdout);
    let run = db.cli("app_owner", &["--format", "json", "uninstall", "--keep-events", "--dry-run"]).expect(3);
    assert_eq!(run.json()["captured_tables"], json!(["public.users"]));
    assert_eq!(before, catalogue(&db));
}

#[test]
fn a_lock_that_is_not_to_be_had_ends_with_5_and_nothing_is_changed() {
    let db = installed();
    capture_users(&db);
    let before = catalogue(&db);
    let mut writer = db.owner();
    writer.run("begin; insert into public.users values (9, 'open')");
    let run = db.cli("app_owner", &["uninstall", "--drop-events", "--lock-timeout", "5"]).expect(5);
    run.saying("trying again (1 of 10)").saying("hint: ");
    writer.run("commit");
    assert_eq!(before, catalogue(&db));
    assert_eq!(db.owner().number("select count(*) from domain_events.events where aggregate_id = '9'"), 1);
}

/// Events that wait to be stored are neither dropped nor left behind in silence.
fn dead_letters_stop_it(db: &Db) {
    capture_users(db);
    let user = if db.engine == Engine::Native { "postgres" } else { "app_owner" };
    db.admin().run(
        "alter table domain_events.events add constraint nope check (aggregate_id <> '13') not valid;
         insert into public.users values (13, 'x'); update public.users set email = 'y' where id = 13;
         alter table domain_events.events drop constraint nope",
    );
    let before = catalogue(db);
    for args in [
        &["uninstall", "--keep-events"][..],
        &["uninstall", "--keep-events", "--dry-run"],
        &["uninstall"],
        &["uninstall", "--dry-run"],
    ] {
        let run = db.cli(user, args).expect_error(1, "2BP01");
        run.saying("2 events wait in domain_events.capture_failures")
            .saying("retry_capture_failures()")
            .saying("delete from");
    }
    let run = db.cli(user, &["uninstall", "--drop-events", "--dry-run"]).expect(3);
    run.saying("dropped for ever: 3 events").saying("2 events wait in domain_events.capture_failures");
    assert_eq!(before, catalogue(db));
    db.admin().run("delete from domain_events.capture_failures where failure_id = (select max(failure_id) from domain_events.capture_failures)");
    assert_eq!(db.admin().one("select domain_events.retry_capture_failures()"), "1");
    db.cli(user, &["uninstall", "--keep-events"]).expect(0);
    assert_eq!(db.admin().number("select count(*) from domain_events.events where aggregate_id = '13'"), 1);
}

/// What was not done is not told as done, and who is in the way is named.
#[test]
fn a_prepared_transaction_is_named() {
    for engine in [Engine::Portable, Engine::Native] {
        let db = Db::on(Cluster::start(&[("max_prepared_transactions", "2")]), engine);
        capture_users(&db);
        let user = if engine == Engine::Native { "postgres" } else { "app_owner" };
        let before = catalogue(&db);
        let mut owner = db.owner();
        for (work, flag) in [
            ("insert into public.users values (9, 'open')", "--keep-events"),
            ("select domain_events.append_event('A', '1', 'Made')", "--drop-events"),
        ] {
            owner.run(&format!("begin; {work}; prepare transaction 'it''s left'"));
            let run = db.cli(user, &["uninstall", flag, "--yes", "--lock-timeout", "5"]).expect(5);
            owner.run("rollback prepared 'it''s left'");
            let run =
                run.saying("held by the prepared transaction \"it's left\"").saying("rollback prepared 'it''s left'");
            for word in ["triggers of", "kept: ", "dropped for ever"] {
                assert!(!run.stderr.contains(word), "{word}: {}", run.stderr);
            }
        }
        assert_eq!(before, catalogue(&db));
        let run = db.cli(user, &["uninstall", "--keep-events", "--yes"]).expect(0);
        run.saying("public.users were dropped").saying("kept: 4 events");
    }
}
