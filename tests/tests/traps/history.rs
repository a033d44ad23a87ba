//! T4 gapless across everything that undoes, T19 nothing merged, baseline, truncation.

use domain_events_tests::{Cluster, Db, engines};

engines! {
    t4_gapless_across_rollback_savepoint_delete_truncate, t4_gapless_when_capture_comes_and_goes, t19_two_updates_in_one_function,
    t4_rows_older_than_the_capture, t4_insert_and_delete_in_one_transaction, t4_a_failing_statement_leaves_nothing,
    t9_rows_older_than_half_of_all_transactions, t9_retried_letters_of_keys_that_were_taken_in_turn,
}

fn t4_gapless_across_rollback_savepoint_delete_truncate(db: &Db) {
    let mut s = db.owner();
    s.run("create table t (id int primary key, n int); select domain_events.enable_capture('t', 'T')");
    s.run("insert into t values (7)");
    s.run("begin; update t set n = 1 where id = 7; rollback");
    s.run(
        "begin; update t set n = 2 where id = 7; savepoint s; update t set n = 3 where id = 7; rollback to s; commit",
    );
    s.run("delete from t where id = 7");
    s.run("insert into t values (7)");
    s.run("truncate t");
    s.run("insert into t values (7)");
    assert_eq!(
        s.table("select aggregate_version, event_type from domain_events.events where aggregate_type = 'T' order by 1"),
        "1|TCreated\n2|TUpdated\n3|TDeleted\n4|TCreated\n5|TCreated"
    );
    assert_eq!(
        s.table("select domain_events.fold_stream('T', '7', v) from generate_series(1, 5) v"),
        "{\"n\": null, \"id\": 7}\n{\"n\": 2, \"id\": 7}\n~\n{\"n\": null, \"id\": 7}\n{\"n\": null, \"id\": 7}"
    );
    db.check_table("T", "t");
    s.run("truncate t");
    db.check_table("T", "t");
    s.run("begin; truncate t; rollback; insert into t values (8); begin; truncate t; insert into t values (9); commit");
    db.check_table("T", "t");
}

fn t4_gapless_when_capture_comes_and_goes(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, n int);
         select domain_events.enable_capture('users');
         insert into users values (1, 1), (2, 1);
         select domain_events.disable_capture('users');
         update users set n = 2; delete from users where id = 2;
         select domain_events.enable_capture('users');
         update users set n = 3;
         insert into users values (2, 4);",
    );
    assert_eq!(
        s.table("select aggregate_id, max(aggregate_version) from domain_events.events where aggregate_type = 'User' group by 1 order by 1"),
        "1|2\n2|2"
    );
    db.check_table("User", "users");
}

fn t19_two_updates_in_one_function(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table t (id int primary key, s text);
         select domain_events.enable_capture('t', 'T');
         insert into t values (1, 'a');
         do $$ begin update t set s = 'b'; update t set s = 'c'; update t set s = 'b'; end $$;
         begin; update t set s = 'x'; update t set s = 'y'; commit;",
    );
    assert_eq!(
        s.table("select event_data #>> '{new_values,s}' from domain_events.events order by aggregate_version"),
        "a\nb\nc\nb\nx\ny"
    );
    db.check_table("T", "t");
}

fn t4_rows_older_than_the_capture(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text, n int);
         insert into users values (1, 'a', 1), (2, 'b', 1), (3, 'c', 1);
         select domain_events.enable_capture('users');
         update users set n = 2 where id = 1;
         delete from users where id = 2;
         update users set id = 4 where id = 3;",
    );
    // A stream's first event carries the whole row, so that the fold is complete.
    assert_eq!(
        s.table(
            "select aggregate_id, event_data -> 'new_values' from domain_events.events order by global_position limit 1"
        ),
        "1|{\"n\": 2, \"id\": 1, \"name\": \"a\"}"
    );
    assert_eq!(s.one("select count(distinct (aggregate_id)) from domain_events.events"), "4");
    db.check_table("User", "users");
}

fn t4_insert_and_delete_in_one_transaction(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, n int);
         select domain_events.enable_capture('users');
         begin; insert into users values (1, 1); update users set n = 2; delete from users; insert into users values (1, 3); commit;",
    );
    assert_eq!(s.one("select count(*) from domain_events.events"), "4");
    db.check_table("User", "users");
}

