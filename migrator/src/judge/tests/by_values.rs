//! What the values of a write say, whatever its table and columns are called: rows that a record holds, what was and what is, rows
//! that go, numbers that something counts.

use super::{Finding, expect};

const LAMP: &str = "create table lamp (id int primary key, watt int, place text);";

#[track_caller]
fn on_lamp(table: &str, events: &str, body: &str, wanted: &[&str]) -> Vec<Finding> {
    let sql = format!(
        "{LAMP} create table {table}; create function f() returns trigger language plpgsql as $f$ {body} return null; end $f$;
         create trigger t after {events} on lamp for each row execute function f();"
    );
    expect(&sql, wanted)
}

#[test]
fn a_record_that_holds_the_row_is_the_row() {
    for record in ["select into h * from lamp where id = new.id;", "h := new;"] {
        let body = format!(
            "declare h record; begin {record} insert into lamp_history (lamp, watt, place) values (h.id, h.watt, h.place);"
        );
        let table = "lamp_history (n bigserial primary key, lamp int, watt int, place text)";
        let found = on_lamp(table, "insert or update", &body, &["EV121 none -"]);
        assert!(found[0].reasons.iter().any(|r| r.contains("keeps the row")), "{found:#?}");
    }
}

#[test]
fn what_was_and_what_is_are_seen_in_the_values() {
    let table = "brightness (n serial primary key, lamp int, a int, b int, day date)";
    let body = "begin insert into brightness (lamp, a, b, day) values (new.id, old.watt, new.watt, current_date);";
    on_lamp(table, "update", body, &["EV121 none -"]);
    // the same number twice is no pair
    let body = "begin insert into brightness (lamp, a, b, day) values (new.id, new.watt, new.watt, current_date);";
    on_lamp(table, "update", body, &["EV100 not_an_event -"]);
}

#[test]
fn rows_that_go_are_noted_with_their_day() {
    let table = "gone_lamps (n serial primary key, lamp int, place text, who text, day date, hour time)";
    let body = "declare p text; begin p := (select place from lamp where id = old.id);
        insert into gone_lamps (lamp, place, who, day, hour) values (old.id, p, current_user, current_date, localtime);";
    on_lamp(table, "delete", body, &["EV121 none -"]);
    on_lamp(
        &table.replace("day date, hour time", "day int, hour int"),
        "delete",
        &body.replace("current_date, localtime", "1, 2"),
        &["EV100 not_an_event -"],
    );
}

#[test]
fn an_audit_that_is_written_over_is_one() {
    let table = "lamp_deltas (hash text, doc int, index int, kind text, delta jsonb, op text, at timestamptz, primary key (hash, doc, index, kind))";
    let body = "declare n int; begin n := new.id;
        insert into lamp_deltas (hash, doc, index, kind, delta, op, at) values (md5(new.place), n, n, tg_table_name, to_jsonb(new), tg_op, now())
        on conflict (hash, doc, index, kind) do update set delta = excluded.delta;";
    on_lamp(table, "insert or update", body, &["EV121 none -"]);
}

/// A function that gives the next `number` of a page's texts.
fn saves(number: &str, lock: &str) -> String {
    format!(
        "create table page_text (id serial primary key, page int, {number} int, body text, unique (page, {number}));
         create function save(p int, b text) returns void language plpgsql as $f$ declare n int; begin {lock}
         select coalesce(max({number}), 0) + 1 into n from page_text where page = p;
         insert into page_text (page, {number}, body) values (p, n, b); end $f$;"
    )
}

#[test]
fn versions_that_a_function_counts_are_asked_and_other_numbers_named() {
    expect(&saves("revision", ""), &["EV109 max_plus_one manual"]);
    expect(&saves("line_no", ""), &["EV100 not_an_event -"]);
    // by the table's own trigger; under a lock there is nothing to do, and that is said
    let own = |lock: &str| {
        format!(
            "create table page_text (id serial primary key, revision int, body text, day date, unique (day, revision));
             create function give() returns trigger language plpgsql as $f$ begin {lock}
             new.revision := coalesce((select max(revision) + 1 from page_text where day = new.day), 1); return new; end $f$;
             create trigger give before insert on page_text for each row execute function give();"
        )
    };
    let found = expect(&own(""), &["EV109 assigned_on_event_table manual"]);
    assert!(found[0].needs_work());
    let found =
        expect(&own("perform pg_advisory_xact_lock(hashtext(new.day::text));"), &["EV109 assigned_on_event_table -"]);
    assert!(!found[0].needs_work());
}

#[test]
fn a_place_that_nothing_counts_is_no_version() {
    let table = "lamp_ledger (form text, item_index int, at timestamptz default now(), note text, primary key (form, item_index))";
    on_lamp(
        table,
        "update",
        "begin insert into lamp_ledger (form, item_index, note) values ('f', new.watt, new.place);",
        &["EV121 none -"],
    );
}

#[test]
fn what_a_function_tells_is_a_log_too() {
    let job = |table: &str, insert: &str| {
        let sql = format!(
            "create table job (id int primary key, team int); create table {table};
             create function send(j int, t int, n text) returns void language plpgsql as $f$ begin
             update job set team = t where id = j; {insert}; end $f$;"
        );
        expect(&sql, &["EV121 none -"]);
    };
    job(
        "job_events (id serial primary key, job int references job, event_type text, at timestamptz default now(), note text)",
        "insert into job_events (job, event_type, note) values (j, 'send', n)",
    );
    job(
        "state_changes (at timestamptz, job int, state text)",
        "if n <> '' then insert into state_changes (at, job, state) values (now(), j, n); end if",
    );
}

