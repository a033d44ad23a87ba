//! Events: what is kept, what is repaired, and what works afterwards.

use domain_events_tests::{Db, engines};

use crate::{EVENTS, World, healthy};

engines! {
    live_and_dump_give_the_same_events, wrong_versions_are_refused_or_repaired, the_old_name_goes_on_working, columns_are_mapped_by_hand,
    events_come_after_those_of_the_store,
}

fn live_and_dump_give_the_same_events(db: &Db) {
    let world = World::seed();
    let run = world.import(db, &world.legacy.url(), &["--events", "domain_events", "--format", "json"]).expect(0);
    let table = &run.json()["tables"][0];
    assert_eq!(
        (table["rows"].as_u64(), table["stored"].as_u64(), table["streams"].as_u64(), table["verified"].as_bool()),
        (Some(7), Some(7), Some(4), Some(true))
    );
    let mut admin = db.admin();
    let live = admin.rows(EVENTS);
    // as the source says
    let source = world.legacy.rows(
        "select event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, caused_by_user_id,
                unix_timestamp(occurred_at) from domain_events order by id",
    );
    let store = admin.rows(
        "select event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, caused_by,
                extract(epoch from occurred_at)::bigint from domain_events.events order by global_position",
    );
    assert_eq!(store, source);
    healthy(db);
    for options in [&[][..], &["--skip-extended-insert", "--hex-blob"]] {
        let other = Db::new(db.engine);
        world.import(&other, &world.dump(options), &["--events", "domain_events"]).expect(0);
        assert_eq!(other.admin().rows(EVENTS), live, "{options:?}");
        healthy(&other);
    }
}

fn wrong_versions_are_refused_or_repaired(db: &Db) {
    let script = std::fs::read_to_string(domain_events_tests::repository().join("tests/demo/mysql.sql"))
        .expect("the demo's database");
    let world = World::new(&script);
    let from = world.legacy.url();
    world
        .import(db, &from, &["--events", "domain_events"])
        .expect_error(1, "23000")
        .saying("3 events of 2 streams")
        .saying("User 4 has version 4 where 2 is next")
        .saying("--repair-versions");
    let mut admin = db.admin();
    assert_eq!(admin.one("select count(*) from domain_events.events"), "0");
    let run =
        world.import(db, &from, &["--events", "domain_events", "--repair-versions", "--format", "json"]).expect(0);
    assert_eq!(run.json()["tables"][0]["repaired"].as_u64(), Some(2));
    // in the order of the rows
    assert_eq!(
        admin.rows("select aggregate_version, event_data->>'fixed' from domain_events.events where aggregate_id = '4' order by 1"),
        [
            [Some("1".to_owned()), None],
            [Some("2".to_owned()), Some("by hand".to_owned())],
            [Some("3".to_owned()), Some("by hand, again".to_owned())],
        ]
    );
    healthy(db);
    assert_eq!(
        admin.one(
            "select string_agg(aggregate_version::text, ',' order by id) from domain_events where aggregate_id = '4'"
        ),
        "1,2,3"
    );
    assert_eq!(admin.one("select domain_events.next_aggregate_version('User', '4')"), "4");
}

fn the_old_name_goes_on_working(db: &Db) {
    let world = World::seed();
    let dump = world.dump(&[]);
    world.import(db, &dump, &["--events", "domain_events"]).expect(0);
    let mut admin = db.admin();
    assert_eq!(
        admin.one("select count(*) from domain_events where is_processed = 1 and processed_at is not null"),
        "1"
    );
    admin.run("update domain_events set is_processed = 1 where aggregate_id = '2'");
    assert_eq!(admin.error("update domain_events set event_type = 'x'").code, "23001");
    assert_eq!(
        admin.one(
            "insert into domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data)
             values ('0193e8f0-0000-7000-8000-0000000000aa', 'User', '4', 1, 'UserUpdated', 'n', '{\"a\": 1}') returning aggregate_version || ' ' || id"
        ),
        "4 8"
    );
    assert_eq!(admin.one("select count(*) from domain_events.events where aggregate_id = '4'"), "4");
    assert_eq!(admin.one("select event_data->>'a' from domain_events where id = 8"), "1");
    healthy(db);
    // the same file again does nothing, another one is refused
    let again = world.import(db, &dump, &["--events", "domain_events"]).expect(0);
    assert!(again.stdout.contains("imported already"), "{again:?}");
    world
        .import(db, &world.dump(&["--skip-dump-date", "--skip-comments"]), &["--events", "domain_events"])
        .expect_error(1, "42P07");
}

