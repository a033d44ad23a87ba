//! Which texts name the same legacy stream: what the equality of the unique key says. And what its version column can hold.

use domain_events_tests::{Db, engines};

engines! {
    spellings_of_one_stream_share_a_count, spellings_wait_for_each_other, other_spellings_are_other_streams, keys_without_a_hash_are_refused,
    a_full_version_column_is_told, versions_are_integers, streams_of_up_to_four_columns, a_long_stream_costs_no_more,
}

/// Type of the id column, what must be there first, and spellings that its unique key takes for the same.
const SAME: &[(&str, &str, &[&str])] = &[
    ("citext", "", &["Bob@x", "bob@X", "BOB@X"]),
    ("email", "create domain email as citext check (value ~ '@')", &["Bob@x", "bob@X"]),
    (
        "text collate loose",
        "create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        &["Ab", "aB", "AB"],
    ),
    (
        "varchar(20) collate accents",
        "create collation accents (provider = icu, locale = 'und-u-ks-level1', deterministic = false)",
        &["Rene", "René", "rené"],
    ),
    ("char(8)", "", &["ab", "ab  ", "ab        "]),
    ("numeric", "", &["1", "1.0", "1.000", "+1", "1e0"]),
    ("numeric(6,2)", "", &["1.5", "1.50", "1.499999"]),
    ("amount", "create domain amount as numeric(8,3)", &["2", "2.000"]),
    ("float8", "", &["0", "-0", "0.0"]),
    (
        "uuid",
        "",
        &[
            "0123456789abcdef0123456789abcdef",
            "01234567-89ab-cdef-0123-456789abcdef",
            "{01234567-89AB-CDEF-0123-456789ABCDEF}",
        ],
    ),
    ("bigint", "", &["7", " 7", "007"]),
    ("smallint", "", &["7", "+7"]),
    ("boolean", "", &["t", "true", "yes", "1"]),
    ("date", "", &["2024-01-02", "20240102", "Jan 2 2024"]),
    ("timestamptz", "", &["2024-01-02 00:00:00+00", "2024-01-02 01:00:00+01"]),
    ("interval", "", &["1 mon", "30 days", "720:00:00"]),
    ("inet", "", &["10.0.0.1", "10.0.0.1/32"]),
    ("mood", "create type mood as enum ('low', 'high')", &["low"]),
    ("jsonb", "", &["{\"a\": 1}", "{ \"a\" :1}"]),
    ("bytea", "", &["\\x6162", "ab"]),
    ("\"char\"", "", &["x"]),
    ("name", "", &["x"]),
];

fn prepare(db: &Db) {
    db.admin().run("create extension citext");
}

fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn spellings_of_one_stream_share_a_count(db: &Db) {
    prepare(db);
    let mut s = db.owner();
    for (n, (id, before, spellings)) in SAME.iter().enumerate() {
        s.run(before);
        s.run(&format!(
            "create table ev{n} (t text, id {id}, v int, unique (t, id, v)); select domain_events.register_event_table('ev{n}', 't', 'id', 'v')"
        ));
        for (count, spelling) in spellings.iter().enumerate() {
            let value = literal(spelling);
            s.run(&format!("insert into ev{n} select 'User', {value}, domain_events.next_aggregate_version('User', {value}, 'ev{n}')"));
            for other in *spellings {
                let next = s.number(&format!(
                    "select domain_events.next_aggregate_version('User', {}, 'ev{n}')",
                    literal(other)
                ));
                assert_eq!(next, count as i64 + 2, "{id}: {other} after {spelling}");
            }
        }
    }
}

/// The stream is held under every spelling, also before it has an event.
fn spellings_wait_for_each_other(db: &Db) {
    prepare(db);
    let mut s = db.owner();
    for (n, (id, before, spellings)) in SAME.iter().enumerate().filter(|(_, s)| s.2.len() > 1) {
        s.run(before);
        s.run(&format!(
            "create table ev{n} (t text, id {id}, v int, unique (t, id, v)); select domain_events.register_event_table('ev{n}', 't', 'id', 'v')"
        ));
        let insert = |spelling: &str| {
            let value = literal(spelling);
            format!(
                "insert into ev{n} select 'User', {value}, domain_events.next_aggregate_version('User', {value}, 'ev{n}') returning v"
            )
        };
        let (_, result) = db.contend(&insert(spellings[0]), "select 1", &insert(spellings[1]));
        assert_eq!(result.unwrap_or_else(|e| panic!("{id}: {e}"))[0][0].as_deref(), Some("2"), "{id}");
    }
}

