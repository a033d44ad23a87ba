//! B1 of T13: bytes that came in past the parser, which alone checks the encoding. What was set for a role in a database of
//! another encoding, or a role's name that was given there, gets into no event, dead letter or table as it is: it could not be
//! restored from any dump.

use domain_events_tests::{Cluster, Db, engines};

engines! { t13_bytes_of_another_encoding, t13_text_that_is_cut_between_bytes }

const TABLES: &str = "create table users (id int primary key, name text); select domain_events.enable_capture('users');
    create table notes (id int, kind text); select domain_events.enable_capture('notes', aggregate_id => '{kind}');
    insert into users values (1, 'a'); grant all on users, notes to public;";

const WRITES: &str = "insert into users values ((select max(id) + 1 from users), 'n'); update users set name = name || '+';
    delete from users where id = (select min(id) from users); insert into notes values (1, null);
    select domain_events.append_event('Note', '1', 'Noted');
    select domain_events.append_events('Note', '1', '[{\"event_type\": \"Noted\"}, {\"event_type\": \"Noted\"}]');
    select domain_events.append_events('[{\"aggregate_type\": \"Note\", \"aggregate_id\": \"2\", \"event_type\": \"Noted\"}]');";

/// A server with a database of Latin-1 beside that of the test: roles are the whole server's.
fn server(one: &Db, latin: &str) -> Db {
    let db = Db::on(Cluster::start(&[]), one.engine);
    let mut admin = db.admin();
    admin.run("create database latin encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0");
    admin.run("create role writer login");
    db.cluster().connect("latin", "postgres").run(latin);
    db.owner().run(TABLES);
    for signature in [
        "append_event(text, text, text, jsonb, text, jsonb, bigint, uuid, text, text, text, timestamptz, int)",
        "append_events(text, text, jsonb, bigint)",
        "append_events(jsonb, jsonb)",
    ] {
        admin.run(&format!("grant execute on function domain_events.{signature} to public"));
    }
    db
}

/// As a role whose name no text of this database can say, nor this client.
fn write_as(db: &Db, pattern: &str) {
    let switch = format!(
        "do $$ begin execute format('set session authorization %I', (select rolname from pg_roles where rolname like '{pattern}')); end $$"
    );
    let out = db
        .client_program("psql", "postgres")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", &switch, "-c", WRITES])
        .output()
        .expect("psql");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// A dump is taken and restored, with every event and dead letter in it; and the folds are right.
fn is_whole(db: &Db) {
    let count =
        "select (select count(*) from domain_events.events), (select count(*) from domain_events.capture_failures)";
    let copy = db.restored();
    assert_eq!(copy.admin().table(count), db.admin().table(count));
    db.admin().run("delete from domain_events.capture_failures");
    db.check_table("User", "users");
}

fn t13_bytes_of_another_encoding(one: &Db) {
    let db = server(
        one,
        "alter role writer set domain_events.actor = 'Zoé\\ÿ'; alter role writer set domain_events.correlation_id = 'é';
         alter role writer set domain_events.causation_id = 'plain'; alter role writer set domain_events.metadata = '{\"where\": \"café\"}';
         create role \"françois\" login; create role \"caf\u{e9}\" login;",
    );
    let mut s = db.owner();
    db.session("writer").run(WRITES);
    assert_eq!(
        s.table(
            "select distinct caused_by, correlation_id, causation_id, metadata ->> '$context'
               from (select caused_by, correlation_id, causation_id, metadata from domain_events.events
                     union all select caused_by, correlation_id, causation_id, metadata from domain_events.capture_failures) e
              where correlation_id is not null"
        ),
        "Zo\\351\\\\\\377 [5 bytes, not valid in UTF8]|\\351 [1 bytes, not valid in UTF8]|plain|{\"where\": \"caf\\351\"} [17 bytes, not valid in UTF8]"
    );
    // What the caller says himself is text, and counts.
    let mut w = db.session("writer");
    w.run("select domain_events.append_event('Note', '1', 'Noted', caused_by => 'Zoé', correlation_id => 'é', metadata => '{\"a\": 1}')");
    assert_eq!(
        s.table("select caused_by, correlation_id, metadata ->> 'a' from domain_events.events order by global_position desc limit 1"),
        "Zoé|é|1"
    );
    w.run("select domain_events.set_context('Zoé', local => false)");
    w.run("update users set name = 'ü'");
    assert_eq!(s.one("select caused_by from domain_events.events order by global_position desc limit 1"), "Zoé");
    for (pattern, shown) in [("fran%", "fran\\347ois [8 bytes"), ("caf%", "caf\\351 [4 bytes")] {
        let before = s.number("select count(*) from domain_events.events");
        write_as(&db, pattern);
        assert_eq!(
            s.table(&format!(
                "select distinct caused_by from domain_events.events where global_position > {before}
                 union select caused_by from (select caused_by from domain_events.capture_failures order by failure_id desc limit 1) f"
            )),
            format!("{shown}, not valid in UTF8]")
        );
    }
    is_whole(&db);
}

fn t13_text_that_is_cut_between_bytes(one: &Db) {
    let long = format!("{}{}", "x".repeat(1999), "é".repeat(9000));
    let db = server(
        one,
        &format!(
            "alter role writer set domain_events.actor = '{long}'; alter role writer set domain_events.correlation_id = '{}é';
             alter role writer set domain_events.metadata = '{long}'",
            "x".repeat(8191)
        ),
    );
    let mut s = db.owner();
    db.session("writer").run(WRITES);
    // As long as it is, and valid, where it is set here.
    for setting in ["actor", "correlation_id", "causation_id", "metadata"] {
        s.run(&format!("set domain_events.{setting} = '{long}'"));
    }
    s.run(WRITES);
    assert_eq!(
        s.one("select bool_and(octet_length(caused_by) < 8300 and coalesce(octet_length(correlation_id), 0) < 8300 and octet_length(metadata::text) < 16600) from domain_events.events"),
        "t"
    );
    assert_eq!(
        s.table("select distinct regexp_replace(caused_by, '^.*x', '') from domain_events.events where aggregate_type = 'Note' order by 1"),
        "\\351 [10999 bytes, not valid in UTF8]\né... [cut, 19999 bytes]"
    );
    is_whole(&db);
}
