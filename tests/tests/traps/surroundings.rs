//! What lies around a captured table: settings of the session that write names and literals differently, tables above and
//! below it, other sessions at the same DDL.

use domain_events_tests::{Db, engines};

engines! {
    t3_names_do_not_depend_on_quote_all_identifiers, t3_types_do_not_depend_on_standard_conforming_strings,
    t10_a_captured_table_that_becomes_a_partition, t10_a_captured_root_below_another, t10_always_holds_for_later_partitions,
    t14_two_sessions_meet_new_columns_of_a_type, t14_wide_tables_follow_ddl_in_time, baseline_of_a_parent_leaves_children_out,
    types_of_odd_table_names, tables_that_share_a_type_are_truncated_one_by_one,
}

fn t3_names_do_not_depend_on_quote_all_identifiers(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table sales (id int, region text, kind regtype, primary key (id, region)) partition by list (region);
         create table sales_eu partition of sales for values in ('eu');
         select domain_events.enable_capture('sales', aggregate_id => '{id}');
         create table kinds (kind regclass primary key, n int); select domain_events.enable_capture('kinds');
         insert into sales values (1, 'eu', 'text'); insert into kinds values ('sales', 1);
         set quote_all_identifiers = on;
         insert into sales values (2, 'eu', 'int'); update sales set kind = 'name'; update kinds set n = 2;
         alter table sales add note text; update sales set note = 'x';
         truncate sales_eu; insert into sales values (3, 'eu', 'text'); truncate sales;",
    );
    assert_eq!(
        s.table(
            "select distinct aggregate_id, event_data ->> 'partition', metadata ->> 'in_table', event_data #>> '{new_values,kind}'
               from domain_events.events where aggregate_id ~ '\"' or event_data::text ~ '\\\\\"' or metadata::text ~ '\\\\\"'"
        ),
        ""
    );
    s.run("reset quote_all_identifiers");
    db.check_table("Sale", "sales");
    // As with an empty search_path.
    db.check_fold("Kind", "select 'public.sales', '{\"n\": 2, \"kind\": \"public.sales\"}'::jsonb");
}

fn t3_types_do_not_depend_on_standard_conforming_strings(db: &Db) {
    let mut s = db.owner();
    s.run(
        "set standard_conforming_strings = off; set escape_string_warning = off;
         create table user_addresses (id int primary key, a text);
         select domain_events.enable_capture('user_addresses', event_name_style => 'dotted');
         insert into user_addresses values (1, E'\\\\');",
    );
    let mut other = db.owner();
    other.run("set standard_conforming_strings = off; alter table user_addresses add b int; update user_addresses set b = 1; insert into user_addresses values (2, 'x')");
    assert_eq!(
        s.one("select string_agg(distinct event_type, ',') from domain_events.events"),
        "user_address.created,user_address.updated"
    );
    s.error("select domain_events.enable_capture('user_addresses', aggregate_type => 'domain_events.X')")
        .expect("22023");
    db.check_table("UserAddress", "user_addresses");
}

fn t10_a_captured_table_that_becomes_a_partition(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table orders (id int primary key, n int); select domain_events.enable_capture('orders');
         insert into orders values (1, 1), (2, 1);
         create table all_orders (id int primary key, n int) partition by range (id);
         alter table all_orders attach partition orders for values from (0) to (100);
         update all_orders set n = 2; insert into all_orders values (3, 1);
         alter table all_orders add note text; update orders set note = 'x'; delete from all_orders where id = 2;",
    );
    db.check_table("Order", "orders");
    // Its triggers stay when it leaves.
    s.run("alter table all_orders detach partition orders; update orders set n = 3; truncate orders");
    db.check_table("Order", "orders");
}

fn t10_a_captured_root_below_another(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table sales (id int primary key, n int) partition by range (id);
         create table sales_1 partition of sales for values from (0) to (10);
         create table sales_2 partition of sales for values from (10) to (100);
         select domain_events.enable_capture('sales', aggregate_id => '{id}');
         insert into sales values (1, 1), (11, 1);
         create table world (id int primary key, n int) partition by range (id);
         alter table world attach partition sales for values from (0) to (100);
         update world set n = 2; update world set id = 12 where id = 1; insert into world values (3, 1); delete from sales where id = 11;
         alter table world add note text; update world set note = 'x';",
    );
    db.check_table("Sale", "sales");
    s.run("truncate world");
    db.check_table("Sale", "sales");
}

