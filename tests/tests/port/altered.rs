//! A ported table after DDL: writes go on where they can, monitor tells what stops them before the first one fails, and the call that
//! it names mends it.

use domain_events_tests::{Db, Engine, Session, all_engines};

use crate::Legacy;

all_engines! {
    other_types_stop_no_write, a_version_that_is_no_number, a_renamed_column, another_owner, another_name, another_schema, the_schema_alone_restored,
    one_schema_restored, restored_without_owners, a_renamed_role,
}

/// The application of the demo, ported.
fn ported(db: &Db) -> Legacy<'_> {
    let legacy = Legacy::new(db);
    legacy.plan(&[]);
    legacy.apply().expect(0);
    legacy
}

/// Whether DDL is followed at once.
fn is_followed(db: &Db) -> bool {
    db.engine != Engine::Portable
}

/// What a check finds about registered tables.
fn found(s: &mut Session) -> String {
    s.table("select code || ' ' || severity from domain_events.check_infrastructure() order by 1").replace('\n', ", ")
}

/// Runs the call that a finding names, as the role that it names.
fn mend(db: &Db, code: &str, role: &str) {
    let detail = db.owner().one(&format!(
        "select detail from domain_events.check_infrastructure() where code = '{code}' and detail ~ ' {role}[ ,]'"
    ));
    let call = detail.split("runs: ").nth(1).expect("a call");
    let (call, before) = call.split_once(" Before that ").unwrap_or((call, ""));
    if let Some((_, grants)) = before.split_once(" needs: ") {
        db.admin().run(grants);
    }
    db.session(role).run(call);
}

fn write(db: &Db) {
    for _ in 0..2 {
        db.owner().run("update users set login_count = login_count + 1 where id <= 4");
    }
}

fn other_types_stop_no_write(db: &Db) {
    let legacy = ported(db);
    let mut s = db.owner();
    write(db);
    let mut known = db.owner();
    for (change, warns) in [
        ("alter aggregate_version type int", false),
        ("alter aggregate_version type bigint", false),
        ("alter aggregate_id type text", true),
        ("alter aggregate_type type varchar(120), alter aggregate_version type int", true),
    ] {
        // a session that knows the old types
        known.run("update users set login_count = login_count + 1 where id = 4");
        s.run(&format!("alter table domain_events {change}"));
        write(db);
        assert_eq!(legacy.broken_streams(), 0, "{change}");
        let expected = if warns && !is_followed(db) { "event_table_altered warning" } else { "" };
        assert_eq!(found(&mut s), expected, "{change}");
        if !expected.is_empty() {
            assert_eq!(legacy.cli(&["monitor"]).code, 3);
            mend(db, "event_table_altered", "app_owner");
            assert_eq!(found(&mut s), "", "{change}");
            write(db);
        }
        known.run("update users set login_count = login_count + 1 where id = 4");
        assert_eq!(legacy.broken_streams(), 0, "{change}");
    }
    // an id that was too long for the type it had, and two that began alike
    s.run(
        "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data)
         select 'Long', repeat('x', 110) || i % 2, 1, 'E', '{}' from generate_series(1, 6) i",
    );
    assert_eq!(legacy.broken_streams(), 0);
    assert_eq!(s.one("select max(aggregate_version) from domain_events where aggregate_type = 'Long'"), "3");
}

/// Nobody but the owner gets versions by the queries that take the reader's place, and the column's type says which is the last.
fn a_version_that_is_no_number(db: &Db) {
    let legacy = ported(db);
    let mut s = db.owner();
    s.run("alter table domain_events alter aggregate_version type smallint");
    s.run("insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data) values ('Last', '1', 1, 'E', '{}')");
    s.run("update domain_events set aggregate_version = 32767 where aggregate_type = 'Last'");
    let insert = "insert into domain_events (aggregate_type, aggregate_id, aggregate_version, event_type, event_data) values ('Last', '1', 1, 'E', '{}')";
    s.error(insert).expect("22003");
    s.run("alter table domain_events alter aggregate_version type bigint");
    if is_followed(db) {
        s.run(insert);
    } else {
        db.owner().run(insert);
    }
    let writer = db.role("writer");
    db.admin().run(&format!("grant domain_events_writer to {writer}"));
    let next = "select domain_events.next_aggregate_version('Last', '1', 'public.domain_events')";
    assert_eq!(db.session(&writer).number(next), 32769);
    s.run("alter table domain_events alter aggregate_id type text");
    assert_eq!(s.number(next), 32769);
    if is_followed(db) {
        assert_eq!(db.session(&writer).number(next), 32769);
    } else {
        db.session(&writer).error(next).expect("55000").naming("check_infrastructure");
    }
    s.run("alter table domain_events alter aggregate_version type text");
    assert_eq!(found(&mut s), "event_table_altered error");
    db.owner().error(insert).expect("42804");
    s.run("alter table domain_events alter aggregate_version type bigint using aggregate_version::bigint");
    db.owner().run(insert);
    drop(legacy);
}

