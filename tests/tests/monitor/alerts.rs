//! Alerts: once per finding, not once per run.

use domain_events_tests::{Db, engines};

use crate::lively;

engines! { an_alert_is_raised_once_and_resolved, a_healthy_store_raises_none, a_reader_may_raise_alerts_and_write_none, listeners_are_told }

fn a_healthy_store_raises_none(db: &Db) {
    lively(db);
    let mut s = db.owner();
    assert_eq!(s.table("select * from domain_events.raise_alerts()"), "");
    assert_eq!(s.one("select count(*) from domain_events.alerts"), "0");
}

fn an_alert_is_raised_once_and_resolved(db: &Db) {
    lively(db);
    let mut s = db.owner();
    s.run("select domain_events.pause_capture('public.users')");
    assert_eq!(
        s.table("select source, code, severity, object from domain_events.raise_alerts()"),
        "infrastructure|capture_paused|warning|public.users"
    );
    for _ in 0..3 {
        assert_eq!(s.table("select * from domain_events.raise_alerts()"), "");
    }
    assert_eq!(s.one("select count(*) from domain_events.alerts"), "1");
    s.run("select domain_events.resume_capture('public.users')");
    assert_eq!(s.table("select * from domain_events.raise_alerts()"), "");
    assert_eq!(s.table("select code, resolved_at >= seen_at from domain_events.alerts"), "capture_paused|t");
    // It comes back: that is news.
    s.run("select domain_events.pause_capture('public.users')");
    assert_eq!(s.table("select code from domain_events.raise_alerts()"), "capture_paused");
    assert_eq!(s.one("select count(*) from domain_events.alerts"), "2");
    // Events and dead letters are told of as well.
    s.run("create table public.notes (id text); select domain_events.enable_capture('public.notes', aggregate_id => '{id}'); insert into public.notes values (null)");
    db.admin().run(
        "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type) values ('Order', '77', 2, 'OrderForged')",
    );
    assert_eq!(
        s.table("select source, code, object from domain_events.raise_alerts() order by 1, 2"),
        "infrastructure|capture_failures_pending|public.notes\n\
         integrity|count_not_max|Order 77\n\
         integrity|forged_event|Order 77\n\
         integrity|version_gap|Order 77"
    );
}

fn a_reader_may_raise_alerts_and_write_none(db: &Db) {
    lively(db);
    let reader = db.role("reader");
    db.admin().run(&format!("grant domain_events_reader to {reader}"));
    db.owner().run("select domain_events.pause_capture('public.users')");
    let mut s = db.session(&reader);
    assert_eq!(s.table("select code from domain_events.raise_alerts()"), "capture_paused");
    assert_eq!(s.one("select count(*) from domain_events.alerts"), "1");
    for sql in [
        "delete from domain_events.alerts",
        "update domain_events.integrity_state set verified_position = 1000",
        "insert into domain_events.monitor_settings values ('max_stream_events', 0)",
    ] {
        s.error(sql).expect_code("42501");
    }
}

fn listeners_are_told(db: &Db) {
    lively(db);
    db.owner().run("select domain_events.pause_capture('public.users')");
    let mut psql = db.client_program("psql", "app_owner");
    let out = psql
        .args([
            "-X",
            "-A",
            "-t",
            "-c",
            "listen domain_events_alerts",
            "-c",
            "select code from domain_events.raise_alerts()",
            "-c",
            "select 1",
        ])
        .output()
        .expect("psql");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("Asynchronous notification \"domain_events_alerts\""), "{said}");
    assert!(said.contains("\"code\": \"capture_paused\"") && said.contains("public.users"), "{said}");
}
