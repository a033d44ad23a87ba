//! T25: pg_dump and pg_restore of a database with captured partitioned tables, in every way that users restore.

use domain_events_tests::{Db, Engine, all_engines};

all_engines! {
    t25_into_a_new_database, t25_clean_over_the_old_one, t25_data_alone, t25_a_partitioned_table_dropped_and_restored,
    t25_renamed_before_the_dump,
}

/// Without keys: pg_dump 15 itself cannot drop those of partitions under --clean. Sub-partitions, another schema, a shared type,
/// triggers that are ALWAYS, disabled, paused.
pub const USE: &str = "create schema other;
    create table sales (id int, region text, n int) partition by list (region);
    create table sales_eu partition of sales for values in ('eu'); create table sales_us partition of sales for values in ('us');
    create table other.sales_as partition of sales for values in ('ja', 'ko') partition by list (region);
    create table other.sales_ja partition of other.sales_as for values in ('ja'); create table sales_ko partition of other.sales_as for values in ('ko');
    create index on sales (n);
    select domain_events.enable_capture('sales', aggregate_id => '{id}');
    create table visits (id int, day int, n int) partition by range (day);
    create table visits_1 partition of visits for values from (0) to (10); create table visits_2 partition of visits default;
    select domain_events.enable_capture('visits', aggregate_id => '{id}', replication => 'always');
    create table eu (id int primary key, n int); create table us (id int primary key, n int);
    select domain_events.enable_capture('eu', 'Customer'); select domain_events.enable_capture('us', 'Customer');
    create table held (id int primary key, n int); select domain_events.enable_capture('held'); select domain_events.pause_capture('held');
    create table ended (id int primary key, n int); select domain_events.enable_capture('ended'); select domain_events.disable_capture('ended', keep_triggers => true);
    insert into sales values (1, 'eu', 1), (2, 'us', 1), (3, 'ja', 1), (4, 'ko', 1); insert into visits values (1, 1, 1), (2, 20, 1);
    insert into eu values (1, 1); insert into us values (2, 1); insert into held values (1, 1);
    update sales set n = 2; update visits set n = 2;";

pub fn goes_on(db: &Db) {
    let mut s = db.owner();
    s.run(
        "update sales set n = 3; update visits set n = 3; update eu set n = 3; update us set n = 3; update ended set n = 3;
         insert into sales values (9, 'eu', 1), (10, 'ko', 1), (11, 'ja', 1); update sales set region = 'us' where id = 9;",
    );
    for (kind, table) in [("Sale", "sales"), ("Visit", "visits")] {
        db.check_table(kind, table);
    }
    assert_eq!(
        s.table("select aggregate_id, max(aggregate_version) from domain_events.events where aggregate_type in ('Sale', 'Visit') group by aggregate_type, 1 order by aggregate_type, 1"),
        "1|3\n10|1\n11|1\n2|3\n3|3\n4|3\n9|2\n1|3\n2|3"
    );
    let customers = "select id::text, to_jsonb(t) from (table eu union all table us) as t";
    db.check_fold("Customer", customers);
    s.run("truncate sales_eu; truncate other.sales_as; truncate us; truncate visits_2");
    for (kind, table) in [("Sale", "sales"), ("Visit", "visits")] {
        db.check_table(kind, table);
    }
    db.check_fold("Customer", customers);
    s.run(
        "create table sales_fr partition of sales for values in ('fr'); select domain_events.follow_partitions('sales');
         insert into sales values (20, 'fr', 1), (21, 'eu', 1); truncate sales_fr; alter table sales detach partition sales_us;
         select domain_events.follow_partitions('sales'); update sales_us set n = 77; update sales set n = 5",
    );
    db.check_table("Sale", "sales");
    assert_eq!(
        s.table("select code from domain_events.check_infrastructure() where code !~ '^(append_only_disabled|capture_paused)$'"),
        ""
    );
}

fn keeps_its_triggers(db: &Db) {
    let mut admin = db.admin();
    admin.run(
        "set session_replication_role = replica; update visits set n = 4; truncate visits_1; reset session_replication_role",
    );
    db.check_table("Visit", "visits");
    assert_eq!(admin.one("select count(*) from pg_trigger where tgrelid = 'ended'::regclass and tgenabled = 'D'"), "2");
    assert_eq!(admin.one("select count(*) from domain_events.events where aggregate_type in ('Held', 'Ended')"), "0");
}

fn psql(db: &Db, script: &str, more: &[&str]) {
    let out = db
        .client_program("psql", "postgres")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script])
        .args(more)
        .output()
        .expect("psql");
    assert!(out.status.success(), "{script} {more:?}: {}", String::from_utf8_lossy(&out.stderr));
}

