//! What holds a stream while its number is made, counters, and numbers that trigger functions give without a trigger in sight.

use super::{Finding, judge, lines_of};
use crate::source::from_sql;

fn read(sql: &str) -> Vec<Finding> {
    judge(&from_sql([("test.sql", sql)]).0).judged.into_iter().map(|j| j.finding).collect()
}

const SCANS: &str =
    "create table scans (id bigserial primary key, box_id bigint not null, hall text, revision int not null,
    action text not null, payload jsonb, at timestamptz default now(), unique (box_id, revision));
  create table boxes (id bigint primary key, hall text, number int);";

/// A function of the application that appends a scan, with what it locks before it reads the newest.
fn append(declared: &str, locks: &str) -> Vec<Finding> {
    read(&format!(
        "{SCANS} create function add_scan(p_box bigint, p_hall text, p_hash text) returns void language plpgsql as $f$
         declare n int; {declared} begin {locks}
           select coalesce(max(revision), 0) + 1 into n from scans where box_id = p_box;
           insert into scans (box_id, hall, revision, action, payload) values (p_box, p_hall, n, 'scanned', '{{}}');
         end $f$;"
    ))
}

#[test]
fn an_advisory_lock_holds_what_its_key_is_made_of() {
    for (declared, locks) in [
        ("", "perform pg_advisory_xact_lock(7);"),
        ("", "perform pg_advisory_xact_lock(hashtext('scans'), p_box::int);"),
        ("k bigint := hashtextextended('box' || p_box, 0);", "perform pg_advisory_xact_lock(k);"),
        ("k bigint;", "k := p_box * 2; perform pg_advisory_xact_lock('scans'::regclass::int, k::int);"),
        // what the box lies in is decided by the box
        ("h text;", "select hall into h from boxes where id = p_box; perform pg_advisory_xact_lock(hashtext(h));"),
        // a lock of something else does not undo another
        ("", "perform pg_advisory_xact_lock(hashtext(p_hash)); perform 1 from boxes where id = p_box for update;"),
    ] {
        assert_eq!(lines_of(&append(declared, locks)), ["EV103 max_plus_one_locked -"], "{locks}");
    }
    for (declared, locks) in [
        ("", "perform pg_advisory_xact_lock(hashtext(p_hash));"),
        ("", "perform pg_advisory_xact_lock(p_box, hashtext(p_hash));"),
        ("k text := p_hall || p_hash;", "perform pg_advisory_xact_lock(hashtext(k));"),
        // one of many boxes of the hall
        ("b bigint;", "select id into b from boxes where hall = p_hall limit 1; perform pg_advisory_xact_lock(b);"),
    ] {
        let found = append(declared, locks);
        assert_eq!(lines_of(&found), ["EV102 max_plus_one shim"], "{locks}");
        assert!(found[0].reasons[0].contains("an advisory lock over something else"), "{found:#?}");
    }
}

#[test]
fn the_key_of_a_lock_is_followed_through_helpers() {
    let helpers = |key: &str| {
        read(&format!(
            "{SCANS} create function hold(k text) returns void language plpgsql as $f$ begin
               perform pg_advisory_xact_lock(hashtext(k)); end $f$;
             create function next_revision(b bigint) returns int language plpgsql as $f$ begin
               return (select coalesce(max(revision), 0) + 1 from scans where box_id = b); end $f$;
             create function note() returns trigger language plpgsql as $f$ begin perform hold({key});
               insert into scans (box_id, revision, action, payload) values (new.id, next_revision(new.id), 'moved', to_jsonb(new));
               return new; end $f$;
             create trigger note after update on boxes for each row execute function note();"
        ))
    };
    assert_eq!(lines_of(&helpers("new.id::text")), ["EV103 max_plus_one_locked -"]);
    assert_eq!(lines_of(&helpers("tg_table_name")), ["EV103 max_plus_one_locked -"]);
    assert_eq!(lines_of(&helpers("new.hall")), ["EV102 max_plus_one shim"]);
}

