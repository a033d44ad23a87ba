//! Which numbered rows are events and which are not, and what is asked where nobody can tell.

use super::{Finding, judge, lines_of};
use crate::source::{Treat, from_sql};

/// Findings of a trigger on `boat (id, name, crew, rev)` with this body.
fn on_boat(tables: &str, events: &str, body: &str) -> Vec<Finding> {
    with_answers(tables, events, body, &[])
}

fn with_answers(tables: &str, events: &str, body: &str, answers: &[(&str, Treat)]) -> Vec<Finding> {
    let sql = format!(
        "create table boat (id bigint primary key, name text not null, crew int, rev int not null default 1); {tables};
         create function f() returns trigger language plpgsql as $f$ {body} $f$;
         create trigger t {events} on boat for each row execute function f();"
    );
    let (mut catalogue, problems) = from_sql([("test.sql", sql.as_str())]);
    assert!(problems.is_empty(), "{problems:?}");
    catalogue.treats = answers.iter().map(|(name, treat)| ((*name).to_owned(), *treat)).collect();
    judge(&catalogue).judged.into_iter().map(|j| j.finding).collect()
}

#[track_caller]
fn expect(tables: &str, events: &str, insert: &str, wanted: &[&str]) {
    let found = on_boat(tables, events, &format!("begin {insert}; return new; end"));
    assert_eq!(lines_of(&found), wanted, "{insert}\n{found:#?}");
}

#[test]
fn a_row_for_each_change_is_an_event_whatever_its_table_is_called() {
    let numbered = |name: &str| {
        format!(
            "create table {name} (id serial primary key, boat_id bigint, version int not null, name text, crew int, saved timestamptz default now(), unique (boat_id, version))"
        )
    };
    for name in [
        "boat_versions",
        "boat_revisions",
        "boat_history",
        "boat_archive",
        "boat_snapshots",
        "boat_changes",
        "old_boats",
        "\"BoatRevisions\"",
    ] {
        let insert =
            format!("insert into {name} (boat_id, version, name, crew) values (old.id, 1, old.name, old.crew)");
        expect(&numbered(name), "after update", &insert, &["EV101 literal shim"]);
        let max = insert
            .replace(", 1,", &format!(", (select coalesce(max(version), 0) + 1 from {name} where boat_id = old.id),"));
        expect(&numbered(name), "after update or delete", &max, &["EV102 max_plus_one shim"]);
    }
}

#[test]
fn logs_of_plain_columns_are_events_without_a_version() {
    for (table, insert) in [
        (
            "boat_audit (op char(1), stamp timestamp, who text, name text, crew int)",
            "insert into boat_audit select 'U', now(), current_user, new.name, new.crew",
        ),
        (
            "boat_history (id serial, boat_id bigint, old_crew int, new_crew int, changed_at timestamp default now())",
            "insert into boat_history (boat_id, old_crew, new_crew) values (new.id, old.crew, new.crew)",
        ),
        (
            "boat_log (id serial, message text, at timestamptz default now(), boat_id bigint)",
            "insert into boat_log (message, boat_id) values ('boat changed', new.id)",
        ),
        (
            "outbox (id bigserial, topic text, body jsonb, created_at timestamptz default now())",
            "insert into outbox (topic, body) values ('boats', to_jsonb(new))",
        ),
        (
            "boat_archive (id bigint, name text, archived_at timestamptz)",
            "insert into boat_archive values (old.id, old.name, now())",
        ),
    ] {
        expect(&format!("create table {table}"), "after update", insert, &["EV121 none -"]);
    }
}

