//! What is not in sight: tables, triggers, functions. Nothing of it is clean, and a statement is judged by itself.

use super::{Finding, judge, lines_of};
use crate::source::from_sql;

/// Findings of a file of which some statements may not be read.
fn read(sql: &str) -> Vec<Finding> {
    judge(&from_sql([("test.sql", sql)]).0).judged.into_iter().map(|j| j.finding).collect()
}

const BODY: &str = "create function note_cargo() returns trigger language plpgsql as $f$ begin
  insert into cargo_events (cargo_id, version, event_type, payload) values (new.id, {version}, 'CargoMoved', to_jsonb(new));
  return new; end $f$;";
const TRIGGER: &str = "create trigger note_cargo after update on cargo for each row execute function note_cargo();";
const TABLE: &str = "create table cargo (id bigint primary key, revision int, hold text);";
const EVENTS: &str = "create table cargo_events (cargo_id bigint, version int, event_type text, payload jsonb, at timestamptz default now(), unique (cargo_id, version));";

fn body(version: &str) -> String {
    BODY.replace("{version}", version)
}

#[test]
fn a_statement_without_its_tables_is_judged_by_itself() {
    const MAX: &str = "(select coalesce(max(version), 0) + 1 from cargo_events where cargo_id = new.id)";
    for (version, wanted) in [
        ("1", "EV101 literal manual"),
        (MAX, "EV102 max_plus_one manual"),
        ("new.revision", "EV104 copied_from_row manual"),
        ("nextval('cargo_seq')", "EV105 sequence manual"),
        ("null", "EV120 none manual"),
    ] {
        // neither table, the trigger's alone, the event table alone, no trigger
        for sql in [
            format!("{} {TRIGGER}", body(version)),
            format!("{TABLE} {} {TRIGGER}", body(version)),
            format!("{EVENTS} {} {TRIGGER}", body(version)),
            format!("{TABLE} {EVENTS} {}", body(version)),
        ] {
            let found = read(&sql);
            assert_eq!(lines_of(&found), [wanted], "{sql}\n{found:#?}");
            assert!(found[0].needs_work(), "{found:#?}");
            assert!(found[0].reasons.iter().any(|r| r.starts_with("assumed: ")), "{found:#?}");
            assert_eq!(found[0].allowed, [super::super::Strategy::Manual]);
        }
    }
}

#[test]
fn what_would_be_right_is_not_clean_when_its_table_or_trigger_is_not_in_sight() {
    let locked = body("v").replace(
        "begin",
        "declare v int; begin perform pg_advisory_xact_lock(1); select coalesce(max(version), 0) + 1 into v from cargo_events where cargo_id = new.id;",
    );
    let code = |sql: &str| lines_of(&read(sql));
    assert_eq!(code(&format!("{TABLE} {EVENTS} {locked} {TRIGGER}")), ["EV103 max_plus_one_locked -"]);
    assert_eq!(code(&format!("{EVENTS} {locked} {TRIGGER}")), ["EV205 dynamic manual", "EV103 max_plus_one_locked -"]);
    assert_eq!(code(&format!("{TABLE} {EVENTS} {locked}")), ["EV206 dynamic manual", "EV103 max_plus_one_locked -"]);
    assert_eq!(code(&format!("{TABLE} {locked} {TRIGGER}")), ["EV207 dynamic manual", "EV103 max_plus_one_locked -"]);
}

#[test]
fn what_cannot_be_judged_by_itself_has_a_code_of_its_own() {
    let on = |insert: &str| {
        format!(
            "{TABLE} create function f() returns trigger language plpgsql as $f$ begin {insert}; return new; end $f$;
                 create trigger t after update on cargo for each row execute function f();"
        )
    };
    for (sql, wanted) in [
        (on("insert into elsewhere values (new.id, 1)"), "EV207 dynamic manual"),
        (on("insert into elsewhere.stock (cargo_id, amount) values (new.id, 3)"), "EV207 dynamic manual"),
        (on("perform note_somewhere(new.id)"), "EV208 dynamic manual"),
        (on("call audit.note(new.id, 'moved')"), "EV208 dynamic manual"),
        (on("execute tg_argv[0]"), "EV201 dynamic manual"),
        (format!("{TABLE} {TRIGGER}"), "EV208 dynamic manual"),
        (TRIGGER.to_owned(), "EV208 dynamic manual"),
    ] {
        let found = read(&sql);
        assert_eq!(lines_of(&found), [wanted], "{sql}");
        assert!(found[0].is_unjudged(), "{found:#?}");
    }
    // what writes nothing is judged, whoever fires it; so is a function of the server, and a table of the function's own
    let touch =
        "create function touch() returns trigger language plpgsql as $f$ begin new.at := now(); return new; end $f$;";
    for sql in [
        touch.to_owned(),
        format!("{touch} create trigger t before update on nowhere for each row execute function touch();"),
        on("perform pg_notify('x', new.id::text); perform set_config('a.b', 'c', true)"),
        on("create temp table mine (a int); insert into mine values (1)"),
    ] {
        assert_eq!(lines_of(&read(&sql)), [""; 0], "{sql}");
    }
}

