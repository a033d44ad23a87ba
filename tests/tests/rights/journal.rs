//! A member of domain_events_admin writes a journal of its own, and changes nothing in that of others.

use domain_events_tests::{Db, Session, engines};

engines! {
    what_others_wrote_is_not_changed, an_entry_decides_about_ones_own_plans_only, an_ended_captures_type_stays_its_owners,
}

fn admin_of_captures(db: &Db, name: &str) -> (String, Session) {
    let role = db.role(name);
    db.admin().run(&format!("grant domain_events_admin to {role}; create schema {name} authorization {role}"));
    let mut s = db.session(&role);
    s.run(&format!("set search_path = {name}"));
    (role, s)
}

const PLAN: &str = "insert into domain_events.migration_plans (plan_id, state, plan, tool_version) values ('alices', 'applied', '{}', '0')";
const EVENT: &str = "insert into domain_events.repaired_versions (repair_id, event_table, row_key, batch, aggregate_id, old_version, new_version) values ('alices', 'a.log', '1', 1, '1', 1, 2)";

fn entry(plan: &str, number: i32) -> String {
    format!(
        "insert into domain_events.migration_journal (plan_id, entry, action, step, statement, object_kind, object, after_state)
         values ('{plan}', {number}, 'apply', 'x', 'x', 'trigger', 'gone on public.nothing', '{{\"enabled\": \"O\"}}')"
    )
}

fn what_others_wrote_is_not_changed(db: &Db) {
    let (alices, mut alice) = admin_of_captures(db, "alice");
    let (mallorys, mut mallory) = admin_of_captures(db, "mallory");
    let changes = [
        "update domain_events.migration_plans set state = 'rolled_back'".to_owned(),
        "update domain_events.migration_plans set changed_at = now() where plan_id = 'alices'".to_owned(),
        // as the command line writes it
        format!("{PLAN} on conflict (plan_id) do update set state = 'rolled_back'"),
        entry("alices", 7),
        entry("nobodys", 7),
        EVENT.replace("'1', 1,", "'2', 1,"),
        "update domain_events.repaired_versions set repaired_at = now()".to_owned(),
        "update domain_events.repaired_versions set undone_at = now() where repair_id = 'alices'".to_owned(),
    ];
    alice.run(PLAN);
    alice.run(&entry("alices", 1));
    alice.run(EVENT);
    for change in &changes {
        mallory.error(change).expect("42501");
    }
    // of their own they change what they like
    for own in &changes[..3] {
        alice.run(&format!("begin; {own}; rollback"));
    }
    // so does who has the rights of the one that wrote it, and the store's owner
    let store_owner =
        db.admin().one("select pg_get_userbyid(relowner) from pg_class where oid = 'domain_events.events'::regclass");
    for change in changes.iter().filter(|c| !c.contains("nobodys")) {
        db.session(&store_owner).run(&format!("begin; {change}; rollback"));
    }
    db.admin().run(&format!("grant {alices} to {mallorys}"));
    for change in changes.iter().filter(|c| !c.contains("nobodys")) {
        mallory.run(&format!("begin; {change}; rollback"));
    }
    db.check_versions();
}

fn an_entry_decides_about_ones_own_plans_only(db: &Db) {
    let (alices, mut alice) = admin_of_captures(db, "alice");
    let (mallorys, mut mallory) = admin_of_captures(db, "mallory");
    let found = "select string_agg(code || ' ' || substring(detail from 'plan (.*) made'), ',') from domain_events.check_infrastructure() where code = 'ported_trigger_missing'";
    alice.run(PLAN);
    alice.run(&entry("alices", 1));
    assert_eq!(alice.one(found), "ported_trigger_missing alices");
    mallory.run(&PLAN.replace("alices", "mallorys"));
    mallory.run(&entry("mallorys", 1).replace("\"O\"", "\"D\""));
    assert_eq!(alice.one(found), "ported_trigger_missing alices");
    // the last word is with who has her rights
    db.admin().run(&format!("grant {alices} to {mallorys}"));
    assert_eq!(alice.rows(found)[0][0], None);
    db.check_versions();
}

fn an_ended_captures_type_stays_its_owners(db: &Db) {
    let (_, mut alice) = admin_of_captures(db, "alice");
    let (_, mut mallory) = admin_of_captures(db, "mallory");
    mallory.run("create table t (id int primary key, v text)");
    let take = "select domain_events.enable_capture('mallory.t', aggregate_type => 'User')";
    let make = "create table u (id int primary key, v text)";
    let capture = "select domain_events.enable_capture('u', aggregate_type => 'User')";
    let end = "select domain_events.disable_capture('u')";
    for (made, ended) in [
        (make.to_owned(), format!("{end}; drop table u")),
        (
            make.to_owned(),
            "select domain_events.disable_capture('u', keep_triggers => true); drop table u cascade".to_owned(),
        ),
        (
            format!("{make} partition by range (id); create table u1 partition of u for values from (0) to (9)"),
            format!("{end}; drop table u"),
        ),
        (
            format!("{make} partition by range (id); create table u1 partition of u for values from (0) to (9)"),
            format!("drop table u1; select domain_events.follow_partitions('u'); {end}; drop table u"),
        ),
        // dropped, then another of that name is captured as something else
        (
            make.to_owned(),
            format!(
                "drop table u; {make}; select domain_events.enable_capture('u', aggregate_type => 'Other'); {end}; drop table u"
            ),
        ),
    ] {
        alice.run(&made);
        alice.run(capture);
        alice.run("insert into u values (1, 'a')");
        alice.run(&ended);
        mallory.error(take).expect("42501").naming("User");
        // hers go on
        alice.run(make);
        alice.run(capture);
        alice.run("insert into u values (2, 'b')");
        alice.run(&format!("{end}; drop table u"));
        mallory.error(take).expect("42501").naming("User");
    }
    // the store's owner frees the name
    let store_owner =
        db.admin().one("select pg_get_userbyid(relowner) from pg_class where oid = 'domain_events.events'::regclass");
    db.session(&store_owner).run("select domain_events.forget_dropped_tables()");
    mallory.run(take);
    mallory.run("insert into t values (3, 'c')");
    db.check_versions();
}
