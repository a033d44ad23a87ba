//! T10: partitioned tables.

use domain_events_tests::{Db, engines};

engines! {
    t10_direct_leaf_inserts_are_captured, t10_row_movement_is_one_update, t10_row_movement_with_the_key, t10_new_partitions_are_covered,
    t10_attached_partitions_are_covered, t10_truncate_of_a_leaf, t10_partitions_of_another_shape, t10_detach_and_drop_are_told,
    t10_a_move_that_shows_in_no_column,
    t10_a_cancelled_arrival_is_a_deletion,
    t10_keys_taken_again_after_a_cancelled_arrival, t10_a_cancelled_arrival_fails_as_any_event_does,
}

const REGIONS: &str =
    "create table sales (id int, region text, n int, primary key (id, region)) partition by list (region);
    create table sales_eu partition of sales for values in ('eu');
    create table sales_us partition of sales for values in ('us');
    select domain_events.enable_capture('sales', aggregate_id => '{id}');";

fn t10_direct_leaf_inserts_are_captured(db: &Db) {
    let mut s = db.owner();
    s.run(REGIONS);
    s.run("insert into sales values (1, 'eu', 1); insert into sales_eu values (2, 'eu', 1); update sales_eu set n = 2; delete from sales_eu where id = 2");
    assert_eq!(
        s.table("select aggregate_type, aggregate_id, count(*) from domain_events.events group by 1, 2 order by 2"),
        "Sale|1|2\nSale|2|3"
    );
    db.check_table("Sale", "sales");
}

fn t10_row_movement_is_one_update(db: &Db) {
    let mut s = db.owner();
    s.run(REGIONS);
    s.run("insert into sales values (1, 'eu', 1), (2, 'eu', 1); update sales set region = 'us', n = 2 where id = 1");
    assert_eq!(
        s.table("select aggregate_version, event_type, event_data from domain_events.events where aggregate_id = '1' order by 1"),
        "1|SaleCreated|{\"new_values\": {\"n\": 1, \"id\": 1, \"region\": \"eu\"}}\n\
         2|SaleUpdated|{\"new_values\": {\"n\": 2, \"region\": \"us\"}, \"old_values\": {\"n\": 1, \"region\": \"eu\"}}"
    );
    s.run("update sales set region = case region when 'eu' then 'us' else 'eu' end; update sales set n = 3");
    s.run("begin; delete from sales where id = 1; insert into sales values (1, 'us', 9); commit");
    db.check_table("Sale", "sales");
    // A real delete and insert in one statement sequence stay what they are.
    assert_eq!(
        s.one("select count(*) from domain_events.events where aggregate_id = '1' and event_type in ('SaleDeleted', 'SaleCreated')"),
        "3"
    );
}

fn t10_row_movement_with_the_key(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table sales (id int, region text, n int, primary key (id, region)) partition by list (region);
         create table sales_eu partition of sales for values in ('eu');
         create table sales_us partition of sales for values in ('us');
         select domain_events.enable_capture('sales');
         insert into sales values (1, 'eu', 1);
         update sales set region = 'us';
         update sales set n = 2;",
    );
    assert_eq!(
        s.table("select aggregate_id, event_type from domain_events.events order by global_position"),
        "[\"1\", \"eu\"]|SaleCreated\n[\"1\", \"eu\"]|SaleRekeyed\n[\"1\", \"us\"]|SaleRekeyed\n[\"1\", \"us\"]|SaleUpdated"
    );
    db.check_fold("Sale", "select to_jsonb(array[id::text, region])::text, to_jsonb(t) from sales t");
}

fn t10_new_partitions_are_covered(db: &Db) {
    let mut s = db.owner();
    s.run(REGIONS);
    s.run(
        "create table sales_ap partition of sales for values in ('ap', 'jp') partition by list (region);
         create table sales_ap_1 partition of sales_ap for values in ('ap');
         create table sales_ap_2 partition of sales_ap for values in ('jp');
         insert into sales values (3, 'ap', 1); insert into sales_ap_1 values (4, 'ap', 1);
         update sales set region = 'jp' where id = 3;",
    );
    assert_eq!(
        s.table("select aggregate_id, string_agg(event_type, ',' order by aggregate_version) from domain_events.events group by 1 order by 1"),
        "3|SaleCreated,SaleUpdated\n4|SaleCreated"
    );
    db.check_table("Sale", "sales");
}

fn t10_attached_partitions_are_covered(db: &Db) {
    let mut s = db.owner();
    s.run(REGIONS);
    s.run(
        "create table sales_ap (n int, region text not null, extra int, id int not null);
         alter table sales_ap drop column extra;
         insert into sales_ap values (1, 'ap', 7);
         alter table sales attach partition sales_ap for values in ('ap');
         update sales set n = 2 where id = 7;
         insert into sales values (8, 'ap', 1);
         update sales set region = 'eu' where id = 8;",
    );
    db.check_table("Sale", "sales");
}

