//! Logs of every shape, numbers that are made in roundabout ways, and what is neither.

use super::{Finding, judge, lines_of};
use crate::source::from_sql;

fn read(sql: &str) -> Vec<Finding> {
    let (catalogue, problems) = from_sql([("test.sql", sql)]);
    assert!(problems.is_empty(), "{problems:?}\n{sql}");
    judge(&catalogue).judged.into_iter().map(|j| j.finding).collect()
}

const SHIP: &str = "create table ship (id int primary key, name text, tons int, berth int, changed_in bigint);";

/// A trigger on `ship` with this body.
fn on_ship(events: &str, body: &str) -> String {
    format!(
        "{SHIP} create function f() returns trigger language plpgsql as $f$ {body} $f$;
         create trigger t {events} on ship for each row execute function f();"
    )
}

#[track_caller]
fn expect(sql: &str, wanted: &[&str]) -> Vec<Finding> {
    let found = read(sql);
    assert_eq!(lines_of(&found), wanted, "{sql}\n{found:#?}");
    found
}

#[track_caller]
fn is_log(tables: &str, events: &str, insert: &str) {
    expect(&format!("{tables}; {}", on_ship(events, &format!("begin {insert}; return new; end"))), &["EV121 none -"]);
}

#[track_caller]
fn is_no_log(tables: &str, events: &str, insert: &str) {
    let found = read(&format!("{tables}; {}", on_ship(events, &format!("begin {insert}; return new; end"))));
    assert!(!found.is_empty() && found.iter().all(|f| f.code == "EV100"), "{insert}\n{found:#?}");
}

#[test]
fn a_log_says_which_table_or_what_changed() {
    for (table, events, insert) in [
        // which table, by its name or by the server's word for it; no column for the row
        (
            "table_log (action text, table_name text, at timestamp)",
            "after update",
            "insert into table_log values (tg_op, 'ship', now())",
        ),
        (
            "audit_all (what text, relation text, at timestamp)",
            "after delete",
            "insert into audit_all (what, relation, at) values (tg_op, tg_relname, now())",
        ),
        (
            "journal (word text, place text, at timestamp default now())",
            "after update",
            "insert into journal (word, place) values (tg_op, tg_table_name)",
        ),
        // the row alone, without a time
        (
            "ship_history (id int, name text)",
            "before update",
            "insert into ship_history (id, name) values (old.id, old.name)",
        ),
        (
            "ships_old_versions (id int, name text, tons int)",
            "after update",
            "insert into ships_old_versions select old.id, old.name, old.tons",
        ),
        // all of it as it comes
        ("ship_archive (like ship)", "after delete", "insert into ship_archive values (old.*)"),
        ("ship_history (like ship)", "after insert or update", "insert into ship_history select new.*"),
        ("ship_history (like ship)", "after update", "insert into ship_history select (old).*"),
        // read again from the table that fires
        (
            "ship_archive (id int, name text)",
            "before delete",
            "insert into ship_archive (id, name) select id, name from ship where ship.id = old.id",
        ),
        (
            "ship_archive (id int, name text)",
            "before delete",
            "insert into ship_archive (id, name) select s.id, s.name from ship s where old.id = s.id",
        ),
        ("ship_archive (like ship)", "before delete", "insert into ship_archive select * from ship where id = old.id"),
        (
            "deleted_ships (id int, name text, gone_at timestamp default now())",
            "before delete",
            "insert into deleted_ships (id, name) select s.id, s.name from ship s where s.id = old.id",
        ),
        // what was and what is
        (
            "ship_changes (field text, old_value text, new_value text, at timestamp)",
            "after update",
            "insert into ship_changes values ('tons', current_setting('a.b'), current_setting('a.c'), now())",
        ),
    ] {
        is_log(&format!("create table {table}"), events, insert);
    }
    // by a statement's transition table
    expect(
        &format!(
            "{SHIP} create table ship_archive (id int, name text);
             create function f() returns trigger language plpgsql as $f$ begin insert into ship_archive (id, name) select g.id, g.name from gone g; return null; end $f$;
             create trigger t after delete on ship referencing old table as gone for each statement execute function f();"
        ),
        &["EV121 none -"],
    );
}

