//! T24: what a capture knows of schemas, tables and partitions is bound to them, not to their names. T23: publications of all tables.

use domain_events_tests::{Db, all_engines};

all_engines! {
    t24_schemas_and_partitions_renamed, t24_names_that_others_had, t24_tables_of_one_type_renamed, t24_disabled_and_captured_again,
    t24_renamed_within_a_transaction, t23_publication_of_all_tables,
}

const SALES: &str = "create schema s; create table s.sales (id int, k text, v text) partition by list (k);
    create table s.sales_a partition of s.sales for values in ('a'); create table s.sales_b partition of s.sales for values in ('b');
    create table s.sales_c partition of s.sales for values in ('c', 'd') partition by list (k); create table s.sales_d partition of s.sales_c for values in ('d');
    select domain_events.enable_capture('s.sales', aggregate_id => '{id}');
    insert into s.sales values (1, 'a', 'x'), (2, 'b', 'x'), (3, 'd', 'x');";

fn t24_schemas_and_partitions_renamed(db: &Db) {
    let mut s = db.owner();
    s.run(SALES);
    let mut other = db.owner();
    other.run("update s.sales set v = 'y'");
    for (rename, then, table) in [
        ("alter schema s rename to s2", "truncate s2.sales_a; insert into s2.sales values (4, 'a', 'x')", "s2.sales"),
        (
            "alter table s2.sales_a rename to first",
            "update s2.sales set v = 'z'; truncate s2.first; insert into s2.first values (5, 'a', 'x')",
            "s2.sales",
        ),
        (
            "create schema s; alter table s2.sales_b set schema s",
            "insert into s2.sales values (6, 'b', 'x'); truncate s.sales_b",
            "s2.sales",
        ),
        (
            "alter table s2.sales rename to all_sales",
            "update s2.all_sales set v = 'q'; truncate s2.sales_d; insert into s2.all_sales values (7, 'd', 'x')",
            "s2.all_sales",
        ),
        (
            "alter schema s2 rename to s3",
            "update s3.all_sales set k = 'a' where id = 7; truncate s3.first",
            "s3.all_sales",
        ),
        (
            "alter table s3.first rename to second",
            "insert into s3.all_sales values (8, 'a', 'x'); alter table s3.all_sales detach partition s3.second; select domain_events.follow_partitions('s3.all_sales')",
            "s3.all_sales",
        ),
    ] {
        s.run(rename);
        db.check_table("Sale", table);
        other.run(then);
        db.check_table("Sale", table);
    }
}

fn t24_names_that_others_had(db: &Db) {
    let mut s = db.owner();
    s.run(SALES);
    // The two swap their names; a third gets the name that one had; and once more after it is gone.
    s.run("alter table s.sales_a rename to tmp; alter table s.sales_b rename to sales_a; alter table s.tmp rename to sales_b");
    s.run("insert into s.sales values (4, 'a', 'x'), (5, 'b', 'x'); truncate s.sales_a");
    db.check_table("Sale", "s.sales");
    s.run(
        "alter table s.sales_b rename to old_a; create table s.sales_b partition of s.sales for values in ('e'); select domain_events.follow_partitions('s.sales'); insert into s.sales values (6, 'e', 'x'), (7, 'b', 'x');
         truncate s.old_a; insert into s.sales values (8, 'a', 'x')",
    );
    db.check_table("Sale", "s.sales");
    s.run("truncate s.sales_b; insert into s.sales values (9, 'e', 'x')");
    db.check_table("Sale", "s.sales");
    s.run("drop table s.sales_b; create table s.sales_b partition of s.sales for values in ('e'); insert into s.sales values (10, 'e', 'x')");
    s.run("select domain_events.follow_partitions('s.sales')");
    db.check_table("Sale", "s.sales");
    s.run("alter table s.sales_a rename to gone; alter table s.old_a rename to sales_a; truncate s.gone; insert into s.sales values (11, 'b', 'x')");
    db.check_table("Sale", "s.sales");
    assert_eq!(s.table("select code from domain_events.check_infrastructure()"), "");
}

const CUSTOMERS: &str =
    "select id::text, to_jsonb(t) from (table one union all table w.two union all table three) as t";

fn t24_tables_of_one_type_renamed(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table d1 (id int primary key, v text); create table d2 (id int primary key, v text); create table d3 (id int primary key, v text) partition by range (id);
         create table d3_1 partition of d3 default; create schema w;
         select domain_events.enable_capture(t, 'Customer') from unnest('{d1,d2,d3}'::regclass[]) as t;
         insert into d1 values (1, 'x'); insert into d2 values (2, 'x'); insert into d3 values (3, 'x');
         alter table d1 rename to one; alter table d2 rename to d1; alter table d1 rename to two; alter table two set schema w; alter table d3 rename to three;",
    );
    db.check_fold("Customer", CUSTOMERS);
    for (kept, truncate) in [("2,3", "one"), ("1,3", "w.two"), ("1,2", "three"), ("1,2", "d3_1")] {
        s.run(
            "insert into one values (1, 'x') on conflict do nothing; insert into w.two values (2, 'x') on conflict do nothing; delete from three; insert into three values (3, 'x');
             update one set v = v || 'x'; update w.two set v = v || 'x'; update three set v = v || 'x'",
        );
        s.run(&format!("truncate {truncate}"));
        db.check_fold("Customer", CUSTOMERS);
        assert_eq!(
            s.one("select string_agg(id::text, ',' order by id) from generate_series(1, 3) as id where domain_events.fold_stream('Customer', id::text) is not null"),
            kept
        );
    }
}