#[test]
fn order_and_names_do_not_matter() {
    let fired = |parts: &[&str]| lines_of(&read(&parts.join("\n")));
    let body = body("1");
    for parts in [
        [TABLE, EVENTS, TRIGGER, &body],
        [TRIGGER, &body, EVENTS, TABLE],
        [&body, TRIGGER, TABLE, EVENTS],
        [EVENTS, TRIGGER, TABLE, &body],
    ] {
        assert_eq!(fired(&parts), ["EV101 literal shim"], "{parts:?}");
    }
    // the key comes before its table too
    let unkeyed = EVENTS.replace(", unique (cargo_id, version)", "");
    let key = "alter table cargo_events add constraint k unique (cargo_id, version);";
    let index = "create unique index k on cargo_events (cargo_id, version);";
    for later in [key, index] {
        assert_eq!(fired(&[later, TABLE, &unkeyed, &body, TRIGGER]), ["EV101 literal shim"], "{later}");
    }
    // a trigger that is dropped before its table comes is gone
    let dropped = read(&format!("{body} {TRIGGER} drop trigger note_cargo on cargo; {TABLE} {EVENTS}"));
    assert_eq!(lines_of(&dropped), ["EV101 literal manual"]);
    assert!(dropped[0].reasons.iter().any(|r| r.contains("no trigger in what was read fires")));
}

#[test]
fn paths_placeholders_and_blocks_are_followed() {
    let body = body("1");
    let from_current = body.replace("language plpgsql as", "language plpgsql set search_path from current as");
    let in_schema = |schema: &str| {
        let put = |text: &str| {
            text.replace("cargo_events", &format!("{schema}cargo_events"))
                .replace("on cargo ", &format!("on {schema}cargo "))
                .replace("table cargo ", &format!("table {schema}cargo "))
                .replace("note_cargo()", &format!("{schema}note_cargo()"))
        };
        format!("{} {} {} {}", put(TABLE), put(EVENTS), put(&body), put(TRIGGER))
    };
    let block = |make: &str| format!("{TABLE} {EVENTS} {body} do $d$ begin if true then {make} end if; end $d$;");
    for sql in [
        format!("{TABLE} {EVENTS} {from_current} {TRIGGER}"),
        format!("create schema app; set search_path to app; {TABLE} {EVENTS} {from_current} {TRIGGER}"),
        format!("select set_config('search_path', 'app', false); {TABLE} {EVENTS} {from_current} {TRIGGER}"),
        in_schema("${schema}."),
        in_schema("{{ schema }}."),
        in_schema("@extschema@."),
        in_schema("\"${schema}\"."),
        format!(
            "{TABLE} {EVENTS} {} {TRIGGER}",
            body.replace("insert into cargo_events", "insert into ${db.schema}.cargo_events")
        ),
        format!("\\set app shipping\n{}", in_schema(":app.").replace("insert into :app.", "insert into shipping.")),
        format!("{TABLE}\nGO\n{EVENTS}\nGO\n{body}\ngo\n{TRIGGER}\nGO\n"),
        format!("{TABLE}\n/\n{EVENTS}\n/\n{body}\n/\n{TRIGGER}\n/\n"),
        block(TRIGGER),
        block(&format!("execute '{TRIGGER}';")),
    ] {
        assert_eq!(lines_of(&read(&sql)), ["EV101 literal shim"], "{sql}");
    }
}

#[test]
fn what_is_made_at_run_time_is_told() {
    for sql in [
        "do $$ declare t text; begin for t in select 'a' loop execute format('create trigger t after update on %I for each row execute function f()', t); end loop; end $$;",
        "select format('create trigger t after update on %I for each row execute function f()', relname) from pg_class \\gexec\n",
        "\\ir does_not_exist.sql\n",
    ] {
        let (_, problems) = from_sql([("test.sql", sql)]);
        assert_eq!(problems.len(), 1, "{sql}: {problems:?}");
    }
    let (_, problems) =
        from_sql([("test.sql", "do $$ begin execute format('analyze %I', 'x'); raise notice 'hm'; end $$;")]);
    assert_eq!(problems, []);
}

