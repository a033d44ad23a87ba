//! T13: hostile context. Settings anybody can set never break a statement and never leak.

use domain_events_tests::{Db, engines};

engines! {
    t13_empty_after_a_local_setting, t13_broken_settings, t13_an_actor_of_a_megabyte, t13_a_long_role_name, t13_set_role,
    t13_pooled_connections_leak_nothing, t13_settings_of_the_engine_cannot_be_abused, t13_unicode_and_control_characters,
}

const USERS: &str = "create table users (id int primary key, name text);
    select domain_events.enable_capture('users'); insert into users values (1, 'a');";

const LAST: &str =
    "select caused_by, correlation_id, causation_id from domain_events.events order by global_position desc limit 1";

fn t13_empty_after_a_local_setting(db: &Db) {
    let mut s = db.owner();
    s.run(USERS);
    s.run("begin; set local domain_events.actor = 'a'; set local domain_events.metadata = '{\"m\": 1}'; set local domain_events.correlation_id = 'c'; commit");
    assert_eq!(s.one("show domain_events.actor"), "");
    s.run("update users set name = 'b'");
    assert_eq!(s.table(LAST), "app_owner|~|~");
    assert_eq!(s.one("select metadata ? 'm' from domain_events.events order by global_position desc limit 1"), "f");
    db.check_table("User", "users");
}

fn t13_broken_settings(db: &Db) {
    let mut s = db.owner();
    s.run(USERS);
    for (n, metadata) in
        ["{broken", "[]", "1", "\"x\"", "null", "{\"a\":\"\\u0000\"}", "1e999999", "{}", "'", "$$"].iter().enumerate()
    {
        s.run(&format!("set domain_events.metadata = $x${metadata}$x$"));
        s.run(&format!("update users set name = 'n{n}'"));
        s.run(&format!("select domain_events.append_event('Note', '1', 'N{n}')"));
    }
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'User'"), "11");
    assert_eq!(s.one("select bool_and(jsonb_typeof(metadata) = 'object') from domain_events.events"), "t");
    db.check_table("User", "users");
}

fn t13_an_actor_of_a_megabyte(db: &Db) {
    let mut s = db.owner();
    s.run(USERS);
    for name in ["actor", "correlation_id", "causation_id"] {
        s.run(&format!("select set_config('domain_events.{name}', repeat('ä', 500000), false)"));
    }
    s.run("select set_config('domain_events.metadata', jsonb_build_object('k', repeat('ä', 500000))::text, false)");
    s.run("update users set name = 'b'; select domain_events.append_event('Note', '1', 'Noted')");
    assert_eq!(
        s.table(
            "select octet_length(caused_by) between 1000 and 8300, octet_length(correlation_id) between 1000 and 8300,
                    octet_length(causation_id) between 1000 and 8300, octet_length(metadata::text) between 1000 and 9000,
                    caused_by like '%1000000%'
               from domain_events.events order by global_position desc limit 2"
        ),
        "t|t|t|t|t\nt|t|t|t|t"
    );
    db.check_table("User", "users");
}

fn t13_a_long_role_name(db: &Db) {
    let role = format!("{:x<63}", format!("r_{}_", db.name));
    db.admin().run(&format!("create role \"{role}\" login"));
    let mut s = db.owner();
    s.run(USERS);
    s.run(&format!("grant update, select on users to {role}"));
    db.session(&role).run("update users set name = 'b'");
    assert_eq!(s.table(LAST), format!("{role}|~|~"));
    db.check_table("User", "users");
}

fn t13_set_role(db: &Db) {
    let (caller, other) = (db.role("caller"), db.role("other"));
    let mut s = db.owner();
    s.run(USERS);
    s.run(&format!(
        "grant update, select on users to {other};
         create function as_owner() returns void language sql security definer as $$ update users set name = 'd' $$"
    ));
    db.admin().run(&format!("grant {other} to {caller}"));
    let mut c = db.session(&caller);
    c.run(&format!("set role {other}; update users set name = 'c'"));
    // No actor means the session user: SET ROLE and SECURITY DEFINER hide nobody.
    assert_eq!(s.table(LAST), format!("{caller}|~|~"));
    c.run("reset role; select as_owner()");
    assert_eq!(s.table(LAST), format!("{caller}|~|~"));
    db.check_table("User", "users");
}

fn t13_pooled_connections_leak_nothing(db: &Db) {
    let mut s = db.owner();
    s.run(USERS);
    s.run(
        "begin; select domain_events.set_context('ann', 'c1', 'x1', '{\"m\": 1}'); update users set name = 'b'; commit",
    );
    s.run("update users set name = 'c'");
    assert_eq!(s.table(LAST), "app_owner|~|~");
    s.run("begin; select domain_events.set_context('ann'); rollback; update users set name = 'd'");
    assert_eq!(s.table(LAST), "app_owner|~|~");
    s.run("select domain_events.set_context('bob', 'c2', local => false); update users set name = 'e'");
    assert_eq!(s.table(LAST), "bob|c2|~");
    // What is not named is cleared.
    s.run("select domain_events.set_context('eve', local => false); update users set name = 'f'");
    assert_eq!(s.table(LAST), "eve|~|~");
    s.run("discard all");
    s.run("update users set name = 'g'");
    assert_eq!(s.table(LAST), "app_owner|~|~");
    db.check_table("User", "users");
}

fn t13_settings_of_the_engine_cannot_be_abused(db: &Db) {
    let user = db.role("user");
    let mut s = db.owner();
    s.run(USERS);
    s.run(&format!("grant all on users to {user}"));
    let mut u = db.session(&user);
    for setting in ["disabled", "enabled", "capture", "skip", "_held", "_probe", "override", "recording", "_paused"] {
        for value in ["on", "off", "true", "1", "999999999999", "-1", "garbage", ""] {
            u.run(&format!("set domain_events.{setting} = '{value}'"));
        }
    }
    u.run("update users set name = 'b'; insert into users values (2, 'x')");
    u.error("set session_replication_role = replica").expect_code("42501");
    assert_eq!(s.one("select count(*) from domain_events.events"), "3");
    db.check_table("User", "users");
}

fn t13_unicode_and_control_characters(db: &Db) {
    let mut s = db.owner();
    s.run(USERS);
    s.run("select domain_events.set_context(E'a\\nb\\t\"\\\\\\x01ä😀''', local => false)");
    s.run("update users set name = E'\\x01\\n\"\\\\😀'");
    assert_eq!(s.one("select caused_by = E'a\\nb\\t\"\\\\\\x01ä😀''' from domain_events.events order by global_position desc limit 1"), "t");
    db.check_table("User", "users");
}