#[test]
fn settings_of_the_session_carry_what_a_trigger_says() {
    let sql = format!(
        "{SHIP} create table change_log (field text, value text, at timestamp);
         create function put() returns void language sql as $f$ insert into change_log values (current_setting('log.field'), nullif(current_setting('log.value', true), ''), now()) $f$;
         create function f() returns trigger language plpgsql as $f$ begin
           perform set_config('log.field', 'name', true); perform set_config('log.value', coalesce(new.name, ''), true); perform put(); return new; end $f$;
         create trigger t after insert on ship for each row execute function f();"
    );
    let found = expect(&sql, &["EV121 none -"]);
    assert!(found[0].reasons.iter().any(|r| r.contains("names the row it tells of")), "{found:#?}");
}

#[test]
fn a_log_stays_one_though_its_side_columns_change_or_one_transaction_is_merged() {
    let table = "create table ship_log (id serial primary key, ship_id int, what text, data jsonb, sent jsonb default '{}', at timestamp default now())";
    let insert = "insert into ship_log (ship_id, what, data) values (new.id, tg_op, to_jsonb(old))";
    let mark = |column: &str| {
        format!(
            "{table}; create function mark(n int) returns void language sql as $f$ update ship_log set {column} = '[1]' where id = n $f$"
        )
    };
    is_log(&mark("sent"), "after update", insert);
    let merged = "create table row_log (tx bigint, ship_id int, was jsonb, now jsonb, unique (tx, ship_id))";
    let upsert = |tx: &str| {
        format!(
            "insert into row_log as r (tx, ship_id, was, now) values ({tx}, new.id, to_jsonb(old), to_jsonb(new)) on conflict (tx, ship_id) do update set now = excluded.now"
        )
    };
    is_log(merged, "after update", &upsert("txid_current()"));
    is_log(merged, "after update", &upsert("pg_current_xact_id()::text::bigint"));
    // another transaction's row is overwritten: the newest state
    is_no_log(merged, "after update", &upsert("new.changed_in"));
}

#[test]
fn a_record_that_is_inserted_as_a_whole_is_seen_through() {
    let sql = format!(
        "{SHIP} create table logged_actions (id bigserial primary key, table_name text, at timestamptz, action text, row_data jsonb, sync jsonb default '{{}}');
         create function log_it() returns trigger language plpgsql as $f$ declare r logged_actions; begin
           r = row(nextval('logged_actions_id_seq'), tg_table_name::text, now(), substring(tg_op, 1, 1), null, null);
           r.row_data = to_jsonb(old); insert into logged_actions values (r.*); return null; end $f$;
         create trigger t after update on ship for each row execute function log_it();
         create function synced(n bigint, d jsonb) returns void language sql as $f$ update logged_actions set sync = sync || d where id = n $f$;"
    );
    let found = expect(&sql, &["EV121 none -"]);
    assert!(found[0].reasons.iter().any(|r| r.contains("says what happened")), "{found:#?}");
}

#[test]
fn each_new_row_is_noted_in_a_log() {
    for name in ["ship_log", "arrivals_journal", "ShipAudit"] {
        is_log(
            &format!("create table \"{name}\" (ship int, label text, at timestamp default now())"),
            "after insert",
            &format!("insert into \"{name}\" (ship, label) values (new.id, new.name)"),
        );
    }
    // an event is an entity here, and this is its first guest
    is_no_log(
        "create table event_guests (ship int, label text, at timestamp default now())",
        "after insert",
        "insert into event_guests (ship, label) values (new.id, new.name)",
    );
}

#[test]
fn triggers_that_a_function_made_before_it_was_dropped_are_told() {
    let make = |call: &str| {
        format!(
            "create function keep_history(t text) returns void language plpgsql as $f$ declare s text; begin
               s := 'create trigger h after update on ' || t || ' for each row execute procedure h_' || t || '()'; execute s; end $f$;
             {call} drop function keep_history(text);"
        )
    };
    let (_, problems) = from_sql([("test.sql", make("select keep_history('a'); select keep_history('b');").as_str())]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].reason.contains("keep_history()") && problems[0].reason.contains("is gone"), "{problems:?}");
    let (_, problems) = from_sql([("test.sql", make("").as_str())]);
    assert_eq!(problems, []);
}

