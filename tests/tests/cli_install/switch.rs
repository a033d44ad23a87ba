//! From one engine to the other and back: events, captures and users' triggers stay.

use domain_events_tests::Db;

use crate::{capture_users, catalogue, empty};

fn engine(db: &Db) -> String {
    db.owner().one("select engine from domain_events.engine()")
}

fn users_triggers(db: &Db) -> String {
    db.owner().table(
        "select oid, pg_get_triggerdef(oid), tgenabled from pg_trigger where tgrelid = 'public.users'::regclass and not tgisinternal order by 1",
    )
}

fn versions(db: &Db) -> String {
    db.owner().table(
        "select aggregate_id, string_agg(aggregate_version || event_type, ',' order by aggregate_version) \
         from domain_events.events where aggregate_type = 'User' group by 1 order by 1",
    )
}

fn update(db: &Db) {
    db.owner().run("update public.users set email = email || '!'");
}

fn grant(db: &Db) {
    db.admin().run("grant domain_events_reader, domain_events_writer, domain_events_admin to app_owner");
}

#[test]
fn a_superuser_gets_the_native_engine_by_default() {
    let db = empty();
    let run = db.cli("postgres", &["--format", "json", "install"]).expect(0).json();
    assert_eq!(run["engine"], "native");
    assert_eq!(engine(&db), "native");
    db.cli("postgres", &["install"]).expect(0).saying("already installed");
}

#[test]
fn there_and_back_keeps_events_captures_and_triggers() {
    let db = empty();
    db.cli("postgres", &["install", "--engine", "portable"]).expect(0);
    grant(&db);
    capture_users(&db);
    let portable = catalogue(&db);
    let triggers = users_triggers(&db);

    db.cli("postgres", &["install", "--engine", "native"]).expect(0).saying("switched from portable to native");
    assert_eq!(engine(&db), "native");
    assert_eq!(
        db.admin().table("select extname, extversion from pg_extension where extname = 'pg_domain_events'"),
        "pg_domain_events|0.1.0"
    );
    assert_eq!(triggers, users_triggers(&db));
    update(&db);
    assert_eq!(versions(&db), "1|1UserCreated,2UserUpdated,3UserUpdated\n2|1UserCreated,2UserUpdated");
    db.cli("postgres", &["status"]).expect(0);

    db.cli("postgres", &["install", "--engine", "portable"]).expect(0).saying("switched from native to portable");
    assert_eq!(engine(&db), "portable");
    assert_eq!(triggers, users_triggers(&db));
    assert_eq!(portable, catalogue(&db));
    update(&db);
    assert_eq!(
        versions(&db),
        "1|1UserCreated,2UserUpdated,3UserUpdated,4UserUpdated\n2|1UserCreated,2UserUpdated,3UserUpdated"
    );
    db.cli("postgres", &["status"]).expect(0);
}

#[test]
fn the_store_of_a_plain_owner_is_switched_by_a_superuser_and_stays_the_owners() {
    let db = crate::installed();
    capture_users(&db);
    let owner = "select pg_get_userbyid(relowner) from pg_class where oid = 'domain_events.events'::regclass";
    db.cli("app_owner", &["install", "--engine", "native"]).expect_error(1, "42501");
    db.cli("postgres", &["install", "--engine", "native"]).expect(0);
    assert_eq!(db.owner().one(owner), "app_owner");
    update(&db);
    // the extension is the superuser's: the store's owner cannot take it away, and nothing is half done
    let before = catalogue(&db);
    db.cli("app_owner", &["install", "--engine", "portable"]).expect_error(1, "42501");
    db.cli("app_owner", &["uninstall", "--drop-events"]).expect_error(1, "42501");
    assert_eq!(before, catalogue(&db));
    db.cli("postgres", &["install", "--engine", "portable"]).expect(0);
    assert_eq!(db.owner().one(owner), "app_owner");
    update(&db);
    assert!(versions(&db).starts_with("1|1UserCreated,2UserUpdated,3UserUpdated,4UserUpdated\n"), "{}", versions(&db));
}

#[test]
fn a_dry_run_of_a_switch_changes_nothing() {
    let db = empty();
    db.cli("postgres", &["install", "--engine", "native"]).expect(0);
    let before = catalogue(&db);
    let run = db.cli("postgres", &["install", "--engine", "portable", "--dry-run"]).expect(3);
    assert!(run.stdout.contains("drop extension pg_domain_events;"), "{}", run.stdout);
    assert_eq!(before, catalogue(&db));
}

#[test]
fn the_native_store_is_uninstalled_without_a_trace() {
    let db = empty();
    let before = catalogue(&db);
    db.cli("postgres", &["install", "--engine", "native"]).expect(0);
    db.cli("postgres", &["uninstall"]).expect(0);
    assert_eq!(before, catalogue(&db));
}

#[test]
fn the_native_store_is_uninstalled_with_or_without_its_events() {
    for flag in ["--keep-events", "--drop-events"] {
        let db = empty();
        db.cli("postgres", &["install", "--engine", "native"]).expect(0);
        grant(&db);
        capture_users(&db);
        db.admin().error("drop extension pg_domain_events cascade").expect_code("2BP01");
        db.cli("postgres", &["uninstall"]).expect_error(1, "2BP01");
        db.cli("postgres", &["uninstall", flag]).expect(0);
        assert_eq!(db.admin().number("select count(*) from pg_extension where extname = 'pg_domain_events'"), 0);
        if flag == "--keep-events" {
            assert_eq!(db.admin().number("select count(*) from domain_events.events"), 4);
            db.admin().error("delete from domain_events.events").expect_code("23001");
        }
        db.owner().run("update public.users set email = 'after'");
    }
}
