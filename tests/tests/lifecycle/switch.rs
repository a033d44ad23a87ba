//! Portable to native and back: the same store, events and captures.

use domain_events_tests::{Db, Engine, Session};

const NATIVE: &str =
    "create extension pg_domain_events version 'portable'; alter extension pg_domain_events update to '0.1.0'";

/// Something of everything that has to survive.
fn use_store(db: &Db) {
    db.owner().run(
        "create table users (id int primary key, name text, ssn text, n int);
         create table orders (id int, line int, n int, primary key (id, line));
         create table log (type text, id text, version bigint, unique (type, id, version));
         insert into log values ('User', '1', 4);
         select domain_events.register_event_table('log', 'type', 'id', 'version');
         select domain_events.enable_capture('users', redact => '{ssn}', event_types => '[{\"on\": \"delete\", \"type\": \"UserLeft\"}]');
         select domain_events.enable_capture('orders', event_name_style => 'dotted', on_failure => 'abort');
         insert into users values (1, 'a', 'secret-1', 1), (2, 'b', 'secret-2', 1);
         insert into orders values (1, 1, 1);
         update users set n = 2;
         select domain_events.pause_capture('orders');
         update orders set n = 2;
         select domain_events.append_event('Note', '1', 'NoteTaken');",
    );
}

fn go_on(db: &Db) {
    let mut s = db.owner();
    s.run(
        "update users set name = name || '!', ssn = 'secret-3';
         delete from users where id = 2; insert into users values (2, 'c', 'secret-4', 1);
         select domain_events.append_event('Note', '1', 'NoteTaken');
         insert into log values ('User', '1', domain_events.next_aggregate_version('User', '1', 'log'));",
    );
    assert_eq!(s.one("select count(*) from domain_events.events where events::text like '%secret%'"), "0");
    assert_eq!(s.one("select state from domain_events.captures where target = 'orders'::regclass"), "paused");
    db.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
}

fn engine(s: &mut Session) -> String {
    s.one("select engine from domain_events.engine()")
}

fn there_and_back(db: &Db) {
    use_store(db);
    go_on(db);
    let events = db.admin().table("select * from domain_events.events order by global_position");
    db.admin().run(NATIVE);
    assert_eq!(engine(&mut db.owner()), "native");
    assert_eq!(db.admin().table("select * from domain_events.events order by global_position"), events);
    go_on(db);
    db.owner().run("create table later (id int primary key, n int); select domain_events.enable_capture('later'); insert into later values (1, 1)");

    db.admin().run("alter extension pg_domain_events update to 'portable'");
    assert_eq!(engine(&mut db.owner()), "portable");
    go_on(db);
    db.owner().run("update later set n = 2");
    db.check_table("Later", "later");
    db.admin().run("alter extension pg_domain_events update to '0.1.0'");
    assert_eq!(engine(&mut db.owner()), "native");
    go_on(db);
    let mut s = db.owner();
    s.run("select domain_events.resume_capture('orders'); update orders set n = 3; update later set n = 3");
    db.check_fold("Order", "select to_jsonb(array[id::text, line::text])::text, to_jsonb(t) from orders t");
    db.check_table("Later", "later");
    assert_eq!(s.table("select max(version) from log"), "8");
    assert_eq!(s.one("select max(aggregate_version) from domain_events.events where aggregate_type = 'Note'"), "5");
}

#[test]
fn a_plain_owners_store_becomes_native_and_back() {
    there_and_back(&Db::new(Engine::Portable));
}

#[test]
fn a_superusers_store_becomes_native_and_back() {
    there_and_back(&Db::new(Engine::PortableSuper));
}

#[test]
fn a_native_store_becomes_portable_and_back() {
    let db = Db::new(Engine::Native);
    use_store(&db);
    go_on(&db);
    db.admin().run("alter extension pg_domain_events update to 'portable'");
    assert_eq!(engine(&mut db.owner()), "portable");
    go_on(&db);
    db.admin().run("alter extension pg_domain_events update");
    assert_eq!(engine(&mut db.owner()), "native");
    go_on(&db);
}

#[test]
fn sessions_see_the_switch() {
    // A session that has captured under one engine goes on under the other.
    let db = Db::new(Engine::Portable);
    use_store(&db);
    let mut old = db.owner();
    old.run("update users set n = 3; prepare up as update users set n = n + 1");
    old.run("execute up");
    db.admin().run(NATIVE);
    old.run("execute up; update users set n = 4; select domain_events.append_event('Note', '1', 'NoteTaken')");
    db.admin().run("alter extension pg_domain_events update to 'portable'");
    old.run("execute up; update users set n = 5");
    db.check_fold("User", "select id::text, to_jsonb(t) || '{\"ssn\": {\"$value\": \"redacted\"}}' from users t");
}

#[test]
fn the_surface_is_the_same_on_both_engines() {
    // Functions with their signatures, results, volatility, rights; tables, views, columns; comments.
    let surface = "
        select 'function', p.oid::regprocedure || ' -> ' || pg_get_function_result(p.oid), p.provolatile::text,
               pg_get_expr(p.proargdefaults, 0), obj_description(p.oid, 'pg_proc')
          from pg_proc p where p.pronamespace = 'domain_events'::regnamespace and p.proname not like '\\_%'
        union all
        select 'column', c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text, col_description(c.oid, a.attnum)
          from pg_class c join pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = 'domain_events'::regnamespace and a.attnum > 0 and not a.attisdropped
           and c.relkind in ('r', 'v') and c.relname not like '\\_%'
        union all
        select 'right', p.oid::regprocedure::text, r.rolname::text, has_function_privilege(r.oid, p.oid, 'execute')::text, null
          from pg_proc p, pg_roles r where p.pronamespace = 'domain_events'::regnamespace and p.proname not like '\\_%'
           and r.rolname like 'domain\\_events\\_%'
        union all
        select 'right', c.relname::text, r.rolname::text, string_agg(right_name, ',' order by right_name), null
          from pg_class c, pg_roles r, unnest('{select,insert,update,delete,truncate,trigger}'::text[]) right_name
         where c.relnamespace = 'domain_events'::regnamespace and c.relkind in ('r', 'v') and c.relname not like '\\_%'
           and r.rolname like 'domain\\_events\\_%' and has_table_privilege(r.oid, c.oid, right_name)
         group by 2, 3
        order by 1, 2, 3";
    let portable = Db::new(Engine::PortableSuper).admin().table(surface);
    let native = Db::new(Engine::Native).admin().table(surface);
    let switched = Db::new(Engine::PortableSuper);
    switched.admin().run(NATIVE);
    let switched = switched.admin().table(surface);
    for (a, b) in portable.lines().zip(native.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(portable.lines().count(), native.lines().count());
    assert_eq!(native, switched, "a fresh native store and a switched one differ");
}