fn t10_truncate_of_a_leaf(db: &Db) {
    let mut s = db.owner();
    s.run(REGIONS);
    s.run("insert into sales values (1, 'eu', 1), (2, 'us', 1); truncate sales_eu");
    // Recorded in the root's stream, with the partition's name.
    assert_eq!(
        s.table(
            "select aggregate_id, event_type, event_data::text like '%sales_eu%' from domain_events.events where aggregate_type = 'domain_events.Table'"
        ),
        "public.sales|TableTruncated|t"
    );
    db.check_table("Sale", "sales");
    // The other way round: a row that came from elsewhere is gone, one that has left is not.
    s.run("insert into sales values (3, 'eu', 1), (4, 'us', 1); update sales set region = case region when 'eu' then 'us' else 'eu' end where id > 2; truncate sales_us");
    assert_eq!(s.table("select id from sales order by 1"), "4");
    db.check_table("Sale", "sales");
    s.run("alter table sales_eu rename to europe; select domain_events.follow_partitions('sales'); truncate europe");
    db.check_table("Sale", "sales");
    s.run("insert into sales values (4, 'eu', 9); update sales set n = 10");
    db.check_table("Sale", "sales");
    s.run("truncate sales; insert into sales values (2, 'us', 5)");
    assert_eq!(s.one("select domain_events.fold_stream('Sale', '2')"), "{\"n\": 5, \"id\": 2, \"region\": \"us\"}");
}

fn t10_partitions_of_another_shape(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table odd (x int, region text not null, secret text, n int, gone int, id int not null);
         alter table odd drop column gone; alter table odd drop column x;
         create table sales (id int, gone2 int, region text, n int, secret text, primary key (id, region)) partition by list (region);
         alter table sales drop column gone2;
         alter table sales attach partition odd for values in ('odd');
         create table plain partition of sales for values in ('plain');
         select domain_events.enable_capture('sales', aggregate_id => '{id}', redact => '{secret}');
         insert into sales values (1, 'odd', 1, 'hidden'), (2, 'plain', 1, 'hidden');
         insert into odd (id, region, n, secret) values (3, 'odd', 1, 'hidden');
         update sales set n = 2, secret = 'hidden too';
         update sales set region = 'plain' where id = 1;
         update sales set region = 'odd' where id = 2;
         alter table sales add c text default 'c';
         update sales set n = 3;
         delete from sales where id = 3;",
    );
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%hidden%'"), "0");
    db.check_fold("Sale", "select id::text, to_jsonb(t) || '{\"secret\": {\"$value\": \"redacted\"}}' from sales t");
}

fn t10_detach_and_drop_are_told(db: &Db) {
    let mut s = db.owner();
    s.run(REGIONS);
    s.run("insert into sales values (1, 'eu', 1), (2, 'us', 1)");
    // Recorded or refused where event triggers may be created, elsewhere found by check_infrastructure().
    for ddl in ["alter table sales detach partition sales_us", "drop table sales_eu"] {
        if s.attempt(ddl).is_ok() {
            let told = s.number(
                "select (select count(*) from domain_events.events where aggregate_type = 'domain_events.Table')
                      + (select count(*) from domain_events.check_infrastructure())",
            );
            assert!(told > 0, "{ddl} left no trace");
            s.run("select domain_events.follow_partitions('sales')");
            db.check_table("Sale", "sales");
        }
    }
    // What comes back may be another row.
    s.run("update sales_us set n = n + 1; alter table sales attach partition sales_us for values in ('us'); update sales set n = n + 1");
    db.check_table("Sale", "sales");
}

fn t10_a_move_that_shows_in_no_column(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table sales (id int, region text, n int, primary key (id, region)) partition by list (region);
         create table sales_eu partition of sales for values in ('eu');
         create table sales_us partition of sales for values in ('us');
         select domain_events.enable_capture('sales', aggregate_id => '{id}', exclude => '{region}');
         insert into sales values (1, 'eu', 1), (2, 'eu', 1);
         update sales set region = 'us' where id = 1;
         update sales set region = 'us', n = 2 where id = 2;",
    );
    assert_eq!(s.table("select id, region, n from sales order by 1"), "1|us|1\n2|us|2", "the user's write is lost");
    assert_eq!(
        s.table("select aggregate_id, string_agg(event_type, ',' order by aggregate_version) from domain_events.events group by 1 order by 1"),
        "1|SaleCreated\n2|SaleCreated,SaleUpdated"
    );
    db.check_fold("Sale", "select id::text, to_jsonb(t) - 'region' from sales t");
}

