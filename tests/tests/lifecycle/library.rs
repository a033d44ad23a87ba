//! A library that is older than the store's SQL objects: the file was replaced, or the session had loaded it before an upgrade.

use domain_events_tests::{Db, Engine};

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
