//! Nobody who has no rights holds writers back. Anybody may take advisory locks, and `pg_locks` shows everybody the keys of those
//! that are held.

use std::thread;

use domain_events_tests::{Db, Session, engines};

engines! {
    a_key_that_was_seen_holds_nobody_back, a_key_cannot_be_computed, who_queues_for_a_key_holds_nobody_back,
    versions_are_right_while_keys_are_taken, a_stream_is_held_whoever_had_its_key_before,
}

const TABLES: &str = "create table t (id int primary key, n int default 0); select domain_events.enable_capture('t');
    insert into t select g from generate_series(1, 40) g";

/// What writes, or waits for writers: each is to be done within two seconds.
const WRITES: &[&str] = &[
    "update t set n = n + 1",
    "begin; update t set n = n + 1; update t set n = n + 1; commit",
    "update t set n = n + 1 where id = 1",
    "delete from t where id = 2; insert into t values (2)",
    "begin isolation level repeatable read; update t set n = n + 1 where id = 3; commit",
    "select domain_events.append_event('T', '1', 'TNoted')",
    "select domain_events.append_events('T', '1', '[{\"event_type\": \"TNoted\"}, {\"event_type\": \"TNoted\"}]')",
    "select domain_events.append_events('[{\"aggregate_type\": \"T\", \"aggregate_id\": \"1\", \"event_type\": \"TNoted\"}]')",
    "select domain_events.next_aggregate_version('T', '1')",
    "begin; select domain_events.next_aggregate_version('T', '1'); select domain_events.append_event('T', '1', 'TNoted'); commit",
    "truncate t; insert into t select g from generate_series(1, 40) g",
    "select domain_events.pause_capture('t'); select domain_events.resume_capture('t')",
    "select domain_events.check_integrity_incremental()",
    "select domain_events.raise_alerts()",
];

/// The keys that SQL functions can take, of all locks that anybody holds in this database.
fn keys(look: &mut Session) -> Vec<String> {
    let keys = look.table(
        "select distinct (classid::bigint << 32) | objid::bigint from pg_locks
          where locktype = 'advisory' and objsubid = 1 and database = (select oid from pg_database where datname = current_database())",
    );
    keys.lines().map(str::to_owned).collect()
}

/// Streams held in every way that there is, by a transaction that is left open.
fn hold(db: &Db) -> Session {
    let mut s = db.owner();
    s.run(
        "begin; update t set n = n + 1 where id <= 10; select domain_events.append_event('T', '11', 'TNoted');
         select domain_events.next_aggregate_version('T', i::text) from generate_series(12, 20) i; select domain_events.next_aggregate_version('T', '1')",
    );
    s
}

fn write_all(db: &Db) {
    let mut s = db.owner();
    for sql in WRITES {
        // Forty streams, a quarter of a second for each whose key is held.
        let limit =
            if sql.contains("set n = n + 1;") || sql.ends_with("n + 1") || sql.contains("truncate") { 25 } else { 2 };
        s.run(&format!("set statement_timeout = '{limit}s'"));
        s.run(sql);
    }
    db.check_table("T", "t");
}

fn a_key_that_was_seen_holds_nobody_back(db: &Db) {
    db.owner().run(TABLES);
    let mut squatter = db.session(&db.role("squatter"));
    let mut holder = hold(db);
    let keys = keys(&mut squatter);
    assert!(!keys.is_empty() || db.engine.name() == "native", "the test sees no lock");
    holder.run("commit");
    for key in keys {
        assert_eq!(squatter.one(&format!("select pg_try_advisory_lock({key})")), "t");
    }
    write_all(db);
}

fn who_queues_for_a_key_holds_nobody_back(db: &Db) {
    db.owner().run(TABLES);
    let role = db.role("squatter");
    let mut holder = hold(db);
    let waiting: Vec<_> = keys(&mut db.session(&role))
        .into_iter()
        .map(|key| {
            let mut s = db.session(&role);
            let pid = s.pid();
            let waiting = thread::spawn(move || {
                s.run(&format!("select pg_advisory_lock({key})"));
                s
            });
            db.wait_until_blocked(pid);
            waiting
        })
        .collect();
    holder.run("commit");
    let squatters: Vec<Session> = waiting.into_iter().map(|w| w.join().expect("a squatter")).collect();
    write_all(db);
    drop(squatters);
}