fn t25_into_a_new_database(db: &Db) {
    db.owner().run(USE);
    let (archive, directory, script) = (db.file("a.dump"), db.file("a.dir"), db.file("a.sql"));
    db.quietly("pg_dump", &["-Fc", "-f", &archive]);
    db.quietly("pg_dump", &["-Fd", "-f", &directory]);
    db.quietly("pg_dump", &["-f", &script]);
    for ways in [
        &[&["--exit-on-error", &*archive][..]][..],
        &[&["--single-transaction", &archive]],
        &[&["--exit-on-error", "-j", "3", &directory]],
        &[
            &["--exit-on-error", "--section=pre-data", &archive],
            &["--exit-on-error", "--section=data", &archive],
            &["--exit-on-error", "--section=post-data", &archive],
        ],
        &[],
    ] {
        let copy = Db::new(Engine::None).holding(db.engine);
        for way in ways {
            copy.quietly("pg_restore", &[&["-d", &*copy.name], *way].concat());
        }
        if ways.is_empty() {
            psql(&copy, &script, &[]);
        }
        goes_on(&copy);
        keeps_its_triggers(&copy);
    }
}

fn t25_clean_over_the_old_one(db: &Db) {
    db.owner().run(USE);
    let (archive, script) = (db.file("a.dump"), db.file("a.sql"));
    db.quietly("pg_dump", &["-Fc", "-f", &archive]);
    db.quietly("pg_dump", &["--clean", "--if-exists", "-f", &script]);
    db.quietly("pg_restore", &["--exit-on-error", "--clean", "-d", &db.name, &archive]);
    goes_on(db);
    // Over one that has changed since.
    for way in [&["--exit-on-error"][..], &["--single-transaction"]] {
        db.quietly("pg_restore", &[&["--clean", "--if-exists", "-d", &*db.name, &*archive], way].concat());
        goes_on(db);
    }
    psql(db, &script, &[]);
    goes_on(db);
    psql(db, &script, &["-1"]);
    goes_on(db);
    keeps_its_triggers(db);
    // An ordinary session goes on being refused what a restore may do.
    if db.engine == Engine::Native {
        let mut admin = db.admin();
        admin.error("drop extension pg_domain_events cascade").expect_code("2BP01");
        admin.error("drop trigger \" domain_events_capture\" on eu").expect_code("23001");
    }
}

fn t25_data_alone(db: &Db) {
    db.owner().run(USE);
    let copy = db.restored_data_only();
    // "--disable-triggers" ends with ENABLE TRIGGER ALL: triggers that were ALWAYS or disabled are ordinary ones then, and that is told.
    let told =
        copy.admin().table("select distinct code, object from domain_events.check_infrastructure() order by 1, 2");
    assert_eq!(
        told,
        "append_only_disabled|domain_events.events\ncapture_paused|public.held\ncapture_trigger_missing|public.visits_1\n\
         capture_trigger_missing|public.visits_2\ncapture_without_configuration|public.ended"
    );
    copy.owner().run(
        "select domain_events.follow_partitions('visits'); alter table ended disable trigger \" domain_events_capture\"",
    );
    goes_on(&copy);
}

/// As t15_a_single_captured_table: the streams go on, and a truncation ends those of the partition's rows.
fn t25_a_partitioned_table_dropped_and_restored(db: &Db) {
    db.owner().run(USE);
    let path = db.file("sales.dump");
    db.quietly("pg_dump", &["-Fc", "-t", "sales*", "-t", "other.sales*", "-f", &path]);
    db.owner().run("drop table sales");
    db.quietly("pg_restore", &["--exit-on-error", "-d", &db.name, &path]);
    let mut s = db.owner();
    s.run("update sales set n = 7 where id <> 2");
    db.check_table("Sale", "sales");
    s.run("truncate sales_us; truncate sales_ko");
    db.check_table("Sale", "sales");
    s.run("alter table sales detach partition sales_eu; select domain_events.follow_partitions('sales')");
    db.check_table("Sale", "sales");
}

fn t25_renamed_before_the_dump(db: &Db) {
    let mut s = db.owner();
    s.run(USE);
    s.run(
        "alter table sales_eu rename to europe; alter schema other rename to asia; alter table us rename to us_old; alter table eu rename to us;
         alter table us_old rename to eu;",
    );
    let copy = db.restored();
    let mut s = copy.owner();
    s.run("insert into sales values (12, 'eu', 1); truncate europe; truncate asia.sales_ja; truncate us");
    copy.check_table("Sale", "sales");
    copy.check_fold("Customer", "select id::text, to_jsonb(t) from eu as t");
}
