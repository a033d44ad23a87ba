//! Rows that changed unseen: what `monitor --full` tells of them, and the statement that mends it.

use domain_events_tests::{Db, engines};
use serde_json::Value;

engines! { rows_that_changed_unseen, rows_older_than_their_capture, a_part_of_a_large_table, as_the_owner_of_the_table, rows_older_than_their_columns
}

const UNSEEN: &str = "set session_replication_role = replica;
    update public.seats set v = 5 where id in (2, 3); delete from public.seats where id = 4; insert into public.seats values (20, 1);
    set session_replication_role = origin";

fn seats(db: &Db, baseline: &str) {
    db.owner().run(&format!(
        "create table public.seats (id int primary key, v int); insert into public.seats values (1, 0);
         select domain_events.enable_capture('public.seats', baseline => '{baseline}');
         insert into public.seats select g, 0 from generate_series(2, 8) g"
    ));
}

fn full(db: &Db, user: &str, code: i32) -> Vec<Value> {
    let document = db.cli(user, &["monitor", "--full", "--format", "json"]).expect(code).json();
    document["rows"]["findings"].as_array().expect("findings").clone()
}

fn codes(findings: &[Value]) -> Vec<String> {
    findings.iter().map(|f| format!("{} {}", f["severity"].as_str().unwrap(), f["code"].as_str().unwrap())).collect()
}

fn mend(db: &Db, finding: &Value) {
    let detail = finding["detail"].as_str().expect("a detail");
    db.owner().run(detail.split_once("The owner runs: ").expect("what mends it").1);
}

fn rows_that_changed_unseen(db: &Db) {
    seats(db, "now");
    assert_eq!(codes(&full(db, "app_owner", 0)), Vec::<String>::new());
    db.admin().run(UNSEEN);
    // The short check does not look, and does not say that it has.
    let run = db.cli("app_owner", &["monitor"]).expect(0);
    assert!(!run.stdout.contains("Rows"), "{}", run.stdout);
    let run = db.cli("app_owner", &["monitor", "--full"]).expect(3);
    assert!(run.stdout.contains("! row_differs public.seats: 2 rows are not what their streams say"), "{}", run.stdout);
    let findings = full(db, "app_owner", 3);
    assert_eq!(codes(&findings), ["warning row_differs", "warning row_gone", "warning row_unknown"]);
    assert_eq!(findings[0]["value"], 2.0);
    assert!(findings[0]["detail"].as_str().unwrap().contains("(2, 3)"), "{}", findings[0]);
    assert_eq!(full(db, "app_owner", 3).len(), 3, "looking changed something");
    mend(db, &findings[0]);
    let run = db.cli("app_owner", &["monitor", "--full"]).expect(0);
    assert!(run.stdout.contains("✓ Rows are what their streams say"), "{}", run.stdout);
    db.check_table("Seat", "public.seats");
    db.owner().run("update public.seats set v = v + 1; delete from public.seats where id = 20; insert into public.seats values (4, 4)");
    db.check_table("Seat", "public.seats");
    db.owner()
        .error("begin isolation level repeatable read; select * from domain_events.tell_rows('public.seats')")
        .expect("55000");
}

fn rows_older_than_their_capture(db: &Db) {
    seats(db, "lazy");
    let findings = full(db, "app_owner", 0);
    assert_eq!(codes(&findings), ["info row_unknown"]);
    mend(db, &findings[0]);
    assert_eq!(codes(&full(db, "app_owner", 0)), Vec::<String>::new());
    // Only of one type.
    db.admin().run(UNSEEN);
    let document =
        db.cli("app_owner", &["monitor", "--full", "--aggregate-type", "Nothing", "--format", "json"]).expect(0).json();
    assert_eq!(document["rows"]["findings"].as_array().map(Vec::len), Some(0));
    db.cli("app_owner", &["monitor", "--full", "--aggregate-type", "Seat"]).expect(3);
    mend(db, &full(db, "app_owner", 3)[0]);
    db.check_table("Seat", "public.seats");
}

