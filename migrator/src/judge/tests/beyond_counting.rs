//! What schemas of others showed: numbers that mean more than a place in a stream, and what is no number of one.

use super::{expect, findings, version, with_body};
use crate::judge::Strategy;

const STORE: &str =
    "create table stored (id uuid primary key, stream uuid not null, version bigint not null, kind text, data jsonb,
    at timestamptz default now(), unique (stream, version));";

/// The store's own trigger, with this body.
fn numbered(body: &str) -> String {
    format!(
        "{STORE} create function number() returns trigger language plpgsql as $f$ {body} $f$;
         create trigger number before insert on stored for each row execute function number();"
    )
}

/// A function of the application, with this body.
fn appends(body: &str) -> String {
    format!(
        "{STORE} create table counters (id uuid primary key, version bigint not null);
         create function append(s uuid, want bigint, k text, d jsonb) returns void language plpgsql as $f$ {body} $f$;"
    )
}

#[test]
fn an_expected_version_keeps_its_unique_key() {
    let checks = "if w is not null and w <> n then raise exception 'conflict'; end if;";
    let body = |read: &str, check: &str| {
        format!(
            "declare n bigint; w bigint; begin {read} into n; w := current_setting('app.want')::bigint; {check} new.version := n + 1; return new; end"
        )
    };
    let newest = "select coalesce(max(version), 0) from stored where stream = new.stream";
    let found = expect(&numbered(&body(newest, checks)), &["EV110 assigned_on_event_table manual"]);
    assert!(found[0].reasons.iter().any(|r| r.contains("expected")), "{found:#?}");
    expect(&numbered(&body(newest, "")), &["EV110 assigned_on_event_table shim"]);
    // what is compared with a constant is a limit, what is compared with nothing of it another check
    expect(
        &numbered(&body(newest, "if n > 9000 then raise exception 'full'; end if;")),
        &["EV110 assigned_on_event_table shim"],
    );
    let locked = "select version from stored where stream = new.stream order by version desc limit 1 for update";
    let found = expect(&numbered(&body(locked, "")), &["EV110 assigned_on_event_table shim"]);
    assert!(found[0].reasons.iter().any(|r| r.contains("FOR UPDATE")), "{found:#?}");
    // a function that waits for its turn in the INSERT has compared before: with the next number it would store both
    let append = "declare n bigint; begin select max(version) + 1 into n from stored where stream = s;
        if n <> want + 1 then raise exception 'conflict'; end if; insert into stored (id, stream, version, kind, data) values (gen_random_uuid(), s, n, k, d); end";
    let found = expect(&appends(append), &["EV102 max_plus_one manual"]);
    assert_eq!(found[0].allowed, [Strategy::Manual], "{found:#?}");
}

#[test]
fn a_counter_that_an_update_expects_is_locked() {
    let body = |update: &str| {
        format!(
            "declare n bigint; begin select version into n from counters where id = s; {update}
             if not found then raise exception 'conflict'; end if;
             insert into stored (id, stream, version, kind, data) values (gen_random_uuid(), s, n + 1, k, d); end"
        )
    };
    let expected = "update counters set version = version + 1 where id = s and version = want;";
    expect(&appends(&body(expected)), &["EV103 max_plus_one_locked -"]);
    expect(&appends(&body("update counters set version = version + 1 where id = s;")), &["EV102 max_plus_one manual"]);
}

#[test]
fn the_first_version_of_what_the_same_function_made_is_right() {
    let body = |made: &str, id: &str, again: &str| {
        format!(
            "{STORE} create table drafts (id uuid primary key default gen_random_uuid(), body text);
             create function ask(b text, other uuid) returns void language plpgsql as $f$ declare d drafts; begin {made}
             insert into stored (id, stream, version, kind, data) values (gen_random_uuid(), {id}, 1, 'asked', '{{}}'); {again} end $f$;"
        )
    };
    let made = "insert into drafts (body) values (b) returning * into d;";
    expect(&body(made, "d.id", ""), &["EV130 literal -"]);
    expect(&body(made, "other", ""), &["EV101 literal shim"]);
    let again =
        "insert into stored (id, stream, version, kind, data) values (gen_random_uuid(), d.id, 1, 'told', '{}');";
    expect(&body(made, "d.id", again), &["EV101 literal shim", "EV101 literal shim"]);
}

