//! Both signs: what must be found, with the right source and strategy, and what must be left alone.

mod beyond_counting;
mod by_itself;
mod by_values;
mod events_or_not;
mod held_or_not;
mod logs_and_numbers;

use super::{Finding, judge};
use crate::source::from_sql;

const TABLES: &str = "
create table users (id bigint primary key, email text, version int not null default 1, org_id bigint);
create table domain_events (
  id bigserial primary key, event_id uuid default gen_random_uuid(), aggregate_type varchar(100) not null,
  aggregate_id varchar(100) not null, aggregate_version bigint not null, event_type varchar(150) not null, event_name text,
  event_data jsonb not null, occurred_at timestamptz not null default now(),
  constraint uk_aggregate_version unique (aggregate_type, aggregate_id, aggregate_version));";

/// Findings of a schema; every statement of it must be read.
fn findings(sql: &str) -> Vec<Finding> {
    let (catalogue, problems) = from_sql([("test.sql", sql)]);
    assert!(problems.is_empty(), "{problems:?}");
    judge(&catalogue).judged.into_iter().map(|j| j.finding).collect()
}

fn line(f: &Finding) -> String {
    format!("{} {} {}", f.code, f.version_source.name(), f.strategy.map_or("-", |s| s.name()))
}

/// Code, source and strategy of each.
fn lines_of(found: &[Finding]) -> Vec<String> {
    found.iter().map(line).collect()
}

/// A trigger function with this body on `users`.
fn with_body(body: &str, events: &str) -> String {
    format!(
        "{TABLES}
         create function f() returns trigger language plpgsql as $f$ {body} $f$;
         create trigger t after {events} on users for each row execute function f();"
    )
}

#[track_caller]
fn expect(sql: &str, wanted: &[&str]) -> Vec<Finding> {
    let found = findings(sql);
    let lines: Vec<String> = found.iter().map(line).collect();
    assert_eq!(lines, wanted, "{found:#?}");
    found
}

/// An INSERT of an event with this version, in a trigger AFTER UPDATE.
#[track_caller]
fn version(before: &str, version: &str, wanted: &str) -> Finding {
    let body = format!(
        "declare v bigint; w bigint; begin {before}
           insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
           values ('User', new.id, {version}, 'UserUpdated', to_jsonb(new));
           return new; end"
    );
    expect(&with_body(&body, "update"), &[wanted]).remove(0)
}

const MAX: &str = "select coalesce(max(aggregate_version), 0) + 1 from domain_events where aggregate_id = new.id::text";

#[test]
fn literals() {
    let f = version("", "1", "EV101 literal shim");
    assert_eq!((f.event_type.as_deref(), f.operations.as_slice()), (Some("UserUpdated"), &["UPDATE".to_owned()][..]));
    version("", "(1)::bigint", "EV101 literal shim");
    version("", "'1'", "EV101 literal shim");
    version("v := 1;", "v", "EV101 literal shim");
    version("v := 1; w := v;", "w", "EV101 literal shim");
    version("", "tg_argv[0]::int", "EV101 literal shim");
}

#[test]
fn newest_plus_one() {
    version("", &format!("({MAX})"), "EV102 max_plus_one shim");
    version(&format!("v := ({MAX});"), "v", "EV102 max_plus_one shim");
    version(&format!("{} into v;", MAX.replace(" from", " as n from")), "v", "EV102 max_plus_one shim");
    version(
        "select max(aggregate_version) into v from domain_events where aggregate_id = new.id::text; v := coalesce(v, 0) + 1;",
        "v",
        "EV102 max_plus_one shim",
    );
    version(
        "select count(*) + 1 into v from domain_events where aggregate_id = new.id::text;",
        "v",
        "EV102 max_plus_one shim",
    );
    version(
        "select aggregate_version into v from domain_events where aggregate_id = new.id::text order by aggregate_version desc limit 1;",
        "coalesce(v, 0) + 1",
        "EV102 max_plus_one shim",
    );
    // what a shim would count otherwise is left to a person
    version("", "(select coalesce(max(aggregate_version), 0) + 1 from domain_events)", "EV102 max_plus_one manual");
    version("", &format!("({})", MAX.replace(", 0) + 1", ", 99) + 1")), "EV102 max_plus_one manual");
    version("", &format!("({MAX} or aggregate_type = 'X')"), "EV102 max_plus_one manual");
    // the lock and the reading in one statement: the snapshot is older than the lock
    version(
        "select coalesce(max(aggregate_version), 0) + 1, pg_advisory_xact_lock(1) into v, w from domain_events where aggregate_id = new.id::text;",
        "v",
        "EV102 max_plus_one shim",
    );
    // the newest row's lock holds nobody who inserts the next
    version(
        "select aggregate_version into v from domain_events where aggregate_id = new.id::text order by aggregate_version desc limit 1 for update;",
        "v + 1",
        "EV102 max_plus_one shim",
    );
}

