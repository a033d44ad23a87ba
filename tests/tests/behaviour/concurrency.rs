//! Several sessions on one stream: T5 and what goes with it.

use std::thread;

use domain_events_tests::{Db, Failure, Rows, Session, engines};

engines! {
    t5_new_stream_read_committed, t5_new_stream_repeatable_read, t5_new_stream_serializable,
    t5_existing_stream_under_an_old_snapshot, t5_next_version_waits, t5_first_statement_of_the_transaction,
    t5_captured_parent_rows, racing_first_attempt_with_one_event_id, a_rolled_back_holder_leaves_its_version,
    savepoint_rollback_while_another_waits, many_sessions_one_stream, opposite_orders_of_batches_do_not_deadlock,
    other_streams_are_not_blocked, two_processes_never_share_a_next_version,
}

const APPEND: &str = "select (domain_events.append_event('User', '1', 'UserRenamed')).aggregate_version";

/// Session A holds the stream; B starts, waits, A commits: what B got.
fn contend(db: &Db, setup_b: &str, statement_b: &str) -> (Session, Result<Rows, Failure>) {
    db.contend(APPEND, setup_b, statement_b)
}

fn t5_new_stream_read_committed(db: &Db) {
    let (mut b, result) = contend(db, "begin; select 1", APPEND);
    assert_eq!(result.expect("read committed goes on")[0][0].as_deref(), Some("2"));
    b.run("commit");
    db.check_versions();
}

/// Goes on with the right version, or is told to retry; never 23505 and never a wrong number.
fn continues_or_40001(db: &Db, isolation: &str, statement: &str) {
    let (mut b, result) = contend(db, &format!("begin isolation level {isolation}; select 1"), statement);
    match result {
        Ok(rows) => {
            assert_eq!(rows[0][0].as_deref(), Some("2"));
            b.attempt("commit").map_err(|e| e.expect_code("40001")).ok();
        }
        Err(failure) => {
            failure.expect_code("40001");
            b.run("rollback");
            assert_eq!(b.one(APPEND), "2");
        }
    }
    db.check_versions();
}

fn t5_new_stream_repeatable_read(db: &Db) {
    continues_or_40001(db, "repeatable read", APPEND);
}

fn t5_new_stream_serializable(db: &Db) {
    continues_or_40001(db, "serializable", APPEND);
}

fn t5_existing_stream_under_an_old_snapshot(db: &Db) {
    for isolation in ["repeatable read", "serializable"] {
        for statement in [
            "select (domain_events.append_event('User', 'x', 'A')).aggregate_version",
            "select domain_events.next_aggregate_version('User', 'x')",
            "select max(aggregate_version) from domain_events.append_events('User', 'x', '[{\"event_type\": \"A\"}]')",
        ] {
            let mut b = db.owner();
            b.run(&format!("begin isolation level {isolation}; select count(*) from domain_events.events"));
            // Behind the snapshot of B, another session appends and is gone: B waits for nobody.
            let before = db.owner().number("select (domain_events.append_event('User', 'x', 'B')).aggregate_version");
            match b.attempt(statement) {
                Ok(rows) => {
                    assert_eq!(rows[0][0].as_deref(), Some(&*(before + 1).to_string()), "{isolation}: {statement}");
                    b.attempt("commit").map_err(|e| e.expect_code("40001")).ok();
                }
                Err(failure) => {
                    failure.expect_code("40001");
                    b.run("rollback");
                }
            }
        }
    }
    db.check_versions();
}

fn t5_next_version_waits(db: &Db) {
    let (mut b, result) = contend(db, "begin; select 1", "select domain_events.next_aggregate_version('User', '1')");
    assert_eq!(result.expect("a version")[0][0].as_deref(), Some("2"));
    b.run("commit");
}

fn t5_first_statement_of_the_transaction(db: &Db) {
    let (_, result) =
        contend(db, "select 1", "begin; select domain_events.next_aggregate_version('User', '1'); commit");
    assert_eq!(result.expect("a version")[0][0].as_deref(), Some("2"));
    let (_, result) = contend(db, "select 1", APPEND);
    assert_eq!(result.expect("a version")[0][0].as_deref(), Some("3"));
    db.check_versions();
}

fn t5_captured_parent_rows(db: &Db) {
    let mut a = db.owner();
    a.run(
        "create table order_items (order_id int, sku text, primary key (order_id, sku));
         select domain_events.enable_capture('order_items', aggregate_type => 'Order', aggregate_id => '{order_id}');",
    );
    for (n, isolation) in ["read committed", "repeatable read", "serializable"].iter().enumerate() {
        a.run(&format!("begin; insert into order_items values ({n}, 'a')"));
        let mut b = db.owner();
        b.run(&format!("begin isolation level {isolation}; select 1"));
        let pid = b.pid();
        let insert = format!("insert into order_items values ({n}, 'b')");
        let waiting = thread::spawn(move || {
            let result = b.attempt(&insert).and_then(|_| b.attempt("commit"));
            b.attempt("rollback").ok();
            (b, result.map(|_| insert.clone()), insert)
        });
        db.wait_until_blocked(pid);
        a.run("commit");
        let (mut b, result, insert) = waiting.join().expect("session B");
        match result {
            Ok(_) => {}
            Err(failure) if n > 0 => {
                failure.expect_code("40001");
                b.run(&insert);
            }
            Err(failure) => panic!("read committed must go on: {failure}"),
        }
        assert_eq!(
            a.table(&format!("select aggregate_version from domain_events.events where aggregate_type = 'Order' and aggregate_id = '{n}' order by 1")),
            "1\n2"
        );
    }
    assert_eq!(a.one("select count(*) from domain_events.capture_failures"), "0");
    db.check_versions();
}

