//! A repair while the application writes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use domain_events_tests::{Db, engines};

use crate::{APPLICATION, Legacy};

const SESSIONS: usize = 8;

engines! { eight_sessions_write_while_a_log_is_repaired, a_lock_that_is_not_to_be_had }

fn eight_sessions_write_while_a_log_is_repaired(db: &Db) {
    // ported, and still broken from before: streams go on while they are renumbered
    let legacy = Legacy::of(
        db,
        &format!(
            "{APPLICATION};
             delete from domain_events;
             alter table domain_events add constraint uk unique (aggregate_type, aggregate_id, aggregate_version);
             insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type)
             select 'User', u, v * 3, 'Old' from generate_series(1, 40) u, generate_series(1, 50) v"
        ),
    );
    let plan = format!("{}.plan", legacy.file());
    legacy.cli(&["plan", "--out", &plan]).expect(3);
    legacy.cli(&["apply", "--yes", &plan]).expect(0);
    std::fs::remove_file(&plan).ok();
    let (stop, done, slowest) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for n in 0..SESSIONS {
            let (stop, done, slowest) = (&stop, &done, &slowest);
            scope.spawn(move || {
                let mut session = db.owner();
                while !stop.load(Ordering::SeqCst) {
                    let begun = Instant::now();
                    // five streams for eight sessions: they meet
                    session.run(&format!("update users set n = n + 1 where id = {}", 1 + n % 5));
                    done.fetch_add(1, Ordering::SeqCst);
                    slowest.fetch_max(u64::try_from(begun.elapsed().as_millis()).expect("short"), Ordering::SeqCst);
                }
            });
        }
        thread::sleep(Duration::from_millis(100));
        // proposed and carried out in the middle of it
        legacy.propose(&["--batch-size", "100"]);
        thread::sleep(Duration::from_millis(200));
        let run = legacy.apply();
        thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::SeqCst);
        run.expect(0).saying("numbered after the others");
    });
    assert!(done.load(Ordering::SeqCst) > 50);
    assert!(slowest.load(Ordering::SeqCst) < 3000, "an update waited {slowest:?} ms");
    assert_eq!(legacy.broken_streams(), 0);
    // every update has its event
    let lost = "select count(*) from users u where u.id <= 5 and (select count(*) from domain_events e
                  where e.aggregate_id = u.id::text and e.event_type = 'UserUpdated') <> u.n - (case when u.id = 4 then 3 when u.id = 2 then 2 else 1 end)";
    assert_eq!(db.owner().number(lost), 0);
}

fn a_lock_that_is_not_to_be_had(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.propose(&[]);
    let mut writer = db.owner();
    writer.run("begin; update domain_events set event_data = '{}' where id = 1");
    // readers, and the writer, are not kept waiting for longer than the timeout
    let run = legacy.cli(&["repair", "--yes", "--lock-timeout", "20", legacy.file()]);
    run.expect(5);
    assert_eq!(legacy.broken_streams(), 20);
    writer.run("commit");
    legacy.apply().expect(0);
    assert_eq!(legacy.broken_streams(), 0);
}
