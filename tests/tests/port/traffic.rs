//! Applying a plan, and taking it back, while the application works.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use domain_events_tests::{Db, engines};

use crate::Legacy;

const SESSIONS: usize = 8;

engines! { eight_sessions_update_while_a_shim_is_applied, eight_sessions_update_while_a_function_is_rewritten,
eight_sessions_update_while_capture_takes_over }

fn eight_sessions_update_while_a_shim_is_applied(db: &Db) {
    under_traffic(db, "shim");
}

fn eight_sessions_update_while_a_function_is_rewritten(db: &Db) {
    under_traffic(db, "rewrite");
}

fn eight_sessions_update_while_capture_takes_over(db: &Db) {
    under_traffic(db, "capture");
}

fn under_traffic(db: &Db, strategy: &str) {
    let legacy = Legacy::new(db);
    // every update fails before the port; what is applied must not lose or break one that begins after it
    legacy.plan(&["--strategy", &format!("log_user_changes={strategy}")]);
    let (applied, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let (done, failed, ported) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    // sessions whose last update of the time in force has ended
    let ended: Vec<AtomicBool> = (0..SESSIONS).map(|_| AtomicBool::new(false)).collect();
    thread::scope(|scope| {
        for (n, ended) in ended.iter().enumerate() {
            let (applied, stop, done, failed, ported) = (&applied, &stop, &done, &failed, &ported);
            scope.spawn(move || {
                let mut session = db.owner();
                while !stop.load(Ordering::SeqCst) {
                    let was_applied = applied.load(Ordering::SeqCst);
                    ended.store(!was_applied, Ordering::SeqCst);
                    // five streams for eight sessions: they meet
                    let update =
                        format!("update users set login_count = login_count + 1 where id = {}", 2 + 2 * (n % 5));
                    match session.attempt(&update) {
                        Ok(_) => {
                            done.fetch_add(1, Ordering::SeqCst);
                            ported.fetch_add(was_applied.into(), Ordering::SeqCst);
                        }
                        Err(failure) => {
                            assert!(!was_applied, "an update failed after the port: {failure}");
                            assert_eq!(failure.code, "23505", "only the legacy failure: {failure}");
                            failed.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
        thread::sleep(Duration::from_millis(200));
        let outcome = legacy.apply();
        applied.store(true, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(500));
        outcome.expect(0);
        // the way back is open under the same traffic; then the legacy failure is there again
        applied.store(false, Ordering::SeqCst);
        let patience = Instant::now() + Duration::from_secs(60);
        while !ended.iter().all(|session| session.load(Ordering::SeqCst)) && Instant::now() < patience {
            thread::sleep(Duration::from_millis(1));
        }
        let back = legacy.rollback();
        stop.store(true, Ordering::SeqCst);
        back.expect(0);
    });
    assert!(failed.load(Ordering::SeqCst) > 0, "the legacy failure was there before");
    assert!(done.load(Ordering::SeqCst) > 50, "the traffic went on after");
    assert_eq!(legacy.broken_streams(), 0);
    // every update that the application was told of has its event, in the legacy table or in the store, and no other
    let events = "(select count(*) from domain_events e where e.aggregate_id = u.id::text)
                + (select count(*) from domain_events.events e where e.aggregate_type = 'User' and e.aggregate_id = u.id::text)";
    let lost = format!("select count(*) from users u where {events} <> u.login_count and u.id in (2, 4, 6, 8, 10)");
    assert_eq!(db.owner().number(&lost), 0);
    let broken = db.owner().number(
        "select count(*) from (select from domain_events.events where aggregate_type = 'User' group by aggregate_id
           having min(aggregate_version) <> 1 or max(aggregate_version) <> count(*)) s",
    );
    assert_eq!(broken, 0);
    // past the test's capture, so that `make test` shows it too
    let _ = writeln!(
        std::io::stderr(),
        "{strategy}, {}: {SESSIONS} sessions, {} updates passed, {} of them while the port was in force, where none failed; \
         {} failed before and after it by the legacy fault; 0 events lost, 0 versions doubled",
        db.engine.name(),
        done.load(Ordering::SeqCst),
        ported.load(Ordering::SeqCst),
        failed.load(Ordering::SeqCst)
    );
}