#[test]
fn a_number_from_a_counter_names_the_counter() {
    let by = |number: &str| {
        read(&format!(
            "{SCANS} create table counters (hall text primary key, last int not null);
             create function note() returns trigger language plpgsql as $f$ declare n int; begin {number}
               insert into scans (box_id, revision, action, payload) values (new.id, n, 'moved', to_jsonb(new));
               return new; end $f$;
             create trigger note after update on boxes for each row execute function note();"
        ))
    };
    for number in [
        "update counters set last = last + 1 where hall = new.hall returning last into n;",
        "insert into counters as c (hall, last) values (new.hall, 1) on conflict (hall) do update set last = c.last + 1 returning last into n;",
        "with one as (update counters set last = last + 1 where hall = new.hall returning last) select last into n from one;",
    ] {
        let found = by(number);
        let one = found.iter().find(|f| f.event_table.as_deref() == Some("public.scans")).expect(number);
        assert_eq!(super::line(one), "EV103 max_plus_one_locked -", "{number}");
        assert!(
            one.reasons[0].contains("counted up in last of counters, a counter whose row stays locked"),
            "{one:#?}"
        );
    }
    // what a new row gets is no counter
    for (number, wanted) in [
        ("insert into counters (hall, last) values (new.hall, 4) returning last into n;", "EV101 literal shim"),
        (
            "insert into counters (hall, last) values (new.hall, new.number) returning last into n;",
            "EV104 copied_from_row manual",
        ),
    ] {
        let found = by(number);
        let one = found.iter().find(|f| f.event_table.as_deref() == Some("public.scans")).expect(number);
        assert_eq!(super::line(one), wanted, "{number} {found:#?}");
    }
}

#[test]
fn a_log_by_its_name_that_a_counter_numbers_is_asked_for() {
    let by = |number: &str| {
        read(&format!(
            "create table papers (id text primary key, kind text);
             create table counters (kind text primary key, last int not null);
             create table paper_versions (paper_id text primary key references papers (id), kind text not null, number int not null, unique (kind, number));
             create function note() returns trigger language plpgsql as $f$ declare n int; begin {number}
               insert into paper_versions (paper_id, kind, number) values (new.id, new.kind, n); return new; end $f$;
             create trigger note after insert on papers for each row execute function note();"
        ))
    };
    let counted = by("update counters set last = last + 1 where kind = new.kind returning last into n;");
    assert_eq!(lines_of(&counted), ["EV109 max_plus_one_locked -"]);
    let greatest = by("select coalesce(max(number), 0) + 1 into n from paper_versions where kind = new.kind;");
    assert_eq!(lines_of(&greatest), ["EV109 max_plus_one manual"]);
}

#[test]
fn a_trigger_function_that_numbers_the_row_is_told_without_its_trigger() {
    let function = |body: &str| {
        read(&format!(
            "{SCANS} create or replace function stamp() returns trigger language plpgsql as $f$ declare n bigint; begin {body} return new; end $f$;"
        ))
    };
    for (body, how) in [
        ("new.revision := coalesce((select max(revision) from scans where box_id = new.box_id), 0) + 1;", "max()+1"),
        (
            "perform pg_advisory_xact_lock(new.box_id); select coalesce(max(seq), 0) + 1 into new.seq from visits where id = new.id;",
            "an advisory lock",
        ),
        (
            "select seq into n from visits where id = new.id order by seq desc limit 1; new.seq := coalesce(n, 0) + 1;",
            "the newest",
        ),
        ("select count(*) + 1 into new.place from visits where id = new.id;", "count()+1"),
        ("update counters set last = last + 1 where kind = new.kind returning last into new.number;", "a counter"),
        ("new.version := nextval('versions');", "a sequence"),
    ] {
        let found = function(body);
        let told: Vec<_> = found.iter().filter(|f| f.code == "EV206").collect();
        assert_eq!(told.len(), 1, "{body} {found:#?}");
        assert!(told[0].needs_work() && told[0].reasons[0].contains(how), "{body} {told:#?}");
        assert!(told[0].reasons[0].contains("gives new."), "{told:#?}");
    }
    for body in [
        "new.at := now(); new.id := nextval('ids');",
        "new.seen_at := (select max(at) from scans where box_id = new.box_id);",
        "new.total := (select count(*) from visits where id = new.id);",
        "new.parent_id := (select id from boxes order by id desc limit 1);",
    ] {
        assert_eq!(lines_of(&function(body)), [] as [&str; 0], "{body}");
    }
}

#[test]
fn a_trigger_without_its_table_says_what_its_function_numbers() {
    let found = read(
        "create function stamp() returns trigger language plpgsql as $f$ begin
           insert into counters as c (kind, last) values (new.kind, 1) on conflict (kind) do update set last = c.last + 1
             returning last into new.version_no;
           return new; end $f$;
         create trigger stamp before insert on elsewhere for each row execute function stamp();",
    );
    let told = found.iter().find(|f| f.code == "EV205").expect("EV205");
    assert!(told.reasons[0].contains("its function gives new.version_no a number"), "{found:#?}");
    assert!(told.reasons[0].contains("a counter whose row stays locked"), "{found:#?}");
}

