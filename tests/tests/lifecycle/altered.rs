//! The store's owner alters its columns and keys under the native engine, which reads by them: refused with a hint, never a
//! crash or another column's memory.

use domain_events_tests::{Db, Engine};

/// What the owner does, and how it is undone.
const CHANGES: &[(&str, &str)] = &[
    ("alter table domain_events.events alter event_name type bigint using 4702111234474983745", "type text"),
    ("alter table domain_events.events alter caused_by type bigint using 4702111234474983745", "type text"),
    ("alter table domain_events.events alter event_type type bigint using 4702111234474983745", "type text"),
    (
        "alter table domain_events.events alter event_data drop default, alter event_data type bigint using 1",
        "type jsonb using '{}'",
    ),
    (
        "alter table domain_events.events alter metadata drop default, alter metadata type json using '{}'",
        "type jsonb using '{}'",
    ),
    (
        "alter table domain_events.events alter event_id drop default, alter event_id type text",
        "type uuid using event_id::uuid",
    ),
    ("alter table domain_events.events alter schema_version type bigint", "type int"),
    ("alter table domain_events.events alter occurred_at type timestamptz(0)", "type timestamptz"),
    ("alter table domain_events.events alter occurred_at type timestamp", "type timestamptz"),
    ("alter table domain_events.events alter event_type drop not null", "set not null"),
    ("alter table domain_events.events alter origin drop not null", "set not null"),
];

/// What takes the place of a part of the store; undone by a rollback.
const REPLACEMENTS: &[&str] = &[
    "drop view domain_events.streams cascade; alter table domain_events.events alter recorded_at type text",
    "drop view domain_events.streams cascade; alter table domain_events.events drop constraint events_aggregate_version_check, alter aggregate_version type text using aggregate_version::text",
    "drop view domain_events.streams cascade; alter table domain_events.events alter aggregate_id type varchar",
    "drop view domain_events.streams cascade; alter table domain_events.events alter aggregate_id type text collate \"default\"",
    "alter table domain_events.events rename event_type to a; alter table domain_events.events rename event_name to event_type; alter table domain_events.events rename a to event_name",
    "alter sequence domain_events.events_global_position_seq rename to s2; create table domain_events.events_global_position_seq (id int)",
    "alter sequence domain_events.events_global_position_seq rename to s2; create view domain_events.events_global_position_seq as select 1 as id",
    "alter table domain_events.events rename to e2; create view domain_events.events as select * from domain_events.e2",
    "alter table domain_events.events rename to e2; create type domain_events.events as (a int)",
    "alter table domain_events.events rename to e2; create table domain_events.events (like domain_events.e2) partition by list (aggregate_type)",
    "alter table domain_events.events rename to e2; create table domain_events.events (a int, b int, c int, d int, e int, f int, g int, h int, i int, j int, k int, l int, m int, n int, o int, p int, q int)",
    "alter table domain_events.events rename to e2; create table domain_events.events (like domain_events.e2 including all)",
    "alter schema domain_events rename to d2; create schema domain_events; create table domain_events.events (like d2.events including all); create sequence domain_events.events_global_position_seq",
    "alter table domain_events.events drop constraint uk_aggregate_version; create index uk_aggregate_version on domain_events.events (aggregate_type, aggregate_id, aggregate_version)",
    "alter table domain_events.events drop constraint uk_aggregate_version; create unique index uk_aggregate_version on domain_events.events (aggregate_type, aggregate_id, aggregate_version desc)",
    "alter table domain_events.events drop constraint uk_aggregate_version; create unique index uk_aggregate_version on domain_events.events (aggregate_id, aggregate_type, aggregate_version)",
    "alter table domain_events.events drop constraint uk_aggregate_version; create unique index uk_aggregate_version on domain_events.events (aggregate_type collate \"default\", aggregate_id, aggregate_version)",
    "alter table domain_events.events drop constraint uk_aggregate_version; create unique index uk_aggregate_version on domain_events.events (aggregate_type text_pattern_ops, aggregate_id, aggregate_version)",
    "alter table domain_events.events drop constraint uk_aggregate_version; create unique index uk_aggregate_version on domain_events.events (aggregate_type, aggregate_id, aggregate_version) where aggregate_version > 5",
    "alter table domain_events.events drop constraint uk_aggregate_version; alter table domain_events.events add constraint uk_aggregate_version unique (aggregate_type, aggregate_id, aggregate_version) deferrable",
    "alter table domain_events.events drop constraint uk_aggregate_version; create unique index uk_aggregate_version on domain_events.alerts (alert_id)",
    "alter table domain_events.events drop constraint events_event_id_key; create unique index events_event_id_key on domain_events.events (global_position)",
    "alter table domain_events.events drop constraint events_event_id_key; create index events_event_id_key on domain_events.events using hash (event_id)",
    "alter table domain_events.events drop constraint events_event_id_key; create view domain_events.events_event_id_key as select 1 as id",
];

/// Functions that the native engine calls, with other results.
const FUNCTIONS: &[&str] = &[
    "alter function domain_events._capture_plan(oid) rename to cp; create function domain_events._capture_plan(oid) returns jsonb language sql as $$ select '{\"capture_id\":1,\"columns\":[{}],\"types\":{}}'::jsonb $$",
    "alter function domain_events._capture_plan(oid) rename to cp; create function domain_events._capture_plan(oid) returns jsonb language sql as $$ select '[1]'::jsonb $$",
    "alter function domain_events._capture_plan(oid) rename to cp; create function domain_events._capture_plan(oid) returns jsonb language sql as $$ select jsonb_set(domain_events.cp($1), '{max_bytes}', '\"x\"') $$",
    "alter function domain_events._capture_plan(oid) rename to cp; create function domain_events._capture_plan(oid) returns jsonb language sql as $$ select domain_events.cp($1) - 'own_types' - 'is_unique' $$",
];