#[test]
fn transactions_entities_and_other_rows_are_no_versions() {
    for (table, insert) in [
        (
            "tx_log (txid bigint not null, at timestamptz not null, who text, unique (at, txid))",
            "insert into tx_log values (txid_current(), transaction_timestamp(), session_user) on conflict do nothing",
        ),
        (
            "tx_context (tx xid8 primary key, at timestamp, who text)",
            "insert into tx_context values (pg_current_xact_id(), now(), current_user) on conflict do nothing",
        ),
        (
            "ship_history (ship int, tons int, saved timestamp, primary key (saved, ship))",
            "insert into ship_history values (new.id, new.tons, now())",
        ),
        (
            "ship_history (kind text, ship int, tons int, saved timestamp, unique (kind, ship))",
            "insert into ship_history values ('cargo', new.id, new.tons, now())",
        ),
        (
            "ship_audit (kind text, ship int, revision_id int, saved timestamp)",
            "insert into ship_audit values (tg_op, new.id, current_setting('a.revision')::int, now())",
        ),
        (
            "ship_audit (kind text, ship int, revision_time timestamp, revision_comment text)",
            "insert into ship_audit values (tg_op, new.id, now(), 'moved')",
        ),
    ] {
        is_log(&format!("create table {table}"), "after update", insert);
    }
    // copied by a procedure of the application
    let keep = "create table job (id int, step int, state int, primary key (id, step));
        create table job_history (id int, step int, state int, saved timestamp, primary key (saved, id, step));
        create procedure keep(j int) language plpgsql as $f$ declare t timestamp := now(); begin
          insert into job_history (id, step, state, saved) select id, step, state, t from job where id = j; end $f$;";
    expect(keep, &["EV121 none -"]);
}

#[test]
fn what_a_new_parent_gets_each_time_is_no_event() {
    let table = "create table setting (id serial primary key, ship_id int not null references ship, kind text, name text, value jsonb, created_at timestamptz default now(), unique (ship_id, kind, name))";
    for insert in [
        "insert into setting (ship_id, kind, name, value) values (new.id, 'upkeep', 'limit', '200') on conflict (ship_id, kind, name) do nothing",
        "insert into setting (ship_id, kind, name, value) values (new.id, 'upkeep', 'limit', '200'), (new.id, 'visit', 'months', '3')",
        "insert into setting (ship_id, kind, name, value) values (new.id, 'a', 'b', '1'); insert into setting (ship_id, kind, name, value) values (new.id, 'c', 'd', '2')",
    ] {
        is_no_log(&format!("{SHIP} {table}").replace(SHIP, ""), "after insert", insert);
    }
    // an entry of a calendar
    is_no_log(
        "create table events (id serial primary key, place int, day date, starts_at timestamp)",
        "after insert or update",
        "insert into events (place, starts_at) values (new.berth, now())",
    );
    // a work queue and a copy for reports
    is_no_log(
        "create table queue_item (ship_id int, at timestamp, retry_count int, label jsonb, unique (ship_id, at, retry_count))",
        "after update",
        "insert into queue_item (ship_id, at, retry_count, label) values (new.id, now(), new.tons, to_jsonb(new.name)) on conflict do nothing",
    );
    is_no_log(
        "create table ship_report (id int, name text, tons int, extra jsonb, at timestamp)",
        "after insert",
        "insert into ship_report values (new.id, new.name, new.tons, to_jsonb(new), now()) on conflict do nothing",
    );
    // a log of new rows stays one
    is_log(
        "create table ship_log (ship_id int, what text, at timestamp default now())",
        "after insert",
        "insert into ship_log (ship_id, what) values (new.id, 'created')",
    );
}

