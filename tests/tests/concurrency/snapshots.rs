//! A capture that another session changes while a transaction has its snapshot already: that one may be told to retry
//! (40001), and what comes after it goes by the change.

use domain_events_tests::{Db, Failure, Session, engines};

engines! {
    a_resumed_capture_under_an_old_snapshot, a_new_redaction_under_an_old_snapshot, a_pause_behind_an_old_snapshot,
    a_lost_key_behind_an_old_snapshot, a_resumed_capture_of_a_partition_under_an_old_snapshot, a_capture_of_before_the_snapshot_goes_on,
}

/// Session A has a snapshot, B changes the capture, A writes: A goes on, or is told to retry and does.
fn behind(db: &Db, change: &str, writes: &str) -> Session {
    let (mut a, mut b) = (db.owner(), db.owner());
    a.run("begin isolation level repeatable read; select 1");
    b.run(change);
    let written: Result<_, Failure> = a.attempt(writes).and_then(|_| a.attempt("commit"));
    if let Err(failure) = written {
        failure.expect_code("40001");
        a.run("rollback");
        a.run(writes);
    }
    a
}

fn a_resumed_capture_under_an_old_snapshot(db: &Db) {
    db.owner().run(
        "create table r (id int primary key, a int);
         insert into r values (1, 1), (2, 2), (3, 3), (4, 4);
         select domain_events.enable_capture('r', baseline => 'now');
         select domain_events.pause_capture('r');",
    );
    let mut a = behind(
        db,
        "select domain_events.resume_capture('r')",
        "update r set a = 33 where id = 3; insert into r values (10, 1); delete from r where id = 1",
    );
    a.run("update r set a = 34 where id = 3; update r set a = 44 where id = 4; delete from r where id = 2");
    db.check_table("R", "r");
}

/// The captured table has become a partition of another, which is not captured.
fn a_resumed_capture_of_a_partition_under_an_old_snapshot(db: &Db) {
    db.owner().run(
        "create table r (id int primary key, a int); insert into r values (1, 1), (2, 2), (3, 3);
         select domain_events.enable_capture('r', baseline => 'now');
         create table whole (id int primary key, a int) partition by range (id);
         alter table whole attach partition r for values from (0) to (100);
         select domain_events.pause_capture('r');",
    );
    let mut a = behind(db, "select domain_events.resume_capture('r')", "update whole set a = 33 where id = 3");
    a.run("update whole set a = 22 where id = 2; delete from r where id = 1");
    db.check_table("R", "r");
}

fn a_new_redaction_under_an_old_snapshot(db: &Db) {
    db.owner().run(
        "create table r (id int primary key, ssn text);
         insert into r values (3, 'a'), (4, 'b');
         select domain_events.enable_capture('r');",
    );
    let mut a = behind(
        db,
        "begin; select domain_events.disable_capture('r'); select domain_events.enable_capture('r', redact => '{ssn}'); commit",
        "update r set ssn = 'secret 1' where id = 3",
    );
    a.run("update r set ssn = 'secret 2' where id = 4; insert into r values (9, 'secret 3')");
    assert_eq!(a.one("select count(*) from domain_events.events where event_data::text like '%secret%'"), "0");
    db.check_fold("R", "select id::text, to_jsonb(r) || '{\"ssn\": {\"$value\": \"redacted\"}}' from r");
}

fn a_pause_behind_an_old_snapshot(db: &Db) {
    db.owner().run(
        "create table r (id int primary key, a int, b int);
         insert into r values (3, 3, 3), (4, 4, 4);
         select domain_events.enable_capture('r', baseline => 'now');",
    );
    let mut a = behind(
        db,
        "select domain_events.pause_capture('r'); update r set b = 77 where id = 4; select domain_events.resume_capture('r')",
        "update r set a = 33 where id = 3",
    );
    a.run("update r set a = 44 where id = 4; update r set a = 45 where id = 4");
    db.check_table("R", "r");
}

fn a_lost_key_behind_an_old_snapshot(db: &Db) {
    // Not the capture changes, but what its plan was made of: from now on several rows share a stream.
    db.owner().run(
        "create table r (id int primary key, a int);
         select domain_events.enable_capture('r');
         insert into r values (1, 1);",
    );
    let mut a = behind(db, "alter table r drop constraint r_pkey", "update r set a = 2");
    a.run("begin; delete from r; insert into r values (1, 3); delete from r; insert into r values (1, 4); commit");
    db.check_table("R", "r");
}

fn a_capture_of_before_the_snapshot_goes_on(db: &Db) {
    db.owner().run("create table r (id int primary key, a int); select domain_events.enable_capture('r')");
    for level in ["repeatable read", "serializable"] {
        let mut a = db.owner();
        a.run(&format!("begin isolation level {level}; select 1"));
        // Others write meanwhile, also captured rows.
        db.owner().run("insert into r select coalesce(max(id), 0) + 1, 1 from r");
        a.run("insert into r values (100, 1) on conflict (id) do update set a = r.a + 1; commit");
    }
    // A capture that the transaction itself has begun, after its snapshot was taken.
    let mut a = db.owner();
    a.run(
        "begin isolation level repeatable read; select 1;
         create table q (id int primary key, a int); select domain_events.enable_capture('q');
         insert into q values (1, 1);
         select domain_events.pause_capture('q'); select domain_events.resume_capture('q');
         update q set a = 2; alter table q add b int default 1; update q set a = 3; commit",
    );
    db.check_table("R", "r");
    db.check_table("Q", "q");
}
