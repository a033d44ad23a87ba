//! append_event and next_aggregate_version.

use domain_events_tests::{Db, engines};

engines! {
    versions_count_from_one, append_event_returns_the_row, defaults_come_from_the_context, arguments_beat_the_context,
    expected_version_null_zero_and_exact, event_id_makes_an_append_idempotent, event_id_wins_over_expected_version,
    event_id_with_other_content_is_refused, next_version_is_stable_until_used, rollback_leaves_no_gap,
    bad_arguments_are_refused, lengths_count_bytes, read_only_is_refused, ids_are_uuids_of_version_7,
}

fn versions_count_from_one(db: &Db) {
    let mut s = db.owner();
    for version in 1..=5 {
        assert_eq!(
            s.number("select (domain_events.append_event('User', '1', 'UserRenamed')).aggregate_version"),
            version
        );
    }
    assert_eq!(s.number("select (domain_events.append_event('User', '2', 'UserRenamed')).aggregate_version"), 1);
    assert_eq!(s.number("select (domain_events.append_event('Order', '1', 'OrderPlaced')).aggregate_version"), 1);
    db.check_versions();
}

fn append_event_returns_the_row(db: &Db) {
    let mut s = db.owner();
    s.run("create table returned as select e.* from domain_events.append_event(
             'User', '1', 'UserRenamed', '{\"name\": \"x\"}', event_name => 'renamed', metadata => '{\"m\": 1}',
             event_id => '01234567-89ab-7def-8123-456789abcdef', caused_by => 'me', correlation_id => 'co', causation_id => 'ca',
             occurred_at => '2020-01-02 03:04:05+00', schema_version => 7) e");
    assert_eq!(s.one("select count(*) from returned r join domain_events.events e on r.* *= e.*"), "1");
    s.run("set timezone = 'UTC'");
    assert_eq!(
        s.table(
            "select aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, metadata, event_id,
                    caused_by, correlation_id, causation_id, occurred_at, schema_version,
                    recorded_at > now() - interval '1 hour', transaction_id is not null, global_position > 0
               from domain_events.events"
        ),
        "User|1|1|UserRenamed|renamed|{\"name\": \"x\"}|{\"m\": 1}|01234567-89ab-7def-8123-456789abcdef|me|co|ca|\
         2020-01-02 03:04:05+00|7|t|t|t"
    );
}

fn defaults_come_from_the_context(db: &Db) {
    let mut s = db.owner();
    let query = "select event_data, metadata, event_name, caused_by, correlation_id, causation_id, schema_version,
                        occurred_at = recorded_at from domain_events.append_event('User', '1', 'UserRenamed')";
    assert_eq!(s.table(query), "{}|{}|~|app_owner|~|~|1|t");
    s.run("begin; select domain_events.set_context('ann', 'c1', 'c2', '{\"ip\": \"::1\"}')");
    assert_eq!(s.table(query), "{}|{\"ip\": \"::1\"}|~|ann|c1|c2|1|t");
    s.run("commit");
    // The context was local to the transaction.
    assert_eq!(s.table(query), "{}|{}|~|app_owner|~|~|1|t");
}

fn arguments_beat_the_context(db: &Db) {
    let mut s = db.owner();
    s.run("select domain_events.set_context('ann', 'c1', 'c2', '{\"a\": 1, \"b\": 1}', local => false)");
    assert_eq!(
        s.table(
            "select caused_by, correlation_id, causation_id, metadata from domain_events.append_event('User', '1', 'UserRenamed',
               caused_by => 'bob', correlation_id => 'd1', causation_id => 'd2', metadata => '{\"b\": 2}')"
        ),
        "bob|d1|d2|{\"a\": 1, \"b\": 2}"
    );
}