fn t4_a_failing_statement_leaves_nothing(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, n int check (n < 10));
         select domain_events.enable_capture('users');
         insert into users select i, i from generate_series(1, 5) i;",
    );
    s.error("update users set n = n + 6").expect_code("23514");
    s.run("do $$ begin update users set n = 100; exception when others then update users set n = 0; end $$");
    assert_eq!(s.one("select count(*) from domain_events.events"), "10");
    db.check_table("User", "users");
}

/// The raw number of the transaction that made a row stays when the row is frozen, and may seem to lie in the future.
fn t9_rows_older_than_half_of_all_transactions(one: &Db) {
    let db = Db::on(Cluster::start(&[("autovacuum", "off")]), one.engine);
    let mut s = db.owner();
    s.run(
        "create table old (id int primary key deferrable, v int); insert into old select g, g from generate_series(1, 5) g;
         select domain_events.enable_capture('old');
         create table told (id int primary key deferrable, v int); select domain_events.enable_capture('told');
         insert into told select g, g from generate_series(1, 5) g;
         create table part (id int, k int, v int, primary key (id, k)) partition by list (k);
         create table part_1 partition of part for values in (1); create table part_2 partition of part for values in (2);
         select domain_events.enable_capture('part', aggregate_id => '{id}'); insert into part select g, 1, g from generate_series(1, 5) g;
         create table nested (id int primary key, a int, b text);
         create function tf() returns trigger language plpgsql as $$ begin
           if new.a > 100 and pg_trigger_depth() = 1 then update nested set b = b || '!' where id = new.id + 1; end if; return null; end $$;
         create trigger zz after update on nested for each row execute function tf();
         select domain_events.enable_capture('nested'); insert into nested values (1, 1, 'x'), (2, 2, 'y'), (3, 3, 'z');",
    );
    drop(s);
    db.cluster().jump_to_transaction(2_097_152_000);
    db.cluster().jump_to_transaction(3_355_443_200);
    let mut s = db.owner();
    s.run("update old set id = id + 1; update told set id = id + 1; update part set k = 2 where id < 3; update part set k = 3 - k, v = v + 1");
    s.run("update nested set a = a + 1000; delete from nested where id = 1");
    s.run("begin isolation level repeatable read; update nested set a = 1; update told set id = id + 1; update old set v = 0; commit");
    s.run("begin; update told set v = 7; savepoint s; update told set id = id + 1; delete from told where id = 5; insert into told values (5, 5); commit");
    for (aggregate_type, table) in [("Old", "old"), ("Told", "told"), ("Part", "part"), ("Nested", "nested")] {
        db.check_table(aggregate_type, table);
    }
}

/// Part of the events fails to be stored and comes later: who held the key when, is told by their places.
fn t9_retried_letters_of_keys_that_were_taken_in_turn(db: &Db) {
    let (mut s, mut admin) = (db.owner(), db.admin());
    let mut letters = 0;
    for is_known in [true, false] {
        for refused in [
            "true",
            "aggregate_id = '3'",
            "event_data ? 'old_aggregate_id'",
            "event_data ? 'new_aggregate_id'",
            "aggregate_id in ('2', '4')",
        ] {
            for change in [
                "update t set id = id + 1",
                "update t set id = id + 1; update t set id = id + 1",
                "begin; update t set id = id + 1; commit; begin; update t set id = id + 1; commit",
                "update t set v = 9; update t set id = id - 1",
                "delete from t where id in (2, 3); insert into t values (3, 30); update t set id = id + 1",
                "update t set id = 6 - id, v = v + 1",
            ] {
                let (create, rows) = (
                    "create table t (id int primary key deferrable, v int);",
                    "insert into t select g, g from generate_series(1, 5) g;",
                );
                let capture = "select domain_events.enable_capture('t');";
                s.run(&if is_known {
                    format!("{create} {capture} {rows}")
                } else {
                    format!("{create} {rows} {capture}")
                });
                admin.run(&format!("alter table domain_events.events add constraint dba check (not (aggregate_type = 'T' and ({refused}))) not valid"));
                s.run(change);
                admin.run("alter table domain_events.events drop constraint dba");
                letters += s.number("select domain_events.retry_capture_failures()");
                db.check_table("T", "t");
                s.run("delete from t; select domain_events.disable_capture('t'); drop table t");
            }
        }
    }
    assert!(letters > 100, "{letters} letters");
}
