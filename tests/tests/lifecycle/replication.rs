//! T15: prepared transactions, logical apply, pg_upgrade; and a standby.

use std::{
    thread,
    time::{Duration, Instant},
};

use domain_events_tests::{Cluster, Db, engines};

engines! { t15_prepared_transactions, t15_logical_apply, who_decodes_the_store_sees_each_event_once, t15_pg_upgrade, a_standby_reads_and_refuses_to_write }

fn t15_prepared_transactions(db: &Db) {
    let db = Db::on(Cluster::start(&[("max_prepared_transactions", "10")]), db.engine);
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text);
         select domain_events.enable_capture('users');
         insert into users values (1, 'a');",
    );
    s.run("begin; update users set name = 'b'; select domain_events.append_event('Note', '1', 'NoteTaken'); prepare transaction 'one'");
    let blocked = "set lock_timeout = '200ms'; select domain_events.append_event('Note', '1', 'NoteTaken')";
    db.owner().error(blocked).expect_code("55P03");
    // It is held across a restart.
    drop(s);
    db.cluster().restart();
    db.owner().error(blocked).expect_code("55P03");
    let mut other = db.owner();
    let pid = other.pid();
    let waiting = thread::spawn(move || {
        other.one("select (domain_events.append_event('Note', '1', 'NoteTaken')).aggregate_version")
    });
    db.wait_until_blocked(pid);
    db.owner().run("commit prepared 'one'");
    assert_eq!(waiting.join().expect("the other session"), "2");
    db.owner().run("begin; update users set name = 'c'; prepare transaction 'two'");
    db.owner().run("rollback prepared 'two'");
    db.owner().run("update users set name = 'd'");
    db.check_table("User", "users");
}

fn t15_logical_apply(db: &Db) {
    let source = Db::on(Cluster::start(&[("wal_level", "logical")]), db.engine);
    let cluster = source.cluster();
    cluster.connect("postgres", "postgres").run("create database target owner app_owner");
    db.engine.install(cluster, "target");
    let tables =
        "create table users (id int primary key, name text); create table orders (id int primary key, name text);
                  select domain_events.enable_capture('users');
                  select domain_events.enable_capture('orders', replication => 'always');";
    source.owner().run(tables);
    cluster.connect("target", "app_owner").run(tables);
    let mut s = source.admin();
    s.run("create publication p for table users, orders");
    s.run("select pg_create_logical_replication_slot('slot', 'pgoutput')");
    let mut target = cluster.connect("target", "postgres");
    target.run(&format!(
        "create subscription sub connection 'host={} port={} dbname={} user=postgres' publication p
           with (create_slot = false, slot_name = 'slot', copy_data = false)",
        cluster.socket_dir().display(),
        cluster.port(),
        source.name
    ));
    s.run("insert into users values (1, 'a'); insert into orders values (1, 'a'); update users set name = 'b'; update orders set name = 'b'");
    s.run("insert into orders values (2, 'a'); delete from orders where id = 2; insert into orders values (3, 'last')");
    let deadline = Instant::now() + Duration::from_secs(30);
    while target.number("select count(*) from orders where id = 3") == 0 {
        assert!(Instant::now() < deadline, "nothing arrives:\n{}", cluster.log());
        thread::sleep(Duration::from_millis(20));
    }
    // 'always' records what the apply worker writes, 'origin' leaves it to the origin.
    assert_eq!(
        target.table("select aggregate_type, aggregate_id, string_agg(event_type, ',' order by aggregate_version) from domain_events.events group by 1, 2 order by 1, 2"),
        "Order|1|OrderCreated,OrderUpdated\nOrder|2|OrderCreated,OrderDeleted\nOrder|3|OrderCreated"
    );
    assert_eq!(target.one("select domain_events.fold_stream('Order', '1')"), "{\"id\": 1, \"name\": \"b\"}");
    source.check_table("User", "users");
    source.check_table("Order", "orders");
    // On the target, a local change goes on from the applied row.
    target.run("update users set name = 'local'");
    assert_eq!(target.one("select domain_events.fold_stream('User', '1')"), "{\"id\": 1, \"name\": \"local\"}");
    target.run("alter subscription sub disable");
    target.run("alter subscription sub set (slot_name = none)");
    target.run("drop subscription sub");
}