fn t10_always_holds_for_later_partitions(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table sales (id int primary key, n int) partition by range (id);
         select domain_events.enable_capture('sales', replication => 'always');
         create table sales_1 partition of sales for values from (0) to (10); select domain_events.follow_partitions('sales');",
    );
    let mut admin = db.admin();
    admin.run("set session_replication_role = replica; insert into sales values (1, 1); truncate sales_1");
    assert_eq!(
        admin.table("select event_type from domain_events.events order by global_position"),
        "SaleCreated\nTableTruncated"
    );
}

fn t14_two_sessions_meet_new_columns_of_a_type(db: &Db) {
    let mut a = db.owner();
    a.run(
        "create type place as (x int); create table places (id int primary key, p place, s text);
         select domain_events.enable_capture('places', aggregate_type => 'Place'); create table other (id int);
         insert into places values (1, row(1)), (2, row(2)), (3, row(3)); alter type place add attribute y int",
    );
    a.run("begin; update places set p = row(5, 5) where id = 1");
    // Whoever comes second may have to wait, but nothing of ours fails.
    let (mut b, mut d) = (db.owner(), db.owner());
    let writing = std::thread::spawn(move || b.attempt("update places set p = row(6, 6) where id = 2").map(drop));
    let altering = std::thread::spawn(move || d.attempt("alter table other add x int").map(drop));
    std::thread::sleep(std::time::Duration::from_millis(500));
    a.run("commit");
    writing.join().expect("the writer").expect("the write");
    altering.join().expect("the other").expect("the DDL of another table");
    a.run("update places set s = 'x'");
    db.check_table("Place", "places");
}

/// Writing the function anew is linear in the columns: 400 took 27 s once, in the user's first write after the DDL.
fn t14_wide_tables_follow_ddl_in_time(db: &Db) {
    let mut s = db.owner();
    let columns: Vec<String> = (0..400).map(|n| format!("c{n} text")).collect();
    s.run(&format!("create table wide (id int primary key, {})", columns.join(", ")));
    s.run(
        "set statement_timeout = '15s'; select domain_events.enable_capture('wide'); insert into wide (id) values (1)",
    );
    s.run("alter table wide add more int; update wide set more = 1, c7 = 'x'");
    db.check_table("Wide", "wide");
}

fn baseline_of_a_parent_leaves_children_out(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table parents (id int primary key, n int); create table children (c int) inherits (parents);
         insert into parents values (1, 1); insert into children values (2, 2, 2);
         select domain_events.enable_capture('parents', baseline => 'now'); delete from parents where id = 2",
    );
    assert_eq!(
        s.table("select aggregate_id, event_type from domain_events.events where aggregate_type = 'Parent'"),
        "1|ParentBaselined"
    );
    db.check_fold("Parent", "select id::text, to_jsonb(t) from only parents t");
}

fn types_of_odd_table_names(db: &Db) {
    let mut s = db.owner();
    s.run("create table s (id int primary key); select domain_events.enable_capture('s'); insert into s values (1)");
    assert_eq!(s.table("select aggregate_type, event_type from domain_events.events"), "S|SCreated");
    db.check_table("S", "s");
}

fn tables_that_share_a_type_are_truncated_one_by_one(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table eu (id int primary key, n int); create table us (id int primary key, n int);
         create table asia (id int primary key, n int) partition by range (id);
         create table asia_1 partition of asia for values from (20) to (30); create table asia_2 partition of asia default;
         select domain_events.enable_capture(t, aggregate_type => 'Customer') from unnest('{eu,us,asia}'::regclass[]) as t;",
    );
    let rows = "select id::text, to_jsonb(t) from (table eu union all table us union all table asia) as t";
    for truncated in ["us", "eu", "asia", "asia_2", "eu, us"] {
        s.run("insert into eu values (1, 1), (2, 1); insert into us values (11, 1), (12, 1); insert into asia values (21, 1), (31, 1)");
        s.run(&format!("update eu set n = 2; update us set n = 2; update asia set n = 2; truncate {truncated}"));
        db.check_fold("Customer", rows);
        s.run("update eu set n = 3; update us set n = 3; update asia set n = 3");
        db.check_fold("Customer", rows);
        s.run("delete from eu; delete from us; delete from asia");
    }
}