#[test]
fn a_version_that_no_key_covers_is_told_by_its_source() {
    let table = "create table boat_audit (id serial primary key, boat_id bigint, action text, version int, data jsonb, at timestamptz default now())";
    let insert = |version: &str| {
        format!(
            "insert into boat_audit (boat_id, action, version, data) values (new.id, tg_op, {version}, to_jsonb(old))"
        )
    };
    for (version, wanted) in [
        ("new.rev", "EV104 copied_from_row manual"),
        ("old.rev + 1", "EV104 copied_from_row manual"),
        ("1", "EV101 literal manual"),
        ("nextval('boats')", "EV105 sequence manual"),
    ] {
        expect(table, "after update", &insert(version), &[wanted]);
    }
    let by_variable = "declare v int; begin if tg_op = 'UPDATE' then new.rev := old.rev + 1; v := new.rev; else v := new.rev; end if;
        insert into boat_audit (boat_id, action, version, data) values (new.id, tg_op, v, to_jsonb(new)); return new; end";
    let found = on_boat(table, "before insert or update", by_variable);
    assert_eq!(lines_of(&found), ["EV104 copied_from_row manual"]);
    assert!(found[0].reasons.iter().any(|r| r.contains("no unique key")), "{found:#?}");
    // a fraction, and a text
    for kind in ["numeric(4,1)", "text"] {
        let table = table.replace("version int", &format!("version {kind}"));
        expect(&table, "after update", &insert("old.rev + 0.1"), &["EV107 copied_from_row manual"]);
    }
    // the version of what describes the data is none of a stream
    for (column, value) in
        [("schema_version", "2"), ("api_version", "1"), ("event_version", "1"), ("payload_version", "new.rev")]
    {
        let (table, insert) = (
            table.replace("version int", &format!("{column} int")),
            insert(value).replace("version,", &format!("{column},")),
        );
        expect(&table, "after update", &insert, &["EV121 none -"]);
    }
}

#[test]
fn numbered_rows_of_an_entity_are_left_alone() {
    let table = |columns: &str| {
        format!(
            "create table berth (id serial primary key, boat_id bigint not null references boat, {columns}, created_at timestamptz default now())"
        )
    };
    let seats = table("name text, seat_no int not null, data jsonb, unique (boat_id, seat_no)");
    let trips = table("reason text not null, trip_number int not null, unique (boat_id, trip_number)");
    for (table, events, insert) in [
        // made for a new parent
        (
            &seats,
            "after insert",
            "insert into berth (boat_id, name, seat_no, data) values (new.id, 'Bow', 2, '{}'), (new.id, 'Stern', 1, '{}')",
        ),
        (
            &seats,
            "after insert",
            "insert into berth (boat_id, name, seat_no, data) values (new.id, 'Bow', 1, '{}'); insert into berth (boat_id, name, seat_no, data) values (new.id, 'Stern', 2, '{}')",
        ),
        (
            &seats,
            "after insert",
            "insert into berth (boat_id, name, seat_no) select new.id, 'Seat ' || n, n from generate_series(1, new.crew) n",
        ),
        (&trips, "after insert", "insert into berth (boat_id, reason, trip_number) values (new.id, 'Maiden', 1)"),
        // once for each parent, whatever happens to it
        (
            &trips,
            "after insert or update",
            "insert into berth (boat_id, reason, trip_number) values (new.id, 'Created', 1) on conflict (boat_id, trip_number) do nothing",
        ),
        (
            &trips,
            "after insert or update",
            "if not exists (select 1 from berth b where b.boat_id = new.id) then insert into berth (boat_id, reason, trip_number) values (new.id, 'Created', 1); end if",
        ),
        (
            &trips,
            "after insert or update",
            "insert into berth (boat_id, reason, trip_number) select new.id, 'Created', 1 where not exists (select from berth b where b.boat_id = new.id)",
        ),
    ] {
        expect(table, events, insert, &vec!["EV100 not_an_event -"; insert.matches("insert into").count()]);
    }
    // an optimistic lock is no insert at all
    assert_eq!(lines_of(&on_boat("", "before update", "begin new.rev := old.rev + 1; return new; end")), [""; 0]);
}

