//! No connection: what, where, and what to do.

use domain_events_tests::{domain_events, run};

use crate::empty;

fn with_url(url: &str) -> domain_events_tests::Run {
    run(domain_events().arg("status").env("DATABASE_URL", url))
}

#[test]
fn no_url_is_wrong_usage() {
    run(domain_events().arg("status")).expect(2).saying("no database given").saying("DATABASE_URL");
    with_url("").expect(2).saying("DATABASE_URL");
}

#[test]
fn a_url_of_another_kind_or_broken_is_refused() {
    with_url("mysql://root@localhost/x").expect(1).saying("postgres://").saying("hint: ");
    with_url("postgres://user@localhost:port/x").expect(1).saying("the URL is not valid").saying("hint: ");
}

#[test]
fn a_server_that_does_not_answer_is_tried_again_and_then_named() {
    with_url("postgres://me@127.0.0.1:1/app")
        .expect(1)
        .saying("trying again")
        .saying("cannot connect to database \"app\" at 127.0.0.1:1 as \"me\"")
        .saying("Connection refused")
        .saying("hint: Is the server running");
}

#[test]
fn a_wrong_database_or_role_is_named_at_once() {
    let db = empty();
    let missing = with_url(&db.cluster().url("no_such_database", "app_owner"));
    let missing = missing.expect(1).saying("3D000").saying("no_such_database").saying("hint: ");
    assert!(!missing.stderr.contains("trying again"), "{}", missing.stderr);
    with_url(&db.url("no_such_role")).expect(1).saying("28000").saying("no_such_role").saying("hint: ");
}

#[test]
fn the_password_is_never_shown() {
    let run = with_url("postgres://me:s3cret@127.0.0.1:1/app").expect(1);
    assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
}

#[test]
fn the_flag_wins_over_the_environment() {
    let db = empty();
    let run = run(domain_events()
        .args(["--database-url", &db.url("app_owner"), "--format", "json", "status"])
        .env("DATABASE_URL", "postgres://me@127.0.0.1:1/app"));
    assert_eq!(run.expect(3).json()["database"], db.name.as_str());
}

#[test]
fn an_error_in_json_mode_is_a_document_too() {
    let run = run(domain_events().args(["--format", "json", "status"]).env("DATABASE_URL", "mysql://x")).expect(1);
    let error = &run.json()["error"];
    assert_eq!(error["exit_code"], 1);
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("postgres://")), "{error}");
    assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
}

/// What psql takes is taken: a socket behind an empty host, keywords and values, services, the variables alone.
#[test]
fn every_form_that_psql_takes_is_understood() {
    let db = empty();
    let (socket, port, name) = (db.cluster().socket_dir().display().to_string(), db.cluster().port(), &db.name);
    let status = |set: &[(&str, &str)]| {
        let mut command = domain_events();
        command.args(["--format", "json", "status"]).envs(set.iter().copied());
        let run = run(&mut command);
        assert_eq!(run.code, 3, "{set:?}: {run:?}");
        assert_eq!(run.json()["database"], name.as_str(), "{set:?}");
    };
    let encoded = socket.replace('/', "%2F");
    for url in [
        format!("postgres://app_owner@/{name}?host={socket}&port={port}"),
        format!("postgresql://app_owner@:{port}/{name}?host={socket}"),
        format!("postgres://app_owner@{encoded}:{port}/{name}"),
        format!("postgres:///{name}?host={socket}&port={port}&user=app_owner"),
        format!("postgres://?host={socket}&port={port}&user=app_owner&dbname={name}"),
        format!(
            "postgres://app_owner@127.0.0.1:1,127.0.0.1:{port}/{name}?target_session_attrs=read-write&connect_timeout=3"
        ),
        format!("host={socket} port={port} user=app_owner dbname='{name}'"),
    ] {
        status(&[("DATABASE_URL", &url)]);
    }
    let port = port.to_string();
    let variables = [("PGHOST", socket.as_str()), ("PGPORT", &port), ("PGUSER", "app_owner"), ("PGDATABASE", name)];
    status(&variables);
    status(&[&variables[..3], &[("DATABASE_URL", &format!("postgres:///{name}"))]].concat());
    let file = std::env::temp_dir().join(format!("domain-events-service-{}-{name}", std::process::id()));
    std::fs::write(&file, format!("[shop]\nhost={socket}\nport={port}\nuser=app_owner\ndbname={name}\n"))
        .expect("a file");
    let path = file.to_str().expect("a path");
    status(&[("PGSERVICEFILE", path), ("PGSERVICE", "shop")]);
    status(&[("PGSERVICEFILE", path), ("DATABASE_URL", "service=shop")]);
    status(&[("PGSERVICEFILE", path), ("DATABASE_URL", "postgres://?service=shop")]);
    std::fs::remove_file(&file).ok();
    with_url("service=nowhere").expect(1).saying("there is no service \"nowhere\"").saying("hint: ");
    with_url("postgres://me@h/db?no_such=1").expect(1).saying("no_such").saying("hint: ");
}
