//! Events are not dropped by the way.

use domain_events_tests::{Db, Engine};

fn with_an_event(engine: Engine) -> Db {
    let db = Db::new(engine);
    db.owner().run("select domain_events.append_event('User', '1', 'UserCreated')");
    db
}

#[test]
fn native_drops_are_refused_while_events_exist() {
    let db = with_an_event(Engine::Native);
    let mut s = db.admin();
    for sql in [
        "drop extension pg_domain_events",
        "drop extension pg_domain_events cascade",
        "drop schema domain_events",
        "drop schema domain_events cascade",
        "drop schema if exists public, domain_events cascade",
        "do $$ begin execute 'drop ' || 'extension pg_domain_' || 'events cascade'; end $$",
        "do $$ begin execute 'drop ' || 'schema domain_' || 'events cascade'; end $$",
        "drop table domain_events.events",
        "drop table domain_events.events cascade",
        "drop trigger events_append_only on domain_events.events",
        "drop owned by postgres cascade",
    ] {
        let failure = s.error(sql);
        assert!(["2BP01", "23001"].contains(&&*failure.code), "{sql}: {failure}");
    }
    assert_eq!(s.one("select count(*) from domain_events.events"), "1");
    db.owner().run("select domain_events.append_event('User', '1', 'UserRenamed')");
    db.check_versions();
}

#[test]
fn an_empty_native_store_can_be_dropped_and_created_again() {
    let db = Db::new(Engine::Native);
    let mut s = db.admin();
    s.run("drop extension pg_domain_events");
    s.run("drop schema if exists domain_events");
    assert_eq!(s.one("select count(*) from pg_namespace where nspname = 'domain_events'"), "0");
    assert_eq!(s.one("select count(*) from pg_event_trigger"), "0");
    s.run("create extension pg_domain_events; select domain_events.append_event('User', '1', 'UserCreated')");
    db.check_versions();
}

#[test]
fn an_empty_native_store_with_captures_can_be_dropped() {
    let db = Db::new(Engine::Native);
    db.owner().run("create table users (id int primary key); select domain_events.enable_capture('users')");
    let mut s = db.admin();
    // The users' triggers depend on it: said without CASCADE, taken along with it.
    s.error("drop extension pg_domain_events").expect_code("2BP01");
    s.run("drop extension pg_domain_events cascade; drop schema if exists domain_events cascade");
    db.owner().run("insert into users values (1)");
    assert_eq!(s.one("select count(*) from pg_trigger where tgrelid = 'users'::regclass and not tgisinternal"), "0");
}

#[test]
fn portable_drops_are_refused_while_events_exist() {
    for (engine, user) in [(Engine::PortableSuper, "postgres"), (Engine::Portable, "app_owner")] {
        let db = with_an_event(engine);
        let mut s = db.session(user);
        s.error("drop schema domain_events").expect_code("2BP01");
        assert_eq!(s.one("select count(*) from domain_events.events"), "1");
        if engine == Engine::PortableSuper {
            for sql in [
                "drop schema domain_events cascade",
                "drop table domain_events.events cascade",
                "drop trigger events_append_only on domain_events.events",
            ] {
                let failure = s.error(sql);
                assert!(["2BP01", "23001"].contains(&&*failure.code), "{sql}: {failure}");
            }
        }
        assert_eq!(s.one("select count(*) from domain_events.events"), "1");
    }
}

#[test]
fn other_schemas_are_dropped_as_ever() {
    let db = with_an_event(Engine::Native);
    db.admin().run(
        "create schema mine; create table mine.domain_events (a int); create table mine.events (id int primary key);
         select domain_events.enable_capture('mine.events', 'Mine');
         drop schema mine cascade; create table events (a int); drop table events;",
    );
    db.check_versions();
}
