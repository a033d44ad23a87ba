//! A repair while the application writes.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use domain_events_tests::{Db, engines};

use crate::{APPLICATION, Legacy};

const SESSIONS: usize = 8;

engines! {
    eight_sessions_write_while_a_log_is_repaired,
    a_killed_repair_goes_on_while_a_broken_trigger_writes,
    a_lock_that_is_not_to_be_had
}

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
    println!("{done:?} updates, the slowest took {slowest:?} ms");
    assert!(done.load(Ordering::SeqCst) > 50);
    assert!(slowest.load(Ordering::SeqCst) < 3000, "an update waited {slowest:?} ms");
    assert_eq!(legacy.broken_streams(), 0);
    // every update has its event
    let lost = "select count(*) from users u where u.id <= 5 and (select count(*) from domain_events e
                  where e.aggregate_id = u.id::text and e.event_type = 'UserUpdated') <> u.n - (case when u.id = 4 then 3 when u.id = 2 then 2 else 1 end)";
    assert_eq!(db.owner().number(lost), 0);
}

fn a_killed_repair_goes_on_while_a_broken_trigger_writes(db: &Db) {
    // not ported and no key: the trigger goes on writing version 1 all the time, and nobody may notice the repair
    let legacy = Legacy::of(
        db,
        &format!(
            "{APPLICATION};
             insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type)
             select 'Old', s, 1, 'e' from generate_series(1, 500) s, generate_series(1, 4)"
        ),
    );
    legacy.propose(&["--batch-size", "20"]);
    let stop = AtomicBool::new(false);
    let (done, kills) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for n in 0..SESSIONS {
            let (stop, done) = (&stop, &done);
            scope.spawn(move || {
                let mut session = db.owner();
                while !stop.load(Ordering::SeqCst) {
                    session.run(&format!("update users set n = n + 1 where id = {}", 1 + n % 5));
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for n in 0..6 {
            let mut command = db.cli_command("app_owner", &["repair", "--yes", legacy.file()]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a repair");
            thread::sleep(Duration::from_millis(60 + 40 * n));
            if child.try_wait().expect("its state").is_none() {
                kills.fetch_add(1, Ordering::SeqCst);
            }
            child.kill().expect("kill");
            child.wait().expect("it ended");
            let mut admin = db.admin();
            while admin.number("select count(*) from pg_stat_activity where application_name = 'domain-events' and datname = current_database()") > 0 {
                thread::sleep(Duration::from_millis(2));
            }
        }
        let run = legacy.apply();
        stop.store(true, Ordering::SeqCst);
        run.expect(0);
    });
    println!("{done:?} updates, killed {kills:?} times");
    // every planned stream is whole up to the moment of its batch, and every update has its event
    let old = "select count(*) from (select from domain_events where aggregate_type = 'Old' group by aggregate_id
                 having array_agg(aggregate_version order by id) <> '{1,2,3,4}') s";
    let mut owner = db.owner();
    assert_eq!(owner.number(old), 0);
    let mapped =
        "select count(*) from domain_events.repaired_versions m join public.domain_events e on e.id = m.row_key::bigint
                   where e.aggregate_version <> m.new_version or m.repaired_at is null";
    assert_eq!(owner.number(mapped), 0);
    let lost = "select count(*) from users u where (select count(*) from domain_events e where e.aggregate_type = 'User' and e.aggregate_id = u.id::text) <> u.n";
    assert_eq!(owner.number(lost), 0);
    // what the trigger wrote since is the next repair's
    legacy.propose(&[]);
    legacy.apply().expect(0);
    assert_eq!(legacy.broken_streams(), 0);
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
