//! Versions of a legacy event table: the same promises, kept by a row lock.

use std::thread;

use domain_events_tests::{Db, engines};

use crate::waits;

engines! {
    t5_two_sessions_at_each_level, t5_behind_an_old_snapshot, t6_more_streams_than_locks, many_sessions_one_stream, savepoints_and_rollbacks,
    a_setting_cannot_break_versions,
}

const TABLE: &str = "
    create table legacy (kind text, id text, version bigint, unique (kind, id, version));
    select domain_events.register_event_table('legacy', 'kind', 'id', 'version');
    create function assign() returns trigger language plpgsql as $$
    begin new.version := domain_events.next_aggregate_version(new.kind, new.id, 'legacy'); return new; end $$;
    create trigger assign before insert on legacy for each row execute function assign();";

fn insert(id: &str) -> String {
    format!("insert into legacy values ('User', '{id}') returning version")
}

fn check(db: &Db) {
    assert_eq!(
        db.owner().table("select kind, id, count(*), max(version) from legacy group by 1, 2 having count(*) <> max(version) or min(version) <> 1"),
        ""
    );
}

fn t5_two_sessions_at_each_level(db: &Db) {
    db.owner().run(TABLE);
    for level in ["read committed", "repeatable read", "serializable"] {
        for existing in [false, true] {
            for (end, expected) in [("commit", 2), ("rollback", 1)] {
                let id = format!("{level} {existing} {end}");
                let before = if existing { db.owner().number(&insert(&id)) } else { 0 };
                let mut a = db.owner();
                a.run("begin");
                a.run(&insert(&id));
                let mut b = db.owner();
                b.run(&format!("begin isolation level {level}; select 1 from legacy"));
                let waiting = waits(db, b, &insert(&id));
                a.run(end);
                let (mut b, result) = waiting.result();
                match result {
                    Ok(rows) => {
                        assert_eq!(rows[0][0].as_deref(), Some(&*(before + expected).to_string()), "{id}");
                        b.run("commit");
                    }
                    Err(failure) => {
                        assert!(level != "read committed" && end == "commit", "{id}: {failure}");
                        failure.expect_code("40001");
                        b.run("rollback");
                    }
                }
            }
        }
    }
    check(db);
}

fn t5_behind_an_old_snapshot(db: &Db) {
    db.owner().run(TABLE);
    for level in ["repeatable read", "serializable"] {
        for _ in 0..2 {
            let mut b = db.owner();
            b.run(&format!("begin isolation level {level}; select 1 from legacy"));
            let before = db.owner().number(&insert("x"));
            match b.attempt(&insert("x")) {
                Ok(rows) => {
                    assert_eq!(rows[0][0].as_deref(), Some(&*(before + 1).to_string()));
                    b.attempt("commit").map_err(|f| f.expect_code("40001")).ok();
                }
                Err(failure) => {
                    failure.expect_code("40001");
                }
            }
        }
    }
    check(db);
}

fn t6_more_streams_than_locks(db: &Db) {
    db.owner().run(TABLE);
    let mut a = db.owner();
    a.run("begin; insert into legacy select 'User', i::text from generate_series(1, 5000) as i");
    let mut b = db.owner();
    b.run("set lock_timeout = '1s'; insert into legacy values ('User', '0')");
    b.error(&insert("1")).expect_code("55P03");
    b.error(&insert("5000")).expect_code("55P03");
    let waiting = waits(
        db,
        b,
        "insert into legacy select 'User', i::text from generate_series(4991, 5010) as i returning version",
    );
    b = db.owner();
    a.run("commit");
    waiting.result().1.expect("goes on");
    assert_eq!(
        b.one("select string_agg(distinct n::text, ',') from (select count(*) as n from legacy group by id) as c"),
        "1,2"
    );
    check(db);
}

fn many_sessions_one_stream(db: &Db) {
    db.owner().run(TABLE);
    let workers: Vec<_> = (0..6)
        .map(|_| {
            let mut s = db.owner();
            thread::spawn(move || {
                for i in 0..40 {
                    s.run(&insert("hot"));
                    if i % 8 == 0 {
                        s.run("begin; insert into legacy values ('User', 'hot'); rollback");
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("no error");
    }
    assert_eq!(db.owner().table("select count(*), max(version) from legacy"), "240|240");
    check(db);
}

fn savepoints_and_rollbacks(db: &Db) {
    db.owner().run(TABLE);
    let mut s = db.owner();
    s.run("begin; savepoint a");
    assert_eq!(s.one(&insert("1")), "1");
    s.run("rollback to a");
    let mut other = db.owner();
    other.run("set lock_timeout = '1s'");
    assert_eq!(other.one(&insert("1")), "1");
    assert_eq!(s.one(&insert("1")), "2");
    s.run("savepoint b");
    assert_eq!(s.one(&insert("1")), "3");
    s.run("rollback to b");
    let waiting = waits(db, other, &insert("1"));
    assert_eq!(s.one("select domain_events.next_aggregate_version('User', '1', 'legacy')"), "3");
    s.run("commit");
    assert_eq!(waiting.one(), "3");
    check(db);
}

/// Whatever a session sets, the versions are right and nobody's statement fails.
fn a_setting_cannot_break_versions(db: &Db) {
    let names: Vec<String> =
        ["_kept_locks", "_held", "held", "locks"].iter().map(|n| format!("domain_events.{n}")).collect();
    for value in ["", "0", "-1", "9999", "99999999999999999999", "junk", "1e3", "\u{663}", "16", "63"] {
        for scope in ["", "local"] {
            let mut s = db.owner();
            s.run("begin");
            for name in &names {
                s.run(&format!("set {scope} {name} = '{value}'"));
            }
            s.run("select domain_events.append_event('User', i::text, 'A') from generate_series(1, 30) as i");
            s.run("select domain_events.next_aggregate_version('User', i::text) from generate_series(20, 50) as i");
            s.run("select domain_events.append_events('User', '1', '[{\"event_type\": \"A\"}]')");
            let waiting =
                waits(db, db.owner(), "select (domain_events.append_event('User', '25', 'A')).aggregate_version");
            let before = s.number("select version from domain_events.streams where aggregate_id = '25'");
            s.run("commit");
            assert_eq!(waiting.one(), (before + 1).to_string(), "{value}");
        }
    }
    db.check_versions();
}