#[test]
fn lines_of_an_entry_states_and_labels_are_no_versions() {
    let lines = "create table journal_lines (id bigserial primary key, entry int not null, serial int not null, amount int, created_at timestamptz, unique (entry, serial));
        create function number() returns trigger language plpgsql as $f$ begin
          new.serial := coalesce((select max(serial) from journal_lines where entry = new.entry), 0) + 1; return new; end $f$;
        create trigger number before insert on journal_lines for each row execute function number();";
    expect(lines, &["EV109 assigned_on_event_table manual"]);
    let state = "create table consent_log (doc int not null, approval_state int not null, who text, at timestamptz default now(), primary key (doc, approval_state));
        create function consent(d int, s int) returns void language plpgsql as $f$ begin
          insert into consent_log (doc, approval_state, who) values (d, s, current_user); end $f$;";
    expect(state, &["EV121 none -"]);
    let label = "create table cases (id int primary key, rules text);
        create table lessons (id serial primary key, case_id int, status text, proposal jsonb, ruleset_version text, at timestamptz default now());
        create function teach(c int) returns void language plpgsql as $f$ declare k cases; begin select * into k from cases where id = c;
          insert into lessons (case_id, status, proposal, ruleset_version) values (c, 'NEW', '{}', k.rules); end $f$;";
    expect(label, &[]);
}

#[test]
fn every_way_must_count_by_one() {
    let newest = |row: &str, step: i32| {
        format!(
            "(select coalesce(max(aggregate_version), 0) + {step} from domain_events where aggregate_id = {row}.id::text)"
        )
    };
    let doubt = |before: &str, given: &str, word: &str| {
        let found = version(before, given, "EV102 max_plus_one manual");
        assert!(found.reasons.iter().any(|r| r.contains(word)), "{found:#?}");
    };
    doubt("", &newest("old", 1), "another aggregate_id");
    doubt("", &format!("case when new.version > 7 then 7 else {} end", newest("new", 1)), "in some cases");
    let ways = format!("if new.version > 7 then v := {}; else v := {}; end if;", newest("new", 3), newest("new", 1));
    doubt(&ways, "v", "go on by 3");
    // the first one of a stream
    let first = "select max(aggregate_version) into v from domain_events where aggregate_id = new.id::text; if v is null then v := 1; else v := v + 1; end if;";
    version(first, "v", "EV102 max_plus_one shim");
}

#[test]
fn a_shim_is_last_and_moves_nothing() {
    let hashed = format!(
        "{} create function chain() returns trigger language plpgsql as $f$ begin new.data := jsonb_build_object('h', md5(new.version::text)); return new; end $f$;
         create trigger chain before insert on stored for each row execute function chain();",
        appends("declare n bigint; begin select max(version) + 1 into n from stored where stream = s; insert into stored (id, stream, version, kind, data) values (gen_random_uuid(), s, n, k, d); end")
    );
    let found = expect(&hashed, &["EV102 max_plus_one rewrite"]);
    assert!(found[0].reasons.iter().any(|r| r.contains("chain reads version")), "{found:#?}");
    let parts = "create table outbox (id bigint, stream uuid not null, version bigint not null, kind text, data jsonb, sent boolean not null default false, at timestamptz default now(),
          unique (stream, version, sent)) partition by list (sent);
        create function put(s uuid) returns void language plpgsql as $f$ begin
          insert into outbox (stream, version, kind, data) values (s, (select coalesce(max(version), 0) + 1 from outbox where stream = s), 'put', '{}'); end $f$;";
    let found = expect(parts, &["EV102 max_plus_one rewrite"]);
    assert!(found[0].reasons.iter().any(|r| r.contains("partitioned by sent")), "{found:#?}");
}

