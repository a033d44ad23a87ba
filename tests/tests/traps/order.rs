//! T7: changes that are told after later changes of the same row, in the ways that have nothing to do with values: those
//! come back, keys change, rows move, and code of a user runs elsewhere than in the table's own triggers.

use domain_events_tests::{Db, engines};

engines! {
    t7_values_come_back, t7_a_queued_change_of_the_key, t7_the_key_changes_and_comes_back, t7_an_insert_whose_row_is_deleted,
    t7_a_row_moves_and_is_changed_again, t7_a_function_within_the_statement, t7_triggers_of_another_table, t7_a_lock_is_no_change,
    t7_changes_without_event, t7_triggers_made_and_dropped_in_between, t7_dead_letters_are_put_in_their_place,
    t7_a_key_is_taken_again_while_its_row_leaves, t7_savepoints_within_a_trigger,
    an_applications_own_event_stands_for_no_row, a_key_taken_over_and_changed_before_either_is_told,
    a_row_that_is_written_down_and_deleted_in_one_transaction,
    t7_a_table_written_anew_within_the_transaction,
}

/// A table, and a trigger function that runs the statement it is given where the row says "go".
fn table(db: &Db, capture: &str) -> domain_events_tests::Session {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, s text, n int default 0);
         create function go() returns trigger language plpgsql as $$ begin
           if pg_trigger_depth() = 1 and new.s like 'go%' then execute tg_argv[0]; end if; return null; end $$;
         insert into t values (0, 'older');",
    );
    s.run(capture);
    s.run("insert into t values (1, 'a'), (2, 'b'), (3, 'c'); update t set s = 'known' where id = 0");
    s
}

const CAPTURE: &str = "select domain_events.enable_capture('t', 'T')";
const TRIGGERS: [&str; 3] = ["zz", " a", "A"];

/// What every column of the table is compared by.
const ROWS: &str = "select id::text, to_jsonb(t) from t";

/// `outer` with a trigger that runs `inner` while changes of `outer` are queued, under names that sort before the capture's
/// and after; also again in the same transaction.
fn under_triggers(db: &Db, inner: &str, outer: &[&str]) {
    with_capture(db, CAPTURE, ROWS, inner, outer);
}