fn racing_first_attempt_with_one_event_id(db: &Db) {
    const SAME: &str = "select to_jsonb(e)::text from domain_events.append_event('User', '1', 'A', '{\"x\": 1}',
                          event_id => '01890000-0000-7000-8000-00000000000a') e";
    for (end, survives) in [("commit", true), ("rollback", false)] {
        let id = if survives { "1" } else { "2" };
        let statement: &'static str = if survives {
            SAME
        } else {
            "select to_jsonb(e)::text from domain_events.append_event('User', '2', 'A', '{\"x\": 1}',
               event_id => '01890000-0000-7000-8000-00000000000b') e"
        };
        let mut a = db.owner();
        a.run("begin");
        let first = a.one(statement);
        let mut b = db.owner();
        let pid = b.pid();
        let waiting = thread::spawn(move || b.one(statement));
        db.wait_until_blocked(pid);
        a.run(end);
        let second = waiting.join().expect("session B");
        assert_eq!(first == second, survives);
        assert_eq!(a.one(&format!("select count(*) from domain_events.events where aggregate_id = '{id}'")), "1");
    }
    // The same id raced into another stream is refused as other content.
    let mut a = db.owner();
    a.run("begin");
    a.run("select domain_events.append_event('User', '3', 'A', event_id => '01890000-0000-7000-8000-00000000000c')");
    let mut b = db.owner();
    let pid = b.pid();
    let waiting = thread::spawn(move || {
        b.error(
            "select domain_events.append_event('User', '4', 'A', event_id => '01890000-0000-7000-8000-00000000000c')",
        )
    });
    db.wait_until_blocked(pid);
    a.run("commit");
    waiting.join().expect("session B").expect("23505");
    db.check_versions();
}

fn a_rolled_back_holder_leaves_its_version(db: &Db) {
    let mut a = db.owner();
    a.run("begin");
    a.run(APPEND);
    let mut b = db.owner();
    let pid = b.pid();
    let waiting = thread::spawn(move || b.one(APPEND));
    db.wait_until_blocked(pid);
    a.run("rollback");
    assert_eq!(waiting.join().expect("session B"), "1");
    db.check_versions();
}

/// `rollback to savepoint` releases the advisory lock taken after it: what was handed out must still be right.
fn savepoint_rollback_while_another_waits(db: &Db) {
    let mut a = db.owner();
    a.run(&format!("begin; savepoint x; {APPEND}; rollback to savepoint x; {APPEND}"));
    let mut b = db.owner();
    let pid = b.pid();
    let waiting = thread::spawn(move || b.one(APPEND));
    db.wait_until_blocked(pid);
    a.run("commit");
    assert_eq!(waiting.join().expect("session B"), "2");
    db.check_versions();
}

fn many_sessions_one_stream(db: &Db) {
    let workers: Vec<_> = (0..8)
        .map(|n| {
            let mut s = db.owner();
            thread::spawn(move || {
                for i in 0..50 {
                    s.run(&format!("select domain_events.append_event('User', '{}', 'A', '{{\"by\": {n}}}')", i % 3));
                    if i % 7 == 0 {
                        s.run("begin; select domain_events.append_event('User', '1', 'B'); rollback");
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("a worker");
    }
    assert_eq!(db.owner().one("select count(*) from domain_events.events"), "400");
    db.check_versions();
}

fn opposite_orders_of_batches_do_not_deadlock(db: &Db) {
    let workers: Vec<_> = ["1,2", "2,1"]
        .iter()
        .map(|order| {
            let mut s = db.owner();
            let events: Vec<String> = order
                .split(',')
                .map(|id| {
                    format!("{{\"aggregate_type\": \"User\", \"aggregate_id\": \"{id}\", \"event_type\": \"A\"}}")
                })
                .collect();
            let sql = format!("select domain_events.append_events('[{}]'::jsonb)", events.join(","));
            thread::spawn(move || (0..100).for_each(|_| s.run(&sql)))
        })
        .collect();
    for worker in workers {
        worker.join().expect("no deadlock");
    }
    assert_eq!(db.owner().one("select count(*) from domain_events.events"), "400");
    db.check_versions();
}

fn other_streams_are_not_blocked(db: &Db) {
    let mut a = db.owner();
    a.run("begin");
    a.run(APPEND);
    let mut b = db.owner();
    b.run("set lock_timeout = '100ms'");
    b.run("select domain_events.append_event('User', '2', 'A')");
    b.run("select domain_events.append_event('Order', '1', 'A')");
    b.error(APPEND).expect_code("55P03");
    a.run("commit");
    db.check_versions();
}

fn two_processes_never_share_a_next_version(db: &Db) {
    db.owner().run("create table mine (id text, version bigint, primary key (id, version))");
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let mut s = db.owner();
            thread::spawn(move || {
                for _ in 0..50 {
                    let next = s.number("begin; select domain_events.next_aggregate_version('User', '1')");
                    let used = s.number(APPEND);
                    assert_eq!(next, used);
                    s.run("commit");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("a worker");
    }
    db.check_versions();
}
