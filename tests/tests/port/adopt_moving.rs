//! While an adoption checks and moves old events, others write: nothing is missed, and no version is given twice.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use domain_events_tests::{Db, Session, engines};

use crate::Legacy;
use crate::adopt::{nothing_is_found, nothing_is_found_but};

engines! { streams_are_held_while_they_are_moved, rows_that_are_broken_after_the_check_are_refused }

/// The rows are checked before anything is locked; what is written until the lock is there is checked under it.
fn rows_that_are_broken_after_the_check_are_refused(db: &Db) {
    let legacy = Legacy::new(db);
    let mut owner = db.owner();
    legacy.plan(&["--adopt"]);
    // invisible to the check, and keeps the switch waiting
    owner.run(
        "begin; insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
                      values ('User', '2', 1 + 1, 'X', '{}'), ('User', '2', 5, 'X', '{}')",
    );
    let child = db
        .cli_command(legacy.user(), &["apply", "--yes", legacy.file()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("apply");
    let mut watcher = db.admin();
    let waiting = "select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock' and relation = 'domain_events'::regclass";
    let begun = Instant::now();
    while watcher.number(waiting) == 0 {
        assert!(begun.elapsed().as_secs() < 20, "apply never asked for its lock");
        thread::sleep(Duration::from_millis(2));
    }
    owner.run("commit");
    let output = child.wait_with_output().expect("apply ended");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("(User, 2)") && text.contains("repair"), "{text}");
    assert_eq!(owner.one("select relkind from pg_class where oid = 'domain_events'::regclass"), "r");
    assert_eq!(owner.number("select count(*) from domain_events.adoptions"), 0);
    owner.run("delete from domain_events where aggregate_id = '2' and aggregate_version = 5");
    legacy.apply().expect(0);
    assert_eq!(owner.number("select count(*) from domain_events.events where aggregate_id = '2'"), 2);
    nothing_is_found(db);
}

/// While old events are moved, every way to append to their streams knows how far they have come.
fn streams_are_held_while_they_are_moved(db: &Db) {
    let legacy = Legacy::new(db);
    let mut owner = db.owner();
    owner.run("insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
               select 'Order', i, v, 'OrderPlaced', '{}' from generate_series(1, 20) i, generate_series(1, 3) v order by v, i");
    legacy.plan(&["--adopt"]);
    let mut old = db.owner();
    old.run("begin isolation level repeatable read; select count(*) from domain_events.events");
    // whoever has moved an event and is not done keeps the mover waiting, and nobody else
    let mut holder = db.owner();
    let mut mover = db.cli_command(legacy.user(), &["apply", "--yes", legacy.file()]);
    // the mover waits for this one, the first of all
    let mut child = {
        let mut gate = db.admin();
        gate.run("begin; lock table domain_events.adoptions in share mode");
        let child = mover.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("apply");
        thread::sleep(Duration::from_millis(300));
        gate.run("commit");
        child
    };
    let moving = "select count(*) from domain_events.adoptions where state = 'moving'";
    while owner.number("select count(*) from domain_events.adoptions") == 0 {
        assert!(child.try_wait().expect("apply").is_none(), "apply ended early");
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("kill");
    child.wait().expect("apply ended");
    assert_eq!(owner.number(moving), 1);
    let moved = owner.number("select count(*) from domain_events.events");
    assert!(moved < 2560, "{moved} were moved before it was killed");
    nothing_is_found_but(db, "adoption_unfinished");
    let version = |s: &mut Session, call: &str| s.one(&format!("select aggregate_version from {call}"));
    let mut session = db.owner();
    assert_eq!(version(&mut session, "domain_events.append_event('Order', '11', 'A')"), "4");
    assert_eq!(version(&mut session, "domain_events.append_event('Order', '12', 'A', expected_version => 3)"), "4");
    session
        .error("select domain_events.append_event('Order', '13', 'A', expected_version => 0)")
        .expect("23000")
        .naming("actual 3");
    session
        .error("select domain_events.append_event('Order', '14', 'A', expected_version => 2)")
        .expect("23000")
        .naming("actual 3");
    assert_eq!(
        session.table("select aggregate_version from domain_events.append_events('Order', '15', '[{\"event_type\":\"A\"},{\"event_type\":\"B\"}]')"),
        "4\n5"
    );
    assert_eq!(
        version(
            &mut session,
            "domain_events.append_events('[{\"event_type\":\"A\", \"aggregate_type\": \"Order\", \"aggregate_id\": \"16\"}]', '[{\"aggregate_type\": \"Order\", \"aggregate_id\": \"17\", \"version\": 3}]')"
        ),
        "4"
    );
    assert_eq!(session.number("select domain_events.next_aggregate_version('Order', '18')"), 4);
    session.run("create table orders (id int primary key, n int); insert into orders values (19, 1), (20, 1), (21, 1)");
    session.run("select domain_events.enable_capture('orders'); update orders set n = 2");
    session.run("begin isolation level serializable; update orders set n = 3 where id = 20; commit");
    assert_eq!(session.table("select aggregate_id, max(aggregate_version) from domain_events.events where aggregate_id in ('19', '20', '21') and aggregate_type = 'Order' group by 1 order by 1"), "19|4\n20|5\n21|1");
    session.run("insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data) values ('Order', '13', 1, 'C', '{}')");
    // a snapshot from before cannot know: it is told to come again
    assert_eq!(old.error("select domain_events.append_event('Order', '10', 'A')").code, "40001");
    old.run("rollback");
    nothing_is_found_but(db, "adoption_unfinished");
    holder.run("begin");
    holder.run("select domain_events.append_event('Order', '1', 'A')");
    // rolled back, so is what it moved
    holder.run("rollback");
    legacy.apply().expect(0).saying("goes on");
    let whole = "select count(*) from (select from domain_events.events group by aggregate_type, aggregate_id
                  having min(aggregate_version) <> 1 or max(aggregate_version) <> count(*)) s";
    assert_eq!(owner.number(whole), 0);
    assert_eq!(
        owner.number("select count(*) from domain_events.events where aggregate_type = 'Order'"),
        60 + 1 + 1 + 2 + 1 + 1 + 2 + 1 + 1
    );
    assert_eq!(owner.one("select tgenabled from pg_trigger where tgname = 'events_adopt_first'"), "D");
    nothing_is_found(db);
}
