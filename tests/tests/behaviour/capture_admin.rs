//! Enabling, pausing, resuming, disabling; baseline; bad input.

use domain_events_tests::{Db, engines};

engines! {
    bad_targets_are_refused, bad_arguments_are_refused, a_captured_table_is_not_captured_twice, pause_and_resume,
    a_resumed_stream_carries_the_whole_row, table_events_tell_what_happened, baseline_now, baseline_in_batches,
    baseline_beside_writers, truncate_is_recorded_and_folded, an_empty_key_is_a_key, fold_of_any_version, replication_always, dropping_the_column_list,
    disabling_forgets_the_configuration, nothing_half_done_after_an_error,
    baseline_of_a_table_in_a_schema_of_others, a_template_is_filled_once_and_whole,
}

fn bad_targets_are_refused(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key);
         create view v as select * from users;
         create materialized view mv as select * from users;
         create sequence sq;
         create table no_key (a int);
         create temp table tmp (id int primary key);
         create type ct as (a int);",
    );
    db.admin().run(
        "create foreign data wrapper nothing;
         create server far foreign data wrapper nothing;
         create foreign table ft (id int) server far;
         alter foreign table ft owner to app_owner;",
    );
    for (target, code) in [
        ("'v'", "42809"),
        ("'mv'", "42809"),
        ("'sq'", "42809"),
        ("'users_pkey'", "42809"),
        ("'ct'", "42809"),
        ("'ft'", "42809"),
        ("'tmp'", "42809"),
        ("'domain_events.events'", "42809"),
        ("'pg_catalog.pg_class'", "42809"),
        ("'no_key'", "42P16"),
        ("null", "22004"),
        ("4000000000::oid::regclass", "42P01"),
    ] {
        s.error(&format!("select domain_events.enable_capture({target})")).expect(code);
    }
    s.error("select domain_events.enable_capture('no_key')").expect("42P16").naming("aggregate_id =>");
    s.error("select domain_events.enable_capture('nowhere')").expect_code("42P01");
    for function in ["disable_capture", "pause_capture", "resume_capture"] {
        s.error(&format!("select domain_events.{function}('nowhere')")).expect_code("42P01");
        let failure = s.error(&format!("select domain_events.{function}('users')"));
        assert!(!failure.hint.is_empty() && failure.code.starts_with(['4', '5']), "{failure}");
    }
    assert_eq!(s.one("select count(*) from domain_events.captures"), "0");
}

fn bad_arguments_are_refused(db: &Db) {
    let mut s = db.owner();
    s.run("create table users (id int primary key, name text)");
    for (arguments, code) in [
        ("aggregate_type => ''", "22023"),
        ("aggregate_type => repeat('x', 256)", "22023"),
        // The types of its events would be too long.
        ("aggregate_type => repeat('x', 247)", "22023"),
        ("aggregate_type => repeat('aB', 82) || 'c', event_name_style => 'dotted'", "22023"),
        ("aggregate_type => 'domain_events.Table'", "22023"),
        ("aggregate_id => '{}'", "22023"),
        ("aggregate_id => '{nothing}'", "42703"),
        ("aggregate_id => array[null]", "22004"),
        ("include => '{nothing}'", "42703"),
        ("exclude => '{nothing}'", "42703"),
        ("redact => '{nothing}'", "42703"),
        ("redact => '{id}'", "22023"),
        ("include => '{id}', exclude => '{name}'", "22023"),
        ("include => '{id}', redact => '{name}'", "22023"),
        ("exclude => '{name}', redact => '{name}'", "22023"),
        ("payload => 'some'", "22023"),
        ("on_failure => 'ignore'", "22023"),
        ("baseline => 'later'", "22023"),
        ("replication => 'never'", "22023"),
        ("event_name_style => 'snake'", "22023"),
    ] {
        s.error(&format!("select domain_events.enable_capture('users', {arguments})")).expect(code);
    }
    assert_eq!(s.one("select count(*) from domain_events.captures"), "0");
    assert_eq!(s.one("select count(*) from pg_trigger where tgrelid = 'users'::regclass"), "0");
}

