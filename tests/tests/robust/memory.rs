//! Large values in a server whose address space is limited: what does not fit is an ordinary error of that session, and the server
//! goes on.
//!
//! 90 MB and the statements that matter most; `MEMORY_STEP=10` tries every statement on each tenth megabyte, for an hour.

use domain_events_tests::{Cluster, Db, Engine, Session};

use crate::number;

mod portable {
    #[test]
    fn what_does_not_fit_is_an_error_of_the_session() {
        super::what_does_not_fit_is_an_error_of_the_session(super::Engine::Portable);
    }
}

mod native {
    #[test]
    fn what_does_not_fit_is_an_error_of_the_session() {
        super::what_does_not_fit_is_an_error_of_the_session(super::Engine::Native);
    }
}

/// Kilobytes that each process of the server may map.
const SPACE: u64 = 450_000;

/// The statements on a value of so many bytes.
fn statements(size: u64) -> Vec<String> {
    let text = format!("repeat('x', {size})");
    let (half, third) = (size / 2, size / 3);
    let append = |data: &str| {
        format!("select aggregate_version from domain_events.append_event('Large', '{size}', 'Made', {data})")
    };
    let mut all = vec![
        append(&format!("jsonb_build_object('v', {text})")),
        append(&format!("jsonb_build_object('v', {text}, 'w', {text})")),
        append(&format!("'{{}}', metadata => jsonb_build_object('v', {text})")),
        append(&format!("jsonb_build_array({text}, repeat(e'\\x01\"\\\\', {third}))")),
        format!("select aggregate_version from domain_events.append_event('Large', {text}, 'Made')"),
        format!("select aggregate_version from domain_events.append_event('Large', '1', {text})"),
        format!("select aggregate_version from domain_events.append_event('Large', '1', 'Made', '{{}}', {text})"),
        format!(
            "select count(*) from domain_events.append_events('Large', 'm{size}', (select jsonb_agg(jsonb_build_object('event_type', 'Made', 'event_data', jsonb_build_object('v', repeat('x', {third})))) from generate_series(1, 3)))"
        ),
        format!(
            "select count(*) from domain_events.append_events((select jsonb_agg(jsonb_build_object('aggregate_type', 'Large', 'aggregate_id', 'n{size}', 'event_type', 'Made', 'event_data', jsonb_build_object('v', repeat('x', {third})))) from generate_series(1, 3)))"
        ),
        format!(
            "select count(*) from domain_events.append_events('Large', 'o{size}', (select jsonb_agg(jsonb_build_object('event_type', 'Made', 'event_data', i)) from generate_series(1, {}) as i))",
            size / 200
        ),
        format!("select domain_events.set_context(actor => {text})"),
        format!("select domain_events.set_context(metadata => jsonb_build_object('v', {text}))"),
        format!("select domain_events.next_aggregate_version('Large', {text})"),
    ];
    for table in ["plain", "whole", "ends"] {
        all.extend([
            format!("insert into {table} (id, v, w) values (1, {text}, 'a')"),
            format!("update {table} set v = repeat('y', {size}), w = repeat('z', {size})"),
            format!("update {table} set w = 'b'"),
            format!("update {table} set w = repeat(e'\\x01', {half})"),
            format!("update {table} set id = id + 1"),
            format!("insert into {table} (id, v) select i, repeat('q', {third}) from generate_series(11, 13) as i"),
            format!("update {table} set b = decode(repeat('ab', {half}), 'hex')"),
            format!("update {table} set b = null, j = to_json({text}), k = jsonb_build_object('k', {text})"),
            format!("update {table} set j = null, k = null, a = array[{text}, 'x', null]"),
            format!("select count(*) from domain_events.check_rows('{table}')"),
            format!("delete from {table}"),
        ]);
    }
    all.extend(
        [
            "select length(domain_events.fold_stream('Plain', '1')::text)",
            "select length(domain_events.fold_stream('Plain', '2')::text)",
            "select length(domain_events.fold_stream('Large', '1')::text)",
            "select sum(length(event_data::text)) from domain_events.read_stream('Plain', '1')",
            "select sum(length(event_data::text)) from domain_events.read_stream('Whole', '1')",
            "select count(*) from domain_events.check_integrity()",
            "select domain_events.retry_capture_failures()",
            "truncate plain, whole, ends",
        ]
        .map(str::to_owned),
    );
    all.push(format!("select length(domain_events.fold_stream('Large', '{size}')::text)"));
    all
}