#[test]
fn the_last_number_plus_one_is_seen_whatever_its_type_and_table_are_called() {
    let tables = |kind: &str, key: &str| {
        format!(
            "create table ship_metadata (id bigserial primary key, ship_id int, rev {kind} default 0, metadata jsonb, at timestamp default now(){key})"
        )
    };
    let insert = |rev: &str| {
        format!(
            "begin insert into ship_metadata (ship_id, rev, metadata) values (new.id, {rev}, to_jsonb(new)); return new; end"
        )
    };
    let key = ", unique (ship_id, rev)";
    let last = "(select rev + 1 from ship_metadata m where m.ship_id = new.id order by rev desc limit 1)";
    let max = "(select coalesce(max(rev), 0) + 1 from ship_metadata m where m.ship_id = new.id)";
    for rev in [last, max] {
        let sql = |kind: &str, key: &str| format!("{}; {}", tables(kind, key), on_ship("after update", &insert(rev)));
        expect(&sql("int", key), &["EV102 max_plus_one shim"]);
        for kind in ["numeric", "text", "numeric(10,2)"] {
            expect(&sql(kind, key), &["EV107 max_plus_one manual"]);
        }
        // no trigger in sight fires it
        let unfired =
            sql("numeric", key).replace("create trigger t after update on ship for each row execute function f();", "");
        expect(&unfired, &["EV107 max_plus_one manual"]);
    }
}

const VERSIONS: &str = "create table ship_version (id serial primary key, ship_id int not null, version int, body text, at timestamptz default now(), unique (ship_id, version));";

fn own_trigger(timing: &str, body: &str) -> String {
    format!(
        "{VERSIONS} create function n() returns trigger language plpgsql as $f$ {body} $f$;
         create trigger n {timing} insert on ship_version for each row execute function n('ship_id');"
    )
}

#[test]
fn a_table_that_is_numbered_at_run_time_is_told() {
    for text in [
        "format('select max(version) + 1 from %I where %I = $1', tg_table_name, tg_argv[0])",
        "format('select coalesce(max(version), 0) + 1 from %s where ship_id = $1', tg_relid::regclass)",
        "'select coalesce(max(version), 0) + 1 from ' || tg_table_name || ' where ship_id = $1'",
        "'select version + 1 from ship_version where ship_id = $1 order by version desc limit 1'",
    ] {
        let body = format!(
            "declare m int; begin execute {text} into m using new.ship_id; new.version := coalesce(m, 1); return new; end"
        );
        let found = expect(&own_trigger("before", &body), &["EV110 assigned_on_event_table manual"]);
        // which stream it is cannot be seen
        assert_eq!(found[0].allowed, [super::super::Strategy::Manual]);
        let locked = body.replace("begin execute", "begin perform pg_advisory_xact_lock(new.ship_id); execute");
        expect(&own_trigger("before", &locked), &["EV110 assigned_on_event_table -"]);
    }
    // of a type that another file makes
    let body = "declare m int; begin execute format('select max(version) + 1 from %I', tg_table_name) into m; new.version := m; return new; end";
    let typed = own_trigger("before", body).replace("version int,", "version app.version_no,");
    expect(&typed, &["EV110 assigned_on_event_table manual"]);
    let body = "declare m int; begin execute 'select 7' into m; new.version := m; return new; end";
    expect(&own_trigger("before", body), &[]);
}

#[test]
fn a_number_that_is_given_afterwards_is_told() {
    for body in [
        "declare m int; begin select coalesce(max(version), 0) + 1 into m from ship_version where ship_id = new.ship_id; update ship_version set version = m where id = new.id; return null; end",
        "begin update ship_version v set version = (select coalesce(max(o.version), 0) + 1 from ship_version o where o.ship_id = new.ship_id) where v.id = new.id; return null; end",
    ] {
        let found = expect(&own_trigger("after", body), &["EV110 assigned_on_event_table manual"]);
        assert!(found[0].reasons.iter().any(|r| r.contains("by an UPDATE")), "{found:#?}");
        // nothing but the name of its column speaks for it
        let thing =
            own_trigger("after", body).replace("ship_version", "plan").replace(", unique (ship_id, version)", "");
        expect(&thing, &["EV109 assigned_on_event_table manual"]);
    }
    // a place in a list is no version
    let list = "create table stop (id serial primary key, ship_id int, position int, at timestamptz);
        create function n() returns trigger language plpgsql as $f$ begin update stop set position = (select coalesce(max(s.position), 0) + 1 from stop s where s.ship_id = new.ship_id) where id = new.id; return null; end $f$;
        create trigger n after insert on stop for each row execute function n();";
    expect(list, &[]);
}

