//! The function of the table's owner that reads a legacy table: it follows the table or is found out, and nobody gains by it.

use domain_events_tests::{Db, Engine, engines};

engines! {
    a_reader_follows_renames, a_reader_that_is_not_the_owners_is_refused, the_owner_needs_a_place_for_it, it_goes_with_its_table,
    writers_need_the_writers_role_and_no_more, a_table_of_the_same_name_is_another, a_restored_table_counts_on,
    uninstall_takes_readers_along, a_reader_runs_no_cast_of_a_types_owner, a_reader_takes_no_domain_for_an_enum,
    a_reader_reads_no_view_in_its_tables_place, a_reader_is_not_of_use_when_its_table_is_given_away,
}

const LOG: &str = "create table own.log (t text, id text, v int, unique (t, id, v)); insert into own.log values ('A', '1', 1), ('A', '1', 2);
                   select domain_events.register_event_table('own.log', 't', 'id', 'v')";

/// A table owner who is an administrator of captures and nothing else.
fn owner(db: &Db) -> (String, domain_events_tests::Session) {
    let name = db.role("legacy");
    db.admin().run(&format!(
        "grant domain_events_admin, domain_events_writer to {name}; grant create on database {} to {name}",
        db.name
    ));
    let mut s = db.session(&name);
    s.run("create schema own");
    s.run(LOG);
    (name, s)
}

fn a_reader_follows_renames(db: &Db) {
    let (_, mut s) = owner(db);
    let next = |s: &mut domain_events_tests::Session, table: &str| {
        s.number(&format!("select domain_events.next_aggregate_version('A', '1', '{}')", table.replace('\'', "''")))
    };
    assert_eq!(next(&mut s, "own.log"), 3);
    for (ddl, table) in [
        ("alter table own.log rename to \"Lo%g\"", "own.\"Lo%g\""),
        ("alter table own.\"Lo%g\" rename column id to \"i\"\"d %1$s\"", "own.\"Lo%g\""),
        ("alter table own.\"Lo%g\" rename column v to ver", "own.\"Lo%g\""),
        ("alter schema own rename to \"O'wn\"", "\"O'wn\".\"Lo%g\""),
        ("create schema other; alter table \"O'wn\".\"Lo%g\" set schema other", "other.\"Lo%g\""),
        ("alter table other.\"Lo%g\" add further int; alter table other.\"Lo%g\" drop further", "other.\"Lo%g\""),
    ] {
        s.run(ddl);
        assert_eq!(next(&mut s, table), 3, "{ddl}");
    }
    s.run("select domain_events.register_event_table('other.\"Lo%g\"', 't', 'i\"d %1$s', 'ver')");
    assert_eq!(next(&mut s, "other.\"Lo%g\""), 3);
    assert_eq!(s.one("select count(*) from pg_proc where proname like '%_newest_version%'"), "1");
    // another type is another equality
    s.run("alter table other.\"Lo%g\" alter t type varchar(9)");
    s.error("select domain_events.next_aggregate_version('A', '1', 'other.\"Lo%g\"')")
        .expect("55000")
        .naming("registered");
    s.run("select domain_events.register_event_table('other.\"Lo%g\"', 't', 'i\"d %1$s', 'ver')");
    assert_eq!(next(&mut s, "other.\"Lo%g\""), 3);
    s.run("alter table other.\"Lo%g\" drop column ver");
    s.error("select domain_events.next_aggregate_version('A', '1', 'other.\"Lo%g\"')").expect("55000");
}

/// A table that took the name of a registered one has its own versions.
fn a_table_of_the_same_name_is_another(db: &Db) {
    let (_, mut s) = owner(db);
    s.run("alter table own.log rename to old; create table own.log (t text, id text, v int, unique (t, id, v)); insert into own.log values ('A', '1', 70)");
    assert_eq!(s.number("select domain_events.next_aggregate_version('A', '1', 'own.old')"), 3);
    s.error("select domain_events.next_aggregate_version('A', '1', 'own.log')").expect("42P01");
    s.run("select domain_events.register_event_table('own.log', 't', 'id', 'v')");
    for _ in 0..8 {
        assert_eq!(s.number("select domain_events.next_aggregate_version('A', '1', 'own.log')"), 71);
        assert_eq!(s.number("select domain_events.next_aggregate_version('A', '1', 'own.old')"), 3);
        s.run("alter table own.log rename to x; alter table own.old rename to log; alter table own.x rename to old");
        assert_eq!(s.number("select domain_events.next_aggregate_version('A', '1', 'own.log')"), 3);
        assert_eq!(s.number("select domain_events.next_aggregate_version('A', '1', 'own.old')"), 71);
        s.run("alter table own.log rename to x; alter table own.old rename to log; alter table own.x rename to old");
    }
}