#[test]
fn of_a_table_that_is_not_in_sight_no_lock_is_said_to_be_over_something_else() {
    let found = read(
        "create function stamp() returns trigger language plpgsql as $f$ declare n bigint; code text; begin
           perform pg_advisory_xact_lock(hashtext(new.run_id));
           select prefix into code from kinds, places where kinds.id = new.kind_id;
           new.label := code || '-' || (1 + 1);
           select coalesce(max(seq), 0) + 1 into n from facts where run_id = new.run_id; new.seq := n;
           return new; end $f$;
         create trigger stamp before insert on facts for each row execute function stamp();",
    );
    assert!(found.iter().all(|f| f.reasons.iter().all(|r| !r.contains("something else"))), "{found:#?}");
    let told = found.iter().find(|f| f.code == "EV205").expect("EV205");
    assert!(told.reasons[0].contains("gives new.seq a number"), "{found:#?}");
}

#[test]
fn documents_that_functions_append_are_a_log_whatever_kind_they_are_given() {
    const BODY: &str = "returns void language plpgsql as $f$ begin";
    for tables in [
        format!(
            "create table basket_events (basket_id uuid not null, event jsonb not null, kind text not null, at timestamptz not null);
             create function add(e jsonb, k text, b uuid) {BODY}
             insert into basket_events (event, kind, basket_id, at) values (e, k, b, now()); end $f$;"
        ),
        format!(
            "create table events_of_bills (id bigserial primary key, event json not null, aggregate_id uuid not null,
               published boolean default false, at timestamptz default now());
             create procedure add(a uuid, e json) language sql as $f$ insert into events_of_bills (event, aggregate_id) values (e, a) $f$;
             create function sent(n bigint) {BODY} update events_of_bills set published = true where id = n; end $f$;"
        ),
    ] {
        assert_eq!(lines_of(&read(&tables)), ["EV121 none -"], "{tables}");
    }
    // people go there
    let party = format!(
        "create table events (id bigserial primary key, title text, starts_at timestamptz, details jsonb, kind text, created_at timestamptz default now());
         create function add(t text, d jsonb, k text) {BODY} insert into events (title, details, kind) values (t, d, k); end $f$;"
    );
    assert_eq!(lines_of(&read(&party)), [] as [&str; 0]);
}

#[test]
fn a_diary_of_several_tables_is_a_log() {
    const DIARY: &str = "create table cats (id int primary key, name text); create table dogs (id int primary key, name text);
      create table diary (id serial primary key, said text, kind text, noted timestamptz default now(){more});
      create function cat() returns trigger language plpgsql as $f$ begin insert into diary (said, kind) values ('a cat came', 'NEW'); return new; end $f$;
      create function dog() returns trigger language plpgsql as $f$ begin insert into diary (said, kind) values ('a dog came', 'NEW'); return new; end $f$;
      create trigger cat after insert on cats for each row execute function cat();";
    const DOGS: &str = "create trigger dog after insert on dogs for each row execute function dog();";
    let diary = |more: &str| DIARY.replace("{more}", more);
    assert_eq!(lines_of(&read(&format!("{}{DOGS}", diary("")))), ["EV121 none -", "EV121 none -"]);
    // one table's alone, or work that is done some day
    assert_eq!(read(&diary("")).iter().filter(|f| f.code == "EV121").count(), 0);
    assert_eq!(read(&format!("{}{DOGS}", diary(", status text"))).iter().filter(|f| f.code == "EV121").count(), 0);
}

#[test]
fn who_was_where_and_when_is_a_log() {
    let visits = |key: &str, events: &str| {
        read(&format!(
            "create table seats (hall_id int, guest_id int, seen_at timestamptz, primary key (hall_id, guest_id));
             create table seen (id serial primary key, hall_id int not null, guest_id int not null, seen_at timestamptz not null{key});
             create function note() returns trigger language plpgsql as $f$ begin
               insert into seen (hall_id, guest_id, seen_at) values (new.hall_id, new.guest_id, new.seen_at); return new; end $f$;
             create trigger note after {events} on seats for each row execute function note();"
        ))
    };
    assert_eq!(lines_of(&visits("", "update of seen_at")), ["EV121 none -"]);
    assert_eq!(lines_of(&visits(", unique (hall_id, guest_id)", "update of seen_at")), ["EV100 not_an_event -"]);
    assert_eq!(lines_of(&visits("", "insert")), ["EV100 not_an_event -"]);
}
