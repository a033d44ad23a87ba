//! What event stores on PostgreSQL got wrong when writing, each named after its number in the list of traps. 6, 9 and the
//! crash of 12 need servers of their own: see `crowd` and `recovery`; every variant of 4 as a caller is in `callers`.

use std::thread;

use domain_events_tests::{Db, engines};

use crate::{FILL, append, waits};

engines! {
    r4_stale_snapshot_after_the_lock, r4_stale_snapshot_at_every_level, r5_reported_success_nothing_stored, r7_keys_in_opposite_order,
    r8_several_streams_in_one_call, r8_several_streams_in_two_calls, r12_rollbacks_and_savepoints, r15b_ambiguous_commit,
    r15b_while_the_first_attempt_runs, rx_time_travel, rx_version_reuse, rx_reopened_ids,
    a_stream_taken_for_new_blocks_nobody,
}

fn r4_stale_snapshot_after_the_lock(db: &Db) {
    // Lock, look and write in one statement, as each peer does it.
    for (n, statement) in [
        "select (domain_events.append_event('User', '$', 'A')).aggregate_version",
        "select e.aggregate_version from domain_events.append_event('User', '$', 'A') as e",
        "select e.aggregate_version from domain_events.append_events('User', '$', '[{\"event_type\": \"A\"}]') as e",
        "with l as (select domain_events.next_aggregate_version('User', '$') as v) select v from l",
        "select domain_events.next_aggregate_version('User', '$') from domain_events.streams where aggregate_id = 'seen'",
        "insert into copied select domain_events.next_aggregate_version('User', '$') returning v",
    ]
    .iter()
    .enumerate()
    {
        db.owner().run("create table if not exists copied (v bigint)");
        db.owner().run(&append("seen"));
        let mut a = db.owner();
        a.run("begin");
        a.run(&append(&n.to_string()));
        let waiting = waits(db, db.owner(), &statement.replace('$', &n.to_string()));
        a.run("commit");
        assert_eq!(waiting.one(), "2", "{statement}");
    }
    db.check_versions();
}

/// Never 23505, never a wrong version: it goes on, or says 40001.
fn r4_stale_snapshot_at_every_level(db: &Db) {
    for level in ["repeatable read", "serializable"] {
        for (n, statement) in [
            "select (domain_events.append_event('User', '$', 'A')).aggregate_version",
            "select max(e.aggregate_version) from domain_events.append_events('User', '$', '[{\"event_type\": \"A\"}]') as e",
            "select domain_events.next_aggregate_version('User', '$')",
            "select (domain_events.append_event('User', '$', 'A', expected_version => 1)).aggregate_version",
        ]
        .iter()
        .enumerate()
        {
            for beyond in [false, true] {
                let stream = format!("{level}{n}{beyond}");
                let mut a = db.owner();
                a.run("begin");
                if beyond {
                    a.run(FILL);
                }
                a.run(&append(&stream));
                let mut b = db.owner();
                b.run(&format!("begin isolation level {level}; select count(*) from domain_events.events"));
                let waiting = waits(db, b, &statement.replace('$', &stream));
                a.run("commit");
                let (mut b, result) = waiting.result();
                match result {
                    Ok(rows) => {
                        assert_eq!(rows[0][0].as_deref(), Some("2"), "{level}: {statement}");
                        b.attempt("commit").map_err(|f| f.expect_code("40001")).ok();
                    }
                    Err(failure) => {
                        failure.expect_code("40001");
                        b.run("rollback");
                    }
                }
            }
        }
    }
    db.check_versions();
}

/// 8 sessions x 100 appends to one stream: 800 successes, 800 rows, versions 1 to 800, no error.
fn r5_reported_success_nothing_stored(db: &Db) {
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let mut s = db.owner();
            thread::spawn(move || (0..100).map(|_| s.number(&append("hot"))).collect::<Vec<i64>>())
        })
        .collect();
    let mut told: Vec<i64> = workers.into_iter().flat_map(|w| w.join().expect("no error")).collect();
    told.sort_unstable();
    assert_eq!(told, (1..=800).collect::<Vec<i64>>());
    assert_eq!(
        db.owner().table("select count(*), max(aggregate_version), count(distinct event_id) from domain_events.events"),
        "800|800|800"
    );
    db.check_versions();
}

