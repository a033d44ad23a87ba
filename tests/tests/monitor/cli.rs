//! `domain-events monitor`, by running the binary.

use domain_events_tests::{Cluster, Db, Engine, engines};
use serde_json::{Value, json};

use crate::{CLOSE, OPEN, lively};

engines! {
    a_healthy_store_exits_with_0, findings_exit_with_3, sections_are_selected, prometheus_has_the_names, the_reader_role_is_enough,
    dead_letters_are_listed, a_live_screen, alerts_are_raised,
}

fn codes(document: &Value, section: &str) -> Vec<String> {
    let findings = document[section]["findings"].as_array().expect("findings");
    findings.iter().map(|f| f["code"].as_str().expect("a code").to_owned()).collect()
}

fn a_healthy_store_exits_with_0(db: &Db) {
    lively(db);
    let run = db.cli("app_owner", &["monitor"]).expect(0);
    for line in [
        "Domain Events Health Monitor",
        "Infrastructure",
        "✓ Functions, triggers and keys are there, enabled and unaltered",
        "Integrity",
        "✓ No duplicate aggregate versions found",
        "✓ No version gaps found",
        "✓ All aggregate versions are consistent",
        "Performance",
        "Table statistics:",
        "- Total events: ",
        "- Average event size: ",
        "- Event date range: ",
        "Recent activity (last 24h):",
        "- Events per hour: ",
        "Health check complete: nothing found",
    ] {
        assert!(run.stdout.contains(line), "{line:?} is missing in\n{}", run.stdout);
    }
    assert_eq!(run.stderr, "");
    assert!(!run.stdout.contains('\x1b'), "no colours in a pipe");
    let document = db.cli("app_owner", &["monitor", "--format", "json"]).expect(0).json();
    assert_eq!(document["engine"], db.engine.name());
    assert_eq!(document["integrity"]["mode"], "incremental");
    for section in ["infrastructure", "integrity", "performance"] {
        assert_eq!(codes(&document, section), Vec::<String>::new());
    }
    db.cli("app_owner", &["monitor", "--full"]).expect(0);
}

fn findings_exit_with_3(db: &Db) {
    lively(db);
    db.owner().run("select domain_events.pause_capture('public.users')");
    let run = db.cli("app_owner", &["monitor"]).expect(3);
    assert!(run.stdout.contains("! capture_paused public.users: capture is paused"), "{}", run.stdout);
    assert!(run.stdout.contains("Health check complete: 1 warnings"), "{}", run.stdout);
    db.cli("app_owner", &["monitor", "--fail-on", "error"]).expect(0);
    db.cli("app_owner", &["monitor", "--check-integrity"]).expect(0);
    db.admin().run(&format!(
        "{OPEN}; delete from domain_events.events where aggregate_type = 'Order' and aggregate_id = '1' and aggregate_version = 2; {CLOSE}"
    ));
    let run = db.cli("app_owner", &["monitor", "--full", "--fail-on", "error"]).expect(3);
    assert!(run.stdout.contains("✗ version_gap Order 1: the version before 3 is missing"), "{}", run.stdout);
    assert!(run.stdout.contains("✓ No duplicate aggregate versions found"), "{}", run.stdout);
    let document = db
        .cli("app_owner", &["monitor", "--check-integrity", "--aggregate-type", "Order", "--format", "json"])
        .expect(3)
        .json();
    assert_eq!(codes(&document, "integrity"), ["count_not_max", "version_gap"]);
    assert_eq!(document["integrity"]["findings"][1]["object"], "Order 1");
    assert_eq!(document["infrastructure"], json!(null));
    db.cli("app_owner", &["monitor", "--check-integrity", "--aggregate-type", "User"]).expect(0);
}

