//! A wait that is cancelled, timed out or killed leaves nothing behind that others would wait for.

use domain_events_tests::{Db, Session, engines};

use crate::{FILL, append, waits};

engines! { a_cancelled_wait_gives_the_stream_back, a_caught_cancel_gives_the_stream_back, a_killed_waiter_gives_the_stream_back, a_failing_append_gives_the_stream_back }

/// The holder of stream x: by a lock that it keeps, or by its row alone.
fn holder(db: &Db, by_row: bool) -> Session {
    let mut holder = db.owner();
    holder.run("begin");
    if by_row {
        holder.run(FILL);
    }
    holder.run(&append("x"));
    holder
}

/// Everybody can go on: nobody holds the stream.
fn is_free(db: &Db) {
    let mut s = db.owner();
    s.run("set lock_timeout = '2s'");
    s.run(&append("x"));
    s.run("select domain_events.next_aggregate_version('User', 'x')");
    s.run("select domain_events.append_events('User', 'x', '[{\"event_type\": \"A\"}]')");
}

const CALLS: [&str; 3] = [
    "select domain_events.append_event('User', 'x', 'A')",
    "select domain_events.append_events('User', 'x', '[{\"event_type\": \"A\"}]')",
    "select domain_events.next_aggregate_version('User', 'x')",
];

fn a_cancelled_wait_gives_the_stream_back(db: &Db) {
    for by_row in [false, true] {
        for call in CALLS {
            let mut holder = holder(db, by_row);
            // The waiter goes on after its savepoint, and its session lives on: what it still held would stay.
            let mut waiter = db.owner();
            waiter.run("begin");
            waiter.run(FILL);
            waiter.run("savepoint s; set local lock_timeout = '100ms'");
            waiter.error(call).expect_code("55P03");
            waiter.run("rollback to s; set local statement_timeout = '100ms'");
            waiter.error(call).expect_code("57014");
            waiter.run("rollback to s");
            holder.run("commit");
            is_free(db);
            waiter.run("commit");
            is_free(db);
            let left = db.admin().table(&format!(
                "select * from pg_locks where locktype = 'advisory' and pid in ({}, {})",
                waiter.pid(),
                holder.pid()
            ));
            assert_eq!(left, "", "after {call}");
        }
    }
    db.check_versions();
}

fn a_caught_cancel_gives_the_stream_back(db: &Db) {
    for by_row in [false, true] {
        for call in CALLS {
            let mut holder = holder(db, by_row);
            let mut waiter = db.owner();
            waiter.run("begin");
            waiter.run(FILL);
            let caught = format!(
                "do $$ begin begin
                   set local lock_timeout = '100ms';
                   perform {};
                 exception when others then null; end; end $$",
                call.trim_start_matches("select ")
            );
            waiter.run(&caught);
            holder.run("commit");
            is_free(db);
            waiter.run("commit");
        }
    }
    db.check_versions();
}

fn a_killed_waiter_gives_the_stream_back(db: &Db) {
    for by_row in [false, true] {
        for call in CALLS {
            let mut holder = holder(db, by_row);
            let mut waiter = db.owner();
            let pid = waiter.pid();
            waiter.run("begin");
            waiter.run(FILL);
            let waiting = waits(db, waiter, call);
            db.admin().run(&format!("select pg_terminate_backend({pid}, 5000)"));
            waiting.result().1.expect_err("killed").expect_code("57P01");
            holder.run("commit");
            is_free(db);
        }
    }
    db.check_versions();
}

/// An append that fails for a reason of its own, beyond the locks that are kept.
fn a_failing_append_gives_the_stream_back(db: &Db) {
    db.owner().run(&append("x"));
    let mut s = db.owner();
    s.run("begin");
    s.run(FILL);
    for (call, code) in [
        ("select domain_events.append_event('User', 'x', 'A', expected_version => 7)", "23000"),
        ("select domain_events.append_events('User', 'x', '[{\"event_type\": \"A\"}]', 7)", "23000"),
        (
            "select domain_events.append_events('User', 'x', '[{\"event_type\": \"A\"}, {\"event_type\": \"\"}]')",
            "22023",
        ),
    ] {
        s.run("savepoint s");
        s.error(call).expect(code);
        s.run("rollback to s");
        is_free(db);
    }
    s.run("commit");
    is_free(db);
    assert_eq!(db.admin().one("select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())"), "0");
    db.check_versions();
}
