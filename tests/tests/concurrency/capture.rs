//! Capture among sessions that change the table, or how it is captured, while others write it.

use domain_events_tests::{Db, Engine, Session, engines};

use super::waits;

engines! {
    nobody_who_began_during_a_pause_writes_after_it, resuming_waits_no_longer_than_it_may, enabling_waits_for_those_who_write,
    a_type_that_changes_within_a_statement, a_type_that_changes_before_a_row_is_met, columns_added_since_a_fixed_snapshot, columns_renamed_since_a_fixed_snapshot, names_that_change_places_since_a_fixed_snapshot, a_fixed_snapshot_that_is_not_too_old,
}

fn captured(db: &Db) -> Session {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, a int, b int); insert into t values (1, 1, 1), (2, 2, 2), (3, 3, 3);
         select domain_events.enable_capture('t', 'T', baseline => 'now');",
    );
    s
}

fn nobody_who_began_during_a_pause_writes_after_it(db: &Db) {
    let mut s = captured(db);
    s.run("select domain_events.pause_capture('t')");
    let mut holder = db.owner();
    holder.run("begin; select from t where id = 1 for update");
    // Begins while nothing is captured, and comes to row 2 only when the holder lets it.
    let writer = waits(db, db.owner(), "update t set a = a + 100");
    let resumer = waits(db, db.owner(), "select domain_events.resume_capture('t')");
    // Behind who waits for the table, or in front of it: whatever it writes is told.
    let late = waits(db, db.owner(), "update t set b = 20 where id = 2");
    holder.run("commit");
    for waiting in [writer, resumer, late] {
        let (_, result) = waiting.result();
        result.unwrap_or_else(|e| panic!("{e}"));
    }
    s.run("update t set b = b + 1 where id < 3; update t set a = 0");
    assert_eq!(s.table("select * from t order by 1"), "1|0|2\n2|0|21\n3|0|3");
    db.check_table("T", "t");
}

fn resuming_waits_no_longer_than_it_may(db: &Db) {
    let mut s = captured(db);
    s.run("select domain_events.pause_capture('t')");
    let mut writer = db.owner();
    writer.run("begin; update t set a = 9 where id = 1");
    s.run("set lock_timeout = '50 ms'");
    s.error("select domain_events.resume_capture('t')").expect_code("55P03");
    assert_eq!(s.one("select state from domain_events.captures"), "paused");
    writer.run("commit");
    s.run("select domain_events.resume_capture('t'); update t set b = 9");
    db.check_table("T", "t");
    // A pause waits for nobody.
    writer.run("begin; update t set a = 10 where id = 1");
    s.run("select domain_events.pause_capture('t')");
    writer.run("update t set a = 11 where id = 2; commit");
    s.run("select domain_events.resume_capture('t'); update t set b = 10");
    db.check_table("T", "t");
}

fn enabling_waits_for_those_who_write(db: &Db) {
    let mut s = db.owner();
    s.run("create table t (id int primary key, a int, b int); insert into t values (1, 1, 1), (2, 2, 2)");
    let mut holder = db.owner();
    holder.run("begin; select from t where id = 1 for update");
    let writer = waits(db, db.owner(), "update t set a = a + 100");
    let enabler = waits(db, db.owner(), "select domain_events.enable_capture('t', 'T')");
    holder.run("commit");
    for waiting in [writer, enabler] {
        let (_, result) = waiting.result();
        result.unwrap_or_else(|e| panic!("{e}"));
    }
    s.run("update t set b = 3");
    db.check_table("T", "t");
}

