//! `install`: whole or not at all, and never over something else.

use std::process::Stdio;

use domain_events_tests::{Cluster, Db, Engine};
use serde_json::json;

use crate::{catalogue, empty, installed};

#[test]
fn a_plain_owner_installs_the_portable_engine_and_again_changes_nothing() {
    let db = empty();
    let run = db.cli("app_owner", &["--format", "json", "install", "--engine", "portable"]).expect(0);
    let first = run.json();
    assert_eq!(first["engine"], "portable");
    assert_eq!(first["changed"], true);
    assert_eq!(first["engine_before"], json!(null));
    assert_eq!(db.owner().table("select * from domain_events.engine()"), "portable|0.1.0");

    let before = catalogue(&db);
    for args in [&["install"][..], &["install", "--engine", "portable"]] {
        db.cli("app_owner", args).expect(0).saying("already installed");
    }
    assert_eq!(before, catalogue(&db));
}

#[test]
fn it_installs_what_psql_installs() {
    let by_psql = Db::new(Engine::Portable);
    assert_eq!(catalogue(&installed()), catalogue(&by_psql));
}

#[test]
fn a_role_that_may_not_create_the_extension_gets_the_portable_engine_by_default_and_is_told_why() {
    let db = empty();
    db.cli("app_owner", &["install"]).expect(0).saying("portable because");
    assert_eq!(db.owner().one("select engine from domain_events.engine()"), "portable");
}

#[test]
fn native_for_a_role_that_cannot_have_it_is_refused() {
    let db = empty();
    let before = catalogue(&db);
    let run = db.cli("app_owner", &["install", "--engine", "native"]).expect(1).saying("--engine portable");
    assert!(run.stderr.contains("42501") || run.stderr.contains("0A000"), "{}", run.stderr);
    assert_eq!(before, catalogue(&db));
}

#[test]
fn a_dry_run_prints_a_script_that_psql_can_run_and_changes_nothing() {
    let db = empty();
    let before = catalogue(&db);
    let run =
        db.cli("app_owner", &["install", "--engine", "portable", "--dry-run"]).expect(3).saying("nothing was changed");
    assert_eq!(before, catalogue(&db));

    let script = std::env::temp_dir().join(format!("domain-events-dry-run-{}.sql", std::process::id()));
    std::fs::write(&script, &run.stdout).expect("the script is written");
    let mut psql = db.client_program("psql", "app_owner");
    let out = psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&script).output().expect("psql");
    std::fs::remove_file(&script).expect("the script is removed");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));

    let again = db.cli("app_owner", &["--format", "json", "install", "--dry-run"]).expect(0);
    assert_eq!(again.json()["steps"], json!([]));
}

#[test]
fn a_schema_that_is_no_store_is_not_touched() {
    for (owner, user) in [("app_owner", "app_owner"), ("app_owner", "postgres"), ("postgres", "app_owner")] {
        let db = empty();
        db.admin().run(&format!(
            "create schema domain_events authorization {owner}; create table domain_events.mine (id int);"
        ));
        let before = catalogue(&db);
        for engine in [&["install"][..], &["install", "--engine", "portable"], &["install", "--dry-run"]] {
            db.cli(user, engine).expect_error(1, "42P06").saying(owner);
        }
        assert_eq!(before, catalogue(&db), "owner {owner}, user {user}");
    }
}

#[test]
fn an_empty_schema_of_that_name_is_not_taken_over() {
    let db = empty();
    db.owner().run("create schema domain_events");
    db.cli("app_owner", &["install", "--engine", "portable"]).expect_error(1, "42P06");
}

#[test]
fn a_store_of_another_role_is_not_touched() {
    let db = installed();
    let other = db.role("other");
    db.admin().run(&format!("grant create on database {} to {other}", db.name));
    let before = catalogue(&db);
    db.cli(&other, &["install", "--engine", "portable"]).expect_error(1, "42P06").saying("app_owner");
    assert_eq!(before, catalogue(&db));
}

#[test]
fn another_version_is_not_touched() {
    let db = installed();
    db.owner().run(
        "create or replace function domain_events.engine(out engine text, out version text)
         language sql immutable parallel safe as $$ select 'portable'::text, '0.0.9'::text $$",
    );
    let before = catalogue(&db);
    db.cli("app_owner", &["install"]).expect_error(1, "55000").saying("0.0.9").saying("0.1.0");
    db.cli("app_owner", &["uninstall"]).expect_error(1, "55000");
    let status = db.cli("app_owner", &["--format", "json", "status"]).expect(3).json();
    assert_eq!(status["findings"][0]["code"], "other_version");
    assert_eq!(before, catalogue(&db));
}

