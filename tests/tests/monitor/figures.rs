//! How long the checks take: `cargo test --release -p domain_events_tests --test monitor figures -- --ignored --nocapture`.
//! EVENTS is the number of events, 10,000,000 unless the environment says otherwise.

use std::{env, fs, time::Instant};

use domain_events_tests::{Cluster, Db, Engine, Session};

/// Seconds of wall clock and of the server process's CPU.
fn measured(s: &mut Session, sql: &str) -> (f64, f64) {
    let pid = s.pid();
    let cpu = || -> f64 {
        let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("Linux");
        text.split(' ').next().and_then(|n| n.parse::<f64>().ok()).expect("nanoseconds") / 1e9
    };
    let (began, before) = (Instant::now(), cpu());
    s.run(sql);
    (began.elapsed().as_secs_f64(), cpu() - before)
}

#[test]
#[ignore = "takes many minutes: figures for docs/monitoring.md"]
fn cost_of_the_checks() {
    let events: i64 = env::var("EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000_000);
    let db = Db::on(Cluster::start(&[("max_wal_size", "4GB"), ("shared_buffers", "512MB")]), Engine::Portable);
    let mut s = db.admin();
    let streams = events / 10;
    let add = |s: &mut Session, versions: &str, streams: i64| {
        s.run(&format!(
            "insert into domain_events.events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_data, caused_by)
             select gen_random_uuid(), (array['User','Order','Ticket','Invoice'])[1 + i % 4], i::text, v, 'Changed',
                    jsonb_build_object('new_values', jsonb_build_object('email', 'user' || i || '@example.org', 'count', v)), 'app'
               from generate_series({versions}) v, generate_series(1, {streams}) i"
        ));
    };
    add(&mut s, "1, 10", streams);
    s.run("vacuum (analyze, freeze) domain_events.events");
    s.run("set max_parallel_workers_per_gather = 0");
    s.run("select count(*) from domain_events.events");
    let count = measured(&mut s, "select count(*) from domain_events.events");
    let show = |name: &str, (wall, cpu): (f64, f64)| {
        println!("{name:50} {wall:8.3} s wall {cpu:8.3} s CPU {:8.1} x count(*)", cpu / count.1);
    };
    show("select count(*)", count);
    show(
        "first incremental check: reads everything",
        measured(&mut s, "select domain_events.check_integrity_incremental()"),
    );
    s.run("select pg_sleep(1.1)");
    let idle = measured(&mut s, "select domain_events.check_integrity_incremental()");
    show("incremental check, nothing new", idle);
    add(&mut s, "11, 11", streams.min(60_000));
    let new = measured(&mut s, "select domain_events.check_integrity_incremental()");
    show("incremental check, 60,000 new events", new);
    s.run("set work_mem = '256MB'");
    show("full check", measured(&mut s, "select domain_events.check_integrity()"));
    show("full check of one type of four", measured(&mut s, "select domain_events.check_integrity('User')"));
    show("check_performance()", measured(&mut s, "select domain_events.check_performance()"));
    show("check_infrastructure()", measured(&mut s, "select domain_events.check_infrastructure()"));
    show("stats()", measured(&mut s, "select domain_events.stats()"));
    assert!(idle.1 < 1.0 && new.1 < 1.0, "the incremental check takes less than a second of CPU");
}
