//! T10: a captured table becomes a partition of a captured table. The statement works as without captures; the capture of the table
//! above tells its rows from then on, once, and its own ends.

use domain_events_tests::{Db, Engine, all_engines};

all_engines! {
    t10_a_captured_table_is_attached_to_a_captured_one, t10_attached_tables_of_one_type_go_on, t10_a_captured_root_is_attached_to_a_captured_one,
    t10_capturing_the_table_above_takes_over, t10_what_the_partition_redacted_stays_secret, t10_attached_and_written_before_anybody_follows,
    t10_an_attached_table_of_another_owner, t10_attached_under_an_old_snapshot, t10_attached_and_rolled_back,
}

const TABLES: &str = "create table sales (id int not null, region text not null, n int) partition by list (region);
    create table sales_eu partition of sales for values in ('eu');
    create table us_sales (region text not null, n int, gone int, id int not null); alter table us_sales drop column gone;";

const ATTACH: &str = "alter table sales attach partition us_sales for values in ('us')";

/// Where there are no event triggers, that is the user's to do.
fn follow(db: &Db) {
    db.owner().run("select domain_events.follow_partitions('sales')");
}

/// Event types of each stream, in order.
fn told(db: &Db) -> String {
    db.admin().table(
        "select aggregate_type, aggregate_id, string_agg(event_type, ',' order by aggregate_version) from domain_events.events
          where aggregate_type <> 'domain_events.Table' group by 1, 2 order by 1, 2",
    )
}

fn healthy(db: &Db) {
    assert_eq!(db.admin().table("select code, object from domain_events.check_infrastructure()"), "");
}

fn t10_a_captured_table_is_attached_to_a_captured_one(db: &Db) {
    let mut s = db.owner();
    s.run(TABLES);
    s.run(
        "select domain_events.enable_capture('sales', aggregate_id => '{id}'); select domain_events.enable_capture('us_sales', 'UsSale', aggregate_id => '{id}');
         insert into sales values (1, 'eu', 1); insert into us_sales values ('us', 1, 2), ('us', 1, 3);",
    );
    s.run(ATTACH);
    follow(db);
    healthy(db);
    // For the reader of the old streams they end there.
    assert_eq!(s.one("select domain_events.fold_stream('UsSale', '2')"), "~");
    assert_eq!(
        s.one("select event_data from domain_events.events where event_type = 'CaptureDisabled'"),
        "{\"continues_as\": \"Sale\", \"taken_over_by\": \"public.sales\", \"aggregate_type\": \"UsSale\"}"
    );
    s.run(
        "update sales set n = 2; insert into us_sales values ('us', 1, 4); insert into sales values (5, 'us', 1);
         update sales set region = 'eu' where id = 4; update us_sales set n = 3 where id = 5; delete from us_sales where id = 3;",
    );
    assert_eq!(
        told(db),
        "Sale|1|SaleCreated,SaleUpdated\nSale|2|SaleUpdated\nSale|3|SaleUpdated,SaleDeleted\nSale|4|SaleCreated,SaleUpdated\n\
         Sale|5|SaleCreated,SaleUpdated\nUsSale|2|UsSaleCreated\nUsSale|3|UsSaleCreated"
    );
    db.check_table("Sale", "sales");
    s.run("truncate us_sales");
    db.check_table("Sale", "sales");
    s.run("insert into us_sales values ('us', 1, 6); alter table sales detach partition us_sales");
    follow(db);
    // A plain table, as any partition that leaves; and one that can be captured again.
    assert_eq!(s.one("select count(*) from pg_trigger where tgrelid = 'us_sales'::regclass"), "0");
    assert_eq!(s.one("select count(*) from domain_events.captures"), "1");
    s.run("insert into us_sales values ('us', 1, 7); update sales set n = 9");
    db.check_table("Sale", "sales");
    assert!(!told(db).contains("|7|"), "{}", told(db));
    s.run("select domain_events.enable_capture('us_sales', 'UsSale', aggregate_id => '{id}'); update us_sales set n = 3; insert into us_sales values ('us', 1, 2)");
    db.check_table("UsSale", "us_sales");
    s.run(ATTACH);
    follow(db);
    s.run("update sales set n = 11");
    db.check_table("Sale", "sales");
    healthy(db);
}

