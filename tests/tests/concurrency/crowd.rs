//! Many sessions, many streams, and the lock table that everybody shares.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use domain_events_tests::{Cluster, Db, Engine, engines};

use crate::{FILL, append, engines_alone, waits};

engines! {
    t6_two_huge_transactions_queue_and_finish, t6_two_huge_captures_queue_and_finish, t6_others_go_on_meanwhile,
    application_locks_never_meet_ours, the_number_of_a_stream_says_nothing,
}
engines_alone! { r6_lock_table_exhaustion }

/// The same rows in the same order: the second waits at the first stream and follows; no deadlock, no gap.
fn t6_two_huge_transactions_queue_and_finish(db: &Db) {
    const STREAMS: i64 = 10_000;
    let huge = |from: i64| {
        format!(
            "select count(domain_events.append_event('Bulk', i::text, 'Made')) from generate_series({from}, {STREAMS}) as i"
        )
    };
    let mut a = db.owner();
    a.run("begin");
    a.run(&huge(1));
    // Overlaps in the second half.
    let waiting = waits(db, db.owner(), &huge(STREAMS / 2 + 1));
    a.run("commit");
    assert_eq!(waiting.one(), (STREAMS / 2).to_string());
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let mut s = db.owner();
            let sql = huge(1);
            thread::spawn(move || s.run(&sql))
        })
        .collect();
    for worker in workers {
        worker.join().expect("both finish");
    }
    assert_eq!(
        a.table("select version, count(*) from domain_events.streams group by 1 order by 1"),
        format!("3|{0}\n4|{0}", STREAMS / 2)
    );
    db.check_versions();
}

fn t6_two_huge_captures_queue_and_finish(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table m (id int primary key, v int); insert into m select i, 0 from generate_series(1, 10000) as i;
         select domain_events.enable_capture('m', 'M')",
    );
    s.run("begin; update m set v = v + 1");
    let waiting = waits(db, db.owner(), "update m set v = v + 10 where id > 5000");
    s.run("commit");
    waiting.result().1.expect("the second follows");
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'M'"), "15000");
    db.check_table("M", "m");
}

/// While one transaction holds far more streams than there are locks, nobody else is in its way or out of locks.
fn t6_others_go_on_meanwhile(db: &Db) {
    let mut a = db.owner();
    let pid = a.pid();
    a.run(
        "begin; select count(domain_events.append_event('Bulk', i::text, 'Made')) from generate_series(1, 20000) as i",
    );
    let kept = db.admin().number(&format!("select count(*) from pg_locks where locktype = 'advisory' and pid = {pid}"));
    assert!(kept <= 64, "one transaction keeps {kept} advisory locks, more than its share");
    let mut b = db.owner();
    b.run("set lock_timeout = '2s'");
    b.run("select domain_events.append_event('User', i::text, 'A') from generate_series(1, 2000) as i");
    b.run("select domain_events.append_event('Bulk', '20001', 'Made')");
    b.run("begin; select domain_events.next_aggregate_version('User', i::text) from generate_series(1, 2000) as i; commit");
    // A stream of the huge transaction does wait, whether it kept a lock there or not.
    for stream in [1, 10_000, 20_000] {
        b.error(&format!("select domain_events.append_event('Bulk', '{stream}', 'Made')")).expect_code("55P03");
        b.error(&format!("select domain_events.next_aggregate_version('Bulk', '{stream}')")).expect_code("55P03");
    }
    a.run("commit");
    assert_eq!(b.one("select domain_events.next_aggregate_version('Bulk', '10000')"), "2");
    db.check_versions();
}

/// 200 sessions with 110 streams each at the same moment, default max_locks_per_transaction: nobody runs out, and an innocent
/// session still gets the locks that are its own share.
fn r6_lock_table_exhaustion(engine: Engine) {
    const SESSIONS: usize = 200;
    let db = Db::on(Cluster::start(&[("max_connections", "210")]), engine);
    assert_eq!(db.owner().one("show max_locks_per_transaction"), "64");
    db.owner().run("do $$ begin for i in 1..60 loop execute format('create table t%s ()', i); end loop; end $$");
    let full = Arc::new(Barrier::new(SESSIONS + 1));
    let over = Arc::new(Barrier::new(SESSIONS + 1));
    let workers: Vec<_> = (0..SESSIONS)
        .map(|n| {
            let mut s = db.owner();
            let (full, over) = (full.clone(), over.clone());
            thread::spawn(move || {
                let result = s.attempt(&format!(
                    "begin; select count(domain_events.append_event('User', '{n}.' || i, 'A')) from generate_series(1, 60) as i;
                     select count(domain_events.next_aggregate_version('User', '{n}:' || i)) from generate_series(1, 50) as i"
                ));
                full.wait();
                over.wait();
                result.and_then(|_| s.attempt("commit")).map(|_| ())
            })
        })
        .collect();
    full.wait();
    let innocent = db.owner().attempt(
        "begin; do $$ begin for i in 1..60 loop execute format('lock table t%s', i); end loop; end $$; commit",
    );
    over.wait();
    let failures: Vec<String> =
        workers.into_iter().filter_map(|w| w.join().expect("a worker").err()).map(|f| f.to_string()).collect();
    assert!(failures.is_empty(), "{} of {SESSIONS} sessions failed, the first: {}", failures.len(), failures[0]);
    innocent.unwrap_or_else(|f| panic!("an innocent session: {f}"));
    assert_eq!(db.owner().number("select count(*) from domain_events.events"), SESSIONS as i64 * 60);
    db.check_versions();
}

