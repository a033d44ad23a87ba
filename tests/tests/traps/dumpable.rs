//! No event makes the store undumpable: what is small as jsonb may be larger as text than a line of COPY can be.

use domain_events_tests::{Db, engines};

engines! { t15_values_that_are_large_as_text, t15_a_value_without_readable_text, t15_appended_events_that_are_large_as_text, t15_context_that_is_large_as_text }

/// 640 columns that may be large: of each value 209,375 bytes of jsonb, or twice as many as COPY writes it, are kept.
fn t15_values_that_are_large_as_text(db: &Db) {
    let mut s = db.owner();
    let pads: String = (1..=631).map(|n| format!(", p{n} text")).collect();
    s.run(&format!(
        "create type pair as (a numeric[], b text);
         create table w (id int primary key, t text, v varchar, j jsonb, js json, a numeric[], ta text[], x xml, bits varbit, p pair, n numeric{pads});
         select domain_events.enable_capture('w', 'W')",
    ));
    let large = "(select array_agg(1e131071::numeric) from generate_series(1, 4))";
    for (column, value) in [
        ("t", "repeat(chr(1), 60000)"),
        ("v", "repeat(E'\\\\', 110000)"),
        ("t", "repeat('x', 209376)"),
        ("j", &format!("to_jsonb({large})")),
        ("js", "('[' || repeat('1e131071,', 3) || '-1e131071]')::json"),
        ("a", large),
        ("ta", "(select array_agg(repeat(chr(1), 6000)) from generate_series(1, 10))"),
        ("x", "xmlelement(name a, repeat(E'\\\\', 110000))"),
        ("bits", "repeat('1', 210000)::varbit"),
        ("p", &format!("row({large}, 'b')")),
        ("j", "to_jsonb(repeat(chr(1), 60000))"),
        ("j", "(select jsonb_agg(1) from generate_series(1, 20000))"),
        ("j", &format!("jsonb_build_object('$value', {large})")),
        ("j", "(select jsonb_build_object('a', jsonb_agg(1e-16383)) from generate_series(1, 27))"),
    ] {
        let id = s.one("select coalesce(max(id), 0) + 1 from w");
        s.run(&format!("insert into w (id, {column}) values ({id}, {value})"));
        let form = match column {
            "j" | "t" | "v" | "x" | "bits" => format!("{column}::text"),
            "js" => "js::text".into(),
            _ => format!("to_jsonb({column})::text"),
        };
        assert_eq!(
            s.table(&format!(
                "select m ->> '$value', m ->> 'type' = pg_typeof(w.{column})::text or m ->> 'type' = 'public.pair',
                        (m ->> 'bytes')::int = octet_length({form}), m ->> 'sha256' = encode(sha256(convert_to({form}, 'UTF8')), 'hex')
                   from w, lateral (select event_data -> 'new_values' -> '{column}' as m from domain_events.events where aggregate_id = w.id::text) e
                  where id = {id}"
            )),
            "unrepresentable|t|t|t",
            "{column} {value}"
        );
    }
    // Just below the limit all of it is kept.
    for (column, value) in [
        ("t", "repeat(chr(1), 59800)"),
        ("t", "repeat(E'\\n', 139000)"),
        ("j", "to_jsonb((select array_agg(1e131071::numeric) from generate_series(1, 3)))"),
        ("ta", "(select array_agg(repeat(chr(1), 5900)) from generate_series(1, 10))"),
        ("n", "-1e131071 - 1e-16383"),
    ] {
        let id = s.one("select max(id) + 1 from w");
        s.run(&format!("insert into w (id, {column}) values ({id}, {value})"));
        assert_eq!(
            s.one(&format!(
                "select fold_stream -> '{column}' = to_jsonb({column}) from w, domain_events.fold_stream('W', id::text) where id = {id}"
            )),
            "t",
            "{column} {value}"
        );
    }
    s.run("update w set t = repeat(chr(2), 60000), n = id; update w set id = -id where id < 3; delete from w where id in (3, 4, 7)");
    assert_eq!(s.table("select * from domain_events.check_rows('w')"), "");
    assert_eq!(s.one("select count(*) from domain_events.capture_failures"), "0");
    db.check_versions();
    let copy = db.restored();
    assert_eq!(copy.admin().table("select * from domain_events.check_rows('w')"), "");
}

/// Of text over 256 MB nothing is read.
fn t15_a_value_without_readable_text(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table m (id int primary key, j jsonb); select domain_events.enable_capture('m', 'M');
         insert into m values (1, ('[' || repeat('1e131071,', 2060) || '1]')::jsonb)",
    );
    assert_eq!(
        s.one("select event_data #> '{new_values,j}' from domain_events.events"),
        r#"{"type": "jsonb", "bytes": null, "$value": "unrepresentable", "sha256": null}"#
    );
    s.run("drop table m");
    db.restored();
}

fn t15_appended_events_that_are_large_as_text(db: &Db) {
    let mut s = db.owner();
    s.run("create table doc as select ('{\"a\":[' || repeat('1e131071,', 2060) || '1]}')::jsonb as d");
    assert!(s.number("select pg_column_size(d) from doc") < 1000, "stored compressed");
    for call in [
        "append_event('X', '1', 'E', d)",
        "append_events('X', '1', jsonb_build_array(jsonb_build_object('event_type', 'E', 'metadata', d)))",
        "append_event('X', '1', 'E', '{}', repeat(E'\\\\', 140000000))",
    ] {
        let failure =
            s.error(&format!("select e.aggregate_version from doc, domain_events.{call} e")).expect_code("22023");
        assert_eq!(failure.message, "the event is too large: more than 256 MB as text", "{call}");
    }
    s.run("select domain_events.append_event('X', '1', 'E', jsonb_build_object('a', repeat('x', 1000000), 'n', 1e131071), repeat('n', 30000))");
    s.run("drop table doc");
    // Payloads of a legacy table that are too large as numbers stay the text that they are.
    assert_eq!(
        db.admin().one("select jsonb_typeof(domain_events._as_payload('[' || repeat('1e131071,', 1600) || '1]'))"),
        "string"
    );
    db.admin().error(
        "select domain_events._check_adopted_sizes(array[row(1, null, null, 'X', '1', 1, 'E', null, ('[' || repeat('1e131071,', 2060) || '1]')::jsonb,
                '{}', null, null, null, 1, null, null, 'adopted')::domain_events.events])",
    ).expect_code("22023");
    db.admin().run("select * from domain_events.check_performance()");
    db.check_versions();
    db.restored();
}

fn t15_context_that_is_large_as_text(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key); select domain_events.enable_capture('t');
         select set_config('domain_events.metadata', '{\"a\":[' || repeat('1e131071,', 800) || '1]}', false);
         insert into t values (1); select domain_events.append_event('X', '1', 'E');
         select set_config('domain_events.metadata', '[' || repeat('1,', 4000) || '1]', false); insert into t values (2)",
    );
    assert_eq!(
        s.table("select distinct left(metadata ->> '$context', 15), right(metadata ->> '$context', 34) from domain_events.events where aggregate_id = '1'"),
        "{\"a\":[1e131071,|... [cut, more than 8 kB as jsonb]",
    );
    assert_eq!(
        s.one("select jsonb_array_length(metadata -> '$context') from domain_events.events where aggregate_id = '2'"),
        "4001"
    );
    db.check_table("T", "t");
}
