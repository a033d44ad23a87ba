//! Portable to native and back: the same store, events and captures.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

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

/// Ends the writers also where the test fails before it does.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Statements of many rows and transactions of several statements meet each switch: none fails, and each event is there once.
#[test]
fn writers_go_on_through_a_switch() {
    for by_tool in [true, false] {
        let db = Db::new(Engine::Portable);
        db.owner().run(
            "create table big (id int primary key, n int default 0); create table parted (id int, n int, primary key (id, n)) partition by list (id);
             create table p1 partition of parted for values in (1, 2); create table p2 partition of parted for values in (3, 4);
             select domain_events.enable_capture('big'); select domain_events.enable_capture('parted', aggregate_type => 'Part');
             insert into big select g, 0 from generate_series(1, 2000) g",
        );
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|n| {
                    let (db, stop) = (&db, &stop);
                    scope.spawn(move || {
                        let (mut s, mut round) = (db.owner(), 0);
                        while !stop.load(Ordering::SeqCst) {
                            round += 1;
                            let from = 600 * n;
                            s.run(&format!("update big set n = n + 1 where id > {from} and id <= {from} + 300"));
                            s.run(&format!("begin; insert into p1 values (1, {n} * 100000 + {round}); insert into parted values (3, {n} * 100000 + {round});
                                            update big set n = n + 1 where id = {from} + 400; commit"));
                        }
                        round
                    })
                })
                .collect();
            let _ending = Ending(&stop);
            for _ in 0..2 {
                thread::sleep(Duration::from_millis(300));
                for engine in ["native", "portable"] {
                    if by_tool {
                        db.cli("postgres", &["install", "--engine", engine]).expect(0);
                    } else {
                        let there =
                            db.admin().number("select count(*) from pg_extension where extname = 'pg_domain_events'")
                                > 0;
                        let version = if engine == "native" { "0.1.0" } else { "portable" };
                        let update = format!("alter extension pg_domain_events update to '{version}'");
                        let switch = if there { &update } else { NATIVE };
                        let mut tries = 0;
                        while let Err(failure) = db.admin().attempt(switch) {
                            failure.expect_code("55P03");
                            tries += 1;
                            assert!(tries < 50, "the writers leave no moment");
                        }
                    }
                }
            }
            stop.store(true, Ordering::SeqCst);
            let rounds: i32 = writers.into_iter().map(|w| w.join().expect("a writer that goes on")).sum();
            assert!(rounds > 20, "there was traffic: {rounds} rounds");
        });
        db.check_table("Big", "big");
        assert_eq!(
            db.owner().number("select count(*) from domain_events.events where aggregate_type = 'Part'"),
            db.owner().number("select count(*) from parted")
        );
        db.check_versions();
    }
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