#[test]
fn newest_plus_one_under_a_lock() {
    for lock in [
        "perform pg_advisory_xact_lock(hashtext(new.id::text));",
        "lock table domain_events in exclusive mode;",
        "perform 1 from users where id = new.id for update;",
    ] {
        version(&format!("{lock} v := ({MAX});"), "v", "EV103 max_plus_one_locked -");
    }
    version("lock table domain_events in access share mode;", &format!("({MAX})"), "EV102 max_plus_one shim");
    version("perform pg_try_advisory_xact_lock(1);", &format!("({MAX})"), "EV102 max_plus_one shim");
    version("update counters set n = n + 1 where id = new.id returning n into v;", "v", "EV103 max_plus_one_locked -");
}

#[test]
fn helpers_are_followed() {
    let helper = |body: &str, volatility: &str| {
        format!(
            "create function next_version(t text, i text) returns bigint language plpgsql {volatility} as $h$ declare r bigint; begin {body} return r; end $h$;"
        )
    };
    let caller = "create function f() returns trigger language plpgsql as $f$ begin
        insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
        values ('User', new.id, next_version('User', new.id::text), 'UserUpdated', to_jsonb(new)); return new; end $f$;
        create trigger t after update on users for each row execute function f();";
    let max = "select coalesce(max(aggregate_version), 0) + 1 into r from domain_events where aggregate_type = t and aggregate_id = i;";
    let run = |body: &str, volatility: &str, wanted: &str| {
        expect(&format!("{TABLES} {} {caller}", helper(body, volatility)), &[wanted]);
    };
    run(max, "", "EV102 max_plus_one shim");
    run(&format!("perform pg_advisory_xact_lock(1); {max}"), "", "EV103 max_plus_one_locked -");
    // not volatile: it reads with the snapshot of the caller, which is older than the lock
    run(&format!("perform pg_advisory_xact_lock(1); {max}"), "stable", "EV102 max_plus_one shim");
    run("r := 1;", "", "EV101 literal shim");
    let sql = format!(
        "{TABLES} create function next_version(t text, i text) returns bigint language sql as
         $h$ select coalesce(max(aggregate_version), 0) + 1 from domain_events where aggregate_type = t and aggregate_id = i $h$; {caller}"
    );
    expect(&sql, &["EV102 max_plus_one shim"]);
}

#[test]
fn other_sources() {
    version("", "new.version", "EV104 copied_from_row manual");
    version("", "old.version + 1", "EV104 copied_from_row manual");
    version("", "nextval('domain_events_id_seq')", "EV105 sequence manual");
    version(
        "",
        "domain_events.next_aggregate_version('User', new.id::text, 'domain_events')",
        "EV190 max_plus_one_locked -",
    );
    version("execute 'select 7' into v;", "v", "EV106 dynamic manual");
    version("", "current_setting('app.version')::bigint", "EV106 dynamic manual");
    version("", "null", "EV120 none shim");
}