fn a_captured_table_is_not_captured_twice(db: &Db) {
    let mut s = db.owner();
    s.run("create table users (id int primary key); select domain_events.enable_capture('users')");
    s.error("select domain_events.enable_capture('users')").expect("42710");
    s.run("insert into users values (1)");
    assert_eq!(s.one("select count(*) from domain_events.events"), "1");
}

fn pause_and_resume(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text);
         select domain_events.enable_capture('users');
         insert into users values (1, 'a');
         select domain_events.pause_capture('users');
         update users set name = 'unseen'; insert into users values (2, 'unseen');",
    );
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'User'"), "1");
    assert_eq!(s.one("select state from domain_events.captures"), "paused");
    s.run("select domain_events.resume_capture('users'); update users set name = 'b' where id = 1");
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_type = 'User'"), "2");
    s.run("update users set name = 'b' where id = 2; delete from users where id = 1");
    db.check_table("User", "users");
}

fn a_resumed_stream_carries_the_whole_row(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text, n int);
         select domain_events.enable_capture('users');
         insert into users values (1, 'a', 1), (2, 'a', 1), (3, 'a', 1);
         select domain_events.pause_capture('users');
         update users set name = 'b';
         select domain_events.resume_capture('users');
         update users set n = 2 where id = 1; update users set n = 3 where id = 1; delete from users where id = 2; update users set id = 4 where id = 3;",
    );
    assert_eq!(
        s.table("select event_data -> 'new_values' from domain_events.events where aggregate_id = '1' order by aggregate_version"),
        "{\"n\": 1, \"id\": 1, \"name\": \"a\"}\n{\"n\": 2, \"id\": 1, \"name\": \"b\"}\n{\"n\": 3}"
    );
    db.check_table("User", "users");
}

fn table_events_tell_what_happened(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key);
         select domain_events.enable_capture('users');
         select domain_events.pause_capture('users');
         select domain_events.resume_capture('users');
         truncate users;
         select domain_events.disable_capture('users');",
    );
    assert_eq!(
        s.table("select aggregate_id, aggregate_version, event_type from domain_events.events where aggregate_type = 'domain_events.Table' order by 2"),
        "public.users|1|CapturePaused\npublic.users|2|CaptureResumed\npublic.users|3|TableTruncated\npublic.users|4|CaptureDisabled"
    );
    db.check_versions();
}

fn baseline_now(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text);
         insert into users select i, 'n' || i from generate_series(1, 1000) i;
         select domain_events.enable_capture('users', baseline => 'now');",
    );
    assert_eq!(
        s.table("select event_type, count(*), bool_and(aggregate_version = 1) from domain_events.events where aggregate_type = 'User' group by 1"),
        "UserBaselined|1000|t"
    );
    db.check_table("User", "users");
    s.run("update users set name = 'x' where id <= 10; delete from users where id = 1");
    assert_eq!(
        s.one("select event_data from domain_events.events where aggregate_id = '2' and aggregate_version = 2"),
        "{\"new_values\": {\"name\": \"x\"}, \"old_values\": {\"name\": \"n2\"}}"
    );
    db.check_table("User", "users");
}

fn baseline_in_batches(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text);
         insert into users select i, 'n' || i from generate_series(1, 250) i;
         select domain_events.enable_capture('users');
         update users set name = 'y' where id <= 5;",
    );
    // Rows that have an event already need none; each call does its share, and 0 says that all is done.
    assert_eq!(s.one("select domain_events.baseline_capture('users', 100)"), "100");
    assert_eq!(s.one("select domain_events.baseline_capture('users', 100)"), "100");
    assert_eq!(s.one("select domain_events.baseline_capture('users', 100)"), "45");
    assert_eq!(s.one("select domain_events.baseline_capture('users', 100)"), "0");
    s.error("select domain_events.baseline_capture('users', 0)").expect("22023");
    db.check_table("User", "users");
}

fn baseline_beside_writers(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, n int);
         insert into users select i, 0 from generate_series(1, 500) i;
         select domain_events.enable_capture('users');",
    );
    let mut writer = db.owner();
    let writing = std::thread::spawn(move || {
        for i in 0..200 {
            writer.run(&format!("update users set n = n + 1 where id = {}", i % 50 * 10 + 1));
        }
    });
    while s.number("select domain_events.baseline_capture('users', 50)") > 0 {}
    writing.join().expect("the writer");
    while s.number("select domain_events.baseline_capture('users', 50)") > 0 {}
    db.check_table("User", "users");
}

