//! A database that is no longer what the plan was made from: exit code 4, nothing touched.

use domain_events_tests::{Db, Engine, engines};

use crate::Legacy;

engines! { a_stale_plan_is_refused, a_new_writer_makes_a_plan_stale, rollback_refuses_to_lose_a_later_change, without_a_store_nothing_is_applied, without_rights_nothing_is_applied, a_superuser_applies_for_the_owner }

fn a_stale_plan_is_refused(db: &Db) {
    let legacy = Legacy::new(db);
    let mut owner = db.owner();
    legacy.plan(&[]);
    let changes = [
        ("comment on function log_user_changes() is 'new'", "comment on function log_user_changes() is null"),
        ("alter table users disable trigger log_user_changes", "alter table users enable trigger log_user_changes"),
        ("alter table domain_events add note text", "alter table domain_events drop note"),
        ("grant execute on function log_user_changes() to domain_events_reader", ""),
    ];
    for (change, back) in changes {
        owner.run(change);
        let before = legacy.definitions();
        legacy.apply().expect(4).saying("error: ").saying("Nothing was touched");
        assert_eq!(legacy.definitions(), before);
        assert_eq!(owner.number("select count(*) from domain_events.migration_plans"), 0);
        owner.run(back);
    }
    legacy.plan(&[]);
    owner.run("alter table domain_events drop constraint uk_aggregate_version");
    legacy.apply().expect(4);
    let finding = &legacy.scan()[0];
    assert_eq!(finding["strategy"], "manual", "without a unique key nothing can be served: {finding}");
}

fn a_new_writer_makes_a_plan_stale(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.plan(&["--strategy", "log_user_changes=rewrite"]);
    db.owner().run(
        "create procedure note(id bigint) language sql as $$
           insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
           values ('User', $1::text, 1, 'UserNoted', '{}') $$",
    );
    legacy.apply().expect(4).saying("stale");
}

fn rollback_refuses_to_lose_a_later_change(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.plan(&["--strategy", "log_user_changes=rewrite"]);
    legacy.apply().expect(0);
    db.owner().run(
        "create or replace function log_user_changes() returns trigger language plpgsql as 'begin return new; end'",
    );
    let before = legacy.definitions();
    legacy.rollback().expect(4).saying("log_user_changes").saying("Nothing was touched");
    assert_eq!(legacy.definitions(), before);
}

fn without_a_store_nothing_is_applied(db: &Db) {
    let none = Db::new(domain_events_tests::Engine::None);
    let legacy = Legacy::new(&none);
    legacy.plan(&[]).saying("domain-events install");
    legacy.apply().expect_error(1, "55000").saying("domain-events install");
    legacy.cli(&["verify", legacy.file()]).expect_error(1, "55000");
    legacy.rollback().expect_error(1, "55000");
    let missing = db.cli("app_owner", &["apply", "/no/such/file.toml"]);
    missing.expect(1).saying("/no/such/file.toml");
    std::fs::write(&legacy.plan, "format = 1\nplan_id = ").expect("a file");
    legacy.apply().expect(2).saying("is not a plan");
}

fn without_rights_nothing_is_applied(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.plan(&[]);
    let before = legacy.definitions();
    let stranger = db.role("stranger");
    // reading the catalogue is everybody's right
    db.cli(&stranger, &["scan"]).expect(3);
    db.cli(&stranger, &["apply", "--yes", legacy.file()]).expect_error(1, "42501");
    assert_eq!(legacy.definitions(), before);
    legacy.apply().expect(0);
    db.cli(&stranger, &["rollback", "--yes"]).expect_error(1, "42501");
}

/// The shim runs with the rights of the table's owner, not with those of whoever applied the plan.
fn a_superuser_applies_for_the_owner(db: &Db) {
    let legacy = Legacy::new(db);
    db.cli("postgres", &["plan", "--out", legacy.file()]).expect(3);
    // of a store whose owner is no superuser, a superuser runs nothing that is written in it, and writes nothing into it
    let lesser = db.engine == Engine::Portable;
    if lesser {
        db.cli("postgres", &["apply", "--yes", legacy.file()]).expect_error(1, "42501");
        // the owner's plan is the owner's
        std::fs::remove_file(&legacy.plan).expect("the plan");
        db.cli("app_owner", &["plan", "--out", legacy.file()]).expect(3);
    }
    db.cli(if lesser { "app_owner" } else { "postgres" }, &["apply", "--yes", legacy.file()]).expect(0);
    let mut owner = db.owner();
    assert_eq!(
        owner.one("select proowner::regrole::text from pg_proc where proname = 'domain_events_assign_version'"),
        "app_owner"
    );
    for _ in 0..2 {
        owner.run("update users set login_count = login_count + 1 where id <= 4");
    }
    assert_eq!(legacy.broken_streams(), 0);
    if lesser {
        db.cli("postgres", &["verify"]).expect_error(1, "42501");
        db.cli("postgres", &["rollback", "--yes"]).expect_error(1, "42501");
    }
    let verify: &[&str] = if lesser { &["verify", legacy.file()] } else { &["verify"] };
    db.cli("postgres", verify).expect(0);
    // what was proven must be what is there
    owner.run("alter table domain_events disable trigger \"~domain_events_version\"");
    let changed = db.cli("postgres", verify).expect(3);
    assert!(changed.stdout.contains("changed since the plan was applied"), "{changed:?}");
    owner.run("alter table domain_events enable trigger \"~domain_events_version\"");
    db.cli(if lesser { "app_owner" } else { "postgres" }, &["rollback", "--yes"]).expect(0);
}
