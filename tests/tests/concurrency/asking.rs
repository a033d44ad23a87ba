//! next_aggregate_version() on the store writes nothing there: no dead row, no position. It holds the stream, and waits for
//! whoever is storing the version that it would return.

use std::thread;
use std::time::{Duration, Instant};

use domain_events_tests::{Db, Engine, engines};

engines! {
    asking_leaves_nothing_behind, asking_waits_for_an_event_that_no_lock_holds, asking_behind_a_snapshot_is_right_or_repeated,
    asking_after_a_key_was_built_anew, asking_holds_the_stream, asking_behind_a_long_writer_holds_the_stream,
    a_lock_timeout_ends_a_long_wait,
}

const SIZES: &str = "select pg_relation_size('domain_events.events'), pg_relation_size('domain_events.events_pkey'),
                            last_value, is_called, (select count(*) from domain_events.stream_locks)
                       from domain_events.events_global_position_seq";
const ASK_MANY: &str = "do $$ begin for i in 1..300 loop
                          perform domain_events.next_aggregate_version('A', (i % 100)::text);
                          if i % 3 = 0 then commit; end if;
                        end loop; end $$";

fn asking_leaves_nothing_behind(db: &Db) {
    let (mut owner, mut admin) = (db.owner(), db.admin());
    let empty = admin.table(SIZES);
    owner.run(ASK_MANY);
    assert_eq!(admin.table(SIZES), empty, "of an empty store");
    assert!(empty.ends_with("|0"), "{empty}");
    owner.run("select domain_events.append_event('A', '1', 'Made') from generate_series(1, 3)");
    let filled = admin.table(SIZES);
    owner.run(ASK_MANY);
    // More streams than a transaction keeps locks for, twice, and one that is rolled back.
    owner.run("select domain_events.next_aggregate_version('A', g::text) from generate_series(1, 200) g, generate_series(1, 2)");
    owner.run("begin; savepoint a; select domain_events.next_aggregate_version('A', '1'); rollback to a; rollback");
    assert_eq!(admin.table(SIZES), filled, "of a store with events");
    assert_eq!(owner.number("select domain_events.next_aggregate_version('A', '1')"), 4);
    assert_eq!(owner.number("select domain_events.next_aggregate_version('A', '7')"), 1);
    db.check_versions();
}

/// A transaction that has written more streams than it keeps locks of: only its rows tell of it.
const MANY: &str = "select domain_events.append_event('M', g::text, 'Made') from generate_series(1, 100) g";

fn asking_waits_for_an_event_that_no_lock_holds(db: &Db) {
    db.owner().run("select domain_events.append_event('A', '1', 'Made')");
    for (stream, next) in [("100", "2"), ("50", "3")] {
        let ask = format!("select domain_events.next_aggregate_version('M', '{stream}')");
        let (mut other, asked) = db.contend(MANY, "select 1", &ask);
        assert_eq!(asked.expect("a version"), [[Some(next.to_owned())]]);
        assert_eq!(other.one(&ask), next);
    }
    // One that is rolled back has taken no version.
    let (mut writer, mut asking) = (db.owner(), db.owner());
    let pid = asking.pid();
    writer.run("begin");
    writer.run(MANY);
    thread::scope(|scope| {
        let asked = scope.spawn(|| asking.one("select domain_events.next_aggregate_version('M', '70')"));
        db.wait_until_blocked(pid);
        writer.run("rollback");
        assert_eq!(asked.join().expect("a version"), "3");
    });
    db.check_versions();
}

fn asking_behind_a_snapshot_is_right_or_repeated(db: &Db) {
    db.owner().run("select domain_events.append_event('A', '1', 'Made')");
    for level in ["repeatable read", "serializable"] {
        for stream in ["1", "2"] {
            let (mut asking, mut writer) = (db.owner(), db.owner());
            let ask = format!("select domain_events.next_aggregate_version('A', '{stream}')");
            asking.run(&format!("begin isolation level {level}; select count(*) from domain_events.events"));
            let version = writer
                .number(&format!("select (domain_events.append_event('A', '{stream}', 'Made')).aggregate_version"));
            match asking.attempt(&ask) {
                Ok(rows) => assert_eq!(rows, [[Some((version + 1).to_string())]], "{level}"),
                Err(failure) => {
                    assert_eq!(db.engine, Engine::Portable, "{failure}");
                    failure.expect_code("40001");
                }
            }
            asking.run("rollback");
            assert_eq!(asking.number(&ask), version + 1);
            // Nobody else has written: no reason to refuse.
            asking.run(&format!("begin isolation level {level}"));
            assert_eq!(asking.number(&ask), version + 1);
            asking.run("commit");
        }
    }
    db.check_versions();
}