/// The statement's snapshot is older than the new attribute, the statement meets it all the same, and the session goes on.
fn a_type_that_changes_within_a_statement(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create type pair as (x int, y int); create table t (id int primary key, a int, p pair); create table other ();
         insert into t select i, 0, row(i, i)::pair from generate_series(1, 30) as i;
         select domain_events.enable_capture('t', 'T', baseline => 'now');
         create function gate() returns trigger language plpgsql as $$ begin
           if new.id = 10 and current_setting('app.gate', true) = 'on' then
             perform pg_advisory_xact_lock(1);
             perform from other;  -- whoever locks a relation hears of what has changed
           end if;
           return null; end $$;
         create trigger a_gate after update on t for each row execute function gate();",
    );
    for (attribute, warm) in [("z", "update t set a = a + 1"), ("w", "select")] {
        s.run("select pg_advisory_lock(1)");
        let mut writer = db.owner();
        writer.run(warm);
        writer.run("set app.gate = 'on'");
        let writer = waits(db, writer, "update t set a = a + 1, p.y = a");
        db.owner().run(&format!("alter type pair add attribute {attribute} int"));
        s.run("select pg_advisory_unlock(1)");
        let (mut writer, result) = writer.result();
        result.unwrap_or_else(|e| panic!("{e}"));
        writer.run(&format!("set app.gate = 'off'; update t set p.{attribute} = a where id % 2 = 0"));
        writer.run(&format!("update t set a = a + 1; update t set p.{attribute} = 7 where id % 3 = 0"));
        db.check_table("T", "t");
    }
}

/// Who waits for a row only, hears of nothing: the row has the new attribute, and its writer has not been told of it.
fn a_type_that_changes_before_a_row_is_met(db: &Db) {
    let mut s = db.owner();
    s.run("create type pair as (x int, y int)");
    for (number, (payload, write)) in [
        ("changes", "update t set id = id + 1000 where id = 20"),
        ("full", "update t set a = a + 1 where id = 20"),
        ("full", "insert into t values (20, 5) on conflict (id) do update set a = excluded.a"),
        ("changes", "delete from t where id = 20"),
    ]
    .into_iter()
    .enumerate()
    {
        s.run(&format!(
            "create table t (id int primary key, a int, p pair); insert into t select i, 0 from generate_series(20, 22) as i; update t set p.x = 1;
             select domain_events.enable_capture('t', 'T{number}', payload => '{payload}', baseline => 'now');"
        ));
        let mut writer = db.owner();
        writer.run("update t set id = 23 where id = 22; update t set id = 22 where id = 23; update t set a = 1; insert into t values (22, 5) on conflict (id) do update set a = excluded.a");
        s.run(&format!(
            "begin; alter type pair add attribute z{number} int; update t set p.z{number} = 5 where id = 20"
        ));
        let writer = waits(db, writer, write);
        s.run("commit");
        let (_, result) = writer.result();
        result.unwrap_or_else(|e| panic!("{e}"));
        s.run("update t set a = a + 1 where id in (21, 22)"); // what DDL alone did is no event
        db.check_table(&format!("T{number}"), "t");
        let lost = s.one(&format!("select count(*) from domain_events.events where event_type = 'T{number}Deleted' and event_data -> 'old_values' -> 'p' -> 'z{number}' is null"));
        assert_eq!(lost, "0", "a deleted row's event lacks the new attribute");
        s.run("select domain_events.disable_capture('t'); drop table t");
    }
}

/// What a transaction whose snapshot is older than `ddl` may do: go on, if nothing is lost, or be told to repeat.
fn written_after(db: &Db, ddl: &str, writes: &[&str]) -> usize {
    let mut refused = 0;
    for isolation in ["repeatable read", "serializable"] {
        let mut s = db.owner();
        s.run("drop table if exists t cascade; drop type if exists pair; create type pair as (x int, y int)");
        s.run(
            "create table t (id int primary key, a int, pw text, p pair); insert into t values (1, 1, 'secret', (1, 1)), (2, 2, 'secret', (2, 2));
             select domain_events.enable_capture('t', 'T', redact => '{pw}', baseline => 'now');",
        );
        for write in writes {
            for warm in [false, true] {
                let mut old = db.owner();
                if warm {
                    old.run("update t set a = a + 1; delete from t where id = 9");
                }
                old.run(&format!("begin isolation level {isolation}; select count(*) from pg_class"));
                s.run(ddl);
                println!("{isolation}, {ddl}, {write}, warm: {warm}");
                match old.attempt(write) {
                    Ok(_) => old.run("commit"),
                    Err(failure) => {
                        failure.expect("40001");
                        refused += 1;
                        old.run("rollback");
                        old.run(write);
                    }
                }
                s.run("update t set a = a + 1"); // what DDL alone did is no event
                let redacted = s.one("select attname from pg_attribute where attrelid = 't'::regclass and attnum = 3");
                db.check_fold("T", &format!("select t.id::text, to_jsonb(t) || jsonb_build_object('{redacted}', '{{\"$value\":\"redacted\"}}'::jsonb) from t"));
                assert_eq!(s.one("select count(*) from domain_events.events e where e::text like '%secret%'"), "0");
                s.run("delete from t where id > 2");
            }
        }
        s.run("select domain_events.disable_capture('t'); drop table t; drop type pair");
    }
    refused
}

