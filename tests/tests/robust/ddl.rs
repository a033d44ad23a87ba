//! DDL of every day on plain tables and on the same tables with captures: results, errors and the tables' contents are the same. What
//! differs is in `KNOWN`, and in docs/guarantees.md.

use domain_events_tests::{Db, Engine, Session, engines};

engines! { captures_change_no_ddl }

/// Tables of every scenario; the role `app_owner` owns them.
const TABLES: &str = "
    create table t (id int primary key, a text, b int default 7, c numeric(10, 2) check (c > -100));
    insert into t (id, a, c) values (1, 'one', 1.5), (2, 'two', 2.5), (3, null, null);
    create table p (id int not null, k int not null, v text, primary key (id, k)) partition by list (k);
    create table p1 partition of p for values in (1); create table p2 partition of p for values in (2); create table rest partition of p default;
    insert into p values (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c');
    create table spare (v text, id int not null, k int not null, primary key (id, k)); insert into spare values ('s', 9, 9);
    create table par (id int primary key, x text); create table chi (y int, primary key (id)) inherits (par);
    insert into par values (1, 'p'); insert into chi values (2, 'c', 3);
    create table f (id int primary key, t_id int references t on delete cascade on update cascade); insert into f values (1, 1), (2, 2);
    create table w (id bigint generated always as identity primary key, n int, twice int generated always as (n * 2) stored); insert into w (n) values (1), (2);";

/// Those that are captured, with what enable_capture() is told.
const CAPTURED: &[(&str, &str)] = &[
    ("t", ""),
    ("p", ", aggregate_id => '{id}'"),
    ("spare", ", aggregate_id => '{id}'"),
    ("par", ""),
    ("chi", ""),
    ("f", ""),
    ("w", ""),
];

/// What each scenario's end is compared by.
const CONTENTS: &[&str] = &[
    "select * from t order by 1", "select * from p order by 1, 2", "select * from spare order by 1", "select * from only par order by 1", "select * from chi order by 1",
    "select * from f order by 1", "select * from w order by 1",
    "select c.relname, a.attnum, a.attname, a.atttypid::regtype, a.attnotnull, a.atthasdef from pg_class c join pg_attribute a on a.attrelid = c.oid
      where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and a.attnum > 0 order by 1, 2",
    "select i.inhparent::regclass, i.inhrelid::regclass from pg_inherits i join pg_class c on c.oid = i.inhrelid where c.relnamespace = current_schema()::regnamespace order by 1, 2",
];

/// The scenarios: see there.
const SCENARIOS: &str = include_str!("ddl.sql");

/// What is not the same, as docs/guarantees.md tells it: the beginning of a statement, and why.
const KNOWN: &[(&str, &str)] = &[];

/// What came of a statement.
fn outcome(s: &mut Session, sql: &str, schema: &str) -> String {
    match s.attempt(sql) {
        Ok(rows) => format!("{rows:?}"),
        Err(failure) => format!("{}: {} {}", failure.code, failure.message, failure.detail),
    }
    .replace(schema, "SCHEMA")
}

/// The statements of each scenario.
fn scenarios() -> Vec<Vec<&'static str>> {
    let parts = SCENARIOS.split("\n\n").map(|part| part.lines().filter(|line| !line.starts_with("--")).collect());
    parts.filter(|statements: &Vec<_>| !statements.is_empty()).collect()
}

fn captures_change_no_ddl(db: &Db) {
    let plain = Db::new(Engine::None);
    let (mut with, mut without) = (db.owner(), plain.owner());
    let (mut differences, mut count, mut refused) = (vec![], 0, 0);
    for (n, scenario) in scenarios().iter().enumerate() {
        let schema = format!("scenario{n}");
        for s in [&mut with, &mut without] {
            s.run(&format!("create schema {schema}; set search_path = {schema}; set client_min_messages = error"));
            s.run(TABLES);
        }
        for (table, options) in CAPTURED {
            with.run(&format!(
                "select domain_events.enable_capture('{table}', aggregate_type => 'S{n}{table}'{options})"
            ));
        }
        let contents = CONTENTS.iter().copied();
        for statement in scenario.iter().copied().chain(contents) {
            let sql = statement.replace("{schema}", &schema).replace("{n}", &n.to_string());
            let (one, other) = (outcome(&mut with, &sql, &schema), outcome(&mut without, &sql, &schema));
            count += usize::from(scenario.contains(&statement));
            refused += usize::from(other.contains(": ") && !other.starts_with('['));
            if one != other && !KNOWN.iter().any(|(known, _)| statement.starts_with(known)) {
                differences.push(format!("{n}: {sql}\n   plain    {other:.300}\n   captured {one:.300}"));
            }
        }
        with.attempt("rollback").ok();
        without.attempt("rollback").ok();
        for s in [&mut with, &mut without] {
            s.run(&format!("drop schema {schema} cascade"));
        }
    }
    eprintln!("{count} statements, {refused} of them and of what they left is refused");
    assert!(count > 250 && refused > 50, "{count} statements, {refused} refused");
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    db.check_versions();
    let left = db.admin().one("select count(*) from pg_proc where proname ~ '^capture_[0-9]+$' and not exists (select from domain_events.capture_config c where proname = 'capture_' || c.capture_id)");
    assert_eq!(left, "0", "functions of captures that are gone");
}