#[test]
fn positions_selects_and_several_rows() {
    let body = |insert: &str| with_body(&format!("begin {insert}; return null; end"), "insert or update");
    expect(
        &body(
            "insert into domain_events values (default, default, 'User', new.id, 1, 'UserUpdated', null, to_jsonb(new))",
        ),
        &["EV101 literal shim"],
    );
    expect(
        &body(
            "insert into public.domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data) select 'User', new.id, 1, 'UserUpdated', to_jsonb(new)",
        ),
        &["EV101 literal shim"],
    );
    let two = expect(
        &body(
            "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
               values ('User', new.id, 1, 'UserUpdated', '{}'), ('Org', new.org_id, 1, 'OrgTouched', '{}')",
        ),
        &["EV101 literal shim"],
    );
    assert_eq!(two[0].event_type.as_deref(), Some("UserUpdated|OrgTouched"));
    expect(
        &body(
            "with x as (select 1 as v) insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data) select 'User', new.id, x.v, 'UserUpdated', to_jsonb(new) from x",
        ),
        &["EV101 literal shim"],
    );
    expect(
        &body(
            "with i as (insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data) values ('User', new.id, 1, 'UserUpdated', to_jsonb(new)) returning 1) insert into users select * from users where false",
        ),
        &["EV101 literal shim", "EV100 not_an_event -"],
    );
}

#[test]
fn branches_decide_the_operations() {
    let insert = |t: &str| {
        format!(
            "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data) values ('User', coalesce(new.id, old.id), 1, '{t}', '{{}}');"
        )
    };
    let body = format!(
        "begin if tg_op = 'INSERT' then {} return new; elsif tg_op = 'DELETE' then {} return old; end if; {} return new; end",
        insert("UserCreated"),
        insert("UserDeleted"),
        insert("UserUpdated")
    );
    let all = expect(&with_body(&body, "insert or update or delete"), &["EV101 literal shim"; 3]);
    let of = |t: &str| all.iter().find(|f| f.event_type.as_deref() == Some(t)).map(|f| f.operations.join(","));
    assert_eq!(of("UserCreated").as_deref(), Some("INSERT"));
    assert_eq!(of("UserDeleted").as_deref(), Some("DELETE"));
    assert_eq!(of("UserUpdated").as_deref(), Some("UPDATE"));
    // what cannot run under this trigger is not reported for it
    expect(&with_body(&body, "update"), &["EV101 literal shim"]);
}

#[test]
fn lost_events_are_said() {
    let f = version("", "1", "EV101 literal shim");
    assert!(!f.reasons.iter().any(|r| r.contains("in silence")));
    let quiet = with_body(
        "begin insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
         values ('User', new.id, 1, 'UserUpdated', '{}') on conflict do nothing; return new; end",
        "update",
    );
    assert!(expect(&quiet, &["EV101 literal shim"])[0].reasons.iter().any(|r| r.contains("ON CONFLICT DO NOTHING")));
    let handled = with_body(
        "begin begin perform pg_advisory_xact_lock(1); insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
         values ('User', new.id, (select max(aggregate_version) + 1 from domain_events where aggregate_id = new.id::text), 'UserUpdated', '{}');
         exception when others then null; end; return new; end",
        "update",
    );
    let f = expect(&handled, &["EV301 max_plus_one_locked shim"]);
    assert!(f[0].reasons.iter().any(|r| r.contains("handler")));
}

#[test]
fn statements_made_at_run_time() {
    let body = |s: &str| with_body(&format!("begin {s}; return new; end"), "update");
    let columns = "(aggregate_type, aggregate_id, aggregate_version, event_type, event_data)";
    expect(
        &body(&format!(
            "execute 'insert into domain_events {columns} values ($1, $2, 1, $3, $4)' using 'User', new.id, 'UserUpdated', to_jsonb(new)"
        )),
        &["EV101 literal shim"],
    );
    expect(
        &body(&format!(
            "execute format('insert into domain_events {columns} values (%L, %L, %L, %L, %L)', 'User', new.id, 3, 'UserUpdated', to_jsonb(new))"
        )),
        &["EV101 literal shim"],
    );
    expect(
        &body(&format!(
            "execute format('insert into domain_events {columns} values (%L, %L, %L, %L, %L)', 'User', new.id, new.version, 'UserUpdated', to_jsonb(new))"
        )),
        &["EV201 dynamic manual"],
    );
    expect(&body("execute format('insert into %I values ($1)', tg_argv[0]) using new.id"), &["EV201 dynamic manual"]);
    expect(&body("execute tg_argv[0]"), &["EV201 dynamic manual"]);
    expect(&body("execute 'analyze users'"), &[]);
    let rule = format!(
        "{TABLES} create rule r as on update to users do also insert into domain_events {columns} values ('User', new.id, 1, 'UserUpdated', '{{}}');"
    );
    expect(&rule, &["EV101 literal shim"]);
}

