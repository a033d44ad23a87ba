//! T6 statements larger than the lock table, on default settings; T18 memory stays flat over them.

use std::thread;

use domain_events_tests::{Db, Session, engines};

engines! {
    t6_two_hundred_thousand_captured_rows, t6_a_million_streams_in_one_transaction, t6_two_bulk_statements_at_once,
    t6_a_row_reads_its_own_stream_alone, t18_backend_memory_is_flat,
}

fn t6_two_hundred_thousand_captured_rows(db: &Db) {
    let mut s = db.owner();
    assert_eq!(s.one("show max_locks_per_transaction"), "64");
    s.run(
        "create table m (id int primary key, v int);
         insert into m select i, 0 from generate_series(1, 200000) i;
         select domain_events.enable_capture('m', 'M');",
    );
    s.run("begin; update m set v = v + 1");
    // Meanwhile other streams are not blocked, and the lock table has room.
    let mut other = db.owner();
    other.run("set lock_timeout = '2s'; select domain_events.append_event('User', '1', 'UserCreated'); insert into m values (0, 0)");
    s.run("commit");
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'M'"), "200001");
    s.run("update m set v = v + 1 where id <= 20000; delete from m where id > 199000");
    assert_eq!(
        s.table("select aggregate_version, count(*) from domain_events.events where aggregate_type = 'M' group by 1 order by 1"),
        "1|200001\n2|21001"
    );
    let wrong = "select count(*) from m where id <= 300 and domain_events.fold_stream('M', id::text) is distinct from to_jsonb(m)";
    assert_eq!(s.one(wrong), "0");
    db.check_versions();
}

fn t6_a_million_streams_in_one_transaction(db: &Db) {
    let mut s = db.owner();
    s.run(
        "begin; select count(domain_events.append_event('Bulk', i::text, 'Made')) from generate_series(1, 1000000) i",
    );
    let mut other = db.owner();
    other.run("set lock_timeout = '2s'; select domain_events.append_event('User', '1', 'UserCreated')");
    other.run("select domain_events.next_aggregate_version('User', i::text) from generate_series(1, 500) i");
    s.run("commit");
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'Bulk'"), "1000000");
    s.run("begin; select count(domain_events.next_aggregate_version('Bulk', i::text)) from generate_series(1, 20000) i; commit");
}

fn t6_two_bulk_statements_at_once(db: &Db) {
    // Past the streams that a transaction locks, the unique key decides between two writers.
    let workers: Vec<_> = (0..2)
        .map(|n| {
            let mut s = db.owner();
            thread::spawn(move || {
                s.run(&format!(
                    "select count(domain_events.append_event('Bulk', i::text, 'Made', jsonb_build_object('by', {n}))) from generate_series(1, 5000) i"
                ));
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("no deadlock: both go in one order");
    }
    assert_eq!(
        db.owner().table("select aggregate_version, count(*) from domain_events.events group by 1 order by 1"),
        "1|5000\n2|5000"
    );
    db.check_versions();
}

/// However many events the transaction has written, and whatever the statistics make of them.
fn t6_a_row_reads_its_own_stream_alone(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table m (id int primary key, v int);
         select domain_events.enable_capture('m', 'M');
         insert into m select i, 0 from generate_series(1, 1000) i; update m set v = v + 1; delete from m",
    );
    db.admin().run("analyze domain_events.events");
    s.run("begin; insert into m select i, 0 from generate_series(1, 1000) i; update m set v = v + 1; delete from m");
    let read =
        s.number("select idx_tup_fetch from pg_stat_xact_all_tables where relid = 'domain_events.events'::regclass");
    s.run("commit");
    assert!(read < 50_000, "{read} events were read for 3,000 changes");
    db.check_versions();
}

/// A line of what the kernel knows of the session's process.
pub(crate) fn kilobytes(s: &mut Session, line: &str) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", s.pid())).expect("a Linux system");
    let mut words = status.lines().find_map(|l| l.strip_prefix(line)).expect(line).split_whitespace();
    words.nth(1).and_then(|kb| kb.parse().ok()).expect("kB")
}

fn t18_backend_memory_is_flat(db: &Db) {
    let mut s = db.admin();
    s.run(
        "create table m (id int primary key, v int, t text);
         select domain_events.enable_capture('m', 'M');
         insert into m select i, 0, 'some text' from generate_series(1, 1000) i;
         update m set v = v + 1; delete from m;",
    );
    // The sum of all memory contexts of the backend; the trigger queue of a statement is freed with it.
    let used = "select sum(total_bytes) from pg_backend_memory_contexts";
    let before = s.number(used);
    for _ in 0..3 {
        s.run("insert into m select i, 0, 'some text' from generate_series(1, 10000) i; update m set v = v + 1; delete from m");
    }
    let after = s.number(used);
    assert!(after - before < 660_000, "the backend grew by {} bytes over 90,000 captured rows", after - before);
    // And inside one transaction and one statement: the process, not only its contexts.
    s.run("begin; insert into m select i, 0, 'some text' from generate_series(1, 10000) i");
    let first = kilobytes(&mut s, "RssAnon");
    for _ in 0..5 {
        s.run("update m set v = v + 1");
    }
    let last = kilobytes(&mut s, "RssAnon");
    s.run("commit");
    assert!(
        last - first < 10_000,
        "the process grew by {} kB over 50,000 captured updates of one transaction",
        last - first
    );
}