fn t10_attached_tables_of_one_type_go_on(db: &Db) {
    for first in ["sales", "us_sales"] {
        let mut s = db.owner();
        s.run("drop table if exists sales, us_sales cascade; select domain_events.retry_capture_failures()");
        db.admin().run("select domain_events.forget_dropped_tables()");
        s.run(TABLES);
        let (kind, second) = (format!("of_{first}"), if first == "sales" { "us_sales" } else { "sales" });
        s.run(&format!(
            "select domain_events.enable_capture('{first}', '{kind}', aggregate_id => '{{id}}'); select domain_events.enable_capture('{second}', '{kind}', aggregate_id => '{{id}}');
             insert into sales values (1, 'eu', 1); insert into us_sales values ('us', 1, 2), ('us', 1, 3), ('us', 1, 4)"
        ));
        s.run(ATTACH);
        follow(db);
        db.check_table(&kind, "sales");
        s.run("update sales set n = 2 where id <> 3; delete from sales where id = 4");
        db.check_table(&kind, "sales");
        s.run("truncate sales_eu");
        db.check_table(&kind, "sales");
        // One that nothing was told of since, and one that was.
        s.run("truncate us_sales");
        db.check_table(&kind, "sales");
        healthy(db);
    }
}

fn t10_a_captured_root_is_attached_to_a_captured_one(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table sales (id int, region text, n int) partition by list (region); create table sales_eu partition of sales for values in ('eu');
         create table asia (id int, region text, n int) partition by list (region); create table asia_ja partition of asia for values in ('ja');
         create table asia_ko partition of asia for values in ('ko');
         select domain_events.enable_capture('asia', aggregate_id => '{id}', replication => 'always'); select domain_events.enable_capture('sales', aggregate_id => '{id}');
         insert into asia values (1, 'ja', 1), (2, 'ko', 1); insert into sales values (3, 'eu', 1);
         alter table sales attach partition asia for values in ('ja', 'ko');",
    );
    follow(db);
    healthy(db);
    s.run("update sales set n = 2; update asia set region = 'ko'; update sales set region = 'ja' where id = 3; insert into asia_ko values (4, 'ko', 1)");
    assert_eq!(
        told(db),
        "Asia|1|AsiaCreated\nAsia|2|AsiaCreated\nSale|1|SaleUpdated,SaleUpdated\nSale|2|SaleUpdated\nSale|3|SaleCreated,SaleUpdated,SaleUpdated\nSale|4|SaleCreated"
    );
    db.check_table("Sale", "sales");
    assert_eq!(s.table("select aggregate_id from (select distinct aggregate_id from domain_events.events where aggregate_type = 'Asia') a where domain_events.fold_stream('Asia', aggregate_id) is not null"), "");
    s.run("truncate asia_ko; insert into sales values (5, 'ko', 1); truncate asia; insert into sales values (6, 'ja', 1); alter table sales detach partition asia");
    follow(db);
    db.check_table("Sale", "sales");
    assert_eq!(s.one("select count(*) from pg_trigger where tgrelid::regclass::text ~ 'asia'"), "0");
    healthy(db);
}

fn t10_capturing_the_table_above_takes_over(db: &Db) {
    let mut s = db.owner();
    s.run(TABLES);
    s.run(
        "select domain_events.enable_capture('us_sales', 'UsSale', aggregate_id => '{id}'); insert into us_sales values ('us', 1, 2)",
    );
    s.run(ATTACH);
    s.run("update sales set n = 2");
    db.check_table("UsSale", "us_sales");
    s.run("select domain_events.enable_capture('sales', aggregate_id => '{id}', baseline => 'now')");
    healthy(db);
    db.check_table("Sale", "sales");
    s.run("update us_sales set n = 3; insert into sales values (7, 'us', 1), (8, 'eu', 1)");
    assert_eq!(
        told(db),
        "Sale|2|SaleBaselined,SaleUpdated\nSale|7|SaleCreated\nSale|8|SaleCreated\nUsSale|2|UsSaleCreated,UsSaleUpdated"
    );
    db.check_table("Sale", "sales");
}

fn t10_what_the_partition_redacted_stays_secret(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table sales (id int, region text, ssn text) partition by list (region);
         create table us_sales (id int, region text, ssn text);
         select domain_events.enable_capture('sales', aggregate_id => '{id}'); select domain_events.enable_capture('us_sales', 'UsSale', aggregate_id => '{id}', redact => '{ssn}');
         insert into us_sales values (1, 'us', 'secret-1');",
    );
    s.run(ATTACH);
    // At once where an event trigger may follow, else with the first row that is written.
    s.run("update sales set ssn = 'secret-2'; insert into sales values (2, 'us', 'secret-3'); update us_sales set ssn = 'secret-4'");
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
    assert_eq!(s.one("select redact from domain_events.captures where target = 'sales'::regclass"), "{ssn}");
    follow(db);
    s.run("update us_sales set ssn = 'secret-5'");
    db.check_fold("Sale", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from sales t");
    assert_eq!(
        s.one("select event_data ->> 'redacts' from domain_events.events where event_type = 'CaptureDisabled'"),
        "[\"ssn\"]"
    );
}