/// Marks outlive the capture, as the events do.
fn t24_disabled_and_captured_again(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table one (id int primary key, v text); create table three (id int primary key, v text); create schema w; create table w.two (id int primary key, v text);
         select domain_events.enable_capture('one', 'Customer'), domain_events.enable_capture('w.two', 'Customer'), domain_events.enable_capture('three', 'Customer');
         insert into one values (1, 'x'); insert into w.two values (2, 'x'); insert into three values (3, 'x');
         select domain_events.disable_capture('one'); alter table one rename to other; alter table other rename to one;
         select domain_events.enable_capture('one', 'Customer'); truncate one;",
    );
    db.check_fold("Customer", CUSTOMERS);
    s.run(
        "select domain_events.disable_capture('w.two'); alter table w.two rename to moved; select domain_events.enable_capture('w.moved', 'Customer'); alter table w.moved rename to two;
         truncate w.two; insert into one values (4, 'x')",
    );
    db.check_fold("Customer", CUSTOMERS);
    s.run("truncate three, one");
    db.check_fold("Customer", CUSTOMERS);
}

fn t24_renamed_within_a_transaction(db: &Db) {
    let mut s = db.owner();
    s.run(SALES);
    s.run(
        "begin; insert into s.sales values (4, 'a', 'x'); alter table s.sales_a rename to first; insert into s.sales values (5, 'a', 'x'); savepoint a;
         alter schema s rename to t; update t.sales set v = 'y'; rollback to a; update s.sales set v = 'z'; truncate s.first; insert into s.first values (1, 'a', 'back'); commit",
    );
    db.check_table("Sale", "s.sales");
    s.run("begin isolation level repeatable read; select 1; savepoint a");
    db.owner().run("alter table s.first rename to again; insert into s.sales values (6, 'a', 'x')");
    if let Err(failure) = s.attempt("update s.sales set v = 'w'") {
        failure.expect_code("40001");
        s.run("rollback to a");
    }
    s.run("commit; truncate s.again");
    db.check_table("Sale", "s.sales");
}

fn t23_publication_of_all_tables(db: &Db) {
    db.admin().run("create publication everything for all tables with (publish_via_partition_root = true)");
    let mut s = db.owner();
    // Postgres refuses UPDATE and DELETE of a published table whose rows it cannot name.
    assert_eq!(
        s.table(
            "select c.relname from pg_class c where c.relnamespace = 'domain_events'::regnamespace and c.relkind in ('r', 'p') and c.relpersistence = 'p'
                and not exists (select from pg_index i where i.indrelid = c.oid and (i.indisprimary or i.indisreplident) and i.indisvalid)"
        ),
        ""
    );
    s.run(
        "create table users (id int primary key, name text); create table part (id int, k text, v text, primary key (id, k)) partition by list (k);
         create table part_a partition of part for values in ('a'); create table part_b partition of part for values in ('b');
         insert into users values (0, 'before');
         select domain_events.enable_capture('users', baseline => 'now'), domain_events.enable_capture('part', aggregate_id => '{id}');
         insert into users values (1, 'a'), (2, 'b'); update users set name = 'c'; delete from users where id = 2; update users set id = 7 where id = 1;
         insert into part values (1, 'a', 'x'); update part set k = 'b' where id = 1; update part set v = 'y';
         create table part_c partition of part for values in ('c'); truncate part_b; alter table part detach partition part_b; drop table part_a;
         create table part_d (id int, k text, v text, primary key (id, k)); select domain_events.enable_capture('part_d'); insert into part_d values (9, 'd', 'x');
         alter table part attach partition part_d for values in ('d'); select domain_events.follow_partitions('part'); update part set v = 'z';
         alter table users add column z int; insert into users values (5, 'q', 1); update users set z = 2;
         select domain_events.pause_capture('users'); update users set z = 3; select domain_events.resume_capture('users'); update users set z = 4;
         select domain_events.append_event('A', '1', 'B'); select domain_events.append_events('A', '2', '[{\"event_type\": \"X\"}, {\"event_type\": \"Y\"}]');
         select domain_events.next_aggregate_version('A', '1');
         create table legacy (aggregate_type text, aggregate_id text, aggregate_version int, unique (aggregate_type, aggregate_id, aggregate_version));
         select domain_events.register_event_table('legacy', 'aggregate_type', 'aggregate_id', 'aggregate_version');
         select domain_events.next_aggregate_version('A', '1', 'legacy'); select domain_events.next_aggregate_version('A', '1', 'legacy'); select domain_events.unregister_event_table('legacy');
         select domain_events.set_threshold(name, value + 1) from domain_events.thresholds; select domain_events.set_threshold(name, value + 1) from domain_events.thresholds;
         select * from domain_events.check_integrity_incremental(); select * from domain_events.check_integrity_incremental();
         select * from domain_events.raise_alerts(); select * from domain_events.raise_alerts(); select domain_events.baseline_capture('users');",
    );
    db.check_table("User", "users");
    db.check_table("Part", "part");
    s.run(
        "create table bad (id int primary key, k text); select domain_events.enable_capture('bad', aggregate_id => '{k}'); insert into bad values (1, null); update bad set k = 'x';
         select domain_events.retry_capture_failures(); select domain_events.acknowledge_losses();
         select domain_events.disable_capture('bad'); select domain_events.disable_capture('part', true); select domain_events.enable_capture('part', aggregate_id => '{id}');
         select domain_events.disable_capture('users'); select domain_events.enable_capture('users'); update users set name = 'w'; update part set v = 'v'; truncate users, part",
    );
    assert_eq!(s.one("select count(*) from domain_events.capture_failures where stored_version is null"), "2");
    db.check_versions();
}