#[test]
fn one_count_over_a_whole_log_is_told_beside_it() {
    let sql = |lock: &str, key: &str| {
        format!(
            "create table tx (id xid8 primary key, at timestamp, who text, place bigint {key});
             create function n() returns trigger language plpgsql as $f$ begin {lock} select coalesce(max(place) + 1, 0) into new.place from tx; return new; end $f$;
             create trigger n before insert on tx for each row execute function n();
             {}",
            on_ship("after update", "declare x xid8 := pg_current_xact_id(); begin insert into tx (id, at, who) values (x, now(), current_user) on conflict do nothing; return null; end")
        )
    };
    for key in ["unique", ""] {
        expect(&sql("", key), &["EV110 assigned_on_event_table manual", "EV121 none -"]);
        expect(&sql("lock table tx in exclusive mode;", key), &["EV121 none -", "EV110 assigned_on_event_table -"]);
    }
}

const STORE: &str = "create schema store; create table store.message (global bigserial primary key, stream_name text not null, position bigint not null, type text not null, data jsonb, at timestamp default now(), unique (stream_name, position));";

#[test]
fn functions_that_append_for_the_application_are_judged() {
    let helpers = |lock: &str| {
        format!(
            "create function store.newest(s text) returns bigint language plpgsql as $f$ declare v bigint; begin select max(position) into v from message where message.stream_name = s; return v; end $f$;
             create function store.hold(s text) returns void language plpgsql as $f$ begin {lock} end $f$;"
        )
    };
    let append = "create function store.append(s text, t text, d jsonb) returns bigint language plpgsql as $f$ declare v bigint; p bigint; begin
           perform hold(s); v := newest(s); if v is null then v := -1; end if; p := v + 1;
           insert into message (stream_name, position, type, data) values (s, p, t, d); return p; end $f$;";
    let locked = expect(
        &format!("{STORE} {} {append}", helpers("perform pg_advisory_xact_lock(hashtext(s));")),
        &["EV103 max_plus_one_locked -"],
    );
    assert!(locked[0].reasons.iter().any(|r| r.contains("is the one of schema store")), "{locked:#?}");
    let unlocked = read(&format!("{STORE} {} {append}", helpers("raise notice '%', s;")));
    assert_eq!(unlocked.iter().map(|f| f.code.as_str()).collect::<Vec<_>>(), ["EV102"], "{unlocked:#?}");
    // several at once, from a number that another table keeps
    let many = format!(
        "{STORE} create table store.stream (name text primary key, version int default -1); create type store.new as (type text, data jsonb);
         create function store.append(s text, all_new store.new[]) returns void language plpgsql as $f$ declare v int; begin
           select version into v from stream where name = s;
           insert into message (stream_name, position, type, data) select s, v + row_number() over (), m.type, m.data from unnest(all_new) m;
           update stream set version = v + cardinality(all_new) where name = s; end $f$;"
    );
    let found = expect(&many, &["EV102 max_plus_one manual"]);
    assert!(found[0].reasons.iter().any(|r| r.contains("another table")), "{found:#?}");
    // without a version, in the words of a ledger
    expect(
        "create table ledger (entity text, key text, event text, data jsonb, previous uuid, at timestamptz default now(), n bigserial primary key);
         create function append(e text, k text, ev text, d jsonb, p uuid) returns void language sql as $f$ insert into ledger (entity, key, event, data, previous) values (e, k, ev, d, p) $f$;",
        &["EV121 none -"],
    );
    // what an application numbers in its lists is none of this, and is said so
    for table in [
        "attachment (doc int, seq_no int, type text, data jsonb, at timestamp default now(), unique (doc, seq_no))",
        "job (doc int, seq_no int, type text, data jsonb, at timestamp default now(), unique (doc, seq_no))",
    ] {
        let name = table.split_once(' ').expect("a name").0;
        expect(
            &format!(
                "create table {table}; create function add(d int, t text, x jsonb) returns void language plpgsql as $f$ begin
                   insert into {name} (doc, seq_no, type, data) values (d, (select coalesce(max(seq_no), 0) + 1 from {name} a where a.doc = d), t, x); end $f$;"
            ),
            &["EV100 not_an_event -"],
        );
    }
}