/// Both tables' triggers fire then; one of them tells.
fn t10_attached_and_written_before_anybody_follows(db: &Db) {
    let mut s = db.owner();
    s.run(TABLES);
    s.run(
        "select domain_events.enable_capture('sales', aggregate_id => '{id}'); select domain_events.enable_capture('us_sales', 'UsSale', aggregate_id => '{id}');
         insert into us_sales values ('us', 1, 2)",
    );
    if db.engine != Engine::Portable {
        db.admin().run("alter event trigger domain_events_follow_ddl disable");
    }
    let mut early = db.owner();
    early.run("update us_sales set n = 2");
    s.run(ATTACH);
    if db.engine != Engine::Portable {
        assert!(s.table("select code from domain_events.check_infrastructure()").contains("capture_taken_over"));
    }
    for writer in [&mut early, &mut s] {
        writer.run("update us_sales set n = n + 1; update sales set n = n + 1; insert into us_sales select 'us', 1, 10 + count(*) from us_sales");
    }
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'UsSale'"), "2");
    assert_eq!(s.table("select aggregate_id, count(*) from domain_events.events where aggregate_type = 'Sale' group by 1 order by 1"), "11|3\n12|1\n2|4");
    db.check_table("Sale", "sales");
    s.run("truncate us_sales; insert into sales values (3, 'us', 1)");
    db.check_table("Sale", "sales");
    follow(db);
    s.run("update sales set n = 7; truncate us_sales");
    db.check_table("Sale", "sales");
    let left = s.table("select code from domain_events.check_infrastructure()");
    assert!(["", "event_trigger_missing"].contains(&&*left), "{left}");
}

fn t10_an_attached_table_of_another_owner(db: &Db) {
    let role = db.role("other");
    db.admin().run(&format!("grant domain_events_admin to {role}; create schema theirs authorization {role}"));
    db.owner().run(TABLES);
    db.owner().run("select domain_events.enable_capture('sales', aggregate_id => '{id}')");
    let mut other = db.session(&role);
    other.run("create table theirs.us (id int not null, region text not null, n int); select domain_events.enable_capture('theirs.us', 'Us', aggregate_id => '{id}'); insert into theirs.us values (1, 'us', 1)");
    let mut admin = db.admin();
    admin.run("alter table sales attach partition theirs.us for values in ('us')");
    admin.run("select domain_events.follow_partitions('sales')");
    other.run("update theirs.us set n = 2; insert into theirs.us values (2, 'us', 2); truncate theirs.us; insert into theirs.us values (3, 'us', 2)");
    db.check_table("Sale", "sales");
    assert_eq!(admin.one("select count(*) from domain_events.events where aggregate_type = 'Us'"), "1");
    healthy(db);
}

/// The old snapshot knows nothing of the partition: told once, or 40001.
fn t10_attached_under_an_old_snapshot(db: &Db) {
    let mut s = db.owner();
    s.run(TABLES);
    s.run(
        "select domain_events.enable_capture('sales', aggregate_id => '{id}'); select domain_events.enable_capture('us_sales', 'UsSale', aggregate_id => '{id}');
         insert into us_sales values ('us', 1, 2)",
    );
    for begin in ["begin isolation level repeatable read", "begin isolation level serializable"] {
        let mut old = db.owner();
        old.run(&format!("{begin}; select count(*) from pg_class"));
        s.run(ATTACH);
        follow(db);
        for write in ["update us_sales set n = n + 1", "insert into sales values (5, 'us', 1)"] {
            old.run("savepoint a");
            match old.attempt(write) {
                Ok(_) => old.run("release a"),
                Err(failure) => {
                    failure.expect_code("40001");
                    old.run("rollback to a");
                }
            }
        }
        old.run("commit");
        s.run("update sales set n = n + 1");
        db.check_table("Sale", "sales");
        s.run("delete from sales; alter table sales detach partition us_sales");
        follow(db);
        s.run("select domain_events.enable_capture('us_sales', 'UsSale', aggregate_id => '{id}'); insert into us_sales values ('us', 1, 2)");
    }
}

fn t10_attached_and_rolled_back(db: &Db) {
    let mut s = db.owner();
    s.run(TABLES);
    s.run(
        "select domain_events.enable_capture('sales', aggregate_id => '{id}'); select domain_events.enable_capture('us_sales', 'UsSale', aggregate_id => '{id}');
         insert into us_sales values ('us', 1, 2)",
    );
    s.run(&format!("begin; {ATTACH}; update sales set n = 5; insert into us_sales values ('us', 2, 9); rollback"));
    s.run("update us_sales set n = 6");
    db.check_table("UsSale", "us_sales");
    s.run(&format!("begin; savepoint a; {ATTACH}; update sales set n = 5; rollback to a; update us_sales set n = 7; commit; {ATTACH}; update sales set n = 8"));
    follow(db);
    db.check_table("Sale", "sales");
    healthy(db);
}