fn with_capture(db: &Db, capture: &str, rows: &str, inner: &str, outer: &[&str]) {
    let mut s = table(db, capture);
    for name in TRIGGERS {
        for transaction in [false, true] {
            s.run(&format!(
                "delete from t; insert into t values (1, 'a'), (2, 'b'), (3, 'c');
                 create trigger \"{name}\" after insert or update on t for each row execute function go({})",
                quote(inner)
            ));
            let outer = outer.join("; ");
            s.run(&if transaction { format!("begin; {outer}; {outer}; commit") } else { outer });
            println!("trigger {name:?}, transaction: {transaction}");
            db.check_fold("T", rows);
            s.run("update t set n = n + 1");
            db.check_fold("T", rows);
            s.run(&format!("drop trigger \"{name}\" on t"));
        }
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn t7_values_come_back(db: &Db) {
    under_triggers(
        db,
        "update t set s = 'b' where id = 2; update t set s = 'go' where id = 2; update t set s = 'b' where id = 2; update t set s = 'a' where id = 1",
        &["update t set s = 'go'", "update t set s = 'b' where id = 2", "update t set s = 'go' where id < 3"],
    );
}

fn t7_a_queued_change_of_the_key(db: &Db) {
    under_triggers(
        db,
        "update t set s = 'x' where id = 12; update t set id = 22 where id = 12; delete from t where id = 13; update t set n = 7",
        &["update t set id = id + 10, s = 'go' where id < 10", "update t set id = id - 10, s = 'b'"],
    );
}

fn t7_the_key_changes_and_comes_back(db: &Db) {
    under_triggers(
        db,
        "update t set id = 2 where id = 12; update t set id = 12 where id = 2; update t set id = 2 where id = 12",
        &["update t set id = id + 10, s = 'go' where id < 10", "update t set s = 'z'", "delete from t where id = 11"],
    );
}

fn t7_an_insert_whose_row_is_deleted(db: &Db) {
    under_triggers(
        db,
        "delete from t where id = 5; update t set s = 'x' where id = 6; insert into t values (7, 'y') on conflict do nothing",
        &["delete from t where id > 3", "insert into t values (4, 'go'), (5, 'go'), (6, 'go')"],
    );
}

fn t7_a_row_moves_and_is_changed_again(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table sales (id int, region text, n int, s text, primary key (id, region)) partition by list (region);
         create table sales_eu partition of sales for values in ('eu');
         create table sales_us (s text, gone int, region text not null, n int, id int not null);
         alter table sales_us drop column gone;
         alter table sales attach partition sales_us for values in ('us');
         select domain_events.enable_capture('sales', aggregate_id => '{id}');
         create function again() returns trigger language plpgsql as $$ begin
           if pg_trigger_depth() = 1 then
             update sales set n = n + 1 where id <> new.id;
             update sales set n = n + 1, region = case region when 'eu' then 'us' else 'eu' end where id = new.id;
             update sales set s = s || 'x' where id >= 2;
           end if;
           return null; end $$;",
    );
    for name in TRIGGERS {
        s.run(&format!(
            "truncate sales;
             insert into sales select i, 'eu', 0, '' from generate_series(1, 4) i;
             create trigger \"{name}\" after insert or update on sales for each row execute function again();
             update sales set region = 'us';
             begin;
             update sales set region = 'eu', s = 'a';
             update sales set region = 'us' where id < 3;
             delete from sales where id = 4;
             insert into sales values (5, 'us', 0, 'new'), (6, 'eu', 0, 'new');
             commit;"
        ));
        println!("trigger {name:?}");
        db.check_table("Sale", "sales");
        s.run(&format!("drop trigger \"{name}\" on sales; update sales set n = -1"));
        db.check_table("Sale", "sales");
    }
}

fn t7_a_function_within_the_statement(db: &Db) {
    let mut s = table(db, CAPTURE);
    s.run(
        "create function touch(other int) returns text language plpgsql volatile as $$ begin
           update t set s = 'b' where id = other; update t set s = 'f', n = n + 1 where id = other; return 'f'; end $$",
    );
    s.run("update t set s = case id when 3 then touch(1) || touch(2) else 'f' end where id > 0");
    db.check_table("T", "t");
    s.run("with a as (insert into t values (8, 'f') returning id) insert into t select 9, touch(8) from a");
    s.run(
        "begin; update t set s = 'x'; update t set s = case id when 9 then touch(3) || touch(0) else 'f' end; commit",
    );
    db.check_table("T", "t");
}

fn t7_triggers_of_another_table(db: &Db) {
    let mut s = table(db, CAPTURE);
    s.run(
        "create table u (id int primary key);
         create function touch() returns trigger language plpgsql as $$ begin
           update t set s = 'u', n = n + 1 where id = new.id; update t set s = 'q' where id = new.id; return null; end $$;
         create trigger zz after insert on u for each row execute function touch();
         with a as (insert into u values (1), (2)), b as (update t set s = 'q' where id < 3) delete from t where id = 3;
         with b as (update t set s = 'q' where id < 3 returning id) insert into u select id + 10 from b;",
    );
    db.check_table("T", "t");
}

fn t7_a_lock_is_no_change(db: &Db) {
    under_triggers(
        db,
        "select from t where id < 3 for update; select from t for key share; update t set n = n + 1 where id = 2; select from t for no key update",
        &["update t set s = 'go'", "update t set s = 'b' where id = 2", "update t set s = 'go' where id < 3"],
    );
}

fn t7_changes_without_event(db: &Db) {
    with_capture(
        db,
        "select domain_events.enable_capture('t', 'T', exclude => '{n}')",
        "select id::text, to_jsonb(t) - 'n' from t",
        "update t set n = n + 1; update t set s = 'b' where id = 2; update t set n = n + 1; delete from t where id = 3; update t set s = 'go', n = 1",
        &["update t set s = 'go', n = 0"],
    );
}

fn t7_triggers_made_and_dropped_in_between(db: &Db) {
    let mut s = table(db, CAPTURE);
    s.run(
        "begin;
         insert into t values (4, 'd'), (5, 'e');
         update t set s = 'x' where id < 3;
         create trigger zz after update on t for each row execute function go('update t set n = n + 1; delete from t where id = 5');
         update t set s = 'go' where id in (1, 4);
         update t set s = 'go' where id in (2, 3);
         commit",
    );
    db.check_table("T", "t");
    assert_eq!(s.one("select string_agg(event_type, ',' order by aggregate_version) from domain_events.events where aggregate_id = '5'"), "TCreated,TUpdated,TDeleted");
    s.run(
        "create table w (id int primary key, s text);
         begin;
         insert into w values (1, 'a'), (2, 'b');
         select domain_events.enable_capture('w', 'W');
         create trigger zz after update on w for each row execute function go('update w set s = ''x'' where id = 2');
         update w set s = 'go' where id = 1;
         commit",
    );
    // Inserted before there was a capture: that is not told.
    assert_eq!(s.one("select string_agg(event_type, ',' order by aggregate_version) from domain_events.events where aggregate_id = '2' and aggregate_type = 'W'"), "WUpdated");
    db.check_fold(
        "W",
        "select id::text, to_jsonb(w) from w where id = 2 union all select id::text, to_jsonb(w) from w where id = 1",
    );
}

fn t7_dead_letters_are_put_in_their_place(db: &Db) {
    let mut s = table(db, CAPTURE);
    s.run("create trigger zz after update on t for each row execute function go('update t set n = n + 1, s = ''inner'' where id = 2')");
    // The later change cannot be stored, then the earlier, then both.
    for refused in ["inner", "go", "%"] {
        s.run("update t set s = 'b', n = 0");
        db.admin().run(&format!(
            "alter table domain_events.events add constraint boom check (coalesce(event_data #>> '{{new_values,s}}', '') not like '{refused}' or aggregate_id <> '2') not valid"
        ));
        s.run("update t set s = 'go' where id in (1, 2)");
        db.admin().run("alter table domain_events.events drop constraint boom");
        s.run("select domain_events.retry_capture_failures()");
        println!("refused {refused}");
        db.check_table("T", "t");
        s.run("update t set n = 100");
        db.check_table("T", "t");
    }
}

fn t7_a_key_is_taken_again_while_its_row_leaves(db: &Db) {
    let mut s = table(db, CAPTURE);
    s.run(
        "create function back() returns trigger language plpgsql as $$ begin
           insert into t values (2, 'new') on conflict do nothing; update t set n = 5 where id = 2; return null; end $$;
         create trigger zz after delete on t for each row when (old.id = 1) execute function back();
         delete from t where id < 3;",
    );
    db.check_table("T", "t");
    s.run("insert into t values (1, 'again'); update t set s = 'x'");
    db.check_table("T", "t");
    // After a pause the new row is told whole, and still is not the one that leaves.
    s.run(
        "select domain_events.pause_capture('t'); update t set s = 'unseen' where id in (1, 2); select domain_events.resume_capture('t');
         delete from t where id < 3;",
    );
    db.check_table("T", "t");
    s.run("begin; update t set n = n + 1; truncate t; insert into t values (1, 'a'), (2, 'b'), (3, 'c'); delete from t where id < 3; commit");
    db.check_table("T", "t");
    s.run(
        "alter table t add more int; insert into t values (1, 'a'); delete from t where id < 3; update t set more = 2",
    );
    db.check_table("T", "t");
}

fn t7_savepoints_within_a_trigger(db: &Db) {
    let mut s = table(db, CAPTURE);
    s.run(
        "create function undo() returns trigger language plpgsql as $$ begin
           if pg_trigger_depth() > 1 then return null; end if;
           begin update t set s = 'undone', n = n + 1 where id <> new.id; raise exception 'undo'; exception when others then null; end;
           begin update t set n = n + 1 where id = 2; exception when others then null; end;
           begin update t set s = 'b' where id = 2; raise exception 'undo'; exception when others then null; end;
           return null; end $$;",
    );
    for name in TRIGGERS {
        s.run(&format!(
            "create trigger \"{name}\" after update on t for each row execute function undo();
             update t set s = 'go' where id > 0;
             begin; update t set s = 'b' where id > 0; savepoint a; update t set s = 'go'; rollback to a; update t set s = 'x'; commit;
             drop trigger \"{name}\" on t"
        ));
        println!("trigger {name:?}");
        db.check_table("T", "t");
    }
}

/// What the application has appended to a stream says nothing of the row: the first captured event is still a whole one.
fn an_applications_own_event_stands_for_no_row(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, s text, n int default 0); insert into t values (1, 'a'), (2, 'b'), (3, 'c');
         select domain_events.enable_capture('t', 'T');
         select domain_events.append_event('T', i::text, 'Noted', '{\"k\": 1}') from generate_series(1, 4) i;
         update t set n = 1; insert into t values (4, 'd');",
    );
    db.check_table("T", "t");
    s.run(
        "select domain_events.pause_capture('t'); update t set s = 'unseen'; delete from t where id = 4; select domain_events.resume_capture('t');
         select domain_events.append_event('T', i::text, 'Noted') from generate_series(1, 4) i; insert into t values (4, 'again');
         update t set n = 2 where id < 3; alter table t add c int; select domain_events.append_event('T', '1', 'Noted'); update t set c = 1;",
    );
    db.check_table("T", "t");
    s.run("select domain_events.pause_capture('t'); select domain_events.resume_capture('t'); select domain_events.append_event('T', '2', 'Noted')");
    assert_eq!(s.one("select domain_events.baseline_capture('t')"), "4");
    s.run("select domain_events.append_event('T', '2', 'Noted'); update t set n = 3");
    assert_eq!(s.one("select count(*) from domain_events.events where metadata ? 'complete' and event_data #>> '{new_values,n}' = '3'"), "0");
    db.check_table("T", "t");
}

