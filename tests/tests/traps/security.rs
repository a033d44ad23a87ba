//! T12: capture gives nobody the store's rights. T11: taking the guards away is refused or found.

use domain_events_tests::{Db, Session, engines};

engines! {
    t12_shadowed_functions_and_operators, t12_a_users_cast_to_json, t12_temporary_objects, t12_output_functions_of_domains,
    t12_event_types_cannot_inject, t12_the_trigger_function_is_no_backdoor, t12_writers_need_no_right_on_the_store,
    t11_tampering_with_the_guards_is_found, t12_row_security_hides_nothing,
    t12_names_of_tables_cannot_inject, t12_partitions_owners_forge_nothing,
}

/// A role with DML on a captured table and the right to create objects.
fn evil(db: &Db) -> String {
    let evil = db.role("evil");
    db.admin().run(&format!("grant create, temporary on database {} to {evil}", db.name));
    db.owner().run(&format!(
        "create table users (id int primary key, name text, at timestamptz default now());
         select domain_events.enable_capture('users');
         grant all on users to {evil};"
    ));
    evil
}

pub(crate) fn still_harmless(db: &Db, evil: &str) {
    assert_eq!(
        db.admin().one(&format!("select rolsuper or rolcreaterole from pg_roles where rolname = '{evil}'")),
        "f"
    );
    assert_eq!(db.admin().one("select to_regclass('public.pwned') is null"), "t");
}

/// Functions and operators that take what calls them for a superuser, in a schema that comes first.
pub(crate) fn shadow(s: &mut Session, evil: &str) {
    s.run("create schema e; set search_path = e, pg_catalog, public");
    for (signature, returns) in [
        ("to_jsonb(anyelement)", "jsonb"),
        ("to_json(anyelement)", "json"),
        ("format(text, text)", "text"),
        ("clock_timestamp()", "timestamptz"),
        ("max(bigint)", "bigint"),
        ("sha256(bytea)", "bytea"),
        ("hashtextextended(text, bigint)", "bigint"),
        ("pg_advisory_xact_lock(bigint)", "bigint"),
        ("set_config(text, text, boolean)", "text"),
        ("current_setting(text, boolean)", "text"),
        ("uuid_v7()", "uuid"),
        ("gen_random_uuid()", "uuid"),
        ("jsonb_build_object(text, jsonb)", "jsonb"),
        ("octet_length(text)", "int"),
        ("nextval(regclass)", "bigint"),
    ] {
        s.run(&format!(
            "create function e.{signature} returns {returns} language plpgsql as $$
               begin execute 'alter role {evil} superuser'; return null; end $$"
        ));
    }
    for operand in ["anyelement", "text", "bigint", "integer", "jsonb"] {
        s.run(&format!(
            "create function e.boom({operand}, {operand}) returns boolean language plpgsql as $$
               begin execute 'alter role {evil} superuser'; return true; end $$"
        ));
        for operator in ["=", "<>", "<=", "||", "+", "*<>"] {
            s.run(&format!(
                "create operator e.{operator} (leftarg = {operand}, rightarg = {operand}, function = e.boom)"
            ));
        }
    }
}

fn t12_shadowed_functions_and_operators(db: &Db) {
    let evil = evil(db);
    let mut s = db.session(&evil);
    shadow(&mut s, &evil);
    s.run(
        "insert into public.users values (1, 'a'); update public.users set name = 'b'; update public.users set id = 2;
         delete from public.users; insert into public.users values (3, 'c')",
    );
    still_harmless(db, &evil);
    db.check_table("User", "users");
}

/// Types whose casts to json run the user's code.
pub(crate) fn casts_to_json(s: &mut Session, evil: &str) {
    s.run(&format!(
        "create type mood as enum ('sad', 'ok');
         create type span as range (subtype = float8);
         create type pair as (a int, m mood);
         create function pwn(mood) returns json language plpgsql as $$ begin
           begin execute 'alter role {evil} superuser'; exception when others then null; end;
           begin execute 'create table public.pwned ()'; exception when others then null; end;
           return '\"cast\"'; end $$;
         create cast (mood as json) with function pwn(mood);
         create function pwn(span) returns json language plpgsql as $$ begin
           begin execute 'alter role {evil} superuser'; exception when others then null; end; return '\"cast\"'; end $$;
         create cast (span as json) with function pwn(span);
         grant usage on type mood, span, pair to public;"
    ));
}

