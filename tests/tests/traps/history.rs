//! T4 gapless across everything that undoes, T19 nothing merged, baseline, truncation.

use domain_events_tests::{Db, engines};

engines! {
    t4_gapless_across_rollback_savepoint_delete_truncate, t4_gapless_when_capture_comes_and_goes, t19_two_updates_in_one_function,
    t4_rows_older_than_the_capture, t4_insert_and_delete_in_one_transaction, t4_a_failing_statement_leaves_nothing,
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