#[test]
fn a_text_that_is_run_begins_in_sight_or_is_told() {
    let on_ship = |run: &str| {
        format!("create table ship (id int primary key, name text); create table ship_log (ship int, version int, unique (ship, version));
            create function f() returns trigger language plpgsql as $f$ declare t text; begin execute {run}; return new; end $f$;
            create trigger t after update on ship for each row execute function f();")
    };
    for run in [
        "new.name",
        "coalesce(new.name, 'select 1')",
        "case when new.id = 1 then 'select 1' else new.name end",
        "current_setting('app.sql')",
        "'ins' || chr(101) || 'rt into ship_log values (1, 1)'",
        "replace('inXsert into ship_log values (1, 1)', 'X', '')",
        "format('%s into ship_log values (1, 1)', new.name)",
        "'do $q$ begin insert into ship_log values (1, 1); end $q$'",
        "'update ship set name = name; ' || new.name",
        "'select ' || new.name || '()'",
    ] {
        expect(&on_ship(run), &["EV201 dynamic manual"]);
    }
    for run in [
        "'analyze ship'",
        "format('select count(*) from %I', new.name)",
        "'notify ship'",
        "'refresh materialized view ' || quote_ident(new.name)",
    ] {
        expect(&on_ship(run), &[]);
    }
}

#[test]
fn variables_made_of_variables_are_followed_once() {
    let chain: String = (1..=40)
        .map(|n| format!("v{n} := v{p} + u{p} - w{p}; u{n} := w{p} + v{p}; w{n} := u{p} + u{p};", p = n - 1))
        .collect();
    let names: String = (0..=40).map(|n| format!("v{n} int; u{n} int; w{n} int; ")).collect();
    let began = std::time::Instant::now();
    version(
        &format!("declare {names} begin v0 := 1; u0 := 1; w0 := 1; {chain} v := v40; end;"),
        "v",
        "EV106 dynamic manual",
    );
    // it was 3 to the power of 12 ways, and minutes
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
}

#[test]
fn events_that_are_written_over_are_lost() {
    let over = |version: &str, key: &str| {
        with_body(
            &format!(
                "begin insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
                 values ('User', new.id, {version}, 'UserUpdated', '{{}}') on conflict ({key}) do update set event_data = excluded.event_data;
                 return new; end"
            ),
            "update",
        )
    };
    let key = "aggregate_type, aggregate_id, aggregate_version";
    let read = "(select coalesce(max(e.aggregate_version), 0) + 1 from domain_events e where e.aggregate_type = 'User' and e.aggregate_id = new.id::text)";
    for (version, wanted) in [("1", "EV101 literal manual"), (read, "EV102 max_plus_one manual")] {
        let told = &expect(&over(version, key), &[wanted])[0];
        assert!(told.reasons.iter().any(|r| r.contains("writes in silence over the event")), "{told:#?}");
    }
}

#[test]
fn rows_made_of_documents_are_not_followed() {
    expect(
        &with_body(
            "begin insert into domain_events select * from jsonb_populate_record(null::domain_events,
               jsonb_build_object('aggregate_type', 'User', 'aggregate_id', new.id, 'aggregate_version', 1, 'event_type', 'x'));
             return new; end",
            "update",
        ),
        &["EV106 dynamic manual"],
    );
}

#[test]
fn an_expected_version_may_be_checked_where_the_version_is_read() {
    let append = |check: &str| {
        format!(
            "{STORE} create table heads (name text unique, id uuid primary key, version bigint not null);
             create function look(_name text, _want bigint) returns table (sid uuid, v bigint) language plpgsql as $f$
             declare cur bigint; i uuid; begin select h.id, h.version into i, cur from heads h where h.name = _name;
             {check} return query select i, cur; end $f$;
             create function append(_name text, _want bigint, d jsonb) returns bigint language plpgsql as $f$
             declare cur bigint; i uuid; begin select l.sid, l.v into i, cur from look(_name, _want) l;
             insert into stored (id, stream, version, kind, data) values (gen_random_uuid(), i, cur + 1, 'x', d);
             update heads set version = cur + 1 where id = i; return cur + 1; end $f$;"
        )
    };
    let found = findings(&append("if _want <> cur then raise exception 'conflict'; end if;"));
    assert!(found.iter().all(|f| f.strategy != Some(Strategy::Shim)), "{found:#?}");
    assert!(found[0].reasons.iter().any(|r| r.contains("expected")), "{found:#?}");
}