/// No event is stored, even for a moment, that is taken back.
fn who_decodes_the_store_sees_each_event_once(db: &Db) {
    let source = Db::on(Cluster::start(&[("wal_level", "logical")]), db.engine);
    let mut s = source.admin();
    s.run("select pg_create_logical_replication_slot('slot', 'test_decoding')");
    let mut s = source.owner();
    s.run(
        "create table users (id int primary key, name text);
         select domain_events.enable_capture('users');
         insert into users select i, 'a' from generate_series(101, 160) as i;
         update users set name = 'b';
         delete from users where id < 130;
         insert into users select i, 'c' from generate_series(101, 160) as i on conflict (id) do update set name = 'd';",
    );
    let decoded = source.admin().table(
        "select split_part(data, ' ', 3), count(*) from pg_logical_slot_get_changes('slot', null, null)
          where data like 'table domain_events.events:%' group by 1 order by 1",
    );
    assert_eq!(decoded, "INSERT:|209");
    source.check_table("User", "users");
    source.admin().run("select pg_drop_replication_slot('slot')");
}

const USE: &str = "create table users (gone int, id int primary key, name text, ssn text);
    alter table users drop column gone;
    select domain_events.enable_capture('users', redact => '{ssn}');
    insert into users values (1, 'a', 'secret-1'), (2, 'b', 'secret-2');
    select domain_events.append_event('Note', '1', 'NoteTaken');";

fn t15_pg_upgrade(db: &Db) {
    let old = Db::on(Cluster::start(&[]), db.engine);
    old.owner().run(USE);
    let all = "select event_id, aggregate_type, aggregate_id, aggregate_version, event_data from domain_events.events order by global_position";
    let before = old.admin().table(all);
    let new = old.copied_to(old.cluster().upgrade());
    assert_eq!(new.admin().table(all), before);
    let mut s = new.owner();
    assert_eq!(s.one("select engine from domain_events.engine()"), db.engine.name());
    assert_eq!(new.admin().table("select * from domain_events.check_infrastructure()"), "");
    s.run("update users set name = 'z', ssn = 'secret-3'; select domain_events.append_event('Note', '1', 'NoteTaken')");
    assert_eq!(
        s.table("select aggregate_type, aggregate_id, max(aggregate_version) from domain_events.events group by 1, 2 order by 1, 2"),
        "Note|1|2\nUser|1|2\nUser|2|2"
    );
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
    new.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
}

fn a_standby_reads_and_refuses_to_write(db: &Db) {
    let primary = Db::on(Cluster::start(&[]), db.engine);
    primary.owner().run(USE);
    let standby = primary.copied_to(primary.cluster().standby());
    let mut s = standby.owner();
    assert_eq!(s.one("select count(*) from domain_events.events"), "3");
    assert_eq!(
        s.one("select domain_events.fold_stream('User', '1')"),
        "{\"id\": 1, \"ssn\": {\"$value\": \"redacted\"}, \"name\": \"a\"}"
    );
    assert_eq!(s.table("select * from domain_events.check_integrity()"), "");
    assert_eq!(s.table("select * from domain_events.check_infrastructure()"), "");
    s.error("select domain_events.append_event('User', '1', 'UserRenamed')").expect_code("25006");
    s.error("select domain_events.append_events('User', '1', '[{\"event_type\": \"A\"}]')").expect_code("25006");
    s.error("select domain_events.next_aggregate_version('User', '1')").expect_code("25006");
    standby.check_versions();
}