fn r7_keys_in_opposite_order(db: &Db) {
    // Pairs that the hashes of other stores confuse; two sessions hold one each and want nothing of the other.
    for (x, y) in [("order-27318", "order-278529"), ("-9223372036854775808", "9223372036854775807"), ("a", "a ")] {
        let (mut a, mut b) = (db.owner(), db.owner());
        a.run("begin; set local lock_timeout = '1s'");
        b.run("begin; set local lock_timeout = '1s'");
        a.run(&append(x));
        b.run(&append(y));
        a.run(&append(x));
        b.run(&append(y));
        a.run("commit");
        b.run("commit");
    }
    db.check_versions();
}

fn r8_several_streams_in_one_call(db: &Db) {
    let workers: Vec<_> = (0..4)
        .map(|n: usize| {
            let mut s = db.owner();
            let events = |order: [usize; 5]| {
                let events: Vec<String> = order
                    .iter()
                    .map(|i| format!(r#"{{"aggregate_type": "User", "aggregate_id": "{i}", "event_type": "A"}}"#))
                    .collect();
                format!("select count(*) from domain_events.append_events('[{}]'::jsonb)", events.join(","))
            };
            let orders = [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 1, 5, 2, 4], [2, 5, 1, 4, 3]];
            let sql = events(orders[n]);
            thread::spawn(move || {
                for i in 0..60 {
                    if i % 20 == 0 {
                        // Also from a transaction that is beyond its locks.
                        s.run(&format!("begin; {FILL}; {sql}; commit"));
                    } else {
                        s.run(&sql);
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("no deadlock");
    }
    assert_eq!(
        db.owner()
            .table("select aggregate_id, version from domain_events.streams where aggregate_type = 'User' order by 1"),
        "1|240\n2|240\n3|240\n4|240\n5|240"
    );
    db.check_versions();
}

/// The application's own order: one of two gets 40P01, can retry, and nothing half-written stays.
fn r8_several_streams_in_two_calls(db: &Db) {
    let mut a = db.owner();
    let mut b = db.owner();
    a.run("begin");
    b.run("begin");
    a.run(&append("1"));
    b.run(&append("2"));
    let waiting = waits(db, a, &append("2"));
    let second = b.attempt(&append("1"));
    let (mut a, first) = waiting.result();
    let failures: Vec<_> = [first.err(), second.err()].into_iter().flatten().collect();
    assert_eq!(failures.len(), 1, "one of the two: {failures:?}");
    failures[0].clone().expect_code("40P01");
    // The one that failed rolls back, whichever it was.
    a.run("commit");
    b.run("commit");
    assert_eq!(a.table("select aggregate_id, version from domain_events.streams order by 1"), "1|1\n2|1");
    b.run("begin");
    assert_eq!((b.one(&append("2")), b.one(&append("1"))), ("2".into(), "2".into()));
    b.run("commit");
    db.check_versions();
}

fn r12_rollbacks_and_savepoints(db: &Db) {
    let mut s = db.owner();
    s.run("begin; savepoint x");
    assert_eq!(s.one(&append("1")), "1");
    s.run("rollback to x");
    // Whoever comes now gets the stream, or waits: either way nobody loses or repeats a version.
    let mut other = db.owner();
    other.run("set lock_timeout = '500ms'");
    let first = other.attempt(&append("1")).map(|rows| rows[0][0].clone());
    let mine = s.number(&append("1"));
    match first {
        Ok(version) => assert_eq!((version.as_deref(), mine), (Some("1"), 2)),
        Err(failure) => {
            failure.expect_code("55P03");
            assert_eq!(mine, 1);
        }
    }
    s.run("commit");
    // Caught in PL/pgSQL, with the lock taken inside the block that fails.
    s.run(
        "do $$ begin
           for i in 1..20 loop
             begin
               perform domain_events.append_event('User', '2', 'A', jsonb_build_object('i', i));
               if i % 3 = 0 then raise exception 'undone'; end if;
             exception when raise_exception then
               perform domain_events.append_event('User', '2', 'Undone', jsonb_build_object('i', i));
             end;
           end loop;
         end $$",
    );
    assert_eq!(
        s.one("select string_agg(event_data ->> 'i', ',' order by aggregate_version) from domain_events.read_stream('User', '2')"),
        (1..=20).map(|i| i.to_string()).collect::<Vec<_>>().join(",")
    );
    // A failed expectation inside a savepoint burns nothing.
    s.run("begin; savepoint y");
    s.error("select domain_events.append_event('User', '2', 'A', expected_version => 3)").expect("23000");
    s.run("rollback to y");
    assert_eq!(s.one(&append("2")), "21");
    s.run("commit");
    db.check_versions();
}

const ONCE: &str = "select to_jsonb(e)::text from domain_events.append_event('User', '1', 'A', '{\"n\": 1}',
    event_id => '01890000-0000-7000-8000-000000000001', expected_version => 0) as e";
const BATCH: &str =
    "select jsonb_agg(to_jsonb(e) order by e.aggregate_version)::text from domain_events.append_events('User', '2',
    '[{\"event_type\": \"A\", \"event_id\": \"01890000-0000-7000-8000-00000000000a\"},
      {\"event_type\": \"B\", \"event_id\": \"01890000-0000-7000-8000-00000000000b\"}]', 0) as e";

/// The answer to a commit is lost; the retry with the same ids gets the same events and writes nothing.
fn r15b_ambiguous_commit(db: &Db) {
    for (stream, call, changed) in [
        ("1", ONCE, ONCE.replace("{\"n\": 1}", "{\"n\": 2}")),
        ("2", BATCH, BATCH.replace("\"B\"", "\"C\"")),
        ("2", BATCH, BATCH.replace("00000b", "00000c")), // stored in part
    ] {
        let mut first = db.owner();
        let pid = first.pid();
        let stored = first.one(call);
        // The client never hears of it.
        db.admin().run(&format!("select pg_terminate_backend({pid}, 5000)"));
        drop(first);
        let mut retry = db.owner();
        retry.run(&append("other"));
        assert_eq!(retry.one(call), stored, "the same versions");
        assert_eq!(retry.one(&format!("begin isolation level repeatable read; {call}")), stored);
        retry.run("commit");
        retry.error(&changed).expect("23505");
        // Also once the stream has gone on, whatever the first attempt expected.
        retry.run(&append(stream));
        assert_eq!(retry.one(call), stored);
    }
    assert_eq!(db.owner().one("select count(*) from domain_events.events where event_id::text like '01890000%'"), "3");
    db.check_versions();
}

fn r15b_while_the_first_attempt_runs(db: &Db) {
    for (n, end) in ["commit", "rollback"].iter().enumerate() {
        for beyond in [false, true] {
            let id = format!("01890000-0000-7000-8000-000000{n}{:05}", u8::from(beyond));
            let call = format!(
                "select to_jsonb(e)::text from domain_events.append_event('User', '{end}{beyond}', 'A', '{{\"n\": 1}}', event_id => '{id}') as e"
            );
            let mut a = db.owner();
            a.run("begin");
            if beyond {
                a.run(FILL);
            }
            let first = a.one(&call);
            let same = waits(db, db.owner(), &call);
            let other_content = waits(db, db.owner(), &call.replace("\"n\": 1", "\"n\": 2").replace("'A'", "'B'"));
            a.run(end);
            let (_, same) = same.result();
            let (_, other_content) = other_content.result();
            if *end == "commit" {
                assert_eq!(same.expect("the stored event")[0][0].as_deref(), Some(first.as_str()));
                other_content.expect_err("other content").expect("23505");
            } else {
                // One of the two was first, and the other is told so.
                let failures: Vec<_> = [same.err(), other_content.err()].into_iter().flatten().collect();
                assert_eq!(failures.len(), 1, "{failures:?}");
                failures[0].clone().expect("23505");
            }
            assert_eq!(a.one(&format!("select count(*) from domain_events.events where event_id = '{id}'")), "1");
        }
    }
    db.check_versions();
}

/// now() is the start of the transaction: with it, a later version would carry an earlier time.
fn rx_time_travel(db: &Db) {
    let mut early = db.owner();
    early.run("begin; select now()");
    let mut late = db.owner();
    late.run(&append("1"));
    early.run(&append("1"));
    early.run("commit");
    // Within one statement, and with a caller's time in the past and in the future.
    late.run(
        "select domain_events.append_event('User', '1', 'A', occurred_at => '1999-01-01') from generate_series(1, 100);
         select domain_events.append_event('User', '1', 'A', occurred_at => '2999-01-01');
         select domain_events.append_events('User', '1', (select jsonb_agg('{\"event_type\": \"A\"}'::jsonb) from generate_series(1, 100)))",
    );
    late.run(&append("1"));
    assert_eq!(
        late.one(
            "select count(*) from (select recorded_at <= lag(recorded_at) over w or global_position <= lag(global_position) over w as falls
                                     from domain_events.events window w as (order by aggregate_version)) e where falls"
        ),
        "0"
    );
    assert_eq!(
        late.one("select count(*) from domain_events.events where recorded_at > clock_timestamp() + '1 minute'"),
        "0"
    );
    assert_eq!(
        late.table("select occurred_at at time zone 'UTC', count(*) from domain_events.events where occurred_at <> recorded_at group by 1 order by 1"),
        "1999-01-01 00:00:00|100\n2999-01-01 00:00:00|1"
    );
    db.check_versions();
}

/// The newest event cannot be taken away, so that its version cannot come again.
fn rx_version_reuse(db: &Db) {
    for mut s in [db.owner(), db.admin()] {
        s.run(&append("1"));
        for statement in [
            "delete from domain_events.events where aggregate_version = 1",
            "update domain_events.events set aggregate_version = 7",
            "truncate domain_events.events",
            "delete from domain_events.events where false",
        ] {
            let failure = s.error(statement);
            assert!(["23001", "42501"].contains(&failure.code.as_str()), "{statement}: {failure}");
        }
    }
    let mut s = db.owner();
    assert_eq!(s.one(&append("1")), "3");
    s.run("begin");
    s.run(&append("1"));
    s.run("rollback");
    assert_eq!(s.one(&append("1")), "4");
    db.check_versions();
}

/// An id that comes back goes on where its history ended.
fn rx_reopened_ids(db: &Db) {
    let mut s = db.owner();
    s.run("create table users (id int primary key, name text); select domain_events.enable_capture('users')");
    s.run("insert into users values (1, 'a'); delete from users; insert into users values (1, 'b')");
    s.run("update users set id = 2; insert into users values (1, 'c'); delete from users where id = 1; update users set id = 1");
    s.run("truncate users; insert into users values (1, 'd')");
    assert_eq!(
        s.one("select string_agg(replace(event_type, 'User', ''), ' ' order by aggregate_version) from domain_events.read_stream('User', '1')"),
        "Created Deleted Created Rekeyed Created Deleted Rekeyed Created"
    );
    s.run("select domain_events.disable_capture('users'); drop table users; create table users (id int primary key, name text)");
    s.run("select domain_events.enable_capture('users'); insert into users values (1, 'e')");
    assert_eq!(
        s.one("select version from domain_events.streams where aggregate_type = 'User' and aggregate_id = '1'"),
        "9"
    );
    db.check_table("User", "users");
}

/// The capture of an INSERT takes its stream for a new one. Another transaction, beyond the locks it may keep, has just begun
/// that stream: the INSERT waits for it, and what it has tried is in nobody's way.
fn a_stream_taken_for_new_blocks_nobody(db: &Db) {
    let (mut a, mut b) = (db.owner(), db.owner());
    b.run("create table users (id int primary key); select domain_events.enable_capture('users'); insert into users values (1)");
    a.run("begin");
    a.run(FILL);
    a.run(&append("5"));
    let waiting = waits(db, b, "insert into users values (5)");
    a.run(&append("5"));
    a.run("commit");
    waiting.result().1.expect("the insert goes on");
    assert_eq!(
        a.table("select aggregate_version, event_type from domain_events.events where aggregate_id = '5' order by 1"),
        "1|UserRenamed\n2|UserRenamed\n3|UserCreated"
    );
    db.check_versions();
}