#[test]
fn row_types_do_not_stop_the_parser() {
    let body = "declare r users%rowtype; e public.domain_events; begin
        r.id := new.id; e.event_type := 'UserUpdated';
        insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
        values ('User', r.id, 1, 'UserUpdated', to_jsonb(new)); return new; end";
    expect(&with_body(body, "update"), &["EV101 literal shim"]);
}

#[test]
fn the_event_table_decides() {
    // assigned by a trigger of the event table
    let assign = |lock: &str| {
        format!(
            "{TABLES} create function a() returns trigger language plpgsql as $a$ begin {lock}
               new.aggregate_version := (select coalesce(max(e.aggregate_version), 0) + 1 from domain_events e where e.aggregate_id = new.aggregate_id);
               return new; end $a$;
             create trigger a before insert on domain_events for each row execute function a();
             create function f() returns trigger language plpgsql as $f$ begin
               insert into domain_events (aggregate_type, aggregate_id, event_type, event_data) values ('User', new.id, 'UserUpdated', '{{}}');
               return new; end $f$;
             create trigger t after update on users for each row execute function f();"
        )
    };
    expect(&assign(""), &["EV110 assigned_on_event_table shim"]);
    expect(&assign("perform pg_advisory_xact_lock(1);"), &["EV110 assigned_on_event_table -"]);
    // a default
    let by_default = with_body(
        "begin insert into domain_events (aggregate_type, aggregate_id, event_type, event_data) values ('User', new.id, 'UserUpdated', '{}'); return new; end",
        "update",
    );
    expect(&by_default, &["EV120 none shim"]);
    expect(
        &by_default.replace("aggregate_version bigint not null", "aggregate_version bigint not null default 1"),
        &["EV101 literal shim"],
    );
    // without the key nothing can be served
    expect(&with_body("begin insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data) values ('User', new.id, 1, 'UserUpdated', '{}'); return new; end", "update")
        .replace(",\n  constraint uk_aggregate_version unique (aggregate_type, aggregate_id, aggregate_version)", ""), &["EV101 literal manual"]);
}

#[test]
fn what_is_no_event_is_left_alone() {
    let on = |table: &str, insert: &str| {
        format!(
            "create table orders (id bigint primary key, note text, total int);
             {table};
             create function f() returns trigger language plpgsql as $f$ begin {insert}; return new; end $f$;
             create trigger t after insert or update on orders for each row execute function f();"
        )
    };
    let quiet = |table: &str, insert: &str| {
        for f in findings(&on(table, insert)) {
            assert!(!f.needs_work(), "{f:#?}");
        }
    };
    quiet(
        "create table order_lines (order_id bigint, line_no int, unique (order_id, line_no))",
        "insert into order_lines values (new.id, 1)",
    );
    quiet(
        "create table totals (day date primary key, n int)",
        "insert into totals values (current_date, 1) on conflict (day) do update set n = totals.n + 1",
    );
    quiet(
        "create table order_copies (id bigint, note text, total int)",
        "insert into order_copies values (new.id, new.note, new.total)",
    );
    quiet(
        "create table audit_log (id bigserial primary key, table_name text, action text, row_data jsonb, at timestamptz default now())",
        "insert into audit_log (table_name, action, row_data) values (tg_table_name, tg_op, to_jsonb(new))",
    );
    // a schema version and an action code are constants, and no versions of a stream
    quiet(
        "create table order_events (id bigserial primary key, event_type text, event_version int not null default 1, payload jsonb, created_at timestamptz default now())",
        "insert into order_events (event_type, event_version, payload) values ('OrderChanged', 1, to_jsonb(new))",
    );
    quiet(
        "create table order_audit (id bigserial primary key, action_code int, old_data jsonb, at timestamptz default now(), order_id bigint)",
        "insert into order_audit (action_code, old_data, order_id) values (2, to_jsonb(new), new.id)",
    );
    // every event is an aggregate of its own
    quiet(
        "create table facts (stream_id uuid, version int, event_type text, data jsonb, at timestamptz default now(), unique (stream_id, version))",
        "insert into facts (stream_id, version, event_type, data) values (gen_random_uuid(), 1, 'OrderSeen', to_jsonb(new))",
    );
}