fn truncate_is_recorded_and_folded(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text);
         create table orders (id int primary key, user_id int references users);
         select domain_events.enable_capture('users');
         select domain_events.enable_capture('orders');
         insert into users values (1, 'a'), (2, 'b'); insert into orders values (1, 1);
         truncate users cascade;
         insert into users values (2, 'c');",
    );
    assert_eq!(
        s.table("select aggregate_id, event_type from domain_events.events where aggregate_type = 'domain_events.Table' order by 1"),
        "public.orders|TableTruncated\npublic.users|TableTruncated"
    );
    assert_eq!(s.one("select domain_events.fold_stream('User', '1')"), "~");
    assert_eq!(s.one("select domain_events.fold_stream('User', '2')"), "{\"id\": 2, \"name\": \"c\"}");
    // As of version 1 the row was there.
    assert_eq!(s.one("select domain_events.fold_stream('User', '2', 1)"), "{\"id\": 2, \"name\": \"b\"}");
    db.check_table("User", "users");
    db.check_table("Order", "orders");
}

fn fold_of_any_version(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, n int);
         select domain_events.enable_capture('users');
         insert into users values (1, 1); update users set n = 2; delete from users; insert into users values (1, 3); update users set n = null;",
    );
    assert_eq!(
        s.table("select domain_events.fold_stream('User', '1', v) from generate_series(1, 6) v"),
        "{\"n\": 1, \"id\": 1}\n{\"n\": 2, \"id\": 1}\n~\n{\"n\": 3, \"id\": 1}\n{\"n\": null, \"id\": 1}\n{\"n\": null, \"id\": 1}"
    );
    assert_eq!(s.one("select domain_events.fold_stream('User', 'unknown')"), "~");
    s.error("select domain_events.fold_stream(null, '1')").expect("22004");
    s.error("select domain_events.fold_stream('User', null)").expect("22004");
    s.error("select domain_events.fold_stream('', '1')").expect("22023");
    s.error("select domain_events.fold_stream('User', '1', 0)").expect("22023");
}

fn an_empty_key_is_a_key(db: &Db) {
    // append_event() refuses an empty id, but a captured row may have one: its events are kept and can be folded.
    let mut s = db.owner();
    s.run(
        "create table codes (id text primary key, n int);
         select domain_events.enable_capture('codes');
         insert into codes values ('', 1), ('a', 1); update codes set n = 2; delete from codes where id = 'a'",
    );
    assert_eq!(s.one("select count(*) from domain_events.events where aggregate_id = ''"), "2");
    assert_eq!(s.one("select domain_events.fold_stream('Code', '', 1)"), "{\"n\": 1, \"id\": \"\"}");
    db.check_table("Code", "codes");
}

fn replication_always(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key); create table orders (id int primary key);
         select domain_events.enable_capture('users');
         select domain_events.enable_capture('orders', replication => 'always');",
    );
    db.admin().run("set session_replication_role = replica; insert into users values (1); insert into orders values (1); truncate orders");
    assert_eq!(
        s.table("select aggregate_type, count(*) from domain_events.events group by 1 order by 1"),
        "Order|1\ndomain_events.Table|1"
    );
}

fn dropping_the_column_list(db: &Db) {
    let mut s = db.owner();
    // A capture of columns that are all gone but the key still works.
    s.run(
        "create table users (id int primary key, a int, b int);
         select domain_events.enable_capture('users', include => '{id,a}');
         insert into users values (1, 1, 1);
         alter table users drop column a;
         update users set b = 2;
         insert into users values (2, 1);
         delete from users where id = 2;",
    );
    db.check_versions();
    assert_eq!(s.one("select count(*) from domain_events.capture_failures"), "0");
    assert_eq!(s.one("select count(*) from domain_events.events where event_data::text like '%\"b\"%'"), "0");
}

