//! What the owner of one captured table can do to the tables, streams and captures of the others: nothing.

use std::thread;

use domain_events_tests::{Db, Session, engines};

engines! {
    a_reader_is_looked_at_again_after_waiting, a_type_is_shared_within_one_owner, a_dropped_tables_capture_waits_for_its_owner,
    an_open_registration_holds_nobody, a_capture_that_cannot_follow_holds_nobody, foreign_partitions_are_partitions, types_within_types_are_looked_at_once, the_way_identifiers_are_written_is_no_way_in,
}

/// An administrator of captures with a schema of their own.
fn neighbour(db: &Db) -> (String, Session) {
    let name = db.role("neighbour");
    db.admin().run(&format!(
        "grant domain_events_admin, domain_events_writer to {name}; grant create on database {} to {name}",
        db.name
    ));
    let mut s = db.session(&name);
    s.run("create schema near; set search_path = near");
    (name, s)
}

fn a_reader_is_looked_at_again_after_waiting(db: &Db) {
    let (_, mut owner) = neighbour(db);
    owner.run(
        "create table log (t text, id text, v int, unique (t, id, v)); insert into log values ('A', '1', 1);
         select domain_events.register_event_table('near.log', 't', 'id', 'v')",
    );
    let next = "select domain_events.next_aggregate_version('A', '1', 'near.log')";
    for swapped in [false, true] {
        owner.run("begin");
        assert_eq!(owner.number(next), 2);
        let mut waiting = db.admin();
        let pid = waiting.pid();
        let asked = thread::spawn(move || waiting.attempt(next));
        db.wait_until_blocked(pid);
        if swapped {
            let mut meanwhile = db.session(&owner.one("select current_user"));
            meanwhile.run(
                "create table near.calls (who name); grant all on near.calls to public;
                 create or replace function near.log_newest_version(oid, text[], int) returns bigint language plpgsql security invoker
                 as $$ begin insert into near.calls values (current_user); return 5; end $$",
            );
        }
        owner.run("commit");
        let answer = asked.join().unwrap();
        if swapped {
            answer.unwrap_err().expect("55000").naming("register");
            assert_eq!(owner.one("select count(*) from near.calls"), "0");
        } else {
            assert_eq!(answer.unwrap()[0][0].as_deref(), Some("2"));
        }
    }
}

fn a_type_is_shared_within_one_owner(db: &Db) {
    let (name, mut near) = neighbour(db);
    let mut owner = db.owner();
    owner.run(
        "create table rows (id int primary key, v text); select domain_events.enable_capture('rows', aggregate_type => 'Row'); insert into rows values (1, 'a');
         create table more (id int primary key, v text); select domain_events.enable_capture('more', aggregate_type => 'Row')",
    );
    near.run("create table t (id int primary key, v text)");
    let share = "select domain_events.enable_capture('near.t', aggregate_type => 'Row')";
    near.error(share).expect("42501").naming("Row");
    // nor once it is captured no more: its streams are there
    owner.run("select domain_events.disable_capture('rows'); select domain_events.disable_capture('more')");
    near.error(share).expect("42501").naming("Row");
    near.run(
        "select domain_events.enable_capture('near.t', aggregate_type => 'Near'); insert into near.t values (1, 'b')",
    );
    // whose owner has the rights of the other's may
    let other = owner.one("select tableowner from pg_tables where tablename = 'rows'");
    near.run("select domain_events.disable_capture('near.t')");
    db.admin().run(&format!("grant \"{other}\" to {name}"));
    near.run(share);
    near.run("insert into near.t values (2, 'c')");
    db.check_versions();
}

fn a_dropped_tables_capture_waits_for_its_owner(db: &Db) {
    let (_, mut near) = neighbour(db);
    let mut owner = db.owner();
    let make = "create table rows (id int primary key, secret text)";
    owner.run(make);
    owner.run(
        "select domain_events.enable_capture('rows', aggregate_type => 'Row', redact => '{secret}'); drop table rows",
    );
    near.run("create table t (id int primary key)");
    near.error("select domain_events.enable_capture('near.t', aggregate_type => 'Row')").expect("42710").naming("Row");
    near.run("select domain_events.enable_capture('near.t', aggregate_type => 'Near')");
    assert_eq!(owner.one("select count(*) from domain_events.capture_config where aggregate_type = 'Row'"), "1");
    // its owner puts another in its place
    owner.run(make);
    owner.run("select domain_events.enable_capture('rows', aggregate_type => 'Row'); insert into rows values (1, 'x')");
    owner.run("drop table rows");
    db.admin().run("select domain_events.forget_dropped_tables()");
    near.run("select domain_events.disable_capture('near.t'); select domain_events.enable_capture('near.t', aggregate_type => 'Row'); insert into near.t values (1)");
    db.check_versions();
}

