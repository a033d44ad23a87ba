//! A log without its unique key, under a writer that is still broken: ported first, then repaired, then keyed, while the
//! application works.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use domain_events_tests::{Db, engines};

use crate::{APPLICATION, Legacy};

const SESSIONS: usize = 8;

engines! { a_log_without_a_key_is_ported_repaired_and_keyed_under_traffic, a_trigger_that_reads_max_needs_no_key_to_be_ported }

fn a_log_without_a_key_is_ported_repaired_and_keyed_under_traffic(db: &Db) {
    let legacy = Legacy::of(
        db,
        &format!(
            "{APPLICATION}; create index on domain_events (aggregate_type, aggregate_id); update users set n = 0; delete from domain_events; update users set n = n + 1; update users set n = n + 1"
        ),
    );
    assert_eq!(legacy.broken_streams(), 40, "each stream has version 1 twice");
    let (stop, updates, inserts) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let plan = format!("{}.plan", legacy.file());
    thread::scope(|scope| {
        for n in 0..SESSIONS {
            let (stop, updates, inserts) = (&stop, &updates, &inserts);
            scope.spawn(move || {
                let mut session = db.owner();
                while !stop.load(Ordering::SeqCst) {
                    session.run(&format!("update users set n = n + 1 where id = {}", 1 + n % 5));
                    updates.fetch_add(1, Ordering::SeqCst);
                    session.run(&format!(
                        "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type) values ('User', '{}', 1, 'UserNoted')",
                        1 + n % 3
                    ));
                    inserts.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        thread::sleep(Duration::from_millis(100));
        let finished = {
            let runs = [
                vec!["plan", "--out", &plan, "--strategy", "log_user=shim"],
                vec!["apply", "--yes", &plan],
                vec!["repair", "--out", legacy.file()],
                vec!["repair", "--yes", "--add-key", legacy.file()],
                vec!["verify", &plan],
            ];
            runs.into_iter().map(|args| (args.join(" "), legacy.cli(&args))).collect::<Vec<_>>()
        };
        thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::SeqCst);
        for (what, run) in finished {
            assert_eq!(run.code, if what.contains("--out") { 3 } else { 0 }, "{what}: {run:?}");
        }
    });
    std::fs::remove_file(&plan).ok();
    println!("{} engine: {updates:?} updates and {inserts:?} inserts, none failed", db.engine.name());
    let mut owner = db.owner();
    let streams = "select count(*) from (select from domain_events group by aggregate_type, aggregate_id
                    having min(aggregate_version) <> 1 or max(aggregate_version) <> count(*) or count(distinct aggregate_version) <> count(*)) s";
    assert_eq!(owner.number(streams), 0);
    let events = owner.number("select count(*) from domain_events where event_type = 'UserUpdated'") as u64;
    assert_eq!(events, 80 + updates.load(Ordering::SeqCst), "one per update");
    assert_eq!(
        owner.number("select count(*) from domain_events where event_type = 'UserNoted'") as u64,
        inserts.load(Ordering::SeqCst)
    );
    let key = "select count(*) from pg_index where indrelid = 'public.domain_events'::regclass and indisunique and indisvalid and indnkeyatts = 3";
    assert_eq!(owner.number(key), 1);
    // sessions draw the number of a row before they are told its version, so that the one may contradict the other
    let findings = legacy.findings("public.domain_events");
    assert!(findings.iter().all(|f| f.starts_with("RP104") || f.starts_with("RP105")), "{findings:?}");
}

fn a_trigger_that_reads_max_needs_no_key_to_be_ported(db: &Db) {
    let legacy = Legacy::of(
        db,
        &APPLICATION.replace(
            "new.id::text, 1,",
            "new.id::text, (select coalesce(max(e.aggregate_version), 0) + 1 from domain_events e where e.aggregate_type = 'User' and e.aggregate_id = new.id::text),",
        ),
    );
    let plan = format!("{}.plan", legacy.file());
    legacy.cli(&["plan", "--out", &plan]).expect(3);
    let text = std::fs::read_to_string(&plan).expect("the plan");
    assert!(text.contains("strategy = \"shim\"") && text.contains("repair --add-key"), "{text}");
    legacy.cli(&["apply", "--yes", &plan]).expect(0);
    legacy.cli(&["verify", &plan]).expect(0);
    db.owner().run("update users set n = n + 1");
    assert_eq!(legacy.broken_streams(), 0);
    legacy.cli(&["repair", "--add-key"]).expect(0);
    legacy.cli(&["rollback", "--yes"]).expect(0);
    std::fs::remove_file(&plan).ok();
}
