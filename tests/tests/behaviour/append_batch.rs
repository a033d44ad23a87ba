//! append_events: one stream and several.

use domain_events_tests::{Db, engines};

engines! {
    a_batch_takes_successive_versions, a_batch_is_all_or_nothing, a_batch_checks_the_expected_version,
    elements_take_every_parameter, bad_batches_are_refused, a_batch_is_idempotent, a_batch_stored_in_part_is_refused,
    several_streams_at_once, several_streams_are_checked, check_only_entries_hold, an_empty_batch_writes_nothing,
}

fn a_batch_takes_successive_versions(db: &Db) {
    let mut s = db.owner();
    assert_eq!(
        s.table(
            "select aggregate_version, event_type, event_data from domain_events.append_events('User', '1',
               '[{\"event_type\": \"UserCreated\", \"event_data\": {\"n\": 1}}, {\"event_type\": \"UserRenamed\"}]')"
        ),
        "1|UserCreated|{\"n\": 1}\n2|UserRenamed|{}"
    );
    s.run("select domain_events.append_events('User', '1', (select jsonb_agg(jsonb_build_object('event_type', 'T' || i) order by i)
             from generate_series(1, 500) i))");
    assert_eq!(s.one("select event_type from domain_events.events where aggregate_version = 502"), "T500");
    db.check_versions();
}

fn a_batch_is_all_or_nothing(db: &Db) {
    let mut s = db.owner();
    s.error("select domain_events.append_events('User', '1', '[{\"event_type\": \"A\"}, {\"event_type\": \"\"}]')")
        .expect("22023");
    s.error("select domain_events.append_events('User', '1', '[{\"event_type\": \"A\"}, {}]')").expect("22004");
    assert_eq!(s.one("select count(*) from domain_events.events"), "0");
}

fn a_batch_checks_the_expected_version(db: &Db) {
    let mut s = db.owner();
    let batch = "'[{\"event_type\": \"A\"}, {\"event_type\": \"B\"}]'";
    s.run(&format!("select domain_events.append_events('User', '1', {batch}, 0)"));
    let failure = s.error(&format!("select domain_events.append_events('User', '1', {batch}, 0)")).expect("23000");
    assert!(failure.detail.contains('0') && failure.detail.contains('2'), "{failure}");
    s.run(&format!("select domain_events.append_events('User', '1', {batch}, expected_version => 2)"));
    s.error(&format!("select domain_events.append_events('User', '1', {batch}, expected_version => -2)"))
        .expect("22023");
    assert_eq!(s.one("select max(aggregate_version) from domain_events.events"), "4");
    db.check_versions();
}