/// The portable engine may refuse without need, and does here; native where it must.
fn refused_by(db: &Db, refused: usize) {
    assert!(refused > 0 || db.engine == Engine::Native, "nobody was told to repeat");
}

fn columns_added_since_a_fixed_snapshot(db: &Db) {
    let writes = ["update t set n = 'new'", "insert into t (id, n) values (9, 'n')"];
    for added in [
        "alter table t drop column if exists n; alter table t add column n text",
        "alter table t add column other int; alter table t drop column other; alter table t drop column if exists n, add column n text",
    ] {
        refused_by(db, written_after(db, added, &writes));
    }
    let added = "alter type pair drop attribute if exists z; alter type pair add attribute z int";
    refused_by(db, written_after(db, added, &["update t set p.z = 5", "update t set p = (1, 2, 3)"]));
}

fn columns_renamed_since_a_fixed_snapshot(db: &Db) {
    let renamed = "do $$ begin alter table t rename pw to password; exception when undefined_column then alter table t rename password to pw; end $$";
    refused_by(db, written_after(db, renamed, &["update t set a = a + 1", "insert into t values (9, 9, 'secret')"]));
}

/// Two columns take each other's names, and the redacted one goes by the other's.
fn names_that_change_places_since_a_fixed_snapshot(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table w (id int primary key, a text, pw text); insert into w values (1, 'a', 'secret');
         select domain_events.enable_capture('w', 'W', redact => '{pw}', baseline => 'now');",
    );
    let mut old = db.owner();
    old.run("begin isolation level repeatable read; select count(*) from pg_class");
    s.run("alter table w rename a to x; alter table w rename pw to a; alter table w rename x to pw");
    if let Err(failure) = old.attempt("update w set a = 'secret, too', pw = 'b'") {
        failure.expect("40001");
        old.run("rollback; update w set a = 'secret, too', pw = 'b'");
    } else {
        old.run("commit");
    }
    db.check_fold("W", "select w.id::text, to_jsonb(w) || '{\"a\": {\"$value\": \"redacted\"}}' from w");
    assert_eq!(s.one("select count(*) from domain_events.events e where e::text like '%secret%'"), "0");
}

fn a_fixed_snapshot_that_is_not_too_old(db: &Db) {
    let mut s = captured(db);
    // Undone, or nothing that shows in a row: the transaction goes on, and so does everybody after it.
    s.run("begin; alter table t rename a to x; alter table t add column n int; rollback; create table u (id int); alter table t add column c int; update t set c = 1");
    for isolation in ["repeatable read", "serializable"] {
        let mut old = db.owner();
        old.run(&format!("begin isolation level {isolation}; select count(*) from pg_class"));
        s.run("alter table u add column n int; alter table u drop column n; analyze t; create index on u (id)");
        old.run("update t set a = a + 1; insert into t values (4, 4, 4); delete from t where id = 4; commit");
        // Its own changes of the table are no surprise.
        old.run(&format!("begin isolation level {isolation}; alter table t add column mine int; update t set mine = 1; alter table t rename mine to yours; update t set yours = 2; alter table t drop column yours; update t set a = 0; commit"));
        db.check_table("T", "t");
    }
}