fn a_reader_that_is_not_the_owners_is_refused(db: &Db) {
    let (name, mut s) = owner(db);
    let other = db.role("other");
    let mut admin = db.admin();
    let next = "select domain_events.next_aggregate_version('A', '1', 'own.log')";
    let reader = "own.log_newest_version(oid, text[], int)";
    let body = "create or replace function own.log_newest_version(oid, text[], int) returns bigint language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = off as 'begin return 7; end'";
    for change in [
        format!("alter function {reader} security invoker"),
        format!("alter function {reader} reset all"),
        format!("alter function {reader} set search_path = own"),
        format!("alter function {reader} stable"),
        body.to_owned(),
        format!("drop function {reader}"),
        format!("alter function {reader} rename to elsewhere"),
        format!("alter table own.log owner to {other}"),
        format!("alter function {reader} owner to {other}"),
    ] {
        admin.run(&format!("begin; grant create on schema own to {other}; {change}"));
        admin.error(next).expect("55000").naming("register");
        admin.run("rollback");
        assert_eq!(s.number(next), 3);
    }
    // the new owner registers the table, and it works on
    admin.run(&format!("grant {name} to {other}; grant domain_events_admin, domain_events_writer to {other}; grant all on schema own to {other}; alter table own.log owner to {other}"));
    let mut o = db.session(&other);
    o.error(next).expect("55000");
    o.run("select domain_events.register_event_table('own.log', 't', 'id', 'v')");
    assert_eq!(o.number(next), 3);
    assert_eq!(s.number(next), 3);
    // a reader of one's own making is none
    o.error(
        "insert into domain_events.commands (target, verb, arguments)
         select 'own.log', 'register event table', jsonb_build_object('source', 'own.log'::regclass::oid::bigint, 'stream_columns', '[\"t\", \"id\"]'::jsonb, 'version_column', 'v',
                'reader', 'pg_catalog.now'::regproc::oid::bigint)"
    )
    .expect("55000");
}

fn the_owner_needs_a_place_for_it(db: &Db) {
    let name = db.role("legacy");
    let mut admin = db.admin();
    admin.run(&format!(
        "grant domain_events_admin, domain_events_writer to {name}; create schema full_house; grant usage on schema full_house to {name};
         create table full_house.log (t text, id text, v int, unique (t, id, v)); alter table full_house.log owner to {name}"
    ));
    let mut s = db.session(&name);
    let register = "select domain_events.register_event_table('full_house.log', 't', 'id', 'v')";
    s.error(register).expect("42501").naming("full_house");
    assert_eq!(admin.one("select count(*) from domain_events.event_tables"), "0");
    // a superuser needs none, and makes it for the owner
    admin.run(register);
    assert_eq!(admin.one("select proowner::regrole from pg_proc where proname = 'log_newest_version'"), name);
    assert_eq!(s.number("select domain_events.next_aggregate_version('A', '1', 'full_house.log')"), 1);
}

fn it_goes_with_its_table(db: &Db) {
    let (name, mut s) = owner(db);
    let count = "select count(*) from pg_proc where proname like '%_newest_version%'";
    assert_eq!(s.one("select domain_events.unregister_event_table('own.log')"), "t");
    assert_eq!(s.one("select domain_events.unregister_event_table('own.log')"), "f");
    assert_eq!(s.one(count), "0");
    s.error("select domain_events.next_aggregate_version('A', '1', 'own.log')").expect("42P01");
    s.run("select domain_events.register_event_table('own.log', 't', 'id', 'v')");
    let other = db.role("other");
    db.admin().run(&format!("grant domain_events_admin to {other}; grant usage on schema own to {other}"));
    db.session(&other).error("select domain_events.unregister_event_table('own.log')").expect("42501");
    // a table that is gone has no owner
    let oid = s.one("select 'own.log'::regclass::oid");
    s.run("drop table own.log");
    assert_eq!(s.one(&format!("select domain_events.unregister_event_table({oid}::regclass)")), "t");
    assert_eq!(s.one("select count(*) from domain_events.event_tables"), "0");
    // and whoever leaves takes it along
    s.run(LOG);
    db.admin().run(&format!("drop owned by {name}; drop role {name}"));
}