#[test]
fn each_new_row_may_be_noted_without_a_name_for_it() {
    let table = "bought (lamp int, place text, at timestamp)";
    on_lamp(table, "insert", "begin insert into bought values (new.id, new.place, now());", &["EV121 none -"]);
    let keyed = "bought (lamp int primary key, place text, at timestamp)";
    on_lamp(keyed, "insert", "begin insert into bought values (new.id, new.place, now());", &["EV100 not_an_event -"]);
}

#[test]
fn a_text_of_which_nothing_is_seen_is_told_of_functions_too() {
    let of = |body: &str| {
        format!(
            "create function run(q text, n text) returns void language plpgsql as $f$ declare t text; u text := ''; begin {body}; end $f$;"
        )
    };
    for hidden in [
        "execute q",
        "t := replace(q, 'a', n); execute t",
        "select x into t from texts; execute t",
        "t := q; t := t || ' where true'; execute t",
    ] {
        expect(&of(hidden), &["EV201 dynamic manual"]);
    }
    for seen in [
        "execute 'select ' || n",
        "execute format('drop table %I', n)",
        "t := 'update a set b = 1'; t := t || n; execute t",
        // a query that gives a value
        "execute q into t",
    ] {
        expect(&of(seen), &[]);
    }
}

#[test]
fn a_table_that_is_there_stays_with_its_triggers() {
    let twice = "create table lamp_log (lamp int, action text, at timestamptz default now());
        create table lamp (id int primary key);
        create function note() returns trigger language plpgsql as $f$ begin
          insert into lamp_log (lamp, action) values (new.id, tg_op); return new; end $f$;
        create trigger note after update on lamp for each row execute function note();
        do $d$ begin
          if not exists (select from information_schema.tables where table_name = 'lamp') then
            create table lamp (id int primary key, watt int); alter table lamp enable row level security;
          end if;
        end $d$;
        create table lamp (id int primary key, watt int);";
    let (catalogue, problems) = crate::source::from_sql([("test.sql", twice)]);
    // that the server refuses the second one is nobody's business here
    assert!(problems.is_empty(), "{problems:?}");
    let found: Vec<String> = super::judge(&catalogue).judged.iter().map(|j| j.finding.code.clone()).collect();
    assert_eq!(found, ["EV121"]);
}

#[test]
fn a_time_is_no_version_of_a_table_that_is_elsewhere() {
    let found = expect(
        "create function publish(c uuid, t text) returns text language plpgsql as $f$ declare v int; d date; begin
         select max(effective_date) into d from club_rules where club_id = c; d := coalesce(d + 1, current_date);
         select count(*) + 1 into v from club_rules where club_id = c;
         insert into club_rules (club_id, version, title, effective_date) values (c, v::text, t, d); return v; end $f$;",
        &["EV109 max_plus_one manual"],
    );
    assert!(found[0].reasons.iter().any(|r| r.contains("count()+1")), "{found:#?}");
}

#[test]
fn what_nothing_fires_is_named_and_not_what_it_calls() {
    let found = expect(
        "create table lamp_log (lamp int, what text, at timestamptz default now());
         create function note(what text, lamp int) returns void language plpgsql as $f$ begin
           insert into lamp_log (lamp, what) values (lamp, what); end $f$;
         create function lit() returns trigger language plpgsql as $f$ begin perform note('lit', new.id); return new; end $f$;",
        &["EV206 dynamic manual", "EV121 none -"],
    );
    assert_eq!(found[0].function.as_deref(), Some("public.lit()"), "{found:#?}");
}

/// Who only looks for the newest gives no number: the application does.
#[test]
fn the_newest_number_is_no_next_one() {
    let table = "create table snapshots (id int primary key, run int not null, revision int not null, body text, created_at timestamptz not null,
                   unique (run, revision));";
    for function in [
        "is_newest(s int) returns boolean language sql stable as $$ select exists (select from snapshots x where x.id = s
           and x.revision = (select max(y.revision) from snapshots y where y.run = x.run)) $$",
        "newest(l int) returns text language sql stable as $$ select body from snapshots where run = l
           and revision = (select max(revision) from snapshots where run = l) $$",
        "many(l int) returns boolean language plpgsql stable as $$
           begin return (select max(revision) from snapshots where run = l) > 3; end $$",
    ] {
        expect(&format!("{table} create function {function}"), &[]);
    }
    let next = "next(l int) returns int language sql as $$ select coalesce(max(revision), 0) + 1 from snapshots where run = l $$";
    let found = expect(&format!("{table} create function {next}"), &["EV102 max_plus_one shim"]);
    assert!(found[0].reasons.iter().any(|r| r.contains("which no statement in sight calls")), "{found:#?}");
}

/// As older servers took it.
#[test]
fn a_language_in_capitals_and_quotes_is_read() {
    let sql = format!(
        "{LAMP} create table lamp_history (lamp int, watt int, place text);
         create function f() returns trigger as $f$ begin insert into lamp_history values (old.id, old.watt, old.place); return null; end $f$ language 'PLPGSQL';
         create trigger t after update on lamp for each row execute function f();"
    );
    expect(&sql, &["EV121 none -"]);
}
