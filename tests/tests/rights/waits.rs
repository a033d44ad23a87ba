//! Nobody's command or check waits for, or fails by, what another owner has done to a captured table or leaves open.

use domain_events_tests::{Db, Session, engines};

engines! {
    nobody_waits_for_a_captured_table, what_was_held_is_followed_later, a_capture_in_a_closed_schema_ends_no_check,
    a_dropped_tables_capture_goes_on_for_its_owner_alone, an_advisory_lock_holds_no_registration, an_open_raise_alerts_is_told,
}

/// An administrator of captures with a schema that nobody else may use.
fn neighbour(db: &Db, schema: &str) -> (String, Session) {
    let name = db.role(schema);
    db.admin().run(&format!("grant domain_events_admin to {name}; create schema {schema} authorization {name}"));
    let mut s = db.session(&name);
    s.run(&format!("set search_path = {schema}"));
    (name, s)
}

/// As a session of pg_dump's scripts is set up, in which nothing follows.
const RESTORING: &str = "set check_function_bodies = off; set row_security = off; set client_min_messages = warning";
const RESTORED: &str = "reset check_function_bodies; reset row_security; reset client_min_messages";

/// What somebody who is not concerned does, each in less than the time that they have.
fn go_on(db: &Db, reader: &str, case: &str) {
    let mut owner = db.owner();
    let mut reads = db.session(reader);
    owner.run("set statement_timeout = '3s'");
    reads.run("set statement_timeout = '3s'");
    for sql in [
        "create temp table x (id int)",
        "create table bystander (id int)",
        "alter table bystander add v int",
        "create table bystander_copy as table bystander",
        "create type of_nobody as (a int)",
        "alter type of_nobody add attribute b int",
        "drop table bystander, bystander_copy",
        "drop type of_nobody",
        "select domain_events.check_infrastructure()",
    ] {
        if let Err(failure) = owner.attempt(sql) {
            panic!("{case}: {sql}: {failure:?}");
        }
    }
    for sql in ["select domain_events.check_infrastructure()", "select domain_events.raise_alerts()"] {
        if let Err(failure) = reads.attempt(sql) {
            panic!("{case}: {sql}: {failure:?}");
        }
    }
    db.admin().run("set statement_timeout = '3s'; select domain_events.grant_privileges()");
}

fn nobody_waits_for_a_captured_table(db: &Db) {
    let (_, mut near) = neighbour(db, "near");
    let reader = db.role("reader");
    db.admin().run(&format!("grant domain_events_reader to {reader}"));
    near.run(
        "create table t (id int primary key); select domain_events.enable_capture('t', aggregate_type => 'T');
         create table p (id int primary key) partition by range (id); create table p1 partition of p for values from (0) to (10);
         create table p2 (id int primary key); select domain_events.enable_capture('p', aggregate_type => 'P');
         insert into domain_events.commands (target, verb) values ('t', 'open capture')",
    );
    near.run(RESTORING);
    near.run("alter table t rename to renamed; alter table p attach partition p2 for values from (10) to (20)");
    near.run(RESTORED);
    for held in [
        "lock table p1 in access exclusive mode",
        "lock table p in access exclusive mode",
        "lock table p2 in access exclusive mode",
        "truncate p2",
        "insert into p1 values (1)",
        "drop table p1",
        "alter table p detach partition p1",
        "select domain_events.pause_capture('renamed')",
        "select domain_events.pause_capture('p')",
        "select domain_events.disable_capture('renamed')",
        "insert into domain_events.commands (target, verb) values ('renamed', 'open capture')",
        "insert into domain_events.commands (target, verb) values ('renamed', 'seal capture')",
        "alter table renamed rename to t",
    ] {
        near.run("begin");
        near.run(held);
        go_on(db, &reader, held);
        near.run("rollback");
    }
    db.check_versions();
}

fn what_was_held_is_followed_later(db: &Db) {
    let (_, mut near) = neighbour(db, "near");
    near.run(
        "create table t (id int primary key); select domain_events.enable_capture('t', aggregate_type => 'T');
         insert into domain_events.commands (target, verb) values ('t', 'open capture')",
    );
    near.run(RESTORING);
    near.run("alter table t rename to renamed");
    near.run(RESTORED);
    near.run("begin; select domain_events.pause_capture('renamed'); insert into domain_events.commands (target, verb) values ('renamed', 'open capture')");
    let mut owner = db.owner();
    owner.run("set statement_timeout = '3s'; create table bystander (id int); drop table bystander");
    near.run("commit");
    let mut admin = db.admin();
    let name = "select table_name from domain_events.capture_config";
    let granted = "select count(*) from domain_events._outdated_grants()";
    assert_eq!(admin.one(name), "near.t");
    assert_eq!(admin.one(granted), "1");
    if admin.one("select count(*) from pg_event_trigger") == "0" {
        return;
    }
    owner.run("create table bystander (id int); drop table bystander");
    assert_eq!(admin.one(name), "near.renamed");
    assert_eq!(admin.one(granted), "0");
    db.check_versions();
}