#[test]
fn functions_of_the_application_are_no_less_judged() {
    // a text that writes rows or makes triggers, where it is run or where it was put together
    for body in [
        "execute 'insert into ' || kind || ' (what) values ($1)' using kind;",
        "text := 'create trigger t after update on ' || kind || ' for each row execute function f()'; execute text;",
    ] {
        let sql = format!(
            "create function run(kind text) returns void language plpgsql as $f$ declare text text; begin {body} end $f$;"
        );
        assert_eq!(lines_of(&read(&sql)), ["EV201 dynamic manual"], "{sql}");
    }
    let harmless = "create function run(kind text) returns void language plpgsql as $f$ begin execute 'drop trigger t on ' || kind; end $f$;";
    assert_eq!(read(harmless), []);
    // whoever calls it gives the number; one caller in sight is not all of them
    let sql = format!(
        "{EVENTS} create function note(id bigint, last int) returns void language plpgsql as $f$ begin
           insert into cargo_events (cargo_id, version, event_type, payload) values (id, last + 1, 'CargoMoved', '{{}}'); end $f$;
         create function begin_cargo() returns void language plpgsql as $f$ begin perform note(1, 0); end $f$;"
    );
    assert_eq!(lines_of(&read(&sql)), ["EV106 dynamic manual"]);
}

#[test]
fn a_trigger_of_a_table_that_is_not_in_sight_is_told_though_it_inserts_nothing() {
    let number = "create function number() returns trigger language plpgsql as $f$ begin
        update berth set revision = (select max(b.revision) + 1 from berth b where b.dock = new.dock) where id = new.id; return new; end $f$;
        create trigger number after insert on berth for each row execute function number();";
    assert_eq!(lines_of(&read(number)), ["EV205 dynamic manual"]);
    let touch = "create function touch() returns trigger language plpgsql as $f$ begin new.touched := now(); return new; end $f$;
        create trigger touch before update on berth for each row execute function touch();";
    assert_eq!(read(touch), []);
    // what it writes is in sight and no event; whether its table is one is not
    let log = "create table watchers (who text, what text); create function tell() returns trigger language plpgsql as $f$ begin
        insert into watchers values ('a', new.id); return new; end $f$;
        create trigger tell after insert on berth for each row execute function tell();";
    assert_eq!(lines_of(&read(log)), ["EV205 dynamic manual", "EV100 not_an_event -"]);
}

#[test]
fn another_servers_program_is_one_statement_that_was_not_read() {
    for (sql, word) in [
        (
            "create or replace trigger t after update on a for each row\ndeclare\n n number;\nbegin\n  insert into b (id) values (:new.id);\n  n := 1;\nend;\n/\ncreate table a (id int);\n",
            "Oracle",
        ),
        (
            "create trigger t after update on a for each row begin\n insert into b values (new.id);\n set @x = 1;\nend;\ncreate table a (id int);\n",
            "MySQL",
        ),
    ] {
        let (catalogue, problems) = from_sql([("test.sql", sql)]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].reason.contains(word), "{problems:?}");
        assert_eq!((catalogue.relations.len(), catalogue.statements), (1, 2));
    }
}

#[test]
fn triggers_of_the_store_are_named_as_such() {
    let captured = "create table a (id int primary key);
        create trigger c after insert or update or delete on a for each row execute function domain_events.capture_7();
        create trigger d after truncate on a for each statement execute function domain_events.capture_7_truncate();";
    let found = read(captured);
    assert_eq!(lines_of(&found), ["EV191 assigned_on_event_table -"]);
    assert!(found[0].reasons[0].starts_with("captured: ") && !found[0].needs_work());
    let shim = format!(
        "{EVENTS} create function cargo_events_assign_version() returns trigger language plpgsql as $f$ begin
           new.version := domain_events.next_aggregate_version('c', new.cargo_id::text, tg_relid::regclass); return new; end $f$;
         comment on function cargo_events_assign_version() is 'Assigns the version of every event of public.cargo_events; made by domain-events';
         create trigger \"~domain_events_version\" before insert on cargo_events for each row execute function cargo_events_assign_version();"
    );
    let found = read(&shim);
    assert_eq!(lines_of(&found), ["EV190 assigned_on_event_table -"]);
    assert!(found[0].reasons[0].starts_with("ported: "));
}