#[test]
fn a_number_that_the_row_brings_is_kept_by_the_trigger_and_not_by_a_shim() {
    let body = "begin if new.version is null or new.version <= 0 then
        select coalesce(max(version), 0) + 1 into new.version from stored where stream = new.stream; end if; return new; end";
    let asks = |sql: &str| {
        let found = expect(sql, &["EV110 assigned_on_event_table manual"]);
        assert!(found[0].reasons.iter().any(|r| r.contains("brings its own version")), "{found:#?}");
        assert!(found[0].allowed.contains(&Strategy::Shim), "{found:#?}");
    };
    asks(&numbered(body));
    let always = "begin select coalesce(max(version), 0) + 1 into new.version from stored where stream = new.stream; return new; end";
    expect(&numbered(always), &["EV110 assigned_on_event_table shim"]);
    asks(&numbered(always).replace("for each row", "for each row when (new.version is null)"));
}

#[test]
fn a_trigger_may_give_back_a_row_of_its_own_making() {
    let body = "declare n int; begin select count(version) + 1 into n from stored where stream = new.stream;
        return (new.id, new.stream, n, new.kind, new.data, new.at); end";
    expect(&numbered(body), &["EV109 assigned_on_event_table manual"]);
    // it is looked at as closely as any number: this one begins at 0, and is not ported
    let table = "create table round_event (id serial primary key, round_id int not null, seq int not null default -1, at timestamptz not null,
        event jsonb not null, unique (seq, round_id));";
    let of = |last: &str| {
        format!(
            "{table} create function next_seq() returns trigger language plpgsql as $f$ declare n int; begin
             select count(seq) into n from round_event where round_id = new.round_id; {last} end $f$;
             create trigger next_seq before insert on round_event for each row execute function next_seq();"
        )
    };
    for last in ["return (new.id, new.round_id, n, new.at, new.event);", "new.seq := n; return new;"] {
        expect(&of(last), &["EV110 assigned_on_event_table manual"]);
    }
}

#[test]
fn versions_may_be_counted_over_the_whole_table() {
    let found = expect(
        "create table layout_versions (id uuid primary key default gen_random_uuid(), version_number int unique not null,
           layout jsonb not null, created_by text, is_active boolean default false, created_at timestamptz default now());
         create function save_layout(p jsonb, who text) returns int language plpgsql as $f$
         declare v int;
         begin
           select coalesce(max(version_number), 0) + 1 into v from layout_versions;
           insert into layout_versions (version_number, layout, created_by, is_active) values (v, p, who, true);
           return v;
         end $f$;",
        &["EV102 max_plus_one manual"],
    );
    assert!(found[0].reasons.iter().any(|r| r.contains("counts the rows of the whole table")), "{found:#?}");
}

#[test]
fn what_lies_in_a_schema_of_histories_is_one() {
    let of = |schema: &str| {
        format!(
            "create schema {schema}; create table depots (depot_id uuid primary key, name text not null, at timestamptz not null);
             create table {schema}.depots (row_id bigserial, depot_id uuid, name text, at timestamptz not null);
             create function keep() returns trigger language plpgsql as $f$ begin
             insert into {schema}.depots (depot_id, name, at) values (new.depot_id, new.name, new.at); return null; end $f$;
             create trigger keep after insert or update on depots for each row execute function keep();"
        )
    };
    expect(&of("history"), &["EV121 none -"]);
    expect(&of("stock"), &["EV100 not_an_event -"]);
}