fn disabling_forgets_the_configuration(db: &Db) {
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text);
         select domain_events.enable_capture('users', 'Person', redact => '{name}');
         insert into users values (1, 'secret');
         select domain_events.disable_capture('users');
         select domain_events.enable_capture('users');
         insert into users values (2, 'open');",
    );
    assert_eq!(
        s.table("select aggregate_type, event_data -> 'new_values' from domain_events.events where aggregate_type <> 'domain_events.Table' order by global_position"),
        "Person|{\"id\": 1, \"name\": {\"$value\": \"redacted\"}}\nUser|{\"id\": 2, \"name\": \"open\"}"
    );
    let left = s.table(
        "select p.proname from pg_proc p where p.pronamespace = 'domain_events'::regnamespace and p.proname ~ '^capture_[0-9]+$'",
    );
    assert_eq!(left.lines().count(), 1, "trigger functions: {left}");
}

fn nothing_half_done_after_an_error(db: &Db) {
    let mut s = db.owner();
    s.run("create table users (id int primary key, name text)");
    let objects =
        "select (select count(*) from pg_trigger) + (select count(*) from pg_proc) + (select count(*) from pg_class)
                        + (select count(*) from domain_events.captures)";
    let before = s.one(objects);
    s.error("select domain_events.enable_capture('users', redact => '{nothing}')").expect("42703");
    s.error("select domain_events.enable_capture('users', event_types => '[{\"on\": \"update\"}]')").expect("22023");
    assert_eq!(s.one(objects), before);
    s.run("begin; select domain_events.enable_capture('users', baseline => 'now'); insert into users values (1, 'a'); rollback");
    assert_eq!(s.one(objects), before);
    assert_eq!(s.one("select count(*) from domain_events.events"), "0");
    s.run("select domain_events.enable_capture('users'); insert into users values (1, 'a')");
    db.check_table("User", "users");
}

fn baseline_of_a_table_in_a_schema_of_others(db: &Db) {
    let (keeper, owner) = (db.role("keeper"), db.role("owner"));
    db.admin().run(&format!("create schema far authorization {keeper}; create schema own authorization {owner}; grant domain_events_admin to {owner}"));
    db.session(&keeper).run(&format!("grant usage, create on schema far to {owner}"));
    let mut s = db.session(&owner);
    // The rows are read with the rights of the table's owner: the store's owner needs none, and is given none.
    s.run(
        "create table own.t (id int primary key); insert into own.t values (1), (2);
         select domain_events.enable_capture('own.t', 'T', baseline => 'now');
         insert into own.t values (3);",
    );
    db.check_fold("T", "select t.id::text, to_jsonb(t) from own.t t");
    let granted = "select count(*) from pg_namespace n, aclexplode(n.nspacl) a where n.nspname in ('own', 'far') and a.grantee not in (n.nspowner, '{}'::regrole)";
    assert_eq!(db.admin().one(&granted.replace("{}", &owner)), "0", "nothing is granted");
    // also where the schema is another's
    s.run("create table far.u (id int primary key); insert into far.u values (1); select domain_events.enable_capture('far.u', 'U')");
    s.run("select domain_events.baseline_capture('far.u')");
    db.check_fold("U", "select t.id::text, to_jsonb(t) from far.u t");
    assert_eq!(db.admin().one(&granted.replace("{}", &owner)), "0", "nothing is granted");
}

/// What a trigger function is written from: a part is no template, whatever it looks like, and none may be missing.
fn a_template_is_filled_once_and_whole(db: &Db) {
    let mut s = db.admin();
    let mut fill = |template: &str, parts: &str| {
        s.attempt(&format!("select domain_events._fill('{template}', '{parts}')"))
            .map(|rows| rows[0][0].clone().unwrap_or_default())
    };
    assert_eq!(fill("{{a}}-{{b}}{{a}}", r#"{"a": "{{b}}", "b": "}}"}"#).expect("filled"), "{{b}}-}}{{b}}");
    assert_eq!(fill("nothing {} }}", "{}").expect("filled"), "nothing {} }}");
    for (template, parts) in [("{{a}} {{b}}", r#"{"a": "1"}"#), ("{{a}}", r#"{"a": null}"#), ("{{a", "{}")] {
        fill(template, parts).expect_err("refused").expect("22023");
    }
}