fn t12_a_users_cast_to_json(db: &Db) {
    let evil = db.role("evil");
    db.admin().run(&format!("grant create on database {} to {evil}; grant create on schema public to {evil}", db.name));
    let mut s = db.session(&evil);
    casts_to_json(&mut s, &evil);
    db.owner().run(&format!(
        "create table users (id int primary key, m mood, s span, ms mood[], p pair, ps pair[]);
         select domain_events.enable_capture('users');
         grant all on users to {evil}"
    ));
    s.run(
        "insert into users values (1, 'sad', '[1,2]', '{sad,ok}', '(1,ok)', array['(1,sad)'::pair]);
         update users set m = 'ok', s = 'empty', p.m = 'sad'",
    );
    // Written as its text, and nobody's code ran with the store's rights.
    assert_eq!(
        db.owner().one("select event_data -> 'new_values' from domain_events.events where aggregate_version = 1"),
        "{\"m\": \"sad\", \"p\": {\"a\": 1, \"m\": \"ok\"}, \"s\": \"[1,2]\", \"id\": 1, \"ms\": [\"sad\", \"ok\"], \"ps\": [{\"a\": 1, \"m\": \"sad\"}]}"
    );
    assert_eq!(db.admin().one(&format!("select rolsuper from pg_roles where rolname = '{evil}'")), "f");
    assert_eq!(db.admin().one("select to_regclass('public.pwned') is null"), "t");
    db.check_versions();
}

/// Temporary objects under the names that capture uses.
pub(crate) fn temporary_objects(s: &mut Session, evil: &str) {
    s.run(&format!(
        "create temp table events (like pg_catalog.pg_class); create temp table users2 (id int);
         create temp table capture_config (x int); create temp table pg_class (x int);
         create type pg_temp.jsonb as enum ('x'); create type pg_temp.text as enum ('x'); create type pg_temp.bigint as enum ('x');
         create function pg_temp.to_jsonb(anyelement) returns pg_catalog.jsonb language plpgsql as $$
           begin execute 'alter role {evil} superuser'; return null; end $$;"
    ));
}

fn t12_temporary_objects(db: &Db) {
    let evil = evil(db);
    let mut s = db.session(&evil);
    temporary_objects(&mut s, &evil);
    s.run(
        "set search_path = pg_temp, public, pg_catalog;
         insert into users values (1, 'a'); update users set name = 'b'; delete from users; insert into users values (1, 'c');",
    );
    still_harmless(db, &evil);
    db.check_table("User", "users");
}

fn t12_output_functions_of_domains(db: &Db) {
    let evil = db.role("evil");
    db.admin().run(&format!("grant create on schema public to {evil}"));
    // A domain's check runs the user's code: never with the store's rights.
    db.session(&evil).run(&format!(
        "create function looks_fine(v int) returns boolean language plpgsql as $$ begin
           begin execute 'alter role {evil} superuser'; exception when others then null; end;
           begin execute 'create table public.pwned ()'; exception when others then null; end;
           return true; end $$;
         create domain sneaky as int check (looks_fine(value))"
    ));
    db.owner().run(&format!(
        "create table users (id int primary key, v sneaky); select domain_events.enable_capture('users'); grant all on users to {evil}"
    ));
    let mut s = db.session(&evil);
    s.run("drop table if exists pwned; insert into users values (1, 5); drop table if exists pwned; update users set v = 6");
    let owner =
        db.admin().one("select coalesce((select tableowner from pg_tables where tablename = 'pwned'), 'nobody')");
    assert!(owner == "nobody" || owner == evil, "the check ran as {owner}");
    assert_eq!(db.admin().one(&format!("select rolsuper from pg_roles where rolname = '{evil}'")), "f");
    db.check_table("User", "users");
}