/// Rows move up one key each, and a trigger changes them again before their moves are told: what is told first of a stream is
/// about the row that has just come to it.
fn a_key_taken_over_and_changed_before_either_is_told(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key deferrable, s text);
         create function others() returns trigger language plpgsql as $$ begin
           if pg_trigger_depth() <= 3 then update t set s = coalesce(s, '') || 'z' where id <> new.id and (s is null or length(s) < 8); end if;
           return null; end $$;
         create trigger m after insert or update on t for each row execute function others();
         select domain_events.enable_capture('t', 'T');",
    );
    s.run("insert into t values (4, 'B'), (6, 'a'), (7, 'ä'), (8, null)");
    s.run("update t set id = id - 1, s = 'x'");
    db.check_table("T", "t");
    s.run("alter table t add found real");
    s.run("update t set id = id - 1, s = 'y', found = 'NaN'");
    db.check_table("T", "t");
    s.run("begin; update t set s = 'w' where id = 5; update t set id = id - 1, s = 'v'; commit");
    db.check_table("T", "t");
}

fn t7_a_table_written_anew_within_the_transaction(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, a int);
         create function lock_next() returns trigger language plpgsql as $$ begin
           perform from t where id = new.id + 1 for key share; return null; end $$;
         create trigger zz after insert or update on t for each row execute function lock_next();
         select domain_events.enable_capture('t', 'T');",
    );
    // Other rows are then where these were.
    for again in [
        "alter table t alter a type bigint",
        "cluster t using t_pkey",
        "truncate t; insert into t values (1, 9), (2, 9), (3, 9)",
    ] {
        s.run("delete from t");
        s.run(&format!(
            "begin;
             insert into t values (1, 1), (2, 1), (3, 1);
             do $$ begin update t set a = 2; update t set a = 3; end $$;
             {again};
             update t set a = 4;
             commit"
        ));
        println!("{again}");
        db.check_table("T", "t");
    }
    s.run(
        "begin;
         create table w (id int primary key, a int);
         create trigger zz after insert or update on w for each row execute function lock_next();
         select domain_events.enable_capture('w', 'W');
         insert into w values (1, 1), (2, 1), (3, 1);
         do $$ begin update w set a = 2; update w set a = 3; end $$;
         truncate w;
         insert into w values (1, 1), (2, 1), (3, 1);
         insert into w select id + 3, 1 from w;
         do $$ begin perform from w for key share; end $$;
         update w set a = 4;
         commit",
    );
    db.check_table("W", "w");
    assert_eq!(
        s.one("select count(*) from domain_events.events where aggregate_type = 'W' and metadata ? 'late'"),
        "0"
    );
}

/// A baseline, and a dead letter that is retried, tell of a row that is older than the transaction: its end comes after them.
fn a_row_that_is_written_down_and_deleted_in_one_transaction(db: &Db) {
    let mut s = db.owner();
    s.run("create table t (id int primary key, s text); insert into t values (1, 'a'), (2, 'b')");
    s.run(
        "begin; select domain_events.enable_capture('t', 'T', baseline => 'now'); delete from t where id = 1; commit",
    );
    db.check_table("T", "t");
    let mut admin = db.admin();
    admin.run("alter table domain_events.events add constraint boom check (event_type <> 'TUpdated') not valid");
    s.run("update t set s = 'c'");
    admin.run("alter table domain_events.events drop constraint boom");
    admin.run("begin; select domain_events.retry_capture_failures(); delete from t; commit");
    assert_eq!(admin.one("select domain_events.fold_stream('T', '2', 2)"), "{\"s\": \"c\", \"id\": 2}");
    db.check_table("T", "t");
}