fn a_renamed_column(db: &Db) {
    let legacy = ported(db);
    let mut s = db.owner();
    write(db);
    let body = s.one("select prosrc from pg_proc where proname = 'log_user_changes'");
    let body = body.replace("aggregate_version", "\"Ver\"").replace("aggregate_id", "aggregate_version");
    // two names at once, one of which the other had
    s.run(&format!(
        "begin; alter table domain_events rename column aggregate_version to \"Ver\"; alter table domain_events rename column aggregate_id to aggregate_version;
         create or replace function log_user_changes() returns trigger language plpgsql as $f${body}$f$; commit"
    ));
    if !is_followed(db) {
        assert_eq!(found(&mut s), "event_table_column_renamed error");
        mend(db, "event_table_column_renamed", "app_owner");
    }
    assert_eq!(found(&mut s), "");
    write(db);
    let broken = "select count(*) from (select from domain_events group by aggregate_type, aggregate_version
                   having min(\"Ver\") <> 1 or max(\"Ver\") <> count(*)) s";
    assert_eq!(s.number(broken), 0);
    legacy.rollback().expect(0);
    s.run("update users set login_count = login_count + 1 where id = 4999");
    db.cli(if is_followed(db) { "postgres" } else { "app_owner" }, &["uninstall", "--yes"]).expect(0);
}

fn another_owner(db: &Db) {
    let legacy = ported(db);
    let (mut s, other) = (db.owner(), db.role("other"));
    write(db);
    db.admin().run(&format!(
        "alter table domain_events owner to {other}; grant select, insert on domain_events to app_owner; grant usage on schema public to {other}"
    ));
    if !is_followed(db) {
        let failure = s.error("update users set login_count = 9 where id = 1").expect("55000");
        assert!(
            failure.hint.contains("grant domain_events_admin to") && failure.hint.contains("register_event_table("),
            "{failure}"
        );
        assert_eq!(found(&mut s), "event_table_reader_missing error");
        assert_eq!(legacy.cli(&["status"]).code, 3);
        mend(db, "event_table_reader_missing", &other);
    }
    assert_eq!(found(&mut s), "");
    let readers = "select string_agg(proowner::regrole::text, ' ') from pg_proc where proname ~ '_newest_version'";
    // nobody but its owner can drop the former owner's
    let left = if is_followed(db) { other.clone() } else { format!("app_owner {other}") };
    assert_eq!(s.one(readers), left);
    write(db);
    assert_eq!(legacy.broken_streams(), 0);
    // what a superuser applied a superuser takes back; a store's owner is asked to be a member
    db.admin().run(&format!("grant {other} to app_owner"));
    legacy.rollback().expect(0);
    assert_eq!(s.one("select tgenabled from pg_trigger where tgname = '~domain_events_version'"), "D");
    db.cli(if is_followed(db) { "postgres" } else { "app_owner" }, &["uninstall", "--yes"]).expect(0);
}

/// The application's function, about another table.
fn writes_to(s: &mut Session, table: &str) {
    let definition = s.one("select pg_get_functiondef('log_user_changes'::regproc)");
    s.run(&definition.replace("insert into domain_events (", &format!("insert into {table} (")));
}

fn another_name(db: &Db) {
    let legacy = ported(db);
    let mut s = db.owner();
    write(db);
    s.run("alter table domain_events rename to \"User Events\"");
    writes_to(&mut s, "\"User Events\"");
    write(db);
    assert_eq!(found(&mut s), "");
    assert!(legacy.cli(&["status"]).expect(0).stdout.contains("User Events"));
    s.run("alter table \"User Events\" alter aggregate_id type text");
    write(db);
    let broken = "select count(*) from (select from \"User Events\" group by aggregate_type, aggregate_id
                   having min(aggregate_version) <> 1 or max(aggregate_version) <> count(*)) s";
    assert_eq!(s.number(broken), 0);
    s.run("alter table \"User Events\" disable trigger \"~domain_events_version\"");
    assert!(found(&mut s).contains("ported_trigger_missing error"));
    s.run("alter table \"User Events\" enable trigger \"~domain_events_version\"");
    legacy.rollback().expect(0);
    assert_eq!(s.one("select tgenabled from pg_trigger where tgname = '~domain_events_version'"), "D");
    db.cli(if is_followed(db) { "postgres" } else { "app_owner" }, &["uninstall", "--yes"]).expect(0);
    assert_eq!(s.one("select count(*) from pg_trigger where tgname = '~domain_events_version'"), "0");
}