fn t12_event_types_cannot_inject(db: &Db) {
    let mut s = db.owner();
    s.run(
        r#"create table users (id int primary key, "x'; drop table users; --" text, "$1" text, "a""b" text);
           select domain_events.enable_capture('users', $q$Us'er$$; x$q$, event_types => $j$[
             {"on": "update", "when_changed": ["x'; drop table users; --"], "type": "T'; drop table users; --", "name": "n$$'"},
             {"on": "delete", "type": "$_$ \\ ' %s %I"}]$j$);
           insert into users values (1, 'a', 'b', 'c');
           update users set "x'; drop table users; --" = 'q';
           update users set "$1" = 'q', "a""b" = '%';
           delete from users;"#,
    );
    assert_eq!(
        s.table("select event_type from domain_events.events order by global_position"),
        "Us'er$$; xCreated\nT'; drop table users; --\nUs'er$$; xUpdated\n$_$ \\ ' %s %I"
    );
    db.check_versions();
}

fn t12_the_trigger_function_is_no_backdoor(db: &Db) {
    let evil = evil(db);
    let mut s = db.session(&evil);
    let functions = db.admin().table(
        "select p.oid::regprocedure from pg_proc p where pronamespace = 'domain_events'::regnamespace and prorettype = 'trigger'::regtype",
    );
    s.run("create schema e; create table e.mine (id int primary key, name text)");
    for (n, function) in functions.lines().enumerate() {
        // Executable by nobody: it cannot be put on another table, with other arguments, to forge events.
        s.error(&format!("create trigger t{n} after insert on e.mine for each row execute function {function}"))
            .expect_code("42501");
    }
    assert!(functions.lines().count() > 1);
}

fn t12_writers_need_no_right_on_the_store(db: &Db) {
    let evil = evil(db);
    let mut s = db.session(&evil);
    s.run("insert into users values (1, 'a')");
    s.error("select * from domain_events.events").expect_code("42501");
    s.error("select * from domain_events.capture_failures").expect_code("42501");
    s.error("alter table users disable trigger all").expect_code("42501");
    s.error("select domain_events.pause_capture('users')").expect_code("42501");
    s.error("select domain_events.disable_capture('users')").expect_code("42501");
    db.check_table("User", "users");
}

/// Whatever this session can take away of a table's guards and the store's is a new finding, and gone with it.
pub(crate) fn tampering_is_found(s: &mut Session, table: &str) {
    let findings = "select code, object from domain_events.check_infrastructure() order by 1, 2";
    let before = s.table(findings);
    for (tamper, restore) in [
        (
            format!("alter table {table} disable trigger \" domain_events_capture\""),
            format!("alter table {table} enable trigger \" domain_events_capture\""),
        ),
        (format!("alter table {table} disable trigger all"), format!("alter table {table} enable trigger all")),
        (format!("drop trigger \" domain_events_capture\" on {table}"), String::new()),
        ("alter table domain_events.events disable trigger all".into(), String::new()),
        ("drop trigger events_append_only on domain_events.events".into(), String::new()),
    ] {
        s.run("begin");
        if s.attempt(&tamper).is_ok() {
            assert_ne!(s.table(findings), before, "{tamper} is not found");
            if !restore.is_empty() {
                s.run(&restore);
                assert_eq!(s.table(findings), before);
            }
        }
        s.run("rollback");
    }
}

fn t11_tampering_with_the_guards_is_found(db: &Db) {
    let mut s = db.admin();
    s.run("create table users (id int primary key, name text); select domain_events.enable_capture('users')");
    assert_eq!(s.table("select * from domain_events.check_infrastructure()"), "");
    tampering_is_found(&mut s, "users");
    // A forged row by the owner is no hole in the versions that goes unseen.
    s.run("insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type) values ('User', '9', 5, 'Forged')");
    assert_ne!(s.table("select * from domain_events.check_integrity()"), "");
}

fn t12_row_security_hides_nothing(db: &Db) {
    let evil = evil(db);
    db.owner().run(&format!(
        "alter table users enable row level security;
         create policy p on users to {evil} using (id < 10) with check (id < 10);
         insert into users values (20, 'x');"
    ));
    let mut s = db.session(&evil);
    s.run("insert into users values (1, 'a'); update users set name = 'b'");
    db.check_table("User", "users");
    assert_eq!(db.owner().one("select count(*) from domain_events.events"), "3");
}