/// Those of each kind that need most.
fn few(size: u64) -> Vec<String> {
    let text = |letter: &str| format!("repeat('{letter}', {size})");
    let third = size / 3;
    let append = format!(
        "select aggregate_version from domain_events.append_event('Large', '1', 'Made', jsonb_build_object('v', repeat('x', {third})))"
    );
    vec![
        append.clone(),
        append.clone(),
        append,
        "select length(string_agg(event_data::text, '')) from domain_events.read_stream('Large', '1')".into(),
        format!(
            "select aggregate_version from domain_events.append_event('Large', '1', 'Made', jsonb_build_object('v', {}))",
            text("x")
        ),
        format!(
            "select count(*) from domain_events.append_events('Large', '1', jsonb_build_array(jsonb_build_object('event_type', 'Made', 'event_data', {})))",
            text("x")
        ),
        format!("insert into plain (id, v, w) values (1, {}, 'a')", text("x")),
        format!("update plain set v = {}, w = {}", text("y"), text("z")),
        "update plain set w = 'b'".into(),
        format!("insert into ends (id, v) values (1, {})", text("x")),
        "select length(domain_events.fold_stream('Plain', '1')::text)".into(),
        "select sum(length(event_data::text)) from domain_events.read_stream('Plain', '1')".into(),
    ]
}

fn what_does_not_fit_is_an_error_of_the_session(engine: Engine) {
    let cluster = Cluster::start_within(
        SPACE,
        &[("shared_buffers", "16MB"), ("max_connections", "20"), ("restart_after_crash", "off")],
    );
    let db = Db::on(cluster, engine);
    let mut s = db.admin();
    s.run("set client_min_messages = error");
    for (table, options) in
        [("plain", "payload => 'changes'"), ("whole", "payload => 'full'"), ("ends", "on_failure => 'abort'")]
    {
        s.run(&format!(
            "create table {table} (id int primary key, v text, w text, b bytea, j json, k jsonb, a text[]);
             select domain_events.enable_capture('{table}', aggregate_type => initcap('{table}'), {options})"
        ));
    }
    let (mut done, mut refused) = (0, 0);
    let mut seen = vec![];
    let step = number("MEMORY_STEP", 0);
    let sizes: Vec<u64> =
        if step == 0 { vec![90] } else { (1..).map(|n| n * step).take_while(|m| *m <= 180).collect() };
    for megabytes in sizes {
        let size = megabytes * 1_000_000;
        for sql in if step == 0 { few(size) } else { statements(size) } {
            match attempt(&mut s, &sql) {
                None => done += 1,
                Some((code, message)) => {
                    // too large for a name or an id, for an index, for jsonb; or a hole in another value's way
                    let named = ["53200", "22001", "22023", "54000", "23514"].contains(&code.as_str());
                    assert!(named, "{megabytes} MB: {sql:.200}: {code} {message:.300}");
                    refused += u64::from(code == "53200");
                    seen.push(code);
                }
            }
            assert_eq!(s.one("select 1"), "1");
        }
        s.run("delete from domain_events.capture_failures");
    }
    eprintln!("{engine:?}: {done} done, {refused} without memory, of {} refused", seen.len());
    // else the limit was no limit, or nothing was possible
    assert!(done > 0 && refused > 2, "{done} done, {refused} without memory");
    let log = db.cluster().log();
    for sign in ["terminated by signal", "PANIC", "memory allocation of", "XX000"] {
        assert!(!log.contains(sign), "{sign} in the server's log: {:.2000}", &log[log.find(sign).unwrap_or(0)..]);
    }
    db.check_versions();
    // what is small works on
    s.run("insert into ends (id, v) values (77, 'a'); update ends set v = 'b'");
    assert_eq!(s.one("select domain_events.fold_stream('Ends', '77') ->> 'v'"), "b");
}

fn attempt(s: &mut Session, sql: &str) -> Option<(String, String)> {
    s.attempt(sql).err().map(|failure| (failure.code, failure.message))
}
