//! T3 and T2 beyond one session's formats: names of objects whatever the search_path, and a database without an encoding.

use domain_events_tests::{Db, Engine, engines};

engines! { t3_names_of_objects_do_not_depend_on_the_session, t2_a_database_without_an_encoding }

fn t3_names_of_objects_do_not_depend_on_the_session(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create schema hid; create table hid.y (i int); create type hid.e as enum ('a');
         create function hid.f(hid.e) returns int language sql as 'select 1';
         create domain hid.d as regclass; create type hid.inner_pair as (d hid.d, t regtype[]);
         create type hid.pair as (p hid.inner_pair, n int);
         create table reg (id regclass primary key, t regtype, p regproc, pp regprocedure, many regclass[], both_of hid.pair, n int);
         create table keyed (a hid.d, b regtype, n int, primary key (a, b));
         select domain_events.enable_capture('reg', 'Reg'); select domain_events.enable_capture('keyed', 'Keyed');
         insert into reg values ('hid.y', 'hid.e', 'hid.f', 'hid.f(hid.e)', '{hid.y}', row(row('hid.y', '{hid.e,hid.e[]}'), 1), 1);
         insert into keyed values ('hid.y', 'hid.e', 1);",
    );
    for setting in ["set search_path = hid, public", "set quote_all_identifiers = on", "set search_path = ''"] {
        if db.engine == Engine::Native || !setting.contains("quote") {
            s.run(setting);
        }
        // The last one touches nothing but the number: the key is named all the same.
        for n in 0..2 {
            s.run(&format!(
                "update public.reg set n = n + {n}, t = t, many = many || 'hid.y'::regclass,
                   both_of = row(row('hid.y', array['hid.e'::regtype, 'hid.e'::regtype]), n)::hid.pair;
                 update public.keyed set n = n + 1; update public.reg set n = n + 1"
            ));
        }
        // A failed statement leaves the session its own path.
        s.attempt("insert into public.reg select * from public.reg").expect_err("a key twice");
    }
    assert_eq!(s.one("show search_path"), "\"\"");
    s.run("reset quote_all_identifiers; reset search_path");
    assert_eq!(
        s.table("select distinct aggregate_type, aggregate_id from domain_events.events order by 1"),
        "Keyed|[\"hid.y\", \"hid.e\"]\nReg|hid.y"
    );
    let mut admin = db.admin();
    admin.run("set search_path = pg_catalog, pg_temp");
    for (kind, id, table) in [("Reg", "hid.y", "reg"), ("Keyed", "[\"hid.y\", \"hid.e\"]", "keyed")] {
        assert_eq!(
            admin.one(&format!("select domain_events.fold_stream('{kind}', '{id}')")),
            admin.one(&format!("select to_jsonb(whole) from public.{table} whole")),
        );
    }
    db.check_versions();
    // A value that fails to be written, and the transaction goes on: the path is the session's.
    s.run("begin; set local search_path = hid, public; update reg set n = n + 1; rollback");
}

fn t2_a_database_without_an_encoding(db: &Db) {
    let name = format!("{}_ascii", db.name);
    let mut server = db.cluster().connect("postgres", "postgres");
    server.run(&format!(
        "create database {name} template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' owner app_owner"
    ));
    db.engine.install(db.cluster(), &name);
    let mut s = db.cluster().connect(&name, "app_owner");
    s.run(
        r#"create table t (id text primary key, js json, n int);
           select domain_events.enable_capture('t');
           insert into t values ('1', '"\u00e9"', 1), ('2', '"\u0041"', 1);
           update t set n = 2; update t set js = '{"k": "\u4e00"}' where id = '1';"#,
    );
    let failures = "select aggregate_id, error_code, error_message from domain_events.capture_failures";
    assert_eq!(s.table(failures), "");
    assert_eq!(
        s.table(
            "select aggregate_id, event_data #>> '{new_values,js,$value}', event_data #>> '{new_values,js}' = 'A'
                   from domain_events.events where event_data -> 'new_values' ? 'js' order by global_position"
        ),
        "1|unrepresentable|f\n2|~|t\n1|unrepresentable|f"
    );
    // No text in any encoding.
    if db.engine == Engine::Native {
        s.run("insert into t values (repeat(chr(233), 1100), null, 1); update t set n = 2; delete from t where n = 2");
        assert_eq!(s.table(failures), "");
        assert_eq!(
            s.one("select count(*) from domain_events.events where aggregate_id = 'sha256:' || encode(sha256(decode(repeat('e9', 1100), 'hex')), 'hex')"),
            "3"
        );
    }
    drop(s);
    server.run(&format!("drop database {name} with (force)"));
}