fn another_schema(db: &Db) {
    let legacy = Legacy::of(
        db,
        "create schema app; create table app.users (id int primary key, n int);
         create table app.log (id bigserial primary key, aggregate_type text not null, aggregate_id text not null, aggregate_version int not null,
           event_type text not null, event_data jsonb, constraint uk unique (aggregate_type, aggregate_id, aggregate_version));
         create function app.log_users() returns trigger language plpgsql as $$ begin
           insert into app.log (aggregate_type, aggregate_id, aggregate_version, event_type, event_data) values ('User', new.id::text, 1, 'UserUpdated', to_jsonb(new)); return new; end $$;
         create trigger log_users after update on app.users for each row execute function app.log_users();
         insert into app.users values (1, 0)",
    );
    legacy.plan(&[]);
    legacy.apply().expect(0);
    let mut s = db.owner();
    s.run("alter schema app rename to app2");
    let definition = s.one("select pg_get_functiondef('app2.log_users'::regproc)");
    s.run(&definition.replace("app.log (", "app2.log ("));
    s.run("update app2.users set n = 1; update app2.users set n = 2");
    assert_eq!(s.one("select string_agg(aggregate_version::text, ' ' order by id) from app2.log"), "1 2");
    assert_eq!(found(&mut s), "");
    legacy.rollback().expect(0);
    assert_eq!(s.one("select tgenabled from pg_trigger where tgname = '~domain_events_version'"), "D");
}

/// The schema of a database, restored elsewhere with the tool.
fn restored(db: &Db, how: &[&str], owner: &str) -> Db {
    let path = db.file("part.dump");
    db.quietly("pg_dump", &[&["-Fc", "-f", &path][..], how].concat());
    let copy = Db::new(Engine::None).holding(db.engine);
    if owner != "postgres" {
        copy.admin().run(&format!("alter database {} owner to {owner}", copy.name));
    }
    let mut command = copy.client_program("pg_restore", owner);
    command.args(["-d", &copy.name, &path]);
    if owner != "postgres" {
        command.arg("-O");
    }
    command.output().expect("pg_restore");
    copy
}

fn fill(copy: &Db) {
    copy.admin().run("set session_replication_role = replica; insert into users (name, email) select i, i from generate_series(1, 10) i");
}

fn the_schema_alone_restored(db: &Db) {
    drop(ported(db));
    let copy = restored(db, &["-s"], "postgres");
    fill(&copy);
    let mut s = copy.owner();
    let failure = s.error("update users set login_count = 9 where id = 1").expect("42P01");
    assert!(failure.hint.contains("'{aggregate_type,aggregate_id}'::name[], 'aggregate_version'"), "{failure}");
    assert!(found(&mut s).contains("event_table_not_registered error"), "{}", found(&mut s));
    assert_eq!(copy.cli("app_owner", &["monitor"]).code, 3);
    mend(&copy, "event_table_not_registered", "app_owner");
    assert!(!found(&mut s).contains("event_table"), "{}", found(&mut s));
    if !is_followed(db) {
        s.run("select domain_events.set_sequences()");
    }
    write(&copy);
    assert_eq!(s.one("select max(aggregate_version) from domain_events"), "2");
}

