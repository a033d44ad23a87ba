//! T15: pg_dump and pg_restore, whole databases and single tables.

use domain_events_tests::{Db, engines};

engines! {
    t15_a_whole_database, t15_data_only, t15_a_single_captured_table, t15_redaction_follows_the_name, t15_dead_letters_and_pauses,
}

pub const USE: &str = "create table users (gone int, id int primary key, name text, ssn text);
    alter table users drop column gone;
    select domain_events.enable_capture('users', redact => '{ssn}', exclude => '{}', event_types => '[{\"on\": \"delete\", \"type\": \"UserLeft\"}]');
    insert into users values (1, 'a', 'secret-1'), (2, 'b', 'secret-2');
    update users set name = 'c' where id = 1;
    create table items (order_id int, sku text, n int, primary key (order_id, sku));
    select domain_events.enable_capture('items', 'Order', '{order_id}');
    insert into items values (1, 'x', 1);
    create table log (type text, id text, version bigint, unique (type, id, version));
    insert into log values ('User', '1', 4);
    select domain_events.register_event_table('log', 'type', 'id', 'version');
    select domain_events.append_event('Note', '1', 'NoteTaken');";

pub fn goes_on(db: &Db) {
    let mut s = db.owner();
    s.run(
        "update users set name = 'z', ssn = 'secret-3'; delete from users where id = 2; insert into users values (2, 'd', 'secret-4');
         insert into items values (1, 'y', 1);
         select domain_events.append_event('Note', '1', 'NoteTaken');",
    );
    assert_eq!(
        s.table(
            "select aggregate_type, aggregate_id, max(aggregate_version) from domain_events.events
              where aggregate_type <> 'domain_events.Table' group by 1, 2 order by 1, 2"
        ),
        "Note|1|2\nOrder|1|2\nUser|1|3\nUser|2|4"
    );
    assert_eq!(s.one("select event_type from domain_events.events where aggregate_type = 'User' and aggregate_id = '2' and aggregate_version = 3"), "UserLeft");
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
    assert_eq!(s.one("select domain_events.next_aggregate_version('User', '1', 'log')"), "5");
    db.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
    assert_eq!(db.admin().table("select * from domain_events.check_infrastructure()"), "");
    assert_eq!(db.admin().table("select * from domain_events.check_integrity()"), "");
}

fn t15_a_whole_database(db: &Db) {
    db.owner().run(USE);
    let copy = db.restored();
    let all = "select event_id, aggregate_type, aggregate_id, aggregate_version, event_data, recorded_at, global_position from domain_events.events order by global_position";
    assert_eq!(copy.admin().table(all), db.admin().table(all));
    assert_eq!(copy.owner().one("select engine from domain_events.engine()"), db.engine.name());
    for sql in [
        "update domain_events.events set event_type = 'x'",
        "delete from domain_events.events",
        "truncate domain_events.events",
    ] {
        copy.admin().error(sql).expect("23001");
        copy.admin().error(&format!("set session_replication_role = replica; {sql}")).expect("23001");
    }
    goes_on(&copy);
    // And a copy of the copy.
    let again = copy.restored();
    assert_eq!(
        again.owner().one("select (domain_events.append_event('Note', '1', 'NoteTaken')).aggregate_version"),
        "3"
    );
    again.owner().run("update users set name = 'q'");
    again.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
    goes_on(db);
}

fn t15_data_only(db: &Db) {
    db.owner().run(USE);
    let copy = db.restored_data_only();
    let count = "select count(*) from domain_events.events";
    assert_eq!(copy.admin().one(count), db.admin().one(count));
    // `--disable-triggers` ends with ENABLE TRIGGER ALL, which turns ALWAYS into ORIGIN: held all the same, or told.
    let told = copy.admin().table("select code from domain_events.check_infrastructure()");
    copy.admin().error("delete from domain_events.events").expect("23001");
    if let Ok(rows) = copy
        .admin()
        .attempt("begin; set local session_replication_role = replica; delete from domain_events.events; rollback")
    {
        assert!(rows.is_empty() && told.contains("append_only"), "the store is open and nobody is told: {told:?}");
    }
    let mut s = copy.owner();
    s.run("update users set name = 'z', ssn = 'secret-3'");
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
    copy.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
}

fn t15_a_single_captured_table(db: &Db) {
    db.owner().run(USE);
    let path = db.file("users.dump");
    // Data alone, into the table where it was: captured again, since rows are written again.
    db.quietly("pg_dump", &["-a", "-Fc", "-t", "users", "-f", &path]);
    db.owner().run("delete from users");
    db.quietly("pg_restore", &["--exit-on-error", "-d", &db.name, &path]);
    db.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
    assert_eq!(db.owner().one("select max(aggregate_version) from domain_events.events where aggregate_type = 'User' and aggregate_id = '1'"), "4");
    // The whole table, dropped and restored: another OID, other attribute numbers, the same streams.
    db.quietly("pg_dump", &["-Fc", "-t", "users", "-f", &path]);
    db.owner().run("drop table users");
    db.quietly("pg_restore", &["--exit-on-error", "-d", &db.name, &path]);
    let mut s = db.owner();
    s.run("update users set name = 'after', ssn = 'secret-9'; insert into users values (3, 'new', 'secret-8')");
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
    assert_eq!(
        s.table("select aggregate_id, max(aggregate_version) >= 5 from domain_events.events where aggregate_type = 'User' and aggregate_id in ('1') group by 1"),
        "1|t"
    );
    db.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
}

/// Attribute numbers change in a dump when columns were dropped: in the new database the name decides.
fn t15_redaction_follows_the_name(db: &Db) {
    db.owner().run(
        "create table people (a int, b int, c int, id int primary key, ssn text, open text, n int);
         select domain_events.enable_capture('people', 'Person', redact => '{ssn}');
         alter table people drop column a, drop column b, drop column c;
         insert into people values (1, 'secret-1', 'shown', 1);",
    );
    let copy = db.restored();
    let mut s = copy.owner();
    s.run("update people set ssn = 'secret-2', open = 'shown too'");
    s.run("alter table people rename ssn to tax_no; update people set tax_no = 'secret-3', n = 2");
    s.run("insert into people values (2, 'secret-4', 'x', 1)");
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
    copy.check_fold(
        "Person",
        "select id::text, to_jsonb(t) || '{\"tax_no\": {\"$value\": \"redacted\"}}' from people t",
    );
}

fn t15_dead_letters_and_pauses(db: &Db) {
    db.owner().run(USE);
    db.owner().run("select domain_events.pause_capture('items')");
    db.admin().run("alter table domain_events.events add constraint boom check (aggregate_id <> '13') not valid");
    db.owner().run("insert into users values (13, 'x', 'secret-13')");
    db.admin().run("alter table domain_events.events drop constraint boom");
    let copy = db.restored();
    let mut s = copy.owner();
    assert_eq!(s.one("select state from domain_events.captures where target = 'items'::regclass"), "paused");
    s.run("update items set n = 9");
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'Order'"), "1");
    assert_eq!(s.one("select domain_events.retry_capture_failures()"), "1");
    copy.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
    s.run("select domain_events.resume_capture('items'); update items set n = 10");
    assert_eq!(s.one("select max(aggregate_version) from domain_events.events where aggregate_type = 'Order'"), "2");
}
