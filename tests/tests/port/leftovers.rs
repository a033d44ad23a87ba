//! What is left of a plan: its file, which may be lost, and what it had made, once it is rolled back.

use std::fs;

use domain_events_tests::{Db, engines};

use crate::Legacy;

engines! { a_lost_plan_is_finished_by_its_id, a_plan_is_written_over_nothing, nothing_of_a_plan_outlives_the_store }

const LEFT: &str =
    "select (select count(*) from pg_proc where proname like '%assign_version%' or proname like '%newest_version%')
    + (select count(*) from pg_trigger where tgname = '~domain_events_version')";

fn id_of(legacy: &Legacy<'_>) -> String {
    legacy.db.admin().one("select plan_id from domain_events.migration_plans order by applied_at desc limit 1")
}

fn a_lost_plan_is_finished_by_its_id(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.plan(&[]);
    legacy.apply().expect(0);
    let id = id_of(&legacy);
    fs::remove_file(&legacy.plan).expect("the plan");
    legacy.cli(&["apply", &id]).expect(1).saying(&id);
    legacy.rollback().expect(0).saying(&format!("apply --finish {id}"));
    assert_eq!(db.admin().number(LEFT), 2, "the trigger and its function");
    legacy.cli(&["apply", "--finish", "--dry-run", &id]).expect(3);
    legacy.cli(&["apply", "--finish", "--yes", &id]).expect(0);
    assert_eq!(db.admin().number(LEFT), 0);
    legacy
        .cli(&["apply", "--finish", "--yes", "20010101-000000-0000"])
        .expect_error(1, "55000")
        .saying("20010101-000000-0000");
    // a captured table's old trigger
    legacy.plan(&["--strategy", "log_user_changes=capture"]);
    legacy.apply().expect(0);
    fs::remove_file(&legacy.plan).expect("the plan");
    legacy.cli(&["apply", "--finish", "--yes", &id_of(&legacy)]).expect(0);
    assert_eq!(db.admin().number("select count(*) from pg_trigger where tgname = 'log_user_changes'"), 0);
}

fn a_plan_is_written_over_nothing(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.plan(&[]);
    let first = fs::read_to_string(&legacy.plan).expect("the plan");
    let again = || db.cli("app_owner", &["plan", "--out", legacy.file()]);
    again().expect_error(1, "58P02").saying("--revise");
    assert_eq!(fs::read_to_string(&legacy.plan).expect("the plan"), first);
    // what is revised gives way to its revision, until it is applied
    legacy.plan(&["--revise", legacy.file()]);
    assert_ne!(fs::read_to_string(&legacy.plan).expect("the plan"), first);
    legacy.apply().expect(0);
    let applied = fs::read_to_string(&legacy.plan).expect("the plan");
    again().expect_error(1, "58P02");
    let revise = db.cli("app_owner", &["plan", "--revise", legacy.file(), "--out", legacy.file()]);
    revise.expect_error(1, "55000").saying("is applied here");
    assert_eq!(fs::read_to_string(&legacy.plan).expect("the plan"), applied);
}

fn nothing_of_a_plan_outlives_the_store(db: &Db) {
    let legacy = Legacy::new(db);
    let before = legacy.definitions();
    for _ in 0..2 {
        legacy.plan(&[]);
        legacy.apply().expect(0);
        legacy.rollback().expect(0);
    }
    assert_eq!(db.admin().number(LEFT), 2);
    let user = if db.engine == domain_events_tests::Engine::Portable { "app_owner" } else { "postgres" };
    let planned = db.cli(user, &["uninstall", "--dry-run"]).expect(3);
    assert!(planned.stdout.contains("drop trigger \"~domain_events_version\""), "{planned:?}");
    let run = db.cli(user, &["uninstall", "--yes"]).expect(0);
    assert!(!run.stderr.contains("will fail when it runs"), "{run:?}");
    assert_eq!(db.admin().number(LEFT), 0);
    assert_eq!(legacy.definitions(), before);
    db.owner().run("update users set login_count = 1 where id = 1");
}
