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

/// A store of a superuser, whose event triggers refuse what they see.
fn guarded() -> [Db; 2] {
    [with_an_event(Engine::PortableSuper), with_an_event(Engine::Native)]
}

#[test]
fn what_only_looks_like_dropping_the_store_is_done() {
    for db in guarded() {
        let mut s = db.admin();
        for sql in [
            "create schema \"old-domain_events\"; drop schema \"old-domain_events\"",
            "create schema zz; drop schema zz /* domain_events is kept */",
            "create schema zz; drop schema zz -- , domain_events\n",
            "create schema a; create schema domain_events_; drop schema if exists a, domain_events_ cascade",
            "create table domain_events_notes (id int); drop table domain_events_notes",
            "create schema a; do $$ begin raise notice 'drop schema domain_events'; drop schema a; end $$",
            "begin; create schema a; drop schema a; create schema a; drop schema a; alter table domain_events.events set (fillfactor = 90); commit",
            "create function public.f() returns int language sql as 'select 1'; drop function public.f()",
            "alter schema domain_events owner to postgres",
            "create schema q; alter schema q rename to q2; drop schema q2",
        ] {
            s.run(sql);
        }
        assert_eq!(s.one("select count(*) from pg_cursors"), "0", "nothing is left in use");
        let role = db.role("leaver");
        s.run(&format!("create schema authorization {role}; drop owned by {role}"));
        db.check_versions();
    }
}

#[test]
fn dropping_the_store_is_refused_however_it_is_said() {
    for db in guarded() {
        let mut s = db.admin();
        s.run("create table users (id int primary key); select domain_events.enable_capture('users')");
        let holder = db.role("holder");
        s.run(&format!("alter role {holder} superuser; alter schema domain_events owner to {holder}"));
        for sql in [
            "drop schema domain_events cascade",
            "drop schema \"domain_events\" cascade",
            "drop schema if exists zz, Domain_Events cascade",
            "drop schema /* not this */ domain_events -- nor that\n cascade",
            "do $$ begin drop schema domain_events cascade; end $$",
            "do $$ begin execute 'drop schema domain_events cascade'; end $$",
            "do $$ begin execute 'drop ' || 'schema domain_' || 'events cascade'; end $$",
            &format!("drop owned by {holder} cascade"),
            "drop table domain_events.events cascade",
            "drop trigger events_append_only on domain_events.events",
            "drop function domain_events._refuse_change() cascade",
            "drop routine domain_events._refuse_change() cascade",
            "drop function domain_events._guard_drop() cascade",
            "drop function domain_events._guard_hold() cascade",
            "drop function domain_events._guard_table() cascade",
            "drop function domain_events._guard_schema() cascade",
            "drop function domain_events._follow_ddl() cascade",
            "drop function domain_events.capture_1() cascade",
            "alter schema domain_events rename to other",
            "do $$ begin execute 'alter schema domain_' || 'events rename to other'; end $$",
        ] {
            let failure = s.error(sql);
            assert!(["2BP01", "23001", "55006"].contains(&&*failure.code), "{sql}: {failure}");
            assert_eq!(s.one("select count(*) from domain_events.events"), "1", "{sql}");
        }
        s.run("alter schema domain_events owner to postgres");
        assert_eq!(s.table("select code, object from domain_events.check_infrastructure()"), "");
        db.check_versions();
    }
}

#[test]
fn what_cannot_be_refused_is_found() {
    for db in guarded() {
        let mut s = db.admin();
        for (sql, code) in [
            ("alter event trigger domain_events_at_rename disable", "event_trigger_missing"),
            ("alter event trigger domain_events_guard_hold disable", "event_trigger_missing"),
            ("alter table domain_events.events disable trigger events_append_only", "append_only_disabled"),
            ("alter function domain_events._guard_table() rename to guard_table", "function_missing"),
            ("alter function domain_events._guard_hold() set row_security = off", "function_altered"),
        ] {
            s.run("begin");
            s.run(sql);
            let found = s.table("select code from domain_events.check_infrastructure()");
            s.run("rollback");
            assert!(found.contains(code), "{sql}: {found}");
        }
        if db.engine == Engine::PortableSuper {
            s.run("begin; drop function domain_events._guard_table(), domain_events._guard_schema() cascade");
            let found = s.table("select code from domain_events.check_infrastructure()");
            s.run("rollback");
            assert!(found.contains("function_missing") && found.contains("event_trigger_missing"), "{found}");
        }
        db.check_versions();
    }
}