fn writers_need_the_writers_role_and_no_more(db: &Db) {
    let (_, mut s) = owner(db);
    let (writer, stranger) = (db.role("writer"), db.role("stranger"));
    db.admin().run(&format!("grant domain_events_writer to {writer}"));
    s.run(&format!("grant usage on schema own to {writer}, {stranger}; revoke all on own.log from public"));
    let mut w = db.session(&writer);
    assert_eq!(w.number("select domain_events.next_aggregate_version('A', '1', 'own.log')"), 3);
    w.error("select * from own.log").expect_code("42501");
    let mut x = db.session(&stranger);
    for call in [
        "select domain_events.next_aggregate_version('A', '1', 'own.log')",
        "select domain_events._next_legacy_version('A'::text, '1'::text, 'own.log'::regclass)",
        "select domain_events._next_legacy_version(array['A', '1'], 'own.log', true)",
        "select domain_events.hold_legacy_stream('own.log', 1)",
        "select domain_events.legacy_reader('own.log', 2)",
        "select own.log_newest_version('own.log'::regclass, array['A', '1'], 2)",
    ] {
        x.error(call).expect_code("42501");
    }
    // the reader reads its table alone
    s.run("create table own.secret (t text, id text, v int); insert into own.secret values ('A', '1', 99)");
    for step in [1, 2, 3, 4] {
        let answer =
            w.attempt(&format!("select own.log_newest_version('own.secret'::regclass, array['A', '1'], {step})"));
        assert!(answer.map_or(true, |rows| rows[0][0].as_deref() != Some("99")), "step {step}");
    }
    // a read-only transaction gets no version
    w.run("begin read only");
    w.error("select domain_events.next_aggregate_version('A', '1', 'own.log')").expect("25006");
    w.run("rollback");
}

/// Numbers of types and columns are others after a restore.
fn a_restored_table_counts_on(db: &Db) {
    db.admin().run("create extension citext");
    let (name, mut s) = owner(db);
    s.run(
        "create table own.dropped (gone int, id public.citext, v int, unique (id, v)); alter table own.dropped drop gone;
         insert into own.dropped values ('Bob', 4); select domain_events.register_event_table('own.dropped', '{id}', 'v');",
    );
    let check = |copy: &Db| {
        let mut s = copy.session(&name);
        assert_eq!(s.number("select domain_events.next_aggregate_version('A', '1', 'own.log')"), 3);
        assert_eq!(s.number("select domain_events.next_aggregate_version(array['bOB'], 'own.dropped')"), 5);
        // a rename cannot be followed from there: that is told
        s.run("alter table own.dropped rename column id to ident");
        s.error("select domain_events.next_aggregate_version(array['bOB'], 'own.dropped')")
            .expect("55000")
            .naming("registered");
        s.run("select domain_events.register_event_table('own.dropped', '{ident}', 'v')");
        assert_eq!(s.number("select domain_events.next_aggregate_version(array['bOB'], 'own.dropped')"), 5);
        assert_eq!(s.one("select count(*) from pg_proc where proname like '%_newest_version%'"), "2");
    };
    check(&db.restored());
    check(&db.restored_data_only());
    // without owners everything is the restoring role's, the reader too
    let path = db.file("whole.dump");
    db.quietly("pg_dump", &["-Fc", "-f", &path]);
    let copy = Db::new(Engine::None).holding(db.engine);
    copy.quietly("pg_restore", &["--exit-on-error", "--no-owner", "-d", &copy.name, &path]);
    assert_eq!(copy.admin().number("select domain_events.next_aggregate_version('A', '1', 'own.log')"), 3);
}