fn expected_version_null_zero_and_exact(db: &Db) {
    let mut s = db.owner();
    let mut append = |expected: &str| {
        let sql = format!(
            "select (domain_events.append_event('User', '1', 'UserRenamed', expected_version => {expected})).aggregate_version"
        );
        match s.attempt(&sql) {
            Ok(rows) => rows[0][0].clone().expect("a version"),
            Err(failure) => {
                let failure = failure.expect("23000");
                assert!(failure.detail.contains("expected") && failure.detail.contains("actual"), "{failure}");
                format!(
                    "refused: {}",
                    failure.detail.chars().filter(|c| c.is_ascii_digit() || *c == ',').collect::<String>()
                )
            }
        }
    };
    assert_eq!(append("1"), "refused: 1,0");
    assert_eq!(append("0"), "1");
    assert_eq!(append("0"), "refused: 0,1");
    assert_eq!(append("1"), "2");
    assert_eq!(append("1"), "refused: 1,2");
    assert_eq!(append("3"), "refused: 3,2");
    assert_eq!(append("null"), "3");
    assert_eq!(append("9223372036854775807"), "refused: 9223372036854775807,3");
    db.check_versions();
}

const ID: &str = "01890000-0000-7000-8000-000000000001";

fn event_id_makes_an_append_idempotent(db: &Db) {
    let mut s = db.owner();
    let append = format!(
        "select to_jsonb(e) from domain_events.append_event('User', '1', 'UserRenamed', '{{\"a\": [1, 2.0]}}', event_id => '{ID}') e"
    );
    let first = s.one(&append);
    s.run("select domain_events.append_event('User', '1', 'UserMoved')");
    assert_eq!(s.one(&append), first);
    // Only stream, event_type, event_data and schema_version are content.
    let again = s.one(&format!(
        "select to_jsonb(e) from domain_events.append_event('User', '1', 'UserRenamed', '{{\"a\": [1, 2.0]}}', event_id => '{ID}',
           caused_by => 'somebody else', metadata => '{{\"try\": 2}}', occurred_at => '2001-01-01') e"
    ));
    assert_eq!(again, first);
    assert_eq!(s.one("select count(*) from domain_events.events"), "2");
    db.check_versions();
}

fn event_id_wins_over_expected_version(db: &Db) {
    let mut s = db.owner();
    let append = format!(
        "select (domain_events.append_event('User', '1', 'UserRenamed', expected_version => 0, event_id => '{ID}')).aggregate_version"
    );
    assert_eq!(s.one(&append), "1");
    s.run("select domain_events.append_event('User', '1', 'UserMoved')");
    assert_eq!(s.one(&append), "1");
    db.check_versions();
}

fn event_id_with_other_content_is_refused(db: &Db) {
    let mut s = db.owner();
    s.run(&format!(
        "select domain_events.append_event('User', '1', 'UserRenamed', '{{\"a\": 1}}', event_id => '{ID}')"
    ));
    for other in [
        "'Order', '1', 'UserRenamed', '{\"a\": 1}'",
        "'User', '2', 'UserRenamed', '{\"a\": 1}'",
        "'User', '1', 'UserMoved', '{\"a\": 1}'",
        "'User', '1', 'UserRenamed', '{\"a\": 2}'",
        "'User', '1', 'UserRenamed'",
        "'User', '1', 'UserRenamed', '{\"a\": 1}', schema_version => 2",
    ] {
        s.error(&format!("select domain_events.append_event({other}, event_id => '{ID}')")).expect("23505");
    }
    assert_eq!(s.one("select count(*) from domain_events.events"), "1");
}

fn next_version_is_stable_until_used(db: &Db) {
    let mut s = db.owner();
    s.run("select domain_events.append_event('User', '1', 'UserRenamed')");
    s.run("begin");
    assert_eq!(s.one("select domain_events.next_aggregate_version('User', '1')"), "2");
    assert_eq!(s.one("select domain_events.next_aggregate_version('User', '1')"), "2");
    assert_eq!(s.one("select domain_events.next_aggregate_version('User', 'new')"), "1");
    s.run("select domain_events.append_event('User', '1', 'UserRenamed')");
    assert_eq!(s.one("select domain_events.next_aggregate_version('User', '1')"), "3");
    s.run("commit");
    db.check_versions();
}