fn elements_take_every_parameter(db: &Db) {
    let mut s = db.owner();
    s.run("set timezone = 'UTC'; select domain_events.set_context('ann', local => false)");
    assert_eq!(
        s.table(
            "select event_type, event_data, event_name, metadata, event_id, caused_by, correlation_id, causation_id, occurred_at,
                    schema_version
               from domain_events.append_events('User', '1', '[{\"aggregate_type\": \"User\", \"aggregate_id\": \"1\",
                 \"event_type\": \"A\", \"event_data\": {\"x\": 1}, \"event_name\": \"n\", \"metadata\": {\"m\": 1},
                 \"event_id\": \"01890000-0000-7000-8000-000000000001\", \"caused_by\": \"c\", \"correlation_id\": \"co\",
                 \"causation_id\": \"ca\", \"occurred_at\": \"2020-01-01T00:00:00Z\", \"schema_version\": 3},
                 {\"event_type\": \"B\", \"event_name\": null}]')"
        )
        .lines()
        .next(),
        Some("A|{\"x\": 1}|n|{\"m\": 1}|01890000-0000-7000-8000-000000000001|c|co|ca|2020-01-01 00:00:00+00|3")
    );
    assert_eq!(
        s.table("select event_data, event_name, metadata, caused_by, schema_version from domain_events.events where event_type = 'B'"),
        "{}|~|{}|ann|1"
    );
}

fn bad_batches_are_refused(db: &Db) {
    let mut s = db.owner();
    for (arguments, code) in [
        ("'User', '1', null", "22004"),
        ("null, '1', '[]'", "22004"),
        ("'User', null, '[]'", "22004"),
        ("'', '1', '[]'", "22023"),
        ("'User', '1', '{}'", "22023"),
        ("'User', '1', '1'", "22023"),
        ("'User', '1', '[1]'", "22023"),
        ("'User', '1', '[null]'", "22023"),
        ("'User', '1', '[{\"event_type\": \"A\", \"type\": 1}]'", "22023"),
        ("'User', '1', '[{\"event_type\": \"A\", \"event_id\": \"x\"}]'", "22023"),
        ("'User', '1', '[{\"event_type\": \"A\", \"occurred_at\": \"soon\"}]'", "22023"),
        ("'User', '1', '[{\"event_type\": \"A\", \"schema_version\": \"one\"}]'", "22023"),
        ("'User', '1', '[{\"event_type\": \"A\", \"metadata\": []}]'", "22023"),
        ("'User', '1', '[{\"event_type\": \"A\", \"aggregate_id\": \"2\"}]'", "22023"),
        ("null::jsonb", "22004"),
        ("'{}'::jsonb", "22023"),
        ("'[]'::jsonb, null::jsonb", "22004"),
        ("'[]'::jsonb, '{}'::jsonb", "22023"),
        ("'[]'::jsonb, '[{\"aggregate_type\": \"User\"}]'::jsonb", "22023"),
        (
            "'[]'::jsonb, '[{\"aggregate_type\": \"User\", \"aggregate_id\": \"1\", \"version\": \"x\"}]'::jsonb",
            "22023",
        ),
        ("'[{\"event_type\": \"A\"}]'::jsonb", "22004"),
        // of two faults the one that a cast meets is told
        ("'[{\"event_type\": \"A\", \"schema_version\": 1.5}]'::jsonb", "22023"),
        ("'[{\"event_type\": \"A\", \"aggregate_type\": \"User\", \"aggregate_id\": \"\"}]'::jsonb", "22023"),
    ] {
        s.error(&format!("select * from domain_events.append_events({arguments})")).expect(code);
    }
    assert_eq!(s.one("select count(*) from domain_events.events"), "0");
}

const A: &str = "{\"event_type\": \"A\", \"event_id\": \"01890000-0000-7000-8000-00000000000a\"}";
const B: &str = "{\"event_type\": \"B\", \"event_id\": \"01890000-0000-7000-8000-00000000000b\"}";

fn a_batch_is_idempotent(db: &Db) {
    let mut s = db.owner();
    let append =
        format!("select aggregate_version, event_type from domain_events.append_events('User', '1', '[{A}, {B}]', 0)");
    assert_eq!(s.table(&append), "1|A\n2|B");
    s.run("select domain_events.append_event('User', '1', 'C')");
    // The ids are looked up before the expected version.
    assert_eq!(s.table(&append), "1|A\n2|B");
    assert_eq!(s.one("select count(*) from domain_events.events"), "3");
    db.check_versions();
}

fn a_batch_stored_in_part_is_refused(db: &Db) {
    let mut s = db.owner();
    s.run(&format!("select domain_events.append_events('User', '1', '[{A}]')"));
    s.error(&format!("select domain_events.append_events('User', '1', '[{A}, {B}]')")).expect("23505");
    s.error(&format!("select domain_events.append_events('User', '1', '[{A}, {{\"event_type\": \"X\"}}]')"))
        .expect("23505");
    s.error(&format!("select domain_events.append_events('User', '2', '[{A}]')")).expect("23505");
    s.error(&format!("select domain_events.append_events('User', '1', '[{B}, {B}]')")).expect("22023");
    assert_eq!(s.one("select count(*) from domain_events.events"), "1");
}

fn several_streams_at_once(db: &Db) {
    let mut s = db.owner();
    s.run("select domain_events.append_event('User', '1', 'A')");
    assert_eq!(
        s.table(
            "select aggregate_type, aggregate_id, aggregate_version, event_type from domain_events.append_events(
               '[{\"aggregate_type\": \"User\", \"aggregate_id\": \"2\", \"event_type\": \"B\"},
                 {\"aggregate_type\": \"User\", \"aggregate_id\": \"1\", \"event_type\": \"C\"},
                 {\"aggregate_type\": \"User\", \"aggregate_id\": \"2\", \"event_type\": \"D\"}]'::jsonb)"
        ),
        "User|2|1|B\nUser|1|2|C\nUser|2|2|D"
    );
    db.check_versions();
}

fn several_streams_are_checked(db: &Db) {
    let mut s = db.owner();
    let events = "'[{\"aggregate_type\": \"User\", \"aggregate_id\": \"1\", \"event_type\": \"A\"},
                    {\"aggregate_type\": \"Order\", \"aggregate_id\": \"1\", \"event_type\": \"B\"},
                    {\"aggregate_type\": \"User\", \"aggregate_id\": \"1\", \"event_type\": \"C\"}]'::jsonb";
    let expected = |user: i32, order: i32| {
        format!(
            "'[{{\"aggregate_type\": \"User\", \"aggregate_id\": \"1\", \"version\": {user}}},
               {{\"aggregate_type\": \"Order\", \"aggregate_id\": \"1\", \"version\": {order}}}]'::jsonb"
        )
    };
    s.error(&format!("select domain_events.append_events({events}, {})", expected(0, 1)))
        .expect("23000")
        .naming("Order");
    assert_eq!(s.one("select count(*) from domain_events.events"), "0");
    s.run(&format!("select domain_events.append_events({events}, {})", expected(0, 0)));
    s.run(&format!("select domain_events.append_events({events}, {})", expected(2, 1)));
    s.error(&format!("select domain_events.append_events({events}, {})", expected(3, 2)))
        .expect("23000")
        .naming("User");
    assert_eq!(s.one("select count(*) from domain_events.events"), "6");
    db.check_versions();
}

fn check_only_entries_hold(db: &Db) {
    let mut s = db.owner();
    s.run("select domain_events.append_event('User', '1', 'A')");
    let append = |version: i32| {
        format!(
            "select domain_events.append_events(
               '[{{\"aggregate_type\": \"Order\", \"aggregate_id\": \"1\", \"event_type\": \"B\"}}]'::jsonb,
               '[{{\"aggregate_type\": \"User\", \"aggregate_id\": \"1\", \"version\": {version}}}]'::jsonb)"
        )
    };
    s.error(&append(0)).expect("23000");
    s.run("begin");
    s.run(&append(1));
    // The stream that was only checked is held until the end.
    let mut other = db.owner();
    other.run("set lock_timeout = '200ms'");
    other.error("select domain_events.append_event('User', '1', 'C')").expect_code("55P03");
    s.run("commit");
    other.run("select domain_events.append_event('User', '1', 'C')");
    db.check_versions();
}

fn an_empty_batch_writes_nothing(db: &Db) {
    let mut s = db.owner();
    assert_eq!(s.table("select * from domain_events.append_events('User', '1', '[]')"), "");
    assert_eq!(s.table("select * from domain_events.append_events('[]'::jsonb)"), "");
    s.run("select domain_events.append_event('User', '1', 'A')");
    s.error("select * from domain_events.append_events('User', '1', '[]', 0)").expect("23000");
}