fn one_schema_restored(db: &Db) {
    drop(ported(db));
    let copy = restored(db, &["-n", "public"], "postgres");
    fill(&copy);
    let mut s = copy.owner();
    s.error("update users set login_count = 9 where id = 1").expect_code("3F000");
    let told = copy.cli("app_owner", &["status"]).expect(3);
    assert!(told.stdout.contains("ported_without_store"), "{told:?}");
    db.engine.install(copy.cluster(), &copy.name);
    assert_eq!(found(&mut s), "event_table_not_registered error");
    let refused = copy.cli(if is_followed(db) { "postgres" } else { "app_owner" }, &["uninstall", "--yes"]);
    refused.expect_error(1, "2BP01").saying("disable trigger \"~domain_events_version\"");
    mend(&copy, "event_table_not_registered", "app_owner");
    assert_eq!(found(&mut s), "");
    write(&copy);
    let whole = "select count(*) filter (where n <> v) || ' ' || max(n) from (select count(*) as n, max(aggregate_version) as v from domain_events group by aggregate_type, aggregate_id) x";
    assert_eq!(s.one(whole), "0 3");
}

/// To another server, where everything is another role's.
fn restored_without_owners(db: &Db) {
    let legacy = ported(db);
    if is_followed(db) {
        return; // a superuser's store is restored by a superuser
    }
    write(db);
    let mover = db.role("mover");
    db.admin().run(&format!("grant domain_events_reader, domain_events_writer, domain_events_admin to {mover}"));
    let copy = restored(db, &["--no-publications"], &mover);
    let mut s = copy.session(&mover);
    s.run("update users set login_count = login_count + 1 where id <= 4");
    assert_eq!(found(&mut s), "");
    let refused = copy.cli(&mover, &["rollback", "--yes"]).expect_error(1, "42501");
    take_over(&mut s, &refused.stderr);
    copy.cli(&mover, &["verify"]).expect(0);
    copy.cli(&mover, &["rollback", "--yes"]).expect(0);
    copy.cli(&mover, &["uninstall", "--yes"]).expect(0);
    drop(legacy);
}

/// Runs the statement that the refusal names.
fn take_over(s: &mut Session, stderr: &str) {
    let from = stderr.find("update domain_events.migration_plans").expect("a statement");
    let statement = stderr[from..].split(';').next().expect("a statement");
    s.run(statement);
}

fn a_renamed_role(db: &Db) {
    if is_followed(db) {
        return; // plans are applied by app_owner, a role of the whole server
    }
    let (was, is) = (format!("was_{}", db.name), format!("is_{}", db.name));
    db.admin().run(&format!(
        "create role {was} login; grant domain_events_reader, domain_events_writer, domain_events_admin to {was}"
    ));
    let own = Db::new(Engine::None).holding(db.engine);
    own.admin().run(&format!("alter database {} owner to {was}", own.name));
    own.cli(&was, &["install", "--engine", "portable"]).expect(0);
    let sql = std::fs::read_to_string(domain_events_tests::repository().join("tests/demo/legacy.sql"))
        .expect("the demo's database");
    own.session(&was).run(&sql);
    let plan = std::env::temp_dir().join(format!("domain-events-renamed-{}-{}.toml", std::process::id(), own.name));
    let file = plan.to_str().expect("a path");
    own.cli(&was, &["plan", "--out", file]).expect(3);
    own.cli(&was, &["apply", "--yes", file]).expect(0);
    std::fs::remove_file(&plan).ok();
    db.admin().run(&format!("alter role {was} rename to {is}"));
    let mut s = own.session(&is);
    s.run("update users set login_count = login_count + 1 where id <= 4");
    assert_eq!(found(&mut s), "");
    let refused = own.cli(&is, &["rollback", "--yes"]).expect_error(1, "42501");
    take_over(&mut s, &refused.stderr);
    own.cli(&is, &["rollback", "--yes"]).expect(0);
    own.cli(&is, &["uninstall", "--yes"]).expect(0);
}