#[test]
fn a_role_without_privileges_is_refused_and_nothing_is_half_done() {
    let db = empty();
    let nobody = db.role("nobody");
    let before = catalogue(&db);
    db.cli(&nobody, &["install", "--engine", "portable"]).expect_error(1, "42501");
    assert_eq!(before, catalogue(&db));
}

#[test]
fn a_read_only_database_is_refused() {
    let db = empty();
    db.admin().run(&format!("alter database {} set default_transaction_read_only = on", db.name));
    db.cli("app_owner", &["install", "--engine", "portable"]).expect_error(1, "25006");
}

#[test]
fn a_second_command_at_the_same_time_gets_5() {
    let db = empty();
    let mut holder = db.owner();
    holder.run("begin; select pg_advisory_xact_lock(x'70676465'::int, 1)");
    let pid = holder.pid();
    let before = catalogue(&db);
    let run = db.cli("app_owner", &["install", "--engine", "portable"]).expect(5);
    run.saying(&format!("server process {pid}")).saying("hint: ");
    assert_eq!(before, catalogue(&db));
    holder.run("rollback");
    db.cli("app_owner", &["install", "--engine", "portable"]).expect(0);
}

#[test]
fn without_createrole_the_statements_to_run_are_printed_and_they_work() {
    let db = Db::on(Cluster::start(&[]), Engine::None);
    db.admin().run("drop role domain_events_reader, domain_events_writer, domain_events_admin");
    let run = db.cli("app_owner", &["install", "--engine", "portable"]).expect(0).saying("may not create roles");
    let lines: Vec<_> = run.stdout.lines().collect();
    assert!(lines.contains(&"create role domain_events_reader nologin;"), "{lines:?}");
    assert!(lines.contains(&"grant domain_events_admin to \"app_owner\";"), "{lines:?}");

    // missing roles are no fault: the store works for its owner
    let status = db.cli("app_owner", &["--format", "json", "status"]).expect(0).json();
    assert_eq!(status["roles"][0], json!({"name": "domain_events_reader", "exists": false, "granted": false}));

    // roles alone are not enough, and that is said
    db.admin().run(&lines[..lines.len() - 1].join("\n"));
    let status = db.cli("app_owner", &["--format", "json", "status"]).expect(3).json();
    assert_eq!(status["findings"][0]["code"], "role_without_rights");

    db.owner().run(lines[lines.len() - 1]);
    db.cli("app_owner", &["status"]).expect(0);
    assert_eq!(db.cli("app_owner", &["install"]).expect(0).stdout, "");
}

#[test]
fn with_createrole_the_roles_are_made() {
    let db = Db::on(Cluster::start(&[]), Engine::None);
    db.admin().run(
        "drop role domain_events_reader, domain_events_writer, domain_events_admin; alter role app_owner createrole",
    );
    assert_eq!(db.cli("app_owner", &["install", "--engine", "portable"]).expect(0).stdout, "");
    let roles = "select count(*) from pg_roles where rolname like 'domain\\_events\\_%' and not rolcanlogin";
    assert_eq!(db.admin().number(roles), 3);
    db.cli("app_owner", &["status"]).expect(0);
}

#[test]
fn odd_settings_of_the_database_do_not_matter() {
    let db = empty();
    for setting in [
        "standard_conforming_strings = off",
        "search_path = nowhere",
        "default_transaction_isolation = serializable",
        "quote_all_identifiers = on",
        "check_function_bodies = off",
        "datestyle = 'German, DMY'",
        "client_min_messages = error",
    ] {
        db.admin().run(&format!("alter database {} set {setting}", db.name));
    }
    db.cli("app_owner", &["install", "--engine", "portable"]).expect(0);
    db.owner().run("create schema nowhere; create table things (id int primary key, name text); select domain_events.enable_capture('things')");
    db.owner().run("insert into things values (1, E'a\\\\b')");
    db.cli("app_owner", &["status"]).expect(0);
    db.cli("app_owner", &["uninstall", "--drop-events"]).expect(0);
}

#[test]
fn two_at_the_same_moment_leave_one_whole_store() {
    let db = empty();
    let mut both: Vec<_> = (0..2)
        .map(|_| {
            let mut command = db.cli_command("app_owner", &["install", "--engine", "portable"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("domain-events")
        })
        .collect();
    let mut codes: Vec<_> = both.iter_mut().map(|c| c.wait().expect("an end").code()).collect();
    codes.sort();
    assert!(codes == [Some(0), Some(5)] || codes == [Some(0), Some(0)], "{codes:?}");
    db.cli("app_owner", &["status"]).expect(0);
}