fn sections_are_selected(db: &Db) {
    lively(db);
    // --full tells where the time went, section by section and table by table
    let run = db.cli("app_owner", &["monitor", "--full"]).expect(0);
    for word in [
        "Time",
        "infrastructure",
        "integrity: every event",
        "rows of public.users",
        "performance: streams",
        "statistics",
        "all of it",
    ] {
        assert!(run.stdout.contains(word), "{word:?} is missing in\n{}", run.stdout);
    }
    let document = db.cli("app_owner", &["monitor", "--full", "--format", "json"]).expect(0).json();
    let timings = document["timings"].as_array().expect("timings");
    let seconds = |t: &serde_json::Value| t["seconds"].as_f64().expect("seconds");
    let (whole, parts) = timings.split_last().expect("sections");
    assert_eq!(whole["section"], "all of it");
    let sum: f64 = parts.iter().map(seconds).sum();
    assert!(parts.len() >= 5 && sum <= seconds(whole) + 0.001 && sum > seconds(whole) / 2.0, "{timings:?}");
    let run = db.cli("app_owner", &["monitor", "--check-performance"]).expect(0);
    assert!(run.stdout.contains("Performance") && !run.stdout.contains("Integrity"), "{}", run.stdout);
    let run = db.cli("app_owner", &["monitor", "--stats", "--failures", "--projections"]).expect(0);
    for word in [
        "Statistics",
        "aggregate_events_saved_total",
        "OrderPlaced",
        "No dead letters wait",
        "Projections",
        "not available",
    ] {
        assert!(run.stdout.contains(word), "{word:?} is missing in\n{}", run.stdout);
    }
    let document = db.cli("app_owner", &["monitor", "--stats", "--projections", "--format", "json"]).expect(0).json();
    assert_eq!(document["projections"]["available"], false);
    assert_eq!(document["integrity"], json!(null));
    assert!(
        document["stats"]
            .as_array()
            .expect("numbers")
            .iter()
            .any(|m| m["metric"] == "events" && m["value"].as_f64() > Some(40.0))
    );
}

fn prometheus_has_the_names(db: &Db) {
    lively(db);
    let page = db.cli("app_owner", &["monitor", "--format", "prometheus"]).expect(0).stdout;
    for name in [
        "domain_events_aggregate_events_saved_total",
        "domain_events_aggregate_events_loaded_total",
        "domain_events_aggregate_snapshots_created_total",
        "domain_events_aggregate_operation_duration_seconds",
        "domain_events_aggregate_concurrency_conflicts_total",
    ] {
        assert!(page.contains(name), "{name} is missing in\n{page}");
    }
    assert!(page.contains("domain_events_check_findings{check=\"integrity\",severity=\"error\"} 0"), "{page}");
    for line in page.lines().filter(|l| !l.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("name and value");
        assert!(name.starts_with("domain_events_"), "{line}");
        value.parse::<f64>().unwrap_or_else(|e| panic!("{e}: {line}"));
    }
    db.cli("app_owner", &["status", "--format", "prometheus"]).expect(2);
}

fn the_reader_role_is_enough(db: &Db) {
    lively(db);
    let reader = db.role("reader");
    db.admin().run(&format!("grant domain_events_reader to {reader}"));
    db.cli(
        &reader,
        &[
            "monitor",
            "--stats",
            "--failures",
            "--projections",
            "--check-integrity",
            "--check-performance",
            "--check-infrastructure",
        ],
    )
    .expect(0);
    db.cli(&reader, &["monitor", "--full"]).expect(0);
    // And it was remembered.
    assert_eq!(db.owner().one("select count(*) from domain_events.integrity_state"), "1");
    let stranger = db.role("stranger");
    db.cli(&stranger, &["monitor"]).expect_error(1, "42501").saying("domain_events_reader");
}