fn an_open_registration_holds_nobody(db: &Db) {
    let (_, mut near) = neighbour(db);
    let mut owner = db.owner();
    owner.run(
        "create table rows (id int primary key, v text); select domain_events.enable_capture('rows', aggregate_type => 'Row')",
    );
    near.run("create table t (id int primary key); begin; select domain_events.enable_capture('near.t', aggregate_type => 'Near')");
    owner.run(
        "set lock_timeout = '2s'; create table other (id int); alter table rows add w int; insert into rows values (1, 'a', 2);
         truncate rows; alter table rows rename v to x; insert into rows values (1, 'a', 2)",
    );
    near.run("commit");
    owner.run("drop table rows, other");
}

fn a_capture_that_cannot_follow_holds_nobody(db: &Db) {
    let (_, mut near) = neighbour(db);
    let mut owner = db.owner();
    near.run(
        "create table p (id int primary key) partition by range (id); select domain_events.enable_capture('near.p', aggregate_type => 'P');
         create table part (id int primary key);
         create function in_the_way() returns trigger language plpgsql as 'begin return null; end'",
    );
    let id = db.admin().one("select capture_id from domain_events.capture_config");
    let trigger = format!("\" domain_events_truncate_{id}\"");
    near.run(&format!(
        "create trigger {trigger} after truncate on part for each statement execute function in_the_way();
         set check_function_bodies = off; set row_security = off; set client_min_messages = warning;
         alter table p attach partition part for values from (0) to (10); reset check_function_bodies; reset row_security"
    ));
    owner.run("create table other (id int); alter table other add v int; drop table other");
    // it is its owner's own command that fails
    let follows = owner.one("select count(*) from pg_event_trigger") != "0";
    if follows {
        near.error("create table more partition of p for values from (10) to (20)").expect_code("42710");
    }
    near.run(&format!("alter trigger {trigger} on part rename to elsewhere; create table more partition of p for values from (10) to (20); select domain_events.follow_partitions('near.p')"));
    near.run("insert into p values (1), (11)");
    db.check_versions();
}

fn foreign_partitions_are_partitions(db: &Db) {
    let (name, mut near) = neighbour(db);
    db.admin().run(&format!(
        "create foreign data wrapper nothing; create server nowhere foreign data wrapper nothing; grant usage on foreign server nowhere to {name}"
    ));
    near.run(
        "create table k (id int, v text) partition by list (id); create table k2 partition of k for values in (2);
         select domain_events.enable_capture('near.k', aggregate_type => 'K', aggregate_id => '{id}');
         create foreign table fp partition of k for values in (1) server nowhere; select domain_events.follow_partitions('near.k')",
    );
    db.owner().run("create table other (id int); drop table other");
    near.run("insert into k values (2, 'a'); alter table k detach partition fp; drop foreign table fp");
    db.check_versions();
}

fn types_within_types_are_looked_at_once(db: &Db) {
    let mut owner = db.owner();
    owner.run("create type t0 as (a int, b int)");
    // PostgreSQL itself looks at every way to a type when a column is made of it
    for n in 1..=16 {
        owner.run(&format!("create type t{n} as (a t{}, b t{}[])", n - 1, n - 1));
    }
    owner.run(
        "set statement_timeout = '10s'; create table deep (id int primary key, v t16);
         select domain_events.enable_capture('deep', aggregate_type => 'Deep'); insert into deep values (1, null);
         alter table deep add w int; update deep set w = 1",
    );
    db.check_versions();
}

/// A setting of the session changes how PostgreSQL writes names, and nothing about what is refused.
fn the_way_identifiers_are_written_is_no_way_in(db: &Db) {
    let mut owner = db.owner();
    owner.run("create table rows (id int primary key, v text); select domain_events.enable_capture('rows', aggregate_type => 'Row'); insert into rows values (1, 'a')");
    let mut owner = db.admin();
    owner.run("set quote_all_identifiers = on");
    owner.error("select domain_events.enable_capture('domain_events.capture_failures')").expect_code("42809");
    owner.error("delete from domain_events.events").expect_code("23001");
    if owner.one("select count(*) from pg_event_trigger") != "0" {
        for statement in [
            "drop trigger events_append_only on domain_events.events",
            "drop function domain_events._guard_table() cascade",
            "drop function domain_events._follow_ddl() cascade",
            "drop trigger \" domain_events_capture\" on rows",
        ] {
            // what belongs to an extension is not dropped alone in any case
            let refused = owner.error(statement);
            assert!(["23001", "2BP01"].contains(&refused.code.as_str()), "{statement}: {refused}");
        }
    }
    owner.run("alter table rows rename to \"Rows\"; insert into \"Rows\" values (2, 'b'); select domain_events.disable_capture('\"Rows\"')");
    owner.run("select domain_events.enable_capture('\"Rows\"', aggregate_type => 'Row')");
    db.check_versions();
}