#[test]
fn what_is_of_the_session_alone_is_no_event_table() {
    for make in [
        "create temp table _open_revision (revision int primary key);",
        "execute 'create temporary table _open_revision (revision int)';",
    ] {
        let sql = format!(
            "create function open_it() returns void language plpgsql as $f$ declare r int; begin {make} update counter set n = n + 1 returning n into r; insert into _open_revision (revision) values (r); end $f$;
             create function look() returns int language sql as $f$ select max(revision) from _open_revision $f$;
             create function more() returns void language plpgsql as $f$ begin insert into _open_revision (revision) values (1); end $f$;
             create table counter (n int);"
        );
        expect(&sql, &[]);
    }
}

#[test]
fn the_stream_is_what_a_helper_reads_though_no_key_says_so() {
    let sql = format!(
        "create table ship_events (id serial primary key, ship_id int, berth int, version int, event_type text, data jsonb, at timestamptz default now());
         create function next_of(s int, b int) returns int language plpgsql as $f$ declare w int; begin select max(version) into w from ship_events where ship_id = s and berth = b; return coalesce(w, 0) + 1; end $f$;
         {}",
        on_ship("after update", "begin insert into ship_events (ship_id, berth, version, event_type, data) values (new.id, new.berth, next_of(new.id, new.berth), 'ShipMoved', to_jsonb(new)); return null; end")
    );
    let (catalogue, _) = from_sql([("test.sql", sql.as_str())]);
    let report = judge(&catalogue);
    let target = report.targets.values().find(|t| t.is_event_table).expect("an event table");
    assert_eq!(target.roles.version_column.as_deref(), Some("version"));
    let mut stream = target.roles.stream.clone();
    stream.sort();
    assert_eq!(stream, ["berth", "ship_id"]);
    assert_eq!(report.judged.len(), 1);
    // the same where the column is called nothing of the kind
    let plain = sql.replace("version", "n");
    assert_eq!(lines_of(&read(&plain)), lines_of(&read(&sql)));
}

#[test]
fn a_function_that_runs_unseen_texts_is_named_once() {
    let sql = "create function run(t text) returns void language plpgsql as $f$ begin
        execute 'insert into ' || t || ' values (1)';
        execute 'insert into ' || t || ' values (2)';
        execute 'create trigger x after update on ' || t || ' for each row execute function g()'; end $f$;";
    let found = expect(sql, &["EV201 dynamic manual"]);
    assert!(found[0].reasons.iter().any(|r| r == "the same in line 3, 4"), "{found:#?}");
}

#[test]
fn what_an_unseen_schema_taught() {
    // what a row was, in a table whose name says nothing
    let tracks = "create table ship_tracks (id serial, name text, tons int, notes jsonb, changed_at timestamptz)";
    let write = "insert into ship_tracks (name, tons, notes, changed_at) values (old.name, old.tons, old.notes, old.changed_at)";
    let wide = on_ship("after update", &format!("begin {write}; return new; end"))
        .replace("changed_in bigint", "notes jsonb, changed_at timestamptz");
    expect(&format!("{tracks}; {wide}"), &["EV121 none -"]);
    // a count that decides and numbers nothing
    let decides = "create function f() returns trigger language plpgsql as $f$ begin
        new.doc := case (select count(*) from ship where id = new.id) when 0 then null else new.doc end; return new; end $f$;
        create trigger t before insert on elsewhere for each row execute function f()";
    let makes = |sql: &str| read(sql).iter().any(|f| f.reasons.iter().any(|r| r.contains("makes a number")));
    assert!(!makes(decides));
    assert!(makes(&decides.replace("(select count(*)", "(select count(*) + 1")));
    // a revision that is called after its table
    let section = "create table section (id serial primary key, doc int, section_rev int, unique (doc, section_rev));
        create function f() returns trigger language plpgsql as $f$ begin
        new.section_rev := (select coalesce(max(section_rev), 0) + 1 from section where doc = new.doc); return new; end $f$;
        create trigger t before insert on section for each row execute function f()";
    assert_eq!(read(section)[0].code, "EV109");
}