fn rollback_leaves_no_gap(db: &Db) {
    let mut s = db.owner();
    let append = "select (domain_events.append_event('User', '1', 'UserRenamed')).aggregate_version";
    assert_eq!(s.one(append), "1");
    s.run("begin");
    assert_eq!(s.one(append), "2");
    s.run("rollback; begin");
    assert_eq!(s.one(append), "2");
    s.run("savepoint a");
    assert_eq!(s.one(append), "3");
    s.run("rollback to savepoint a");
    assert_eq!(s.one(append), "3");
    s.run("commit");
    db.check_versions();
}

fn bad_arguments_are_refused(db: &Db) {
    let mut s = db.owner();
    for (arguments, code) in [
        ("null, '1', 'X'", "22004"),
        ("'User', null, 'X'", "22004"),
        ("'User', '1', null", "22004"),
        ("'User', '1', 'X', null", "22004"),
        ("'User', '1', 'X', schema_version => null", "22004"),
        ("'', '1', 'X'", "22023"),
        ("'User', '', 'X'", "22023"),
        ("'User', '1', ''", "22023"),
        ("'User', '1', 'X', metadata => '[]'", "22023"),
        ("'User', '1', 'X', metadata => '1'", "22023"),
        ("'User', '1', 'X', expected_version => -1", "22023"),
        ("'User', '1', 'X', schema_version => 0", "22023"),
    ] {
        s.error(&format!("select domain_events.append_event({arguments})")).expect(code);
    }
    for (arguments, code) in [
        ("null, '1'", "22004"),
        ("'User', null", "22004"),
        ("'User', '1', null", "22004"),
        ("'', '1'", "22023"),
        ("'User', ''", "22023"),
        ("'User', '1', 'pg_catalog.pg_class'", "42P01"),
    ] {
        s.error(&format!("select domain_events.next_aggregate_version({arguments})")).expect(code);
    }
    s.error("select domain_events.next_aggregate_version('User', '1', 'no_such_table')").expect_code("42P01");
    s.error("select domain_events.append_event('User', '1', 'X', '{broken')").expect_code("22P02");
    assert_eq!(s.one("select count(*) from domain_events.events"), "0");
}

fn lengths_count_bytes(db: &Db) {
    let mut s = db.owner();
    // "ä" has two bytes.
    s.run("select domain_events.append_event(repeat('t', 255), repeat('i', 1024), 'X')");
    s.run("select domain_events.append_event(repeat('ä', 127), repeat('ä', 512), 'X')");
    s.error("select domain_events.append_event(repeat('t', 256), '1', 'X')").expect("22023");
    s.error("select domain_events.append_event(repeat('ä', 128), '1', 'X')").expect("22023");
    s.error("select domain_events.append_event('User', repeat('i', 1025), 'X')").expect("22023");
    s.error("select domain_events.append_event('User', repeat('ä', 513), 'X')").expect("22023");
    s.error("select domain_events.next_aggregate_version('User', repeat('i', 1025))").expect("22023");
    db.check_versions();
}

fn read_only_is_refused(db: &Db) {
    let mut s = db.owner();
    s.run("set default_transaction_read_only = on");
    s.error("select domain_events.append_event('User', '1', 'X')").expect_code("25006");
    s.error("select domain_events.append_events('User', '1', '[{\"event_type\": \"X\"}]')").expect_code("25006");
    s.error("select domain_events.next_aggregate_version('User', '1')").expect_code("25006");
    assert_eq!(s.one("select count(*) from domain_events.events"), "0");
}

fn ids_are_uuids_of_version_7(db: &Db) {
    let mut s = db.owner();
    s.run("select domain_events.append_event('User', i::text, 'X') from generate_series(1, 100) i");
    assert_eq!(
        s.table(
            "select count(*), bool_and(substr(event_id::text, 15, 1) = '7'), bool_and(substr(event_id::text, 20, 1) ~ '[89ab]'),
                    bool_and(abs(('x' || lpad(replace(left(event_id::text, 13), '-', ''), 16, '0'))::bit(64)::bigint
                                 - extract(epoch from recorded_at) * 1000) < 5000)
               from domain_events.events"
        ),
        "100|t|t|t"
    );
}