fn uninstall_takes_readers_along(db: &Db) {
    let user = if db.engine == Engine::Portable { "app_owner" } else { "postgres" };
    db.owner().run(
        "create table log (t text, id text, v int, unique (t, id, v)); select domain_events.register_event_table('log', 't', 'id', 'v')",
    );
    db.cli(user, &["uninstall", "--drop-events", "--yes"]).expect(0);
    assert_eq!(db.admin().one("select count(*) from pg_proc where proname like '%_newest_version%'"), "0");
}

/// A superuser's table whose streams are named by an enum of somebody else's, who may write events and is nothing else.
fn of_an_enum(db: &Db) -> (String, domain_events_tests::Session, domain_events_tests::Session) {
    let name = db.role("mallory");
    let mut admin = db.admin();
    admin.run(&format!("create schema m authorization {name}; create schema app; grant usage, create on schema app to {name}; grant domain_events_writer to {name}"));
    let mut s = db.session(&name);
    s.run("create type m.kind as enum ('User', 'Order')");
    admin.run(
        "create table app.log (t m.kind, i text, v int, unique (t, i, v)); insert into app.log values ('User', '1', 7);
         select domain_events.register_event_table('app.log', '{t,i}', 'v')",
    );
    s.run(
        "create function m.run() returns text language plpgsql as $f$ begin
           execute format('alter role %I superuser', session_user); return 'User'; end $f$",
    );
    (name, s, admin)
}

/// Nothing ran with the rights of the table's owner.
fn is_no_superuser(db: &Db, name: &str) {
    assert_eq!(db.admin().one(&format!("select rolsuper from pg_roles where rolname = '{name}'")), "f");
}

fn a_reader_runs_no_cast_of_a_types_owner(db: &Db) {
    let (name, mut s, _) = of_an_enum(db);
    let next = "select domain_events.next_aggregate_version('Order', '1', 'app.log')";
    assert_eq!(s.number(next), 1);
    s.run(
        "create function m.c(text) returns m.kind language plpgsql as $f$ begin return m.run(); end $f$;
         create cast (text as m.kind) with function m.c(text)",
    );
    let mut other = db.session(&name);
    assert_eq!(other.number(next), 1);
    assert_eq!(other.number("select domain_events.next_aggregate_version('User', '1', 'app.log')"), 8);
    other.error("select domain_events.next_aggregate_version('Nothing', '1', 'app.log')").expect("22P02");
    is_no_superuser(db, &name);
}

fn a_reader_takes_no_domain_for_an_enum(db: &Db) {
    let (name, mut s, _) = of_an_enum(db);
    // the event trigger looks away, as it does for a restore
    s.run("set check_function_bodies = off; set row_security = off; alter type m.kind rename to kind2; reset all");
    s.run("create function m.e(text) returns boolean language plpgsql as $f$ begin perform m.run(); return true; end $f$; create domain m.kind as text check (m.e(value))");
    s.error("select app.log_newest_version(1, '{User,1}', 1)").expect("55000");
    is_no_superuser(db, &name);
}

fn a_reader_reads_no_view_in_its_tables_place(db: &Db) {
    let (name, mut s, mut admin) = of_an_enum(db);
    admin.run("alter table app.log rename to log_2025");
    s.run("create view app.log as select m.run()::m.kind as t, '1'::text as i, 1 as v");
    s.error("select app.log_newest_version('app.log'::regclass::oid, '{User,1}', 2)").expect("55000");
    assert_eq!(s.number("select domain_events.next_aggregate_version('User', '1', 'app.log_2025')"), 8);
    admin.run("drop table app.log_2025");
    s.error("select app.log_newest_version('app.log'::regclass::oid, '{User,1}', 2)").expect("55000");
    is_no_superuser(db, &name);
}

fn a_reader_is_not_of_use_when_its_table_is_given_away(db: &Db) {
    let (name, mut s, mut admin) = of_an_enum(db);
    let oid = admin.one("select 'app.log'::regclass::oid");
    admin.run(&format!("alter table app.log owner to {name}; alter table app.log rename to log_2025"));
    s.run("create function m.i(int) returns int immutable language plpgsql as $f$ begin perform m.run(); return 1; end $f$; set enable_seqscan = off");
    for step in [2, 3] {
        s.error(&format!("select app.log_newest_version({oid}, '{{User,1}}', {step})")).expect("55000");
    }
    is_no_superuser(db, &name);
}