/// A row whose arrival a trigger of the destination cancels has left all the same.
const CANCELLED: &str = "create table sales (id int, region text, n int) partition by list (region);
    create table sales_eu partition of sales for values in ('eu');
    create table sales_us partition of sales for values in ('us');
    create function refuse() returns trigger language plpgsql as $$ begin return case when new.n <> 7 then new end; end $$;
    create trigger refuse before insert on sales_us for each row execute function refuse();";

fn t10_a_cancelled_arrival_is_a_deletion(db: &Db) {
    let mut s = db.owner();
    s.run(CANCELLED);
    s.run(
        "select domain_events.enable_capture('sales', aggregate_id => '{id}', event_types => '[{\"on\": \"delete\", \"type\": \"SaleLost\"}]');
         insert into sales values (1, 'eu', 7), (2, 'eu', 1), (3, 'eu', 7);
         update sales set region = 'us' where id in (1, 2);",
    );
    assert_eq!(
        s.table("select aggregate_id, string_agg(event_type, ',' order by aggregate_version) from domain_events.events group by 1 order by 1"),
        "1|SaleCreated,SaleLost\n2|SaleCreated,SaleUpdated\n3|SaleCreated"
    );
    assert_eq!(
        s.one("select event_data from domain_events.events where event_type = 'SaleLost'"),
        "{\"old_values\": {\"n\": 7, \"id\": 1, \"region\": \"eu\"}}"
    );
    db.check_table("Sale", "sales");
}

fn t10_keys_taken_again_after_a_cancelled_arrival(db: &Db) {
    let mut s = db.owner();
    s.run(CANCELLED);
    s.run(
        "select domain_events.enable_capture('sales', aggregate_id => '{id}');
         insert into sales values (2, 'us', 1), (3, 'eu', 7);",
    );
    for again in [
        "insert into sales values (1, 'eu', 9)",
        "begin; update sales set region = 'us' where id = 3; insert into sales values (3, 'eu', 7); update sales set n = 8; commit",
        "begin; update sales set n = 7, region = 'eu'; update sales set region = 'us' where id < 3; commit",
        "begin; savepoint a; update sales set region = 'us'; rollback to a; update sales set n = 6; commit",
        "begin; insert into sales values (4, 'eu', 7); update sales set region = 'us' where id = 4; insert into sales values (4, 'eu', 1); update sales set n = n + 1; commit",
        "begin; set constraints all immediate; update sales set region = 'eu', n = 7; update sales set region = 'us' where id = 4; update sales set n = 8; update sales set region = 'us'; commit",
        "update sales set region = 'eu', n = 7; update sales set region = 'us', id = id + 10 where id = 3; insert into sales values (13, 'us', 1)",
    ] {
        s.run(again);
        println!("{again}");
        db.check_table("Sale", "sales");
    }
    // With code of a user in between, that takes the key again.
    s.run(
        "delete from sales;
         create function again() returns trigger language plpgsql as $$ begin
           if pg_trigger_depth() = 1 then insert into sales values (old.id, 'eu', 1); update sales set n = n + 1 where id = old.id; end if; return null; end $$;
         create trigger zz after delete on sales_eu for each row execute function again();
         insert into sales values (1, 'eu', 7), (2, 'eu', 7);
         update sales set region = 'us';",
    );
    assert_eq!(s.table("select * from sales order by 1"), "1|eu|2\n2|eu|2");
    db.check_table("Sale", "sales");
    assert_eq!(s.one("select count(*) from domain_events.capture_failures"), "0");
}

fn t10_a_cancelled_arrival_fails_as_any_event_does(db: &Db) {
    for on_failure in ["abort", "dead_letter"] {
        let mut s = db.owner();
        s.run("drop table if exists sales; drop function if exists refuse");
        s.run(CANCELLED);
        s.run(&format!(
            "select domain_events.enable_capture('sales', '{on_failure}', aggregate_id => '{{id}}', on_failure => '{on_failure}');
             insert into sales values (1, 'eu', 7)"
        ));
        db.admin().run(&format!(
            "alter table domain_events.events add constraint boom check (event_type <> '{on_failure}Deleted')"
        ));
        let moved = s.attempt("update sales set region = 'us'");
        db.admin().run("alter table domain_events.events drop constraint boom");
        if on_failure == "abort" {
            moved.expect_err("the event cannot be stored").expect_code("23514");
            assert_eq!(s.one("select count(*) from sales"), "1");
        } else {
            assert_eq!(
                s.table("select operation, aggregate_id, event_type, event_data from domain_events.capture_failures"),
                "DELETE|1|dead_letterDeleted|{\"old_values\": {\"n\": 7, \"id\": 1, \"region\": \"eu\"}}"
            );
            s.run("insert into sales values (1, 'eu', 1); select domain_events.retry_capture_failures()");
        }
        db.check_table(on_failure, "sales");
    }
}
