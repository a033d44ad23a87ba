//! An apply that is killed leaves the old state or the new one, whole.

use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use domain_events_tests::{Db, engines};

use crate::Legacy;

engines! { a_killed_apply_leaves_one_state_or_the_other, a_killed_backend_leaves_one_state_or_the_other }

/// Trigger, its function, registration, journal: all or nothing. Says which.
fn whole(legacy: &Legacy<'_>) -> bool {
    let parts = legacy.db.owner().table(
        "select (select count(*) from pg_trigger where tgname = '~domain_events_version' and tgenabled = 'O'),
                (select count(*) from pg_proc where proname = 'domain_events_assign_version'),
                (select count(*) from domain_events.event_tables),
                (select count(*) from domain_events.migration_plans where state = 'applied'),
                (select count(*) > 0 from domain_events.migration_journal)::int",
    );
    match parts.as_str() {
        "1|1|1|1|1" => true,
        "0|0|0|0|0" => false,
        other => panic!("neither the old state nor the new one: {other}"),
    }
}

fn a_killed_apply_leaves_one_state_or_the_other(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.plan(&[]);
    // in the middle of waiting for its lock
    let mut writer = db.owner();
    writer.run("begin; update users set login_count = 5 where id = 1");
    let mut child = start(&legacy);
    thread::sleep(Duration::from_millis(200));
    child.kill().expect("kill");
    child.wait().expect("apply ended");
    writer.run("commit");
    assert!(!whole(&legacy));
    // and at any other moment
    for n in 0..25 {
        let mut child = start(&legacy);
        thread::sleep(Duration::from_millis(4 * n));
        child.kill().expect("kill");
        child.wait().expect("apply ended");
        settle(db);
        if whole(&legacy) {
            break;
        }
    }
    // what a dead apply held is free again
    legacy.apply().expect(0);
    assert!(whole(&legacy));
}

fn a_killed_backend_leaves_one_state_or_the_other(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.plan(&[]);
    let mut admin = db.admin();
    for n in 0..15 {
        let mut child = start(&legacy);
        thread::sleep(Duration::from_millis(6 * n));
        admin.run("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'domain-events' and datname = current_database()");
        let code = child.wait().expect("apply ended").code();
        assert!(matches!(code, Some(0 | 1)), "{code:?}");
        settle(db);
        if whole(&legacy) {
            return;
        }
        assert_eq!(code, Some(1));
    }
    legacy.apply().expect(0);
}

fn start(legacy: &Legacy<'_>) -> Child {
    let mut command = legacy.db.cli_command("app_owner", &["apply", "--yes", legacy.file()]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("apply")
}

/// Waits until the server has noticed that the client is gone.
fn settle(db: &Db) {
    let mut admin = db.admin();
    while admin.number("select count(*) from pg_stat_activity where application_name = 'domain-events' and datname = current_database()") > 0 {
        thread::sleep(Duration::from_millis(2));
    }
}
