//! Plans made from SQL files: what is rewritten, what is refused, what a plan is made of.

use super::{Choices, Plan, build};
use crate::error::Error;
use crate::judge::{Strategy, judge};
use crate::source::{Catalogue, Store, from_sql};

const TABLES: &str = "
create table users (id bigint primary key, email text);
create table events (kind text, stream text, version int, what text, data jsonb, at timestamptz default now(), unique (kind, stream, version));
create table other_events (stream text, version int, what text, data jsonb, at timestamptz default now(), unique (stream, version));";

fn catalogue(body: &str) -> Catalogue {
    let sql = format!(
        "{TABLES} create function f() returns trigger language plpgsql as $f${body}$f$;
         create trigger t after update on users for each row execute function f();"
    );
    let (mut catalogue, problems) = from_sql([("test.sql", sql.as_str())]);
    assert!(problems.is_empty(), "{problems:?}");
    catalogue.store = Some(Store {
        engine: "portable".into(),
        version: "0.1.0".into(),
        owner: "store".into(),
        event_tables: vec![],
        captured: vec![],
        executors: vec!["\"\"".into()],
        may_grant: true,
    });
    catalogue
}

fn plan(body: &str, strategy: Strategy) -> Result<Plan, Error> {
    let catalogue = catalogue(body);
    let choices = Choices { strategies: vec![("t".into(), strategy)], ..Choices::default() };
    build(&catalogue, &judge(&catalogue), &choices, "test")
}

/// The body after a rewrite.
#[track_caller]
fn rewritten(body: &str) -> String {
    let plan = plan(body, Strategy::Rewrite).unwrap_or_else(|e| panic!("{e}"));
    let sql = plan.steps[0].statements.iter().map(|s| s.sql.as_str()).find(|s| s.contains("create function")).unwrap();
    let (_, rest) = sql.split_once("$f$").unwrap();
    rest.split_once("$f$").unwrap().0.to_owned()
}

#[test]
fn only_the_version_is_replaced() {
    let call = "domain_events.next_aggregate_version('User', (new.id)::text, 'public.events'::regclass)";
    for version in [
        "1",
        "(1)::int",
        "(select coalesce(max(version), 0) + 1 from events e where e.kind = 'User' and e.stream = new.id::text)",
        "coalesce((select max(version) from events where kind = 'User' and stream = new.id::text), 0) + 1",
    ] {
        let body = format!(
            "\n-- écrit\nbegin\n  insert into events (kind, stream, what, version, data) -- one, two\n  values ('User', new.id, 'Changed, (really)', {version}, to_jsonb(new));\n  return new;\nend\n"
        );
        assert_eq!(
            rewritten(&body),
            body.replacen(&format!(", {version}, to_jsonb"), &format!(", {call}, to_jsonb"), 1)
        );
    }
}

#[test]
fn variables_into_and_several_statements() {
    let body = "\ndeclare v int; r bigint;\nbegin\n  select coalesce(max(version), 0) + 1 into v from events where kind = 'User' and stream = new.id::text;\n  insert into events (kind, stream, version, what) values (lower('U') || 'ser', new.id::text, v, 'A') returning version into r;\n  insert into events select 'User', new.id, 7, 'B';\n  return new;\nend";
    let new = rewritten(body);
    assert!(new.contains("values (lower('U') || 'ser', new.id::text, domain_events.next_aggregate_version((lower('U') || 'ser')::text, (new.id::text)::text, 'public.events'::regclass), 'A') returning version into r;"), "{new}");
    assert!(new.contains("insert into events select 'User', new.id, domain_events.next_aggregate_version('User', (new.id)::text, 'public.events'::regclass), 'B';"), "{new}");
    assert!(new.contains("select coalesce(max(version), 0) + 1 into v from events"), "the rest stays: {new}");
}

#[test]
fn a_table_without_a_type_has_one_kind_of_stream() {
    let new = rewritten(
        "begin insert into other_events (stream, version, what, data) values (new.id, 1, 'A', '{}'); return new; end",
    );
    assert!(
        new.contains(
            "domain_events.next_aggregate_version('other_events', (new.id)::text, 'public.other_events'::regclass)"
        ),
        "{new}"
    );
}

#[test]
fn what_cannot_be_rewritten_is_refused() {
    for (body, why) in [
        (
            "begin insert into events (kind, stream, version, what) values ('User', clock_timestamp() || new.email, 1, 'A'); return new; end",
            "evaluated twice",
        ),
        (
            "begin insert into events (kind, stream, version, what) values ('User', new.id, 1, 'A'), ('User', new.id, 2, 'B'); return new; end",
            "several rows",
        ),
        (
            "begin insert into events (kind, stream, version, what) select 'User', u.id, 1, 'A' from users u; return new; end",
            "several rows",
        ),
        (
            "begin execute 'insert into events (kind, stream, version, what) values (''User'', $1, 1, ''A'')' using new.id; return new; end",
            "run time",
        ),
        (
            "begin insert into events (kind, stream, version, what) values ('User', new.id, 1, 'A'); insert into events (kind, stream, version, what) values ('User', new.id, 1, 'A'); return new; end",
            "twice in one line",
        ),
    ] {
        let refused = plan(body, Strategy::Rewrite).map(|p| p.plan_id);
        let error = refused.expect_err(body);
        assert!(error.to_string().contains(why), "{error} for {body}");
        assert_eq!(error.exit(), crate::error::Exit::Usage);
    }
}

#[test]
fn a_plan_is_the_same_when_it_is_made_again() {
    let body =
        "begin insert into events (kind, stream, version, what) values ('User', new.id, 1, 'A'); return new; end";
    let first = plan(body, Strategy::Shim).unwrap_or_else(|e| panic!("{e}"));
    let again = plan(body, Strategy::Shim).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(first, again);
    assert_eq!(first.steps[0].locks, ["public.events"], "a shim locks nothing but the event table");
    assert!(first.clear.len() == 1 && first.finish.is_empty());
    for statement in &first.steps[0].statements {
        assert!(!statement.lock.is_empty() && !statement.expected.is_empty());
        assert!(pg_query::parse(&statement.sql).is_ok(), "{}", statement.sql);
        assert!(statement.undo.as_deref().is_none_or(|u| pg_query::parse(u).is_ok()));
        // no statement of apply may lock out readers
        assert!(
            !statement.sql.to_lowercase().contains("drop trigger") && !statement.sql.to_lowercase().contains("rename")
        );
    }
    let capture = plan(body, Strategy::Capture).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(capture.steps[0].locks, ["public.users"]);
    assert!(!capture.ports[0].declared_differences.is_empty());
}