/// PostgreSQL looks at the keys in another order then.
fn asking_after_a_key_was_built_anew(db: &Db) {
    db.owner().run("select domain_events.append_event('A', '1', 'Made') from generate_series(1, 3)");
    let mut admin = db.admin();
    for key in ["uk_aggregate_version", "events_event_id_key", "events_pkey"] {
        admin.run(&format!("reindex index concurrently domain_events.{key}"));
        let drawn = admin.one("select last_value from domain_events.events_global_position_seq");
        let next = admin
            .number("select count(*) + 1 from domain_events.events where aggregate_type = 'M' and aggregate_id = '90'");
        let ask = "select domain_events.next_aggregate_version('M', '90')";
        assert_eq!(admin.number(ask), next);
        assert_eq!(admin.one("select last_value from domain_events.events_global_position_seq"), drawn, "after {key}");
        let (_, asked) = db.contend(MANY, "select 1", ask);
        assert_eq!(asked.expect("a version"), [[Some((next + 1).to_string())]], "after {key}");
    }
    db.check_versions();
}

fn asking_holds_the_stream(db: &Db) {
    for held in ["", "select domain_events.next_aggregate_version('H', g::text) from generate_series(1, 100) g;"] {
        let hold = format!("{held} select domain_events.next_aggregate_version('A', '1')");
        // Beyond a transaction's share of the lock table the portable engine holds back those who ask, not those who write.
        let calls = ["next_aggregate_version('A', '1')", "append_event('A', '1', 'Made')"];
        let waiting = if held.is_empty() || db.engine == Engine::Native { 2 } else { 1 };
        for call in calls.into_iter().take(waiting) {
            let (mut other, _) = db.contend(&hold, "select 1", &format!("select domain_events.{call}"));
            other.run("select 1");
        }
        // Twice, and after a savepoint that was rolled back.
        let hold = format!("{hold}; savepoint s; {hold}; rollback to s; {hold}");
        let (mut other, asked) = db.contend(&hold, "select 1", "select domain_events.next_aggregate_version('A', '1')");
        asked.expect("a version");
        other.run("select 1");
    }
    assert_eq!(db.admin().one("select count(*) from domain_events.stream_locks"), "0");
    db.check_versions();
}

/// Others come while it waits for a writer that takes its time: they are behind it, or before it, but never at its number.
fn asking_behind_a_long_writer_holds_the_stream(db: &Db) {
    for round in 1..=5 {
        let ask = format!("select domain_events.next_aggregate_version('Long', '{round}')");
        let append = format!("select (domain_events.append_event('Long', '{round}', 'Made')).aggregate_version");
        let (mut long, mut asking) = (db.owner(), db.owner());
        asking.run("select domain_events.append_event('Long', 'warm', 'Made'); select domain_events.next_aggregate_version('Long', 'warm')");
        long.run("begin");
        long.run(&append);
        let pid = asking.pid();
        asking.run("begin");
        thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let next = asking.number(&ask);
                thread::sleep(Duration::from_millis(100));
                let again = asking.number(&ask);
                let stored = asking.attempt(&append).map(|rows| rows[0][0].clone().expect("a version"));
                asking.run("commit");
                (next, again, stored.map_err(|failure| failure.to_string()))
            });
            db.wait_until_blocked(pid);
            thread::sleep(Duration::from_millis(600));
            let others: Vec<_> = (0..3)
                .map(|_| {
                    let mut other = db.owner();
                    let pid = other.pid();
                    let appended = scope.spawn({
                        let append = &append;
                        move || other.number(append)
                    });
                    db.wait_until_blocked(pid);
                    appended
                })
                .collect();
            long.run("commit");
            let (next, again, stored) = asked.join().expect("who asks");
            assert_eq!((again, stored), (next, Ok(next.to_string())), "what was promised");
            let mut versions: Vec<i64> = others.into_iter().map(|other| other.join().expect("a version")).collect();
            versions.push(next);
            versions.sort_unstable();
            assert_eq!(versions, [2, 3, 4, 5]);
        });
    }
    db.check_versions();
}

/// However long a writer takes, the session's own limit holds, and it is the whole of the wait that counts.
fn a_lock_timeout_ends_a_long_wait(db: &Db) {
    let (mut long, mut other) = (db.owner(), db.owner());
    long.run("begin; select domain_events.append_event('Long', '1', 'Made')");
    for call in ["append_event('Long', '1', 'Made')", "next_aggregate_version('Long', '1')"] {
        for limit in ["100ms", "1s", "3s"] {
            other.run(&format!("set lock_timeout = '{limit}'"));
            let before = Instant::now();
            other.error(&format!("select domain_events.{call}")).expect_code("55P03");
            assert!(before.elapsed() < Duration::from_secs(5), "{call} with {limit} took {:?}", before.elapsed());
            assert_eq!(other.one("show lock_timeout"), limit);
        }
    }
    other.run("set lock_timeout = 0; set statement_timeout = '3s'");
    other.error("select domain_events.append_event('Long', '1', 'Made')").expect_code("57014");
    // A deadlock is found as soon as deadlock_timeout says.
    other.run("set statement_timeout = '20s'; begin; select domain_events.append_event('Long', '2', 'Made')");
    let pid = long.pid();
    thread::scope(|scope| {
        let first = scope.spawn(|| long.attempt("select domain_events.append_event('Long', '2', 'Made')").is_ok());
        db.wait_until_blocked(pid);
        let second = other.attempt("select domain_events.append_event('Long', '1', 'Made')");
        other.run("rollback");
        let first = first.join().expect("a session");
        assert!(first != second.is_ok(), "one of them is refused");
        if let Err(failure) = second {
            failure.expect_code("40P01");
        }
    });
    long.run("rollback");
}
