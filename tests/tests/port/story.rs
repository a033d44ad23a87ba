//! The whole story, from the failure to the port and back.

use domain_events_tests::{Db, engines};

use crate::Legacy;

engines! { the_whole_story, a_rolled_back_shim_is_dropped_by_finish, the_plan_can_be_applied_again_after_a_rollback }

fn the_whole_story(db: &Db) {
    let legacy = Legacy::new(db);
    let mut owner = db.owner();
    let before = legacy.definitions();
    owner.error("update users set login_count = login_count + 1 where id = 2").expect_code("23505");

    let findings = legacy.scan();
    assert_eq!(findings.len(), 1);
    for (key, value) in [
        ("code", "EV101"),
        ("severity", "error"),
        ("trigger", "log_user_changes"),
        ("table", "public.users"),
        ("function", "public.log_user_changes()"),
        ("event_table", "public.domain_events"),
        ("event_type", "UserUpdated"),
        ("version_source", "literal"),
        ("strategy", "shim"),
    ] {
        assert_eq!(findings[0][key], value, "{key} of {:?}", findings[0]);
    }
    assert_eq!(findings[0]["reasons"][0], "the version is the constant 1");
    let human = legacy.cli(&["scan"]).expect(3);
    assert!(human.stdout.contains("log_user_changes") && human.stdout.contains("EV101"), "{human:?}");

    legacy.plan(&[]).saying("written to");
    let text = std::fs::read_to_string(&legacy.plan).expect("the plan");
    for part in
        ["# Review it, then:", "SHARE ROW EXCLUSIVE on public.domain_events", "strategy = \"shim\"", "fingerprint = "]
    {
        assert!(text.contains(part), "{part:?} is not in the plan:\n{text}");
    }
    let dry = legacy.cli(&["apply", "--dry-run", legacy.file()]).expect(3);
    assert!(dry.stdout.contains("create trigger"), "{dry:?}");
    assert_eq!(legacy.definitions(), before, "a dry run changes nothing");

    legacy.apply().expect(0);
    legacy.apply().expect(0).saying("applied already");
    assert!(legacy.cli(&["apply", "--yes", "--format", "json", legacy.file()]).expect(0).json()["state"] == "applied");
    let checks = legacy.cli(&["verify", "--format", "json"]).expect(0).json();
    assert_eq!(checks["checks"][0]["verdict"], "equal");
    assert!(checks["checks"][0]["events"].as_i64().expect("a number") > 50, "{checks}");
    legacy.cli(&["verify", legacy.file()]).expect(0);

    for _ in 0..3 {
        owner.run("update users set login_count = login_count + 1 where id <= 10");
    }
    // the application's own writer with its hardcoded version is right now, too
    owner.run(
        "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
               values ('User', '2', 1, 'UserNoted', '{}')",
    );
    assert_eq!(owner.one("select max(aggregate_version) from domain_events where aggregate_id = '2'"), "5");
    assert_eq!(legacy.broken_streams(), 0);
    let ported = legacy.scan();
    assert_eq!(
        (&ported[0]["code"], &ported[0]["version_source"]),
        (&"EV190".into(), &"assigned_on_event_table".into())
    );
    legacy.cli(&["scan"]).expect(0);
    legacy.cli(&["plan", "--out", &format!("{}.empty", legacy.file())]).expect(0);
    std::fs::remove_file(format!("{}.empty", legacy.file())).ok();

    legacy.rollback().expect(0);
    let shim = legacy.cli(&["apply", "--finish", "--yes", legacy.file()]).expect(0);
    assert!(shim.stdout.contains("rolled_back"), "{shim:?}");
    assert_eq!(legacy.definitions(), before, "the old definitions, byte for byte");
    assert_eq!(owner.number("select count(*) from domain_events.event_tables"), 0);
    owner
        .error("update users set login_count = login_count + 1 where id = 7; update users set name = 'x' where id = 4")
        .expect_code("23505");
    legacy.rollback().expect_error(1, "55000");
}

fn a_rolled_back_shim_is_dropped_by_finish(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.plan(&[]);
    legacy.cli(&["apply", "--finish", "--yes", legacy.file()]).expect_error(1, "55000");
    legacy.apply().expect(0);
    legacy.rollback().expect(0).saying("apply --finish");
    let shim = "select count(*) from pg_trigger where tgname = '~domain_events_version' and tgenabled = 'D'";
    assert_eq!(db.owner().number(shim), 1, "disabled, so that no reader waits for a drop");
    legacy.cli(&["apply", "--finish", "--yes", legacy.file()]).expect(0);
    assert_eq!(db.owner().number(shim), 0);
}

fn the_plan_can_be_applied_again_after_a_rollback(db: &Db) {
    let legacy = Legacy::new(db);
    let mut owner = db.owner();
    legacy.plan(&[]);
    legacy.apply().expect(0);
    legacy.rollback().expect(0);
    // what is left of the shim makes the old file stale; a new one takes it up
    legacy.apply().expect(4).saying("error: ").saying("hint: ");
    legacy.plan(&[]);
    legacy.apply().expect(0);
    owner.run("update users set login_count = login_count + 1 where id <= 4");
    assert_eq!(legacy.broken_streams(), 0);
}
