//! From a dump of MySQL to triggers that work in PostgreSQL: scan, plan, apply, rollback.

use std::{env, fs, path::PathBuf};

use domain_events_tests::{Db, Engine, engines};

use crate::worlds::{SEED, World};

engines! {
    the_seeds_world_is_moved_and_the_second_update_works,
    nothing_is_planned_where_the_tables_are_missing,
    a_plan_is_stale_when_a_table_changes,
    what_cannot_be_translated_is_left_to_a_person,
    a_live_server_is_read_as_its_dump_is,
    captured_triggers_are_not_created,
    a_view_of_the_store_takes_the_events_as_they_are,
    a_view_that_the_store_did_not_make_is_left_to_a_person,
    one_plan_does_not_adopt_and_translate,
    helpers_outlive_the_plan_that_brought_them,
}

fn plan_file(name: &str) -> PathBuf {
    env::temp_dir().join(format!("plan-{name}-{}-{:?}.toml", std::process::id(), std::thread::current().id()))
}

fn the_seeds_world_is_moved_and_the_second_update_works(db: &Db) {
    let world = World::new(SEED);
    world.create_tables(db);
    let scan = db.cli("app_owner", &["scan", "--from", world.path(), "--format", "json"]).expect(3).json();
    let findings = scan["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), 2, "{scan:#}");
    let of = |name: &str| findings.iter().find(|f| f["trigger"] == name).expect("a finding").clone();
    assert_eq!(of("user_created")["code"], "EV101");
    assert_eq!(of("user_created")["version_source"], "literal");
    assert_eq!(of("log_user_changes")["version_source"], "max_plus_one");
    assert_eq!(of("log_user_changes")["table"], "users");
    assert_eq!(of("log_user_changes")["event_table"], "domain_events");
    assert_eq!(of("log_user_changes")["function"], serde_json::Value::Null);
    assert_eq!(of("log_user_changes")["strategy"], "shim");
    assert_eq!(scan["session_variables"]["@actor_id"], "app.actor_id");

    let file = plan_file("seed");
    let path = file.to_str().expect("UTF-8");
    db.cli("app_owner", &["plan", "--from", world.path(), "--out", path]).expect(3).saying("app.actor_id");
    let text = fs::read_to_string(&file).expect("the plan");
    assert!(text.contains("@actor_id -> app.actor_id"), "{text}");
    db.cli("app_owner", &["apply", path, "--dry-run"]).expect(3);
    db.cli("app_owner", &["apply", path]).expect(0);

    let mut app = db.owner();
    app.run("set app.actor_id = '77'; insert into users (name) values ('Ann'); update users set name = 'Anna'; update users set email = 'a@b.c'");
    let rows = app.rows("select aggregate_version::text, event_type, caused_by_user_id::text from domain_events order by aggregate_version");
    let shown: Vec<Vec<&str>> = rows.iter().map(|r| r.iter().map(|v| v.as_deref().unwrap_or("-")).collect()).collect();
    assert_eq!(shown, [["1", "UserCreated", "77"], ["2", "UserUpdated", "1"], ["3", "UserUpdated", "1"]]);

    db.cli("app_owner", &["rollback"]).expect(0);
    app.run("update users set name = 'B'");
    assert_eq!(app.rows("select count(*)::text from domain_events"), [[Some("3".to_owned())]]);
    db.cli("app_owner", &["apply", path, "--finish"]).expect(0);
    let left = app.rows(
        "select count(*)::text from pg_proc where pronamespace = 'public'::regnamespace and prosrc like '%aggregate_version%'",
    );
    assert_eq!(left, [[Some("0".to_owned())]]);
    // as if nothing had been
    fs::remove_file(&file).ok();
    db.cli("app_owner", &["plan", "--from", world.path(), "--out", path]).expect(3);
    fs::remove_file(file).ok();
}

fn nothing_is_planned_where_the_tables_are_missing(db: &Db) {
    let world = World::new(SEED);
    let file = plan_file("missing");
    let path = file.to_str().expect("UTF-8");
    db.cli("app_owner", &["plan", "--from", world.path(), "--out", path])
        .expect_error(1, "42P01")
        .saying("import --from");
    assert!(!file.exists());
}

fn a_plan_is_stale_when_a_table_changes(db: &Db) {
    let world = World::new(SEED);
    world.create_tables(db);
    let file = plan_file("stale");
    let path = file.to_str().expect("UTF-8");
    db.cli("app_owner", &["plan", "--from", world.path(), "--out", path]).expect(3);
    db.owner().run("alter table users add column more text");
    db.cli("app_owner", &["apply", path]).expect(4);
    db.owner().run(
        "alter table users drop column more; create function log_user_changes() returns int language sql as 'select 1'",
    );
    db.cli("app_owner", &["apply", path]).expect(4).saying("exists already");
    fs::remove_file(file).ok();
}

fn what_cannot_be_translated_is_left_to_a_person(db: &Db) {
    let script =
        SEED.replace("json_object('name', new.name, ", "json_object('name', json_search(new.name, 'one', 'x'), ");
    assert_ne!(script, SEED);
    let world = World::new(&script);
    world.create_tables(db);
    let file = plan_file("refused");
    let path = file.to_str().expect("UTF-8");
    let plan =
        db.cli("app_owner", &["plan", "--from", world.path(), "--out", path, "--format", "json"]).expect(3).json();
    let port =
        plan["ports"].as_array().expect("ports").iter().find(|p| p["trigger"] == "user_created").expect("its port");
    assert_eq!(port["strategy"], "manual");
    assert!(
        port["reasons"].to_string().contains("JSON_SEARCH") || port["reasons"].to_string().contains("json_search"),
        "{port:#}"
    );
    db.cli("app_owner", &["apply", path]).expect(0);
    let triggers = db
        .owner()
        .rows("select tgname from pg_trigger where tgrelid = 'users'::regclass and not tgisinternal order by 1");
    assert_eq!(triggers, [[Some("log_user_changes".to_owned())]]);
    fs::remove_file(file).ok();
}

fn a_live_server_is_read_as_its_dump_is(db: &Db) {
    let world = World::new(SEED);
    world.create_tables(db);
    let scan = |from: &str| db.cli("app_owner", &["scan", "--from", from, "--format", "json"]).expect(3).json();
    let (dump, live) = (scan(world.path()), scan(&world.maria.url()));
    let told = |scan: &serde_json::Value| -> Vec<(String, String, String)> {
        let text = |f: &serde_json::Value, key: &str| f[key].as_str().unwrap_or_default().to_owned();
        let findings = scan["findings"].as_array().expect("findings");
        findings.iter().map(|f| (text(f, "code"), text(f, "trigger"), text(f, "strategy"))).collect()
    };
    assert_eq!(told(&dump), told(&live));
    let file = plan_file("live");
    let path = file.to_str().expect("UTF-8");
    db.cli("app_owner", &["plan", "--from", &world.maria.url(), "--out", path]).expect(3);
    db.cli("app_owner", &["apply", path]).expect(0);
    db.owner().run("insert into users (name) values ('Ann'); update users set name = 'Bea'");
    assert_eq!(db.owner().rows("select count(*)::text from domain_events"), [[Some("2".to_owned())]]);
    fs::remove_file(file).ok();
}

fn captured_triggers_are_not_created(db: &Db) {
    let script = SEED.replace("@actor_id)", "null)").replace("'email', ifnull(new.email, ''))", "'email', new.email)");
    let world = World::new(&script);
    world.create_tables(db);
    let file = plan_file("capture");
    let path = file.to_str().expect("UTF-8");
    db.cli("app_owner", &["plan", "--from", world.path(), "--out", path]).expect(3);
    // a person states that nobody misses the rows
    let text = fs::read_to_string(&file).expect("the plan");
    fs::write(&file, text.replace("unused_elsewhere = false", "unused_elsewhere = true")).expect("the plan");
    db.cli("app_owner", &["plan", "--revise", path, "--out", path, "--strategy", "user_created=capture"]).expect(3);
    db.cli("app_owner", &["apply", path]).expect(0);
    let mut app = db.owner();
    app.run("insert into users (name) values ('Ann')");
    assert_eq!(app.rows("select event_type from domain_events.events"), [[Some("UserCreated".to_owned())]]);
    let legacy = app.rows("select tgname from pg_trigger where tgrelid = 'users'::regclass and tgname in ('user_created', 'log_user_changes')");
    assert_eq!(legacy, [[Some("log_user_changes".to_owned())]]);
    fs::remove_file(file).ok();
}

fn a_view_of_the_store_takes_the_events_as_they_are(db: &Db) {
    let world = World::new(SEED);
    world.create_tables(db);
    let mut app = db.owner();
    app.run("select domain_events.register_event_table('domain_events', 'aggregate_type', 'aggregate_id', 'aggregate_version')");
    let file = plan_file("view");
    let path = file.to_str().expect("UTF-8");
    // the store's owner alone adopts
    let adopter = if db.engine == Engine::Portable { "app_owner" } else { "postgres" };
    db.cli(adopter, &["plan", "--adopt=domain_events", "--out", path]).expect(3);
    db.cli(adopter, &["apply", path]).expect(0);
    fs::remove_file(&file).ok();
    let plan =
        db.cli("app_owner", &["plan", "--from", world.path(), "--out", path, "--format", "json"]).expect(3).json();
    assert_eq!(plan["ports"].as_array().map(Vec::len), Some(0), "{plan:#}");
    db.cli("app_owner", &["apply", path]).expect(0);
    app.run("set app.actor_id = '77'; insert into users (name) values ('Ann'); update users set name = 'Bea'; update users set name = 'Cid'");
    let events = app.rows(
        "select e.aggregate_version::text, e.event_type, d.caused_by_user_id::text from domain_events.events e \
         join domain_events d on d.event_id::text = e.event_id::text order by e.aggregate_version",
    );
    let shown: Vec<Vec<&str>> =
        events.iter().map(|r| r.iter().map(|v| v.as_deref().unwrap_or("-")).collect()).collect();
    assert_eq!(shown, [["1", "UserCreated", "77"], ["2", "UserUpdated", "1"], ["3", "UserUpdated", "1"]]);
    fs::remove_file(file).ok();
}

fn a_view_that_the_store_did_not_make_is_left_to_a_person(db: &Db) {
    let world = World::new(SEED);
    world.create_tables(db);
    db.owner().run(
        "alter table domain_events rename to domain_events_kept;
         create view domain_events as select * from domain_events_kept;
         create function into_kept() returns trigger language plpgsql as $f$ begin return null; end $f$;
         create trigger i instead of insert on domain_events for each row execute function into_kept();",
    );
    let file = plan_file("other-view");
    let path = file.to_str().expect("UTF-8");
    let plan =
        db.cli("app_owner", &["plan", "--from", world.path(), "--out", path, "--format", "json"]).expect(3).json();
    let ports = plan["ports"].as_array().expect("ports");
    assert_eq!(ports.len(), 2, "{plan:#}");
    for port in ports {
        assert_eq!(port["strategy"], "manual", "{port:#}");
        assert!(port["reasons"].to_string().contains("a view that the store did not make"), "{port:#}");
    }
    db.cli("app_owner", &["apply", path]).expect(0);
    let triggers =
        db.owner().rows("select tgname from pg_trigger where tgrelid = 'users'::regclass and not tgisinternal");
    assert!(triggers.is_empty(), "{triggers:?}");
    fs::remove_file(file).ok();
}

fn one_plan_does_not_adopt_and_translate(db: &Db) {
    let world = World::new(SEED);
    world.create_tables(db);
    let file = plan_file("both");
    let path = file.to_str().expect("UTF-8");
    db.cli("app_owner", &["plan", "--from", world.path(), "--adopt=domain_events", "--out", path])
        .expect(2)
        .saying("Adopt first");
    assert!(!file.exists());
    db.cli("app_owner", &["plan", "--from", world.path(), "--out", path]).expect(3);
    db.cli("app_owner", &["plan", "--revise", path, "--adopt=domain_events", "--out", path]).expect(2);
    fs::remove_file(file).ok();
}

fn helpers_outlive_the_plan_that_brought_them(db: &Db) {
    let worlds = ["users", "people"].map(|table| {
        let script = format!(
            "create table {table} (id int not null primary key, name varchar(50));
             create table {table}_events (id int not null auto_increment primary key, aggregate_id varchar(50) not null,
               aggregate_version int not null, event_type varchar(50) not null, event_data json, at timestamp not null default current_timestamp,
               unique key (aggregate_id, aggregate_version));
             create trigger {table}_changed after update on {table} for each row
             insert into {table}_events (aggregate_id, aggregate_version, event_type, event_data)
             values (new.id, 1, 'Changed', json_object('name', new.name + 0));"
        );
        World::new(&script)
    });
    let files = ["first", "second"].map(plan_file);
    let mut app = db.owner();
    for (world, file) in worlds.iter().zip(&files) {
        world.create_tables(db);
        // both are made before either is applied: both bring the helper
        db.cli("app_owner", &["plan", "--from", world.path(), "--out", file.to_str().expect("UTF-8")]).expect(3);
        assert!(fs::read_to_string(file).expect("the plan").contains("mysql_number"));
    }
    for file in &files {
        db.cli("app_owner", &["apply", file.to_str().expect("UTF-8")]).expect(0);
    }
    db.cli("app_owner", &["rollback"]).expect(0);
    app.run("insert into users values (1, '1x'); update users set name = '42 and more'");
    let values = app.rows("select event_data->>'name' from users_events");
    assert_eq!(values, [[Some("42".to_owned())]]);
    files.iter().for_each(|f| drop(fs::remove_file(f)));
}