#[test]
fn a_comment_can_make_a_stream_version() {
    let sql = "create table orders (id bigint primary key);
        create table order_events (id bigserial primary key, order_id bigint, event_type text, event_version int not null default 1, payload jsonb, at timestamptz default now());
        comment on column order_events.event_version is 'Version of the aggregate';
        create function f() returns trigger language plpgsql as $f$ begin
          insert into order_events (order_id, event_type, event_version, payload) values (new.id, 'OrderChanged', 1, to_jsonb(new)); return new; end $f$;
        create trigger t after update on orders for each row execute function f();";
    expect(sql, &["EV101 literal manual"]);
}

#[test]
fn other_languages_and_functions_of_the_application() {
    let foreign = format!(
        "{TABLES} create function f() returns trigger language plpython3u as 'plpy.execute(\"insert into domain_events ...\")';
         create trigger t after update on users for each row execute function f();"
    );
    expect(&foreign, &["EV202 dynamic manual"]);
    let application = format!(
        "{TABLES} create function note(i bigint, v bigint) returns void language sql as $n$
           insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data) values ('User', i::text, v, 'UserNoted', '{{}}') $n$;"
    );
    let f = expect(&application, &["EV106 dynamic manual"]);
    assert_eq!((f[0].trigger.as_deref(), f[0].function.as_deref()), (None, Some("public.note(i bigint, v bigint)")));
}

#[test]
fn capture_is_offered_only_where_nothing_is_lost() {
    use super::Strategy::Capture;
    let offered = |body: &str, events: &str| findings(&with_body(body, events)).remove(0).allowed.contains(&Capture);
    let insert = "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data) values ('User', new.id, 1, 'UserUpdated', to_jsonb(new));";
    assert!(offered(&format!("begin {insert} return new; end"), "update"));
    assert!(
        !offered(&format!("begin if new.email <> old.email then {insert} end if; return new; end"), "update"),
        "a condition"
    );
    assert!(!offered(&format!("begin {insert} return new; end"), "update of email"), "a condition");
    assert!(
        !offered(&format!("begin {insert} perform pg_notify('x', 'y'); return new; end"), "update"),
        "another effect"
    );
    assert!(
        !offered(
            &format!(
                "begin {} return new; end",
                insert.replace("to_jsonb(new)", "jsonb_build_object('by', current_setting('app.user'))")
            ),
            "update"
        ),
        "an actor"
    );
    assert!(
        !offered(&format!("begin {} return new; end", insert.replace("new.id", "new.id || 'x'")), "update"),
        "another id"
    );
}

#[test]
fn a_broken_statement_does_not_stop_the_rest() {
    let sql = format!("{TABLES}\ncreate tabel nonsense (a int);\ncreate function f() returns trigger language plpgsql as $f$ begin
        insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data) values ('User', new.id, 1, 'x', '{{}}'); return new; end $f$;
        create trigger t after update on users for each row execute function f();");
    let (catalogue, problems) = from_sql([("a.sql", sql.as_str())]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].line, 8);
    assert_eq!(judge(&catalogue).judged.len(), 1);
}