fn other_spellings_are_other_streams(db: &Db) {
    let mut s = db.owner();
    for (n, (id, one, other)) in [
        ("text", "Bob", "bob"),
        ("text", "a", "a "),
        ("varchar(10)", "é", "e"),
        ("numeric", "1", "1.01"),
        ("uuid", "0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdee"),
        ("text collate \"C\"", "x", "X"),
    ]
    .iter()
    .enumerate()
    {
        s.run(&format!(
            "create table ev{n} (t text, id {id}, v int, unique (t, id, v)); select domain_events.register_event_table('ev{n}', 't', 'id', 'v');
             insert into ev{n} values ('User', '{one}', 5)"
        ));
        assert_eq!(
            s.number(&format!("select domain_events.next_aggregate_version('User', '{other}', 'ev{n}')")),
            1,
            "{id}"
        );
        let mut held = db.owner();
        held.run(&format!("begin; select domain_events.next_aggregate_version('User', '{one}', 'ev{n}')"));
        s.run(&format!(
            "set lock_timeout = '2s'; select domain_events.next_aggregate_version('User', '{other}', 'ev{n}')"
        ));
    }
    // the key decides, not the column: here the key is the looser one
    s.run(
        "create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         create table k (t text, id text, v int); create unique index on k (t, id collate loose, v);
         select domain_events.register_event_table('k', 't', 'id', 'v'); insert into k values ('User', 'BOB', 1)",
    );
    assert_eq!(s.number("select domain_events.next_aggregate_version('User', 'bob', 'k')"), 2);
}

fn keys_without_a_hash_are_refused(db: &Db) {
    let mut s = db.owner();
    s.run("create type pair as (a int, b int)");
    for id in ["money", "bit(3)", "varbit", "tsvector", "int4range", "pair", "text[]", "int[]"] {
        s.run(&format!("drop table if exists ev; create table ev (t text, id {id}, v int, unique (t, id, v))"));
        let failure =
            s.error("select domain_events.register_event_table('ev', 't', 'id', 'v')").expect("42804").naming("id");
        assert!(!failure.detail.is_empty(), "{id} is refused without a reason");
        assert_eq!(s.one("select count(*) from domain_events.event_tables"), "0");
        assert_eq!(s.one("select count(*) from pg_proc where proname like 'ev_newest%'"), "0");
    }
}

fn a_full_version_column_is_told(db: &Db) {
    let mut s = db.owner();
    s.run("create domain short as smallint");
    for (n, (version, last)) in
        [("smallint", "32767"), ("short", "32767"), ("int", "2147483647"), ("bigint", "9223372036854775807")]
            .iter()
            .enumerate()
    {
        s.run(&format!(
            "create table l{n} (t text, id text, v {version}, unique (t, id, v)); select domain_events.register_event_table('l{n}', 't', 'id', 'v');
             insert into l{n} values ('a', '1', {last} - 1)"
        ));
        let insert =
            format!("insert into l{n} select 'a', '1', domain_events.next_aggregate_version('a', '1', 'l{n}')");
        s.run(&insert);
        s.error(&insert).expect("22003").naming("version");
        assert_eq!(s.one(&format!("select max(v) from l{n}")), *last);
        assert_eq!(s.number(&format!("select domain_events.next_aggregate_version('a', '2', 'l{n}')")), 1);
    }
}

fn versions_are_integers(db: &Db) {
    let mut s = db.owner();
    s.run("create domain whole as numeric(9,0)");
    for version in ["numeric(5,0)", "numeric", "text", "float8", "whole", "varchar(9)", "timestamptz"] {
        s.run(&format!("drop table if exists ln; create table ln (t text, id text, v {version}, unique (t, id, v))"));
        s.error("select domain_events.register_event_table('ln', 't', 'id', 'v')").expect("42804").naming("v");
        s.error("select domain_events.register_event_table('ln', '{t,id}', 'v')").expect("42804").naming("v");
    }
    // a null is no version
    s.run("drop table ln; create table ln (t text, id text, v int, unique (t, id, v)); insert into ln values ('a', '1', null), ('a', '1', 4), ('a', '1', null)");
    s.run("select domain_events.register_event_table('ln', 't', 'id', 'v')");
    assert_eq!(s.number("select domain_events.next_aggregate_version('a', '1', 'ln')"), 5);
}

