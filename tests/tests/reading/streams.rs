//! `read_stream()` backwards, and `read_streams()`.

use domain_events_tests::{Db, engines};

engines! { a_stream_backwards, several_streams_in_one_query, bad_streams }

fn two_streams(db: &Db) -> domain_events_tests::Session {
    let mut a = db.owner();
    a.run(
        "select count(domain_events.append_event('User', '1', 'E')) from generate_series(1, 5);
         select count(domain_events.append_event('User', '2', 'E')) from generate_series(1, 3)",
    );
    a
}

fn a_stream_backwards(db: &Db) {
    let mut a = two_streams(db);
    let read = |arguments: &str| {
        format!(
            "select string_agg(aggregate_version::text, ' ') from domain_events.read_stream('User', '1', {arguments})"
        )
    };
    assert_eq!(a.one(&read("backwards => true")), "5 4 3 2 1");
    assert_eq!(a.one(&read("backwards => true, max_count => 2")), "5 4");
    assert_eq!(a.one(&read("backwards => true, from_version => 2, to_version => 3")), "3 2");
    assert_eq!(a.one(&read("backwards => false, max_count => 2")), "1 2");
    assert_eq!(a.number("select count(*) from domain_events.read_stream('User', 'nobody', backwards => true)"), 0);
}

fn several_streams_in_one_query(db: &Db) {
    let mut a = two_streams(db);
    let read = |streams: &str| {
        format!(
            "select string_agg(aggregate_id || ':' || aggregate_version, ' ') from domain_events.read_streams('{streams}')"
        )
    };
    assert_eq!(
        a.one(&read(r#"[{"aggregate_type":"User","aggregate_id":"2"},{"aggregate_type":"User","aggregate_id":"nobody"},{"aggregate_type":"User","aggregate_id":"1","from_version":4}]"#)),
        "2:1 2:2 2:3 1:4 1:5"
    );
    assert_eq!(
        a.one(&read(r#"[{"aggregate_type":"User","aggregate_id":"1","from_version":2,"to_version":3}]"#)),
        "1:2 1:3"
    );
    assert_eq!(a.number("select count(*) from domain_events.read_streams('[]')"), 0);
    assert_eq!(
        a.number(
            r#"select count(*) from domain_events.read_streams('[{"aggregate_type":"User","aggregate_id":"1"}]', 2)"#
        ),
        2
    );
}

fn bad_streams(db: &Db) {
    let mut a = db.owner();
    a.error("select * from domain_events.read_streams(null)").expect("22004");
    for streams in [
        r#"{"aggregate_type":"User"}"#,
        r#"["User"]"#,
        r#"[{"aggregate_type":"User","aggregate_id":1}]"#,
        r#"[{"aggregate_type":"User","aggregate_id":"1","from_version":"2"}]"#,
        r#"[{"aggregate_type":"User","aggregate_id":"1","from_version":1.5}]"#,
        r#"[{"aggregate_type":"User","aggregate_id":"1","from_version":0}]"#,
        r#"[{"aggregate_type":"User","aggregate_id":"1","from_version":3,"to_version":2}]"#,
        r#"[{"aggregate_type":"User","aggregate_id":"1","form_version":3}]"#,
    ] {
        a.error(&format!("select * from domain_events.read_streams('{streams}')")).expect("22023");
    }
    a.error(r#"select * from domain_events.read_streams('[{"aggregate_type":"User"}]')"#).expect("22004");
    a.error("select * from domain_events.read_streams('[]', -1)").expect("22023");
}
