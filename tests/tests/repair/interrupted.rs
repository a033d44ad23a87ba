//! A repair that is killed leaves whole batches, and goes on where it stopped.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use domain_events_tests::{Db, engines};

use crate::{APPLICATION, Legacy};

engines! { a_killed_repair_leaves_whole_streams_and_goes_on, a_killed_rollback_goes_on }

const BIG: &str = "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type)
    select 'Big', s, 1, 'e' from generate_series(1, 400) s, generate_series(1, 5)";

/// Streams that are neither as before nor repaired: versions all 1, or 1, 2, 3 .. in order.
const TORN: &str = "select count(*) from (
    select from (select *, row_number() over (partition by aggregate_type, aggregate_id order by id) as place from domain_events) e
     group by aggregate_type, aggregate_id
    having not (max(aggregate_version) = 1 and min(aggregate_version) = 1) and bool_or(aggregate_version <> place)) s";

const REPAIRED: &str =
    "select count(distinct (aggregate_type, aggregate_id)) from domain_events where aggregate_version = 2";

fn a_killed_repair_leaves_whole_streams_and_goes_on(db: &Db) {
    let legacy = Legacy::of(db, &format!("{APPLICATION}; {BIG}"));
    legacy.propose(&["--batch-size", "10"]);
    let mut owner = db.owner();
    let mut between = 0;
    for n in 0..12 {
        killed(&legacy, &["repair", "--yes", legacy.file()], 30 + 20 * n);
        assert_eq!(owner.number(TORN), 0, "a stream is torn");
        let repaired = owner.number(REPAIRED);
        // the map says which
        let marked = "select count(distinct (aggregate_type, aggregate_id)) from domain_events.repaired_versions where repaired_at is not null";
        assert_eq!(owner.number(marked), repaired);
        between += i32::from(repaired > 0 && repaired < 420);
    }
    legacy.apply().expect(0);
    assert_eq!(legacy.broken_streams(), 0);
    assert_eq!(owner.number("select count(*) from domain_events.repaired_versions"), 2050);
    assert_eq!(owner.one("select state from domain_events.migration_plans"), "finished");
    println!("killed in the middle: {between} times");
}

fn a_killed_rollback_goes_on(db: &Db) {
    let legacy = Legacy::of(db, &format!("{APPLICATION}; {BIG}"));
    let before = legacy.versions();
    legacy.propose(&["--batch-size", "20"]);
    legacy.apply().expect(0);
    for n in 0..5 {
        killed(&legacy, &["rollback", "--yes"], 30 + 30 * n);
        assert_eq!(db.owner().number(TORN), 0, "a stream is torn");
    }
    let run = legacy.cli(&["rollback", "--yes"]);
    assert!(run.code == 0 || run.stderr.contains("no plan is applied"), "{run:?}");
    assert_eq!(legacy.versions(), before);
}

fn killed(legacy: &Legacy<'_>, args: &[&str], after: u64) {
    let mut command = legacy.db.cli_command("app_owner", args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process");
    thread::sleep(Duration::from_millis(after));
    child.kill().expect("kill");
    child.wait().expect("it ended");
    let mut admin = legacy.db.admin();
    while admin.number("select count(*) from pg_stat_activity where application_name = 'domain-events' and datname = current_database()") > 0 {
        thread::sleep(Duration::from_millis(2));
    }
}