#[test]
fn where_nobody_can_tell_the_question_is_asked_and_nothing_proposed() {
    let table = "create table boat_trip_log (id serial primary key, boat_id bigint not null references boat, trip_number int not null, note text, started_at timestamptz default now(), unique (boat_id, trip_number))";
    let body =
        "begin insert into boat_trip_log (boat_id, trip_number, note) values (new.id, 1, new.name); return new; end";
    let found = on_boat(table, "after insert", body);
    assert_eq!(lines_of(&found), ["EV109 literal manual"], "{found:#?}");
    assert_eq!(found[0].allowed, [super::super::Strategy::Manual]);
    assert!(found[0].reasons[0].contains("--treat public.boat_trip_log=events"), "{found:#?}");
    // both sides of the scale are told
    let seen = found[0].reasons.iter().find(|r| r.starts_with("seen of it")).expect("what is seen");
    assert!(seen.contains("(+3)") && seen.contains("(-3)"), "{seen}");
    for name in ["boat_trip_log", "public.boat_trip_log"] {
        let events = with_answers(table, "after insert", body, &[(name, Treat::Events)]);
        assert_eq!(lines_of(&events), ["EV101 literal shim"]);
        let entity = with_answers(table, "after insert", body, &[(name, Treat::Entity)]);
        assert_eq!(lines_of(&entity), ["EV100 not_an_event -"]);
    }
}

#[test]
fn tables_that_number_themselves_and_helpers_are_found_without_a_writer() {
    let events = "create table voyage_events (id bigserial primary key, voyage_id int not null, seq int not null, kind text not null, payload jsonb, at timestamptz default now(), unique (voyage_id, seq));";
    let of = |sql: &str| {
        lines_of(&judge(&from_sql([("test.sql", sql)]).0).judged.into_iter().map(|j| j.finding).collect::<Vec<_>>())
    };
    let assign = |lock: &str, assign: &str| {
        format!("{events} create function n() returns trigger language plpgsql as $f$ begin {lock} {assign} return new; end $f$;
                 create trigger n before insert on voyage_events for each row execute function n();")
    };
    let lock = "perform pg_advisory_xact_lock(new.voyage_id);";
    for how in [
        "select coalesce(max(seq), 0) + 1 into new.seq from voyage_events where voyage_id = new.voyage_id;",
        "new.seq := (select coalesce(max(e.seq), 0) + 1 from voyage_events e where e.voyage_id = new.voyage_id);",
    ] {
        assert_eq!(of(&assign("", how)), ["EV110 assigned_on_event_table shim"], "{how}");
        assert_eq!(of(&assign(lock, how)), ["EV110 assigned_on_event_table -"], "{how}");
    }
    // a row that brings its number keeps it
    let how = "if new.seq is null then new.seq := (select count(*) + 1 from voyage_events e where e.voyage_id = new.voyage_id); end if;";
    assert_eq!(of(&assign("", how)), ["EV110 assigned_on_event_table manual"]);
    assert_eq!(of(&assign(lock, how)), ["EV110 assigned_on_event_table -"]);
    let helper = |lock: &str| {
        format!(
            "create function next_seq(v int) returns int language plpgsql as $f$ begin {lock}
                   return (select coalesce(max(seq), 0) + 1 from voyage_events where voyage_id = v); end $f$;"
        )
    };
    let lock = "perform pg_advisory_xact_lock(v);";
    assert_eq!(of(&format!("{events} {}", helper(""))), ["EV102 max_plus_one shim"]);
    assert_eq!(of(&format!("{events} {}", helper(lock))), ["EV103 max_plus_one_locked -"]);
    assert_eq!(
        of(&format!(
            "{events} create function next_seq(v int) returns int language sql as $f$ select coalesce(max(seq), 0) + 1 from voyage_events where voyage_id = v $f$;"
        )),
        ["EV102 max_plus_one shim"]
    );
    // numbers of things that are no events
    assert_eq!(
        of("create table issues (id serial primary key, project_id int, number int, title text, created_at timestamptz, unique (project_id, number));
            create function n() returns trigger language plpgsql as $f$ begin select coalesce(max(number), 0) + 1 into new.number from issues where project_id = new.project_id; return new; end $f$;
            create trigger n before insert on issues for each row execute function n();"),
        [""; 0]
    );
}