fn a_key_cannot_be_computed(db: &Db) {
    db.owner().run(TABLES);
    let role = db.role("squatter");
    let mut squatter = db.session(&role);
    // The number that keys were made with before, and what can be read now.
    for seed in ["7238240", "0", "1"] {
        squatter.run(&format!(
            "select pg_advisory_lock(hashtextextended(id::text, hashtextextended('T', {seed}))) from generate_series(1, 40) id"
        ));
    }
    let mut s = db.owner();
    s.run("set statement_timeout = '2s'; set lock_timeout = '200ms'; update t set n = n + 1; select domain_events.append_event('T', '1', 'TNoted')");
    let mut admin = db.admin();
    for group in ["", "domain_events_reader", "domain_events_writer", "domain_events_admin"] {
        if !group.is_empty() {
            admin.run(&format!("grant {group} to {role}"));
        }
        let mut s = db.session(&role);
        for sql in [
            "select last_value from domain_events.lock_salt",
            "select nextval('domain_events.lock_salt')",
            "select domain_events._stream_key('T', '1')",
            "select from domain_events.stream_locks for update",
            "select from domain_events.stream_locks for key share",
        ] {
            s.error(sql).expect_code("42501");
        }
        s.error("begin; lock table domain_events.stream_locks in access share mode").expect_code("42501");
        s.run("rollback");
        assert_eq!(
            s.table("select last_value from pg_sequences where sequencename = 'lock_salt' and last_value is not null"),
            ""
        );
        if let Ok(rows) = s.attempt("select pg_sequence_last_value('domain_events.lock_salt'::regclass)") {
            assert_eq!(rows, [[None]]);
        }
    }
    let salt = admin.one("select last_value from domain_events.lock_salt");
    assert_eq!(admin.table(&format!("select proname from pg_proc where prosrc like '%{salt}%'")), "");
    db.check_table("T", "t");
}

/// While the keys of hot streams are held by somebody, several sessions write the same streams: as gapless as ever.
fn versions_are_right_while_keys_are_taken(db: &Db) {
    db.owner().run("create table t (id int primary key, n int default 0); select domain_events.enable_capture('t'); insert into t select g from generate_series(1, 3) g");
    let mut squatter = db.session(&db.role("squatter"));
    let mut holder = db.owner();
    holder.run("begin; update t set n = 1; update t set n = 1 where id < 3; select domain_events.next_aggregate_version('T', i::text) from generate_series(1, 3) i");
    let keys = keys(&mut squatter);
    holder.run("commit");
    for key in keys {
        squatter.run(&format!("select pg_advisory_lock({key})"));
    }
    thread::scope(|scope| {
        for n in 0..4 {
            scope.spawn(move || {
                let mut s = db.owner();
                s.run("set statement_timeout = '60s'");
                for i in 0..5 {
                    let id = 1 + (n + i) % 3;
                    s.run(&format!(
                        "select domain_events.append_event('T', '{id}', 'TNoted'); update t set n = n + 1 where id = {id};
                         begin; select domain_events.append_event('T', '{id}', 'TNoted'); update t set n = n + 1 where id = {id}; commit"
                    ));
                }
            });
        }
    });
    assert_eq!(db.admin().one("select count(*) from domain_events.events where event_type = 'TNoted'"), "40");
    db.check_table("T", "t");
}

/// Whoever kept the lock for longer than anybody waits for it: what next_aggregate_version() returned is held after that.
fn a_stream_is_held_whoever_had_its_key_before(db: &Db) {
    db.owner().run(TABLES);
    let (mut first, mut second) = (db.owner(), db.owner());
    first.run("begin; select domain_events.append_event('T', '1', 'TNoted')");
    let pid = second.pid();
    second.run("begin");
    let version = thread::scope(|scope| {
        let waiting = scope.spawn(|| second.one("select domain_events.next_aggregate_version('T', '1')"));
        db.wait_until_blocked(pid);
        thread::sleep(std::time::Duration::from_millis(600));
        first.run("commit");
        waiting.join().expect("the session that waited")
    });
    assert_eq!(version, "3");
    let mut third = db.owner();
    third
        .error("set lock_timeout = '600ms'; select domain_events.append_event('T', '1', 'TNoted')")
        .expect_code("55P03");
    assert_eq!(second.one("select (domain_events.append_event('T', '1', 'TNoted')).aggregate_version"), "3");
    second.run("commit");
    db.check_table("T", "t");
}