const WRITES: &[&str] = &[
    "select event_name, caused_by from domain_events.append_event('Note', '1', 'NoteTaken', event_name => 'a name')",
    "select * from domain_events.append_events('Note', '1', '[{\"event_type\": \"NoteTaken\"}]')",
    "select * from domain_events.append_events('[{\"event_type\": \"NoteTaken\", \"aggregate_type\": \"Note\", \"aggregate_id\": \"1\"}]')",
    "insert into users values (9, 'i')",
    "update users set name = name || 'u'",
    "delete from users",
];

fn store() -> Db {
    let db = Db::new(Engine::Portable);
    let mut admin = db.admin();
    admin.run(
        "create extension pg_domain_events version 'portable'; alter extension pg_domain_events update to '0.1.0'",
    );
    db.owner().run(
        "create table users (id int primary key, name text);
         select domain_events.enable_capture('users', on_failure => 'abort');
         insert into users values (1, 'a'); update users set name = 'b';
         select domain_events.append_event('Note', '1', 'NoteTaken', event_id => '11111111-1111-1111-1111-111111111111')",
    );
    db
}

#[test]
fn other_columns_are_refused_until_they_are_back() {
    let db = store();
    // One session that knows the store, and one that comes after the change.
    let (mut owner, mut known) = (db.owner(), db.owner());
    known.run("update users set name = 'c'");
    for (change, back) in CHANGES {
        owner.run(change);
        for write in WRITES {
            for session in [&mut known, &mut db.owner()] {
                session.error(write).expect("55000").naming("domain_events.events is not as it was installed");
            }
        }
        let column = change.split_whitespace().nth(4).expect("a column");
        owner.run(&format!("alter table domain_events.events alter {column} {back}"));
        known.run("update users set name = name || '.'");
    }
    owner.run("alter table domain_events.events alter event_id set default domain_events.uuid_v7()");
    assert_eq!(owner.one("select name like 'c.........%' from users"), "t");
}

#[test]
fn what_stands_in_for_a_part_of_the_store_is_refused() {
    let db = store();
    let mut admin = db.admin();
    for change in REPLACEMENTS {
        // A superuser may also take a member of the extension away.
        admin.run("begin; alter extension pg_domain_events drop view domain_events.streams");
        admin.run(change);
        admin.run("savepoint changed");
        for write in WRITES {
            // A table that is alike in all takes the captured rows: it is the owner's.
            let is_alike = change.contains("including all") && write.contains("users");
            match admin.attempt(write) {
                Ok(_) if is_alike => {}
                Ok(_) => panic!("{write} succeeded after {change}"),
                Err(failure) => {
                    assert!(["55000", "42883"].contains(&&*failure.code), "{write} after {change}: {failure}");
                }
            }
            admin.run("rollback to changed");
        }
        admin.run("rollback");
    }
    admin.run("update users set name = 'z'");
    db.check_table("User", "users");
}

#[test]
fn other_results_of_the_stores_functions_are_refused() {
    let db = store();
    let mut owner = db.owner();
    for change in FUNCTIONS {
        owner.run("begin");
        owner.run(change);
        owner.run("alter table users add q int");
        // The function is asked where the table is not as it was when last looked at.
        owner.run("update domain_events.capture_config set columns_seen = '{}'");
        owner.error("update users set name = 'q'").expect("55000").naming("_capture_plan");
        owner.run("rollback");
    }
    let mut admin = db.admin();
    admin.run(
        "begin; alter extension pg_domain_events drop function domain_events._plan_basis(oid);
         drop function domain_events._plan_basis(oid);
         create function domain_events._plan_basis(oid) returns bigint language sql stable as 'select 4702111234474983745'; commit",
    );
    owner.run("begin isolation level repeatable read");
    owner.error("alter table users add r int; update users set name = 'r'").expect("55000").naming("_plan_basis");
    owner.run("rollback");
    db.check_versions();
}

#[test]
fn a_writer_that_waits_for_the_change_sees_it() {
    let db = store();
    let (mut other, result) = db.contend(
        "alter table domain_events.events alter event_name type bigint using 1",
        "select * from domain_events.engine()",
        "select domain_events.append_event('Note', '1', 'NoteTaken', event_name => 'a name')",
    );
    result.expect_err("the column is another").expect("55000");
    other.error("update users set name = 'second'").expect("55000");
    db.owner().run("alter table domain_events.events alter event_name type text");
    other.run("update users set name = 'third'");

    // The same for a session that has written before.
    let mut holder = db.owner();
    let pid = other.pid();
    holder.run("begin; alter table domain_events.events alter caused_by type bigint using 1");
    let result = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| other.attempt("update users set name = 'fourth'"));
        db.wait_until_blocked(pid);
        holder.run("commit");
        waiting.join().expect("the session that waited")
    });
    result.expect_err("the column is another").expect("55000");
    db.owner().run("alter table domain_events.events alter caused_by type text");
    db.check_table("User", "users");
}

#[test]
fn a_column_more_does_no_harm() {
    let db = store();
    let mut owner = db.owner();
    owner.run("alter table domain_events.events add more int default 7; create index on domain_events.events (more)");
    for write in WRITES {
        owner.run(write);
    }
    owner.run("select domain_events._append(e, null) from (select (select row(e.*)::domain_events.events from domain_events.events e order by global_position limit 1) as e) x(e) where false");
    assert_eq!(owner.one("select distinct more from domain_events.events"), "7");
    db.check_versions();
}
