//! Restarts, crashes and standbys.

use std::{
    thread,
    time::{Duration, Instant},
};

use domain_events_tests::{Cluster, Db, Engine};

use crate::{FILL, append, engines_alone, waits};

engines_alone! { r9_prepared_across_a_restart, a_prepared_transaction_leaves_the_session_clean, a_standby_reads_and_refuses, r12_versions_after_a_crash }

/// A prepared transaction holds its streams, without a process and across a restart, until it is decided.
fn r9_prepared_across_a_restart(engine: Engine) {
    let db = Db::on(Cluster::start(&[("max_prepared_transactions", "5")]), engine);
    db.owner().run("create table doc (id int primary key, v int); select domain_events.enable_capture('doc')");
    for n in 0..2 {
        let mut a = db.owner();
        a.run("begin");
        a.run(&append(&format!("kept{n}")));
        a.run(&format!("select domain_events.next_aggregate_version('User', 'next{n}')"));
        a.run(&format!("insert into doc values ({n}, 1)"));
        a.run(FILL);
        a.run(&append(&format!("row{n}")));
        a.run(&format!("prepare transaction 'p{n}'"));
    }
    db.cluster().restart();
    for (n, decision) in ["commit", "rollback"].iter().enumerate() {
        let mut s = db.owner();
        s.run("set lock_timeout = '200ms'");
        s.run(&append("other"));
        for stream in ["kept", "next", "row"] {
            s.error(&append(&format!("{stream}{n}"))).expect_code("55P03");
            s.error(&format!("select domain_events.next_aggregate_version('User', '{stream}{n}')"))
                .expect_code("55P03");
        }
        s.error(&format!("insert into doc values ({n}, 2)")).expect_code("55P03");
        let kept = waits(&db, db.owner(), &append(&format!("kept{n}")));
        let row = waits(&db, db.owner(), &append(&format!("row{n}")));
        let next = waits(&db, db.owner(), &append(&format!("next{n}")));
        db.owner().run(&format!("{decision} prepared 'p{n}'"));
        let stored = if *decision == "commit" { "2" } else { "1" };
        assert_eq!((kept.one(), row.one(), next.one()), (stored.into(), stored.into(), "1".into()), "{decision}");
    }
    db.check_table("Doc", "doc");
}

/// What a prepared transaction held does not count for the next one of the session.
fn a_prepared_transaction_leaves_the_session_clean(engine: Engine) {
    let db = Db::on(Cluster::start(&[("max_prepared_transactions", "5")]), engine);
    let mut s = db.owner();
    for n in 0..3 {
        s.run(&format!(
            "begin; select count(domain_events.next_aggregate_version('User', '{n}.' || i)) from generate_series(1, 200) as i;
             prepare transaction 'p{n}'"
        ));
    }
    s.run("begin; select domain_events.next_aggregate_version('User', 'x')");
    let waiting = waits(&db, db.owner(), &append("x"));
    s.run("commit");
    for decision in ["commit prepared 'p0'", "rollback prepared 'p1'", "commit prepared 'p2'"] {
        s.run(decision);
    }
    assert_eq!(waiting.one(), "1");
    let mut other = db.owner();
    other.run("set lock_timeout = '2s'");
    other.run("select domain_events.append_event('User', n || '.' || i, 'A') from generate_series(0, 2) as n, generate_series(1, 200) as i");
    assert_eq!(db.admin().one("select count(*) from pg_locks where locktype = 'advisory'"), "0");
    db.check_versions();
}

fn a_standby_reads_and_refuses(engine: Engine) {
    let db = Db::on(Cluster::start(&[]), engine);
    let mut s = db.owner();
    s.run(
        "create table legacy (kind text, id text, version bigint, unique (kind, id, version));
         select domain_events.register_event_table('legacy', 'kind', 'id', 'version');
         create table doc (id int primary key, v int); select domain_events.enable_capture('doc');
         insert into doc values (1, 1); update doc set v = 2;",
    );
    s.run(&append("1"));
    let standby = db.cluster().standby();
    s.run(&append("1"));
    let mut r = standby.connect(&db.name, "app_owner");
    assert_eq!(r.one("select pg_is_in_recovery()"), "t");
    let deadline = Instant::now() + Duration::from_secs(30);
    while r.number("select count(*) from domain_events.read_stream('User', '1')") < 2 {
        assert!(Instant::now() < deadline, "the standby does not follow");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(r.one("select domain_events.fold_stream('Doc', '1')"), "{\"v\": 2, \"id\": 1}");
    assert_eq!(r.one("select version from domain_events.streams where aggregate_type = 'User'"), "2");
    assert_eq!(r.one("select engine from domain_events.engine()"), engine.name());
    assert_eq!(r.table("select * from domain_events.check_integrity()"), "");
    assert_eq!(r.table("select * from domain_events.check_infrastructure()"), "");
    for call in [
        "domain_events.append_event('User', '1', 'A')",
        "domain_events.append_events('User', '1', '[{\"event_type\": \"A\"}]')",
        "domain_events.append_events('[{\"aggregate_type\": \"User\", \"aggregate_id\": \"1\", \"event_type\": \"A\"}]'::jsonb)",
        "domain_events.next_aggregate_version('User', '1')",
        "domain_events.next_aggregate_version('User', '1', 'legacy')",
    ] {
        r.error(&format!("select {call}")).expect("25006");
    }
    // After a failover it goes on where the primary was.
    standby.connect("postgres", "postgres").run("select pg_promote()");
    assert_eq!(r.one(&append("1")), "3");
    r.run("update doc set v = 3");
    assert_eq!(r.one("select domain_events.fold_stream('Doc', '1')"), "{\"v\": 3, \"id\": 1}");
    assert_eq!(r.table("select * from domain_events.check_integrity()"), "");
}

/// After kill -9 the sequence has jumped; the versions have not.
fn r12_versions_after_a_crash(engine: Engine) {
    let db = Db::on(Cluster::start(&[]), engine);
    let mut s = db.owner();
    s.run(&append("1"));
    s.run(&append("1"));
    let mut open = db.owner();
    open.run("begin");
    open.run(&append("1"));
    open.run(&append("2"));
    db.cluster().crash();
    db.cluster().restart();
    let mut s = db.owner();
    s.run("set lock_timeout = '2s'");
    assert_eq!((s.one(&append("1")), s.one(&append("2"))), ("3".into(), "1".into()));
    assert_eq!(s.table("select * from domain_events.check_integrity()"), "");
    db.check_versions();
}