fn columns_are_mapped_by_hand(db: &Db) {
    let world = World::new(
        "create table log (n int auto_increment primary key, uid binary(16), who varchar(9), subject int, rev int, old_value text, new_value text, happened datetime(3));
         insert into log (uid, who, subject, rev, old_value, new_value, happened) values
           (unhex('0193e8f0000070008000000000000001'), 'ada', 7, 1, null, '{\"b\": 1, \"a\": 2}', '2025-01-01 12:00:00.5'),
           (null, null, 7, 2, 'no json', '12.50', null);",
    );
    let from = world.legacy.url();
    let args =
        ["--events", "log", "--type", "Thing", "--map", "subject=aggregate_id", "--map", "rev=aggregate_version"];
    world.import(db, &from, &args[..4]).expect(2).saying("--map COLUMN=aggregate_id");
    world.import(db, &from, &["--events", "log", "--map", "x=event_id"]).expect(2).saying("no column x");
    world
        .import(
            db,
            &from,
            &[
                "--events",
                "log",
                "--type",
                "T",
                "--map",
                "who=nonsense",
                "--map",
                "subject=aggregate_id",
                "--map",
                "rev=aggregate_version",
            ],
        )
        .expect(2)
        .saying("nonsense");
    let mut all = args.to_vec();
    all.extend([
        "--map",
        "uid=event_id",
        "--map",
        "who=caused_by",
        "--map",
        "old_value=event_data",
        "--map",
        "new_value=event_data",
        "--map",
        "happened=occurred_at",
        "--time-zone",
        "+02:00",
    ]);
    world.import(db, &from, &all).expect(0);
    assert_eq!(
        db.admin().rows("select event_id, aggregate_type, aggregate_id, caused_by, event_data, event_type, occurred_at from domain_events.events order by global_position limit 1")[0],
        ["0193e8f0-0000-7000-8000-000000000001", "Thing", "7", "ada", "{\"new_value\": {\"a\": 2, \"b\": 1}, \"old_value\": null}", "Event", "2025-01-01 10:00:00.5+00"].map(|t| Some(t.to_owned()))
    );
    assert_eq!(
        db.admin().one("select event_data from domain_events.events where aggregate_version = 2"),
        "{\"new_value\": 12.50, \"old_value\": \"no json\"}"
    );
    // an id is made from the row, always the same
    let made = db.admin().one("select event_id from domain_events.events where aggregate_version = 2");
    assert_eq!(db.admin().one("select domain_events._as_event_id(null, 'public.log', '2')"), made);
    healthy(db);
}

fn events_come_after_those_of_the_store(db: &Db) {
    let world = World::seed();
    let mut admin = db.admin();
    admin.run("select domain_events.append_event('User', '4', 'UserRegistered'); select domain_events.append_event('Order', '1', 'OrderPlaced')");
    let from = world.legacy.url();
    // version 1 of the stream is taken
    world.import(db, &from, &["--events", "domain_events", "--no-view"]).expect(3);
    assert!(
        world
            .rejects()
            .iter()
            .all(|(_, _, reason)| reason.contains("is next in its stream") || reason.contains("leave a gap")),
        "{:?}",
        world.rejects()
    );
    healthy(db);
    let other = Db::new(db.engine);
    let mut admin = other.admin();
    admin.run("select domain_events.append_event('User', '4', 'UserRegistered')");
    world.import(&other, &from, &["--events", "domain_events", "--repair-versions"]).expect(0);
    assert_eq!(
        admin.one("select string_agg(aggregate_version || event_type, ',' order by global_position) from domain_events.events where aggregate_id = '4'"),
        "1UserRegistered,2UserUpdated,3UserUpdated,4UserUpdated"
    );
    healthy(&other);
}