fn a_part_of_a_large_table(db: &Db) {
    seats(db, "now");
    let mut s = db.owner();
    s.run("insert into public.seats select g, 0 from generate_series(100, 1100) g");
    db.admin().run("set session_replication_role = replica; update public.seats set v = 5");
    s.run("select domain_events.set_threshold('checked_rows', 100); analyze public.seats");
    let findings = full(db, "app_owner", 3);
    assert_eq!(codes(&findings), ["warning row_differs", "info rows_unread"]);
    let differ = findings[0]["value"].as_f64().expect("a number");
    assert!(differ > 0.0 && differ <= 100.0, "{differ}");
    s.run("select domain_events.set_threshold('checked_rows', 0)");
    assert_eq!(codes(&full(db, "app_owner", 0)), Vec::<String>::new());
    // In batches, as for a table that is large.
    let mut next = String::new();
    for _ in 0..20 {
        let rows = s.rows(&format!(
            "select told, next from domain_events.tell_rows('public.seats', 100, nullif('{next}', ''))"
        ));
        match &rows[0][1] {
            Some(place) => next.clone_from(place),
            None => break,
        }
    }
    s.run("select domain_events.set_threshold('checked_rows', null)");
    assert_eq!(codes(&full(db, "app_owner", 0)), Vec::<String>::new());
    db.check_table("Seat", "public.seats");
}

/// Who may not read the table is told so, and a superuser lends its code nothing.
fn as_the_owner_of_the_table(db: &Db) {
    seats(db, "now");
    db.admin().run(UNSEEN);
    let reader = db.role("reader");
    db.admin().run(&format!("grant domain_events_reader to {reader}"));
    assert_eq!(codes(&full(db, &reader, 0)), ["info rows_unread"]);
    db.owner().run(
        "create function public.spy(seat int) returns boolean language plpgsql immutable as $$
           begin
             if current_user <> 'app_owner' then
               raise exception 'run as %', current_user using errcode = 'XX999';
             end if;
             return true;
           end $$;
         create index seats_spy on public.seats (id) where public.spy(id)",
    );
    let findings = full(db, "postgres", 3);
    assert_eq!(codes(&findings), ["warning row_differs", "warning row_gone", "warning row_unknown"]);
    mend(db, &findings[0]);
    assert_eq!(codes(&full(db, "postgres", 0)), Vec::<String>::new());
    db.check_table("Seat", "public.seats");
}

/// Ordinary DDL is no alarm: what the rows were is told, and that their columns are others.
fn rows_older_than_their_columns(db: &Db) {
    let mut s = db.owner();
    for (n, (ddl, expected)) in [
        ("alter table T rename column b to bb", "row_outdated"),
        ("alter table T add column c int default 7", "row_outdated"),
        ("alter table T drop column b", "row_outdated"),
        ("alter table T alter a type text", "row_outdated"),
        ("alter table T alter a type bigint", ""),
        ("alter table T alter a type int using a + 1", "row_differs"),
        (
            "alter table T drop column b; alter table T disable trigger user; update T set a = 0; alter table T enable trigger user",
            "row_differs",
        ),
        ("alter table T rename to other; alter table other rename to T", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let table = format!("table_{n}");
        s.run(&format!(
            "create table {table} (id int primary key, a int, b text); select domain_events.enable_capture('{table}');
             insert into {table} select g, g, 'x' from generate_series(1, 3) g; {}",
            ddl.replace("T ", &format!("{table} ")).replace("to T", &format!("to {table}"))
        ));
        let found = format!("select distinct code from domain_events.check_rows('{table}') where code is not null");
        assert_eq!(s.table(&found), expected, "{ddl}");
        db.cli("app_owner", &["monitor", "--full"]).expect(if expected == "row_differs" { 3 } else { 0 });
        // a capture without event triggers follows with the next write
        s.run(&format!("insert into {table} (id) values (9); select domain_events.tell_rows('{table}')"));
        assert_eq!(s.table(&found), "", "{ddl}");
    }
    db.check_versions();
}