/// An application's own advisory locks, on small numbers and on pairs, as it likes to take them.
fn application_locks_never_meet_ours(db: &Db) {
    let mut application = db.owner();
    application.run(
        "select pg_advisory_lock(i) from generate_series(-100, 1000) as i;
         select pg_advisory_lock(i, k) from generate_series(0, 20) as i, generate_series(0, 20) as k;
         select pg_advisory_lock('domain_events.events'::regclass::oid::int, i) from generate_series(0, 50) as i;
         select pg_advisory_lock('domain_events.events'::regclass::oid::bigint);
         select pg_advisory_lock(hashtext(i::text)), pg_advisory_lock(hashtext('User'), hashtext(i::text)) from generate_series(1, 100) as i;
         select pg_advisory_lock_shared(9223372036854775807), pg_advisory_lock_shared(-9223372036854775808)",
    );
    let mut s = db.owner();
    s.run("set lock_timeout = '1s'; begin");
    s.run("select domain_events.append_event('User', i::text, 'A') from generate_series(-100, 300) as i");
    s.run("select domain_events.next_aggregate_version('Order', i::text) from generate_series(1, 100) as i");
    // The other way round: what we hold is in nobody's way.
    let mut other = db.owner();
    assert_eq!(
        other.one(
            "select count(*) from generate_series(1001, 15000) as i
              where not (pg_try_advisory_lock(i) and pg_advisory_unlock(i) and pg_try_advisory_lock(i, i) and pg_advisory_unlock(i, i))"
        ),
        "0"
    );
    // unlock_all of an application gives back nothing of ours.
    s.run("select pg_advisory_unlock_all()");
    let waiting = waits(db, other, &append("1"));
    s.run("commit");
    assert_eq!(waiting.one(), "2");
    if db.engine == Engine::Native {
        // A lock class of its own: not even the same 64 bits meet. Portable shares the space of bigint keys, hashed.
        application.run("select pg_advisory_unlock_all()");
        let mut admin = db.admin();
        admin.run(
            "begin; select pg_advisory_xact_lock(hashtextextended(i::text, hashtextextended('User', seed)))
               from generate_series(1, 5) as i, unnest('{0,7238240}'::bigint[]) as seed",
        );
        s.run("begin; set local lock_timeout = '500ms'; select domain_events.append_event('User', i::text, 'A') from generate_series(1, 5) as i; commit");
        let held = "select count(*) from pg_locks where locktype = 'advisory' and objsubid in (1, 2) and pid = pg_backend_pid()";
        s.run("begin");
        s.run(&append("1"));
        s.run("select domain_events.append_events('User', '2', '[{\"event_type\": \"A\"}]')");
        s.run("select domain_events.next_aggregate_version('User', '3')");
        assert_eq!(s.one(held), "0", "locks of the classes that SQL functions use");
        s.run("commit");
    }
    db.check_versions();
}

/// r7: two names with one 32-bit hash, in opposite order: no deadlock, no waiting.
fn the_number_of_a_stream_says_nothing(db: &Db) {
    assert_eq!(db.owner().one("select hashtext('order-27318') = hashtext('order-278529')"), "t");
    let (mut a, mut b) = (db.owner(), db.owner());
    for s in [&mut a, &mut b] {
        s.run("begin; set local lock_timeout = '1s'");
    }
    a.run(&append("order-27318"));
    b.run(&append("order-278529"));
    b.run("commit");
    a.run("commit; begin; set local lock_timeout = '1s'");
    a.run(FILL);
    b.run("begin; set local lock_timeout = '1s'");
    b.run(&append("order-27318"));
    a.run(&append("order-278529"));
    a.run("commit");
    b.run("commit");
    // Type and id are told apart.
    a.run("begin; select domain_events.append_event('ab', 'c', 'A')");
    b.run("set lock_timeout = '1s'; select domain_events.append_event('a', 'bc', 'A')");
    a.run("commit");
    db.check_versions();
}