fn dead_letters_are_listed(db: &Db) {
    db.owner().run(
        "create table public.notes (id text); select domain_events.enable_capture('public.notes', aggregate_id => '{id}');
         insert into public.notes values (null)",
    );
    let run = db.cli("app_owner", &["monitor", "--failures"]).expect(0);
    assert!(run.stdout.contains("1 dead letters wait") && run.stdout.contains("public.notes"), "{}", run.stdout);
    let document = db.cli("app_owner", &["monitor", "--failures", "--format", "json"]).expect(0).json();
    assert_eq!(document["failures"]["pending"], 1);
    assert_eq!(document["failures"]["newest"][0]["operation"], "INSERT");
    db.cli("app_owner", &["monitor"]).expect(3);
}

fn a_live_screen(db: &Db) {
    lively(db);
    let run = db.cli("app_owner", &["monitor", "--watch", "--count", "2", "--interval", "1"]).expect(0);
    for word in ["Live Monitor", "rate", "lag", "readers", "TableTruncated", "nothing found"] {
        assert!(run.stdout.contains(word), "{word:?} is missing in\n{}", run.stdout);
    }
    assert_eq!(run.stdout.matches("Live Monitor").count(), 2);
    db.cli("app_owner", &["monitor", "--watch", "--format", "json"]).expect(2);
    db.owner().run("select domain_events.pause_capture('public.users')");
    let run = db.cli("app_owner", &["monitor", "--watch", "--count", "1"]).expect(3);
    assert!(run.stdout.contains("capture_paused"), "{}", run.stdout);
}

fn alerts_are_raised(db: &Db) {
    lively(db);
    db.owner().run("select domain_events.pause_capture('public.users')");
    let alerts =
        |db: &Db| db.cli("app_owner", &["monitor", "--alert", "--format", "json"]).expect(3).json()["alerts"].clone();
    let first = alerts(db);
    assert_eq!(first[0]["code"], "capture_paused");
    assert_eq!(alerts(db), json!([]));
}

#[test]
fn without_a_store_it_says_what_to_run() {
    let db = Db::new(Engine::None);
    db.cli("app_owner", &["monitor"]).expect_error(1, "3F000").saying("domain-events install");
}

/// A standby in recovery refuses every write: the checks work there, with the reader role alone.
#[test]
fn on_a_standby() {
    let db = Db::on(Cluster::start(&[]), Engine::Portable);
    lively(&db);
    let mut owner = db.owner();
    let reader = db.role("reader");
    db.admin().run(&format!("grant domain_events_reader to {reader}"));
    owner.run("select domain_events.check_integrity_incremental(); select domain_events.append_event('Order', '1', 'OrderChanged')");
    let standby = db.cluster().standby();
    let monitor = |args: &[&str]| {
        let mut command = domain_events_tests::domain_events();
        command.env("DATABASE_URL", standby.url(&db.name, &reader)).arg("monitor").args(args);
        domain_events_tests::run(&mut command)
    };
    let document = monitor(&["--format", "json"]).expect(0).json();
    assert_eq!(document["standby"], true);
    assert_eq!(document["integrity"]["mode"], "incremental");
    monitor(&[
        "--full",
        "--stats",
        "--failures",
        "--projections",
        "--check-integrity",
        "--check-performance",
        "--check-infrastructure",
    ])
    .expect(0);
    monitor(&["--watch", "--count", "1"]).expect(0);
    monitor(&["--format", "prometheus"]).expect(0);
    monitor(&["--alert"]).expect_error(1, "25006");
    // What goes wrong on the primary is seen on the standby.
    let before = db.admin().one("select pg_current_wal_lsn()");
    db.admin().run(
        "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, caused_by) values ('Order', '1', 9, 'OrderForged', 'me')",
    );
    let target = db.admin().one("select pg_current_wal_lsn()");
    assert_ne!(before, target);
    let mut s = standby.connect(&db.name, "postgres");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while s.one(&format!("select pg_last_wal_replay_lsn() >= '{target}'")) != "t" {
        assert!(std::time::Instant::now() < deadline, "the standby does not follow");
    }
    let document = monitor(&["--format", "json"]).expect(3).json();
    assert_eq!(codes(&document, "integrity"), ["count_not_max", "version_gap"]);
}