fn t12_names_of_tables_cannot_inject(db: &Db) {
    let evil = evil(db);
    db.owner().run(&format!(
        "create schema m; grant all on schema m to {evil}; create table m.t (id int primary key, a int);
         select domain_events.enable_capture('m.t', 'T');"
    ));
    db.admin().run(&format!("alter table m.t owner to {evil}; alter schema m owner to {evil}"));
    let mut s = db.session(&evil);
    s.run(&format!(
        "create function m.f() returns int language plpgsql as $$ begin
           begin execute 'create table public.pwned ()'; exception when others then null; end;
           begin execute 'alter role {evil} superuser'; exception when others then null; end;
           return 1; end $$;
         grant usage on schema m to public;
         insert into m.t values (1, 1)"
    ));
    // A carriage return ends a comment of PL/pgSQL; so do these, in one language or another.
    for end in ["\r", "\n", "\r\n", "\u{b}", "\u{c}", "\u{85}", "\u{2028}"] {
        let hostile = format!("\"x{end}declare a int:=m.f();--\"");
        let name = format!("{end:?}");
        s.run(&format!("alter table m.t rename to {hostile}; alter table m.{hostile} add column b int"));
        s.run(&format!("insert into m.{hostile} values (2, 2, 2); update m.{hostile} set b = 3; delete from m.{hostile} where id = 2"));
        s.run(&format!("alter table m.{hostile} drop column b; alter table m.{hostile} rename to t"));
        println!("{name}");
        still_harmless(db, &evil);
        // The schema's name is as much the user's.
        db.admin().run(&format!("alter schema m rename to {hostile}; alter table {hostile}.t add column b int; insert into {hostile}.t values (3, 3, 3); update {hostile}.t set b = 5; delete from {hostile}.t where id = 3"));
        db.admin().run(&format!("alter table {hostile}.t drop column b; alter schema {hostile} rename to m"));
        still_harmless(db, &evil);
    }
    s.run("update m.t set a = 2");
    db.check_table("T", "m.t");
}

fn t12_partitions_owners_forge_nothing(db: &Db) {
    let evil = db.role("evil");
    db.admin().run(&format!("create schema e authorization {evil}; grant domain_events_admin to {evil}"));
    let mut s = db.session(&evil);
    s.run(
        "create table e.p (id int primary key, a int) partition by range (id);
         create table e.p1 partition of e.p for values from (0) to (100);
         create table e.o (id int primary key, a int);
         create table e.q (id int primary key, a int) partition by range (id);
         create table e.q1 partition of e.q for values from (0) to (100);
         select domain_events.enable_capture('e.p', 'P'), domain_events.enable_capture('e.q', 'Q');",
    );
    let function = db.admin().one(
        "select tgfoid::regproc from pg_trigger where tgrelid = 'e.p'::regclass and tgname ~ '^ domain_events_capture'",
    );
    // The right to make partitions is the right to make triggers: they say nothing about other tables, captured or not.
    for table in ["o", "q1"] {
        s.run(&format!(
            "create trigger z1 after insert or update or delete on e.{table} for each row execute function {function}();
             create trigger z2 before update on e.{table} for each row execute function {function}();
             create trigger z3 after truncate on e.{table} execute function {function}();
             insert into e.{table} values (7, 666); update e.{table} set a = 667; delete from e.{table}; truncate e.{table};
             insert into e.{table} values (7, 666);"
        ));
    }
    let mut owner = db.owner();
    assert_eq!(owner.one("select count(*) from domain_events.events where aggregate_type = 'P'"), "0");
    assert_eq!(owner.one("select count(*) from domain_events.events where aggregate_type = 'domain_events.Table' and aggregate_id <> 'e.q'"), "0");
    // Partitions at several levels are the table's own; so are those of a table that became a partition itself.
    s.run(
        "create table e.p2 partition of e.p for values from (100) to (200) partition by range (id);
         create table e.p21 partition of e.p2 for values from (100) to (150);
         insert into e.p values (8, 1), (101, 1); update e.p set a = 2;",
    );
    db.check_fold("P", "select t.id::text, to_jsonb(t) from e.p t");
    assert_eq!(owner.one("select count(*) from domain_events.events where aggregate_type = 'P'"), "4");
}
