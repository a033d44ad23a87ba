//! A library that is older than the store's SQL objects: the file was replaced, or the session had loaded it before an upgrade.

use domain_events_tests::{Cluster, Db, Engine};

#[test]
fn a_library_older_than_the_sql_objects_writes_nothing() {
    let db = Db::new(Engine::Native);
    db.owner().run("create table users (id int primary key, name text); select domain_events.enable_capture('users')");
    let later = |version: &str| {
        db.admin().run(&format!("update pg_extension set extversion = '{version}' where extname = 'pg_domain_events'"))
    };
    later("99.0.0");
    for call in [
        "select domain_events.append_event('A', '1', 'Made')",
        "select domain_events.append_events('A', '1', '[{\"event_type\": \"Made\"}]')",
        "select domain_events.next_aggregate_version('A', '1')",
        "insert into users values (1, 'a')",
    ] {
        db.owner().error(call).expect("55000").naming("99.0.0").naming("connect anew");
    }
    later("0.1.0");
    db.owner().run("insert into users values (1, 'a')");
    db.check_table("User", "users");
    // A step on the way from one engine to the other is no version to compare with.
    later("portable");
    db.owner().run("update users set name = 'b'");
    later("0.1.0");
    db.check_table("User", "users");
}

#[test]
fn no_environment_puts_a_backtrace_into_an_error() {
    let cluster = Cluster::start_with_environment("RUST_BACKTRACE=full RUST_LIB_BACKTRACE=1");
    let db = Db::on(cluster, Engine::Native);
    let mut owner = db.owner();
    owner.run(
        "create table users (id int primary key, n int); select domain_events.enable_capture('users', on_failure => 'abort');
         create table rows (id int primary key, n int); select domain_events.enable_capture('rows', aggregate_id => '{n}');
         create function public.broken() returns trigger language plpgsql as $$ begin raise exception 'broken' using errcode = 'P0042'; end $$;
         insert into users values (1, 1)",
    );
    db.admin().run("create trigger broken before insert on domain_events.events for each row when (new.event_type = 'Broken') execute function public.broken()");
    for call in [
        // Errors of ours, of PostgreSQL below us, of a user's function below us, and of what becomes of a failure.
        "select domain_events.append_event('', '1', 'Made')",
        "select domain_events.append_event('A', '1', 'Made', expected_version => 7)",
        "select domain_events.append_event('A', '1', 'Broken')",
        "select domain_events.append_events('A', '1', '[{\"event_type\": null}]')",
        "select domain_events.append_events('[]', '[{\"aggregate_type\": \"A\"}]')",
        "select domain_events.next_aggregate_version(null, '1')",
        "select domain_events.next_aggregate_version('A', '1', 'users')",
        "begin read only; select domain_events.next_aggregate_version('A', '1')",
        "insert into users values (1, 2)",
        "select domain_events._invalidate_capture(0), domain_events._guard_drop()",
    ] {
        let failure = owner.error(call);
        let told = format!("{failure:?}");
        for word in ["stack backtrace", ".rs:", "rust_panic", " 0: "] {
            assert!(!failure.detail.contains(word), "{call}: {told}");
        }
        owner.run("rollback");
    }
    // An id that is null becomes a dead letter, whose error is stored.
    owner.run("insert into rows values (1, null)");
    assert_eq!(
        owner.one("select count(*) from domain_events.capture_failures where error_message like '%backtrace%'"),
        "0"
    );
}
