//! `psql -f sql/install.sql`, whole or not at all.

use domain_events_tests::{Cluster, Db, Engine};

fn install(db: &Db, user: &str) -> Result<String, String> {
    let out = db.install_command(user).output().expect("psql");
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    if out.status.success() { Ok(text) } else { Err(text) }
}

#[test]
fn a_second_installation_is_refused_and_changes_nothing() {
    let db = Db::new(Engine::Portable);
    db.owner().run("select domain_events.append_event('User', '1', 'UserCreated')");
    let error = install(&db, "app_owner").expect_err("already installed");
    assert!(error.contains("already installed") && error.contains("HINT"), "{error}");
    assert_eq!(db.owner().one("select count(*) from domain_events.events"), "1");
}

#[test]
fn a_foreign_schema_is_not_touched() {
    let db = Db::new(Engine::None);
    let mut s = db.owner();
    s.run("create schema domain_events; create table domain_events.events (mine int); insert into domain_events.events values (1)");
    let error = install(&db, "app_owner").expect_err("not ours");
    assert!(error.contains("not an event store") && error.contains("HINT"), "{error}");
    assert_eq!(s.table("select mine from domain_events.events"), "1");
    assert_eq!(s.one("select count(*) from pg_proc where pronamespace = 'domain_events'::regnamespace"), "0");
}

#[test]
fn a_schema_of_another_role_is_not_touched() {
    let db = Db::new(Engine::None);
    let other = db.role("other");
    db.admin().run(&format!("create schema domain_events authorization {other}"));
    for user in ["app_owner", "postgres"] {
        let error = install(&db, user).expect_err("another's schema");
        assert!(error.contains(&other) && error.contains("HINT"), "{error}");
    }
    // The same from CREATE EXTENSION, with its SQLSTATE.
    db.admin().error("create extension pg_domain_events").expect_code("42P06");
    assert_eq!(db.admin().one("select count(*) from pg_proc where pronamespace = 'domain_events'::regnamespace"), "0");
}

#[test]
fn a_database_without_privileges_is_told() {
    let db = Db::new(Engine::None);
    let stranger = db.role("stranger");
    let error = install(&db, &stranger).expect_err("no privilege");
    assert!(error.contains("permission denied"), "{error}");
}

#[test]
fn without_createrole_the_roles_are_asked_for_and_the_store_works() {
    let cluster = Cluster::start(&[]);
    cluster
        .connect("postgres", "postgres")
        .run("drop role domain_events_reader; drop role domain_events_writer; drop role domain_events_admin");
    let db = Db::on(cluster, Engine::None);
    let notice = install(&db, "app_owner").expect("installs without the roles");
    for role in ["domain_events_reader", "domain_events_writer", "domain_events_admin"] {
        assert!(notice.contains(&format!("create role {role}")), "{notice}");
    }
    let mut s = db.owner();
    s.run(
        "create table users (id int primary key, name text);
         select domain_events.enable_capture('users');
         insert into users values (1, 'a'); select domain_events.append_event('Order', '1', 'OrderPlaced');",
    );
    db.check_table("User", "users");
    // Later, somebody who may creates them, and the owner hands out the rights.
    db.admin().run(
        "create role domain_events_reader; create role domain_events_writer; create role domain_events_admin;
         create role writer login in role domain_events_writer",
    );
    s.run("select domain_events.grant_privileges()");
    db.session("writer").run("select domain_events.append_event('Order', '1', 'OrderShipped')");
    db.session("writer").error("delete from domain_events.events").expect_code("42501");
    db.check_versions();
}

#[test]
fn a_superusers_installation_creates_the_roles() {
    let cluster = Cluster::start(&[]);
    cluster
        .connect("postgres", "postgres")
        .run("drop role domain_events_reader; drop role domain_events_writer; drop role domain_events_admin");
    let db = Db::on(cluster, Engine::None);
    install(&db, "postgres").expect("installs");
    assert_eq!(
        db.admin().one("select count(*) from pg_roles where rolname like 'domain\\_events\\_%' and not rolcanlogin"),
        "3"
    );
}

#[test]
fn create_extension_twice_and_over_a_portable_store() {
    let db = Db::new(Engine::PortableSuper);
    db.owner().run("select domain_events.append_event('User', '1', 'UserCreated')");
    // Over an existing store only version 'portable' adopts.
    let failure = db.admin().error("create extension pg_domain_events");
    assert_eq!(failure.code, "55000", "{failure}");
    assert!(!failure.hint.is_empty(), "{failure}");
    assert_eq!(db.owner().table("select engine from domain_events.engine()"), "portable");
    assert_eq!(db.owner().one("select count(*) from domain_events.events"), "1");
}