fn streams_of_up_to_four_columns(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table four (org int, tenant uuid, kind text, id numeric, v int, at timestamptz not null default now(), unique (org, tenant, kind, id, v, at)) partition by range (at);
         create table four_1 partition of four default;
         select domain_events.register_event_table('four', '{org,tenant,kind,id}', 'v');
         create table three (tenant int, kind text, id text, v int, unique (tenant, kind, id, v));
         select domain_events.register_event_table('three', array['tenant', 'kind', 'id'], 'v');
         create table one (id text, v int, at date, unique (id, v, at));
         select domain_events.register_event_table('one', '{id}', 'v');
         create table device_events (device_id bigint, version int, at timestamptz default now(), unique (device_id, version, at)) partition by range (at);
         create table device_events_1 partition of device_events default;
         select domain_events.register_event_table('device_events', null, 'device_id', 'version');",
    );
    let stream = "array['1', '018f0000-0000-7000-8000-000000000001', 'A', '1.0']";
    assert_eq!(s.number(&format!("select domain_events.next_aggregate_version({stream}, 'four')")), 1);
    s.run(&format!("insert into four select 1, '018f0000-0000-7000-8000-000000000001', 'A', 1, domain_events.next_aggregate_version({stream}, 'four')"));
    assert_eq!(s.number("select domain_events.next_aggregate_version(array['01', '018F00000000-7000-8000-000000000001', 'A', '1'], 'four')"), 2);
    assert_eq!(s.number("select domain_events.next_aggregate_version(array['2', '018f0000-0000-7000-8000-000000000001', 'A', '1'], 'four')"), 1);
    s.run("insert into three values (1, 'A', 'x', 7); insert into one values ('x', 3, '2024-01-01'), ('x', 2, '2024-01-02')");
    assert_eq!(s.number("select domain_events.next_aggregate_version(array['1', 'A', 'x'], 'three')"), 8);
    assert_eq!(s.number("select domain_events.next_aggregate_version(array['2', 'A', 'x'], 'three')"), 1);
    assert_eq!(s.number("select domain_events.next_aggregate_version(array['x'], 'one')"), 4);
    assert_eq!(s.number("select domain_events.next_aggregate_version('Any', 'x', 'one')"), 4);
    s.run("insert into device_events select 5, domain_events.next_aggregate_version('', '5', 'device_events')");
    assert_eq!(s.number("select domain_events.next_aggregate_version('', '5', 'device_events')"), 2);
    // the store's own
    s.run("select domain_events.append_event('A', '1', 'A')");
    assert_eq!(s.number("select domain_events.next_aggregate_version(array['A', '1'], 'domain_events.events')"), 2);
    for (call, code) in [
        ("next_aggregate_version(array['1', 'A'], 'three')", "22023"),
        ("next_aggregate_version('1', 'A', 'three')", "22023"),
        ("next_aggregate_version(array['1', 'A', null], 'three')", "22004"),
        ("next_aggregate_version(null::text[], 'three')", "22004"),
        ("next_aggregate_version(array['1'], null)", "22004"),
        ("next_aggregate_version(array['A'], 'domain_events.events')", "22023"),
        ("next_aggregate_version(array[repeat('x', 1025)], 'one')", "22023"),
        ("next_aggregate_version('{}'::text[], 'one')", "22023"),
        ("register_event_table('three', '{}', 'v')", "22023"),
        ("register_event_table('three', '{tenant,kind,id,v,tenant}', 'v')", "22023"),
        ("register_event_table('three', '{tenant,tenant}', 'v')", "22023"),
        ("register_event_table('three', '{tenant,null}', 'v')", "22004"),
        ("register_event_table('three', null::name[], 'v')", "22004"),
        ("register_event_table('three', '{tenant,kind}', null)", "22004"),
        ("register_event_table('three', '{tenant,nope}', 'v')", "42703"),
        ("register_event_table('three', '{tenant,kind,v}', 'id')", "42804"),
        ("register_event_table(4000000000::oid::regclass, '{tenant}', 'v')", "42P01"),
    ] {
        s.error(&format!("select domain_events.{call}")).expect(code);
    }
    s.run("create table bare (a text, b text, v int)");
    s.error("select domain_events.register_event_table('bare', '{a,b}', 'v')").expect("42P16");
}

/// One row is read, not the stream.
fn a_long_stream_costs_no_more(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table log (t text, id text, v int, unique (t, id, v));
         insert into log select 'User', '1', i from generate_series(1, 50000) as i; analyze log;
         select domain_events.register_event_table('log', 't', 'id', 'v');
         select domain_events.next_aggregate_version('User', '1', 'log') from generate_series(1, 10);",
    );
    let read = |s: &mut domain_events_tests::Session| {
        s.number("select coalesce(sum(idx_tup_fetch), 0) + coalesce(sum(seq_tup_read), 0) from pg_stat_xact_all_tables where relname = 'log'")
    };
    s.run("begin");
    let before = read(&mut s);
    assert_eq!(s.number("select domain_events.next_aggregate_version('User', '1', 'log')"), 50001);
    assert!(read(&mut s) - before <= 5, "a stream of 50,000 events is read whole");
    s.run("commit");
}
