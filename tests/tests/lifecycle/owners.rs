//! Captured tables that are dropped, or get another owner: nothing of the capture keeps a role from being dropped, or the new owner
//! from using the table.

use domain_events_tests::{Db, Engine, all_engines};

all_engines! {
    a_dropped_table_leaves_no_right, a_partitioned_table_may_change_its_owner, what_was_dropped_is_forgotten_on_request,
}

const TABLES: &str = "create table {s}.p (id int primary key, n int) partition by range (id); create table {s}.p1 partition of {s}.p for values from (0) to (10);
    create table {s}.t (id int primary key, n int);
    select domain_events.enable_capture('{s}.p', '{s}P'), domain_events.enable_capture('{s}.t', '{s}T');
    insert into {s}.p values (1, 1); insert into {s}.t values (1, 1);";

fn has_event_triggers(db: &Db) -> bool {
    db.engine != Engine::Portable
}

fn with_tables(db: &Db, name: &str) -> String {
    let role = db.role(name);
    db.admin().run(&format!("grant domain_events_admin to {role}; create schema {role} authorization {role}"));
    db.session(&role).run(&TABLES.replace("{s}", &role));
    role
}

fn a_dropped_table_leaves_no_right(db: &Db) {
    for (n, drop) in [
        "drop table {r}.p; drop table {r}.t; drop schema {r}",
        "drop schema {r} cascade",
        "drop owned by {r} cascade",
        "drop table {r}.p, {r}.t; drop owned by {r}",
    ]
    .iter()
    .enumerate()
    {
        let role = with_tables(db, &format!("owner{n}"));
        let mut admin = db.admin();
        admin.run(&drop.replace("{r}", &role));
        if !has_event_triggers(db) && !drop.contains("owned") {
            assert!(
                admin
                    .table("select code, object from domain_events.check_infrastructure()")
                    .contains("capture_grant_outdated"),
                "{drop}: nothing is told"
            );
            db.owner().run("select domain_events.forget_dropped_tables()");
        }
        admin.run(&format!("revoke domain_events_admin from {role}; drop role {role}"));
    }
    db.check_versions();
}

fn a_partitioned_table_may_change_its_owner(db: &Db) {
    for (n, change) in [
        "alter table {r}.p owner to {new}; alter table {r}.p1 owner to {new}; alter table {r}.t owner to {new}; drop schema if exists nothing; alter schema {r} owner to {new}",
        "reassign owned by {r} to {new}; drop owned by {r}",
    ]
    .iter()
    .enumerate()
    {
        let role = with_tables(db, &format!("old{n}"));
        let new = db.role(&format!("new{n}"));
        let mut admin = db.admin();
        admin.run(&change.replace("{r}", &role).replace("{new}", &new));
        if !has_event_triggers(db) {
            assert!(
                admin.table("select code from domain_events.check_infrastructure()").contains("capture_grant_outdated"),
                "{change}: nothing is told"
            );
            admin.run(&format!("select domain_events.follow_partitions('{role}.p')"));
        }
        db.session(&new).run(&format!(
            "create table {role}.p2 partition of {role}.p for values from (10) to (20); insert into {role}.p values (2, 1), (11, 1); update {role}.p set n = 2;
             create table {role}.p3 (id int primary key, n int); alter table {role}.p attach partition {role}.p3 for values from (20) to (30);
             insert into {role}.p3 values (21, 1); insert into {role}.t values (2, 1); truncate {role}.p1; alter table {role}.p detach partition {role}.p2"
        ));
        admin.run(&format!("select domain_events.follow_partitions('{role}.p')"));
        db.check_table(&format!("{role}P"), &format!("{role}.p"));
        db.check_table(&format!("{role}T"), &format!("{role}.t"));
        admin.run(&format!("revoke domain_events_admin from {role}; drop role {role}"));
        assert_eq!(admin.table("select code from domain_events.check_infrastructure()"), "");
        admin.run(&format!("drop schema {role} cascade; select domain_events.forget_dropped_tables(); drop role {new}"));
    }
}

fn what_was_dropped_is_forgotten_on_request(db: &Db) {
    let role = with_tables(db, "owner");
    let mut admin = db.admin();
    admin.run(&format!("drop schema {role} cascade"));
    assert!(admin.table("select code from domain_events.check_infrastructure()").contains("captured_table_missing"));
    db.session(&role).error("select domain_events.forget_dropped_tables()").expect_code("42501");
    assert_eq!(admin.one("select domain_events.forget_dropped_tables()"), "2");
    assert_eq!(admin.table("select code from domain_events.check_infrastructure()"), "");
    assert_eq!(admin.one("select count(*) from pg_proc where proname ~ '^capture_[0-9]'"), "0");
    assert_eq!(admin.one("select domain_events.forget_dropped_tables()"), "0");
    admin.run(&format!("drop role {role}"));
    db.check_versions();
}