fn a_capture_in_a_closed_schema_ends_no_check(db: &Db) {
    let (_, mut near) = neighbour(db, "near");
    let reader = db.role("reader");
    let mut admin = db.admin();
    admin.run(&format!("grant domain_events_reader to {reader}"));
    near.run(
        "create table t (id int primary key); select domain_events.enable_capture('t');
         create table \"T's \"\" . ü\" (id int primary key) partition by range (id);
         create table part partition of \"T's \"\" . ü\" for values from (0) to (10);
         select domain_events.enable_capture('\"T''s \"\" . ü\"', aggregate_type => 'U')",
    );
    let mut reads = db.session(&reader);
    let codes = "select coalesce(string_agg(distinct f.code, ' '), '') from domain_events.check_infrastructure() as f where f.code like 'capture%'";
    assert_eq!(reads.one(codes), "");
    reads.run("select domain_events.raise_alerts()");
    near.run("drop table t, \"T's \"\" . ü\"");
    assert!(reads.one(codes).ends_with("captured_table_missing"));
    reads.run("select domain_events.raise_alerts()");
    // the store's owner needs no right on the schema either: the function runs with theirs
    let store_owner =
        admin.one("select pg_get_userbyid(relowner) from pg_class where oid = 'domain_events.events'::regclass");
    assert_eq!(db.session(&store_owner).one("select domain_events.forget_dropped_tables()"), "2");
    assert_eq!(reads.one(codes), "");
    db.check_versions();
}

fn a_dropped_tables_capture_goes_on_for_its_owner_alone(db: &Db) {
    let (name, mut alice) = neighbour(db, "alice");
    let (other, mut mallory) = neighbour(db, "mallory");
    let mut admin = db.admin();
    admin.run(&format!("create schema common; grant usage, create on schema common to {name}, {other}"));
    let make = "create table common.users (id int primary key, name text)";
    alice.run(make);
    alice.run("select domain_events.enable_capture('common.users', aggregate_type => 'User'); insert into common.users values (1, 'a'), (2, 'b'); drop table common.users");
    // all that is left of it for others is its name
    mallory.run("create table common.mine (id int primary key); select domain_events.enable_capture('common.mine', aggregate_type => 'Mine')");
    let id = mallory.one("select capture_id from domain_events.capture_config where aggregate_type = 'Mine'");
    let trigger = format!(
        "create trigger \" domain_events_capture\" after insert or update or delete on common.users for each row execute function domain_events.capture_{id}()"
    );
    for kind in ["", " partition by range (id)"] {
        mallory.run(&format!("{make}{kind}"));
        if !kind.is_empty() {
            mallory.run("create table common.part partition of common.users for values from (0) to (10)");
        }
        mallory.run("insert into domain_events.commands (target, verb) values ('common.mine', 'open capture')");
        mallory.run(&trigger);
        mallory.run("insert into common.users values (1, 'forged'); update common.users set name = 'x'; delete from common.users; truncate common.users");
        mallory.error("select domain_events.tell_rows('common.users')").expect("42704");
        mallory
            .error("insert into domain_events.commands (target, verb) values ('common.users', 'open capture')")
            .expect("42704");
        mallory.run("insert into domain_events.commands (target, verb) values ('common.users', 'find capture')");
        mallory.error("select domain_events.enable_capture('common.users', aggregate_type => 'Other')").expect("42710");
        assert_eq!(
            admin.one("select count(*) from domain_events.capture_config c join pg_class r on r.oid = c.relation"),
            "1"
        );
        admin.run("create table public.bystander (id int); drop table public.bystander");
        assert_eq!(admin.one("select string_agg(distinct f.code, ' ') from domain_events.check_infrastructure() as f where f.code like 'captured%'"), "captured_table_missing");
        mallory.run("drop table common.users");
    }
    assert_eq!(admin.one("select count(*) from domain_events.events where aggregate_type = 'User'"), "2");
    // its owner's goes on
    alice.run(make);
    alice.run("select domain_events.enable_capture('common.users', aggregate_type => 'User'); insert into common.users values (3, 'c')");
    assert_eq!(admin.one("select count(*) from domain_events.events where aggregate_type = 'User'"), "3");
    db.check_versions();
}

fn an_advisory_lock_holds_no_registration(db: &Db) {
    let (_, mut near) = neighbour(db, "near");
    near.run("create table t (id int primary key); create table u (id int primary key); begin; select domain_events.enable_capture('t')");
    // anybody sees the keys, and takes them as soon as they are free
    let nobody = db.role("nobody");
    let mut holds = db.session(&nobody);
    let keys = holds.rows(
        "select (l.classid::bigint << 32) | l.objid::bigint from pg_locks l where l.locktype = 'advisory' and l.objsubid = 1
            and l.database = (select d.oid from pg_database d where d.datname = current_database())",
    );
    near.run("commit");
    for key in &keys {
        holds.run(&format!("select pg_advisory_lock({})", key[0].as_deref().unwrap()));
    }
    near.run("set statement_timeout = '5s'; select domain_events.enable_capture('u'); select domain_events.pause_capture('u'); select domain_events.resume_capture('u'); select domain_events.disable_capture('u')");
    db.check_versions();
}

fn an_open_raise_alerts_is_told(db: &Db) {
    let reader = db.role("reader");
    let mut admin = db.admin();
    admin.run(&format!("grant domain_events_reader to {reader}"));
    let mut open = db.session(&reader);
    open.run("begin; select domain_events.raise_alerts()");
    admin.run("set statement_timeout = '20s'");
    admin.error("select domain_events.raise_alerts()").expect("55P03").naming(&open.pid().to_string());
    // a shorter patience is the caller's own
    admin.run("set lock_timeout = '100ms'");
    admin.error("select domain_events.raise_alerts()").expect("55P03");
    open.run("commit");
    admin.run("select domain_events.raise_alerts()");
    db.check_versions();
}
