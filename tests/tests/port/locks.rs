//! Locks: readers never wait, writers not for long, and two applies do not meet.

use std::thread;
use std::time::Duration;

use domain_events_tests::{Db, engines, run};

use crate::Legacy;

engines! { a_lock_that_is_not_to_be_had_changes_nothing, a_second_apply_is_refused, readers_go_on_while_apply_waits }

fn a_lock_that_is_not_to_be_had_changes_nothing(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.plan(&[]);
    let before = legacy.definitions();
    let mut writer = db.owner();
    writer.run("begin; update users set login_count = 5 where id = 1");
    legacy
        .cli(&["apply", "--yes", "--lock-timeout", "20", legacy.file()])
        .expect(5)
        .saying("trying again")
        .saying("hint: ");
    assert_eq!(legacy.definitions(), before);
    assert_eq!(db.owner().number("select count(*) from domain_events.migration_plans"), 0);
    writer.run("commit");
    legacy.apply().expect(0);
}

fn a_second_apply_is_refused(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.plan(&[]);
    let mut writer = db.owner();
    writer.run("begin; update users set login_count = 5 where id = 1");
    thread::scope(|scope| {
        let first = scope.spawn(|| legacy.apply());
        let holder = "select count(*) from pg_locks where locktype = 'advisory' and granted
                       and database = (select oid from pg_database where datname = current_database())
                       and classid = x'70676465'::int::oid";
        let mut admin = db.admin();
        while admin.number(holder) == 0 {
            thread::sleep(Duration::from_millis(5));
        }
        legacy.apply().expect(5).saying("another domain-events command");
        writer.run("commit");
        first.join().expect("the first apply").expect(0);
    });
}

fn readers_go_on_while_apply_waits(db: &Db) {
    let legacy = Legacy::new(db);
    // a long reader, as pg_dump is one: neither apply, nor verify, nor rollback needs anything that it holds
    let mut long = db.owner();
    long.run("begin; lock table users, domain_events in access share mode");
    for strategy in ["capture", "shim", "rewrite"] {
        legacy.plan(&["--strategy", &format!("log_user_changes={strategy}")]);
        legacy.apply().expect(0);
        legacy.cli(&["verify"]).expect(0);
        legacy.rollback().expect(0);
    }
    long.run("commit");
    legacy.plan(&[]);
    // a writer keeps apply waiting; behind it, readers must not queue
    let mut writer = db.owner();
    writer.run("begin; update users set login_count = 5 where id = 1");
    thread::scope(|scope| {
        let apply = scope.spawn(|| run(&mut db.cli_command("app_owner", &["apply", "--yes", legacy.file()])));
        let mut reader = db.owner();
        reader.run("set lock_timeout = '50ms'");
        for _ in 0..40 {
            reader.run("select count(*) from users; select count(*) from domain_events");
            thread::sleep(Duration::from_millis(10));
        }
        writer.run("commit");
        apply.join().expect("apply").expect(0);
    });
}
