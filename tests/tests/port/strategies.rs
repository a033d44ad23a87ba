//! Strategies rewrite and capture, and the decisions in the file.

use domain_events_tests::{Db, engines};

use crate::Legacy;

engines! { rewrite_changes_the_version_only, capture_takes_over_and_gives_back, decisions_are_made_in_the_file,
a_choice_that_cannot_be_is_refused, a_different_function_is_found_by_verify,
what_may_be_no_events_is_ported_only_after_an_answer }

fn rewrite_changes_the_version_only(db: &Db) {
    let legacy = Legacy::new(db);
    let mut owner = db.owner();
    owner.run("comment on function log_user_changes() is 'écrit l''historique'; revoke all on function log_user_changes() from public");
    let before = legacy.definitions();
    let source =
        |s: &mut domain_events_tests::Session| s.one("select prosrc from pg_proc where proname = 'log_user_changes'");
    let old = source(&mut owner);
    legacy.plan(&["--strategy", "log_user_changes=rewrite"]);
    legacy.apply().expect(0);
    let expected = old.replace(
        "'User', new.id, 1,",
        "'User', new.id, domain_events.next_aggregate_version('User', (new.id)::text, 'public.domain_events'::regclass),",
    );
    assert_eq!(source(&mut owner), expected, "every other byte stays");
    legacy.cli(&["verify"]).expect(0);
    for _ in 0..2 {
        owner.run("update users set login_count = login_count + 1 where id <= 10");
    }
    assert_eq!(legacy.broken_streams(), 0);
    legacy.cli(&["scan"]).expect(0);
    legacy.rollback().expect(0);
    assert_eq!(legacy.definitions(), before);
}

fn capture_takes_over_and_gives_back(db: &Db) {
    let legacy = Legacy::new(db);
    let mut owner = db.owner();
    owner.run("comment on trigger log_user_changes on users is 'history'");
    let before = legacy.definitions();
    legacy.plan(&["--strategy", "users.log_user_changes=capture"]);
    let text = std::fs::read_to_string(&legacy.plan).expect("the plan");
    assert!(text.contains("the legacy table gets no new rows"), "{text}");
    legacy.apply().expect(0);
    legacy.cli(&["verify"]).expect(0);
    let legacy_rows = owner.number("select count(*) from domain_events");
    for _ in 0..2 {
        owner.run("update users set login_count = login_count + 1 where id <= 3");
    }
    assert_eq!(owner.number("select count(*) from domain_events"), legacy_rows);
    let events = owner.table(
        "select aggregate_id, aggregate_version, event_type, event_name from domain_events.events where aggregate_id = '2' order by 2",
    );
    assert_eq!(events, "2|1|UserUpdated|User profile updated\n2|2|UserUpdated|User profile updated");

    // finish drops the legacy trigger; rollback brings it back all the same
    legacy.cli(&["apply", "--finish", "--yes", legacy.file()]).expect(0);
    assert_eq!(owner.number("select count(*) from pg_trigger where tgname = 'log_user_changes'"), 0);
    legacy.rollback().expect(0);
    assert_eq!(legacy.definitions(), before);
    owner.run("update users set login_count = login_count + 1 where id = 9");
    assert_eq!(owner.number("select count(*) from domain_events where aggregate_id = '9'"), 1);
}

fn decisions_are_made_in_the_file(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.plan(&[]);
    let text = std::fs::read_to_string(&legacy.plan).expect("the plan");
    std::fs::write(&legacy.plan, text.replace("strategy = \"shim\"", "strategy = \"rewrite\"")).expect("the plan");
    legacy.apply().expect(2).saying("--revise");
    legacy.plan(&["--revise", legacy.file()]);
    legacy.apply().expect(0);
    let source = db.owner().one("select prosrc from pg_proc where proname = 'log_user_changes'");
    assert!(source.contains("next_aggregate_version"), "{source}");
}

