//! A database that is no longer what the plan was made from: exit code 4, nothing touched.

use domain_events_tests::{Db, engines};

use crate::Legacy;

engines! { a_stale_plan_is_refused, a_new_writer_makes_a_plan_stale, rollback_refuses_to_lose_a_later_change, without_a_store_nothing_is_applied }

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