fn a_choice_that_cannot_be_is_refused(db: &Db) {
    let legacy = Legacy::new(db);
    let plan = |choice: &str| legacy.cli(&["plan", "--out", legacy.file(), "--strategy", choice]);
    plan("no_such_trigger=shim").expect(2).saying("no_such_trigger").saying("hint: ");
    db.owner().run("create view recent_events as select * from domain_events");
    plan("log_user_changes=capture").expect(2).saying("recent_events").saying("--adopt");
    legacy.plan(&["--strategy", "log_user_changes=capture", "--adopt"]);
    db.owner().run(
        "create function note(id bigint) returns void language sql as $$
           insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
           values ('User', $1::text, 1, 'UserNoted', '{}') $$",
    );
    plan("log_user_changes=rewrite").expect(2).saying("public.note(id bigint)");
    assert_eq!(legacy.scan().len(), 2, "the function of the application is found");
}

fn a_different_function_is_found_by_verify(db: &Db) {
    let legacy = Legacy::new(db);
    legacy.plan(&["--strategy", "log_user_changes=rewrite"]);
    let text = std::fs::read_to_string(&legacy.plan).expect("the plan");
    // SQL that the tool did not make is refused before anything runs
    let forged = text.replacen("next_aggregate_version('User'", "next_aggregate_version('Usr'", 1);
    std::fs::write(&legacy.plan, forged).expect("the plan");
    legacy.apply().expect(2).saying("edited by hand");
    legacy.cli(&["verify", legacy.file()]).expect(2);
}

fn what_may_be_no_events_is_ported_only_after_an_answer(db: &Db) {
    let legacy = Legacy::of(
        db,
        "create table kiln (id int primary key, name text);
         create table kiln_firing_log (id serial primary key, kiln_id int not null references kiln, firing_no int not null, at timestamptz not null default now(), unique (kiln_id, firing_no));
         create function first_firing() returns trigger language plpgsql as $$
         begin insert into kiln_firing_log (kiln_id, firing_no) values (new.id, 1); return new; end $$;
         create trigger first_firing after insert on kiln for each row execute function first_firing();",
    );
    let plan = |more: &[&str]| legacy.cli(&[&["plan", "--out", legacy.file()], more].concat());
    let text = || std::fs::read_to_string(&legacy.plan).expect("the plan");
    plan(&["--strategy", "first_firing=shim"]).expect(2).saying("--treat public.kiln_firing_log=events");
    plan(&[]).expect(3);
    assert!(text().contains("EV109") && text().contains("strategy = \"manual\""), "{}", text());
    // nor by a word in the file
    std::fs::write(&legacy.plan, text().replace("strategy = \"manual\"", "strategy = \"shim\"")).expect("the plan");
    legacy.apply().expect(2);
    assert_eq!(plan(&["--revise", legacy.file()]).code, 2);
    std::fs::remove_file(&legacy.plan).expect("removed");
    plan(&["--treat", "kiln_firing_log=entity"]).expect(0);
    legacy.plan(&["--treat", "public.kiln_firing_log=events"]);
    assert!(text().contains("treat = { \"public.kiln_firing_log\" = \"events\" }"), "{}", text());
    let answered = text();
    // the answer belongs to the plan
    std::fs::write(&legacy.plan, answered.replace("= \"events\" }", "= \"entity\" }")).expect("the plan");
    legacy.apply().expect(2);
    std::fs::write(&legacy.plan, answered).expect("the plan");
    legacy.plan(&["--revise", legacy.file()]);
    legacy.apply().expect(0);
    legacy.cli(&["verify", legacy.file()]).expect(0);
    db.owner().run(
        "insert into kiln values (1, 'a'), (2, 'b'); insert into kiln_firing_log (kiln_id, firing_no) values (1, 1)",
    );
    let numbers =
        "select string_agg(kiln_id || ':' || firing_no, ' ' order by kiln_id, firing_no) from kiln_firing_log";
    assert_eq!(db.owner().one(numbers), "1:1 1:2 2:1");
    legacy.rollback().expect(0);
}
