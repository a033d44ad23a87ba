//! The demo is the product's promise in one run: it must hold, on both engines.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use domain_events_tests::repository;

/// The command line as built beside this test.
fn cli() -> PathBuf {
    let test = std::env::current_exe().expect("this test's path");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    let cli = profile.join("domain-events");
    assert!(cli.exists(), "{} is missing: cargo build", cli.display());
    cli
}

/// Runs a demo and expects these lines of it.
fn demo(script: &str, engine: &str, lines: &[&str]) {
    let out = Command::new(repository().join("tests/demo").join(script))
        .args(["--engine", engine])
        .env("CLI", cli())
        .output()
        .expect("bash");
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "the demo fails:\n{stdout}\n{stderr}");
    for line in lines {
        assert!(stdout.contains(line), "{line:?} is missing in\n{stdout}");
    }
    assert!(!stdout.contains('\u{1b}'), "colours without a terminal");
}

const POSTGRES: &[&str] = &[
    "duplicate key value violates unique constraint \"uk_aggregate_version\"",
    "login_count was 1 and still is 1",
    "log_user_changes",
    "No session failed.",
    "Versions without duplicate or gap, no write lost.",
];

/// The same promise from MySQL: a real MariaDB loses the write, PostgreSQL does not.
const MYSQL: &[&str] = &[
    "ERROR 1062 (23000)",
    "Duplicate entry 'User-4-1' for key 'uk_aggregate_version'",
    "login_count was 1 and still is 1",
    "log_user_changes",
    "counts and checksums agree",
    "No update failed.",
    "From MySQL to PostgreSQL: versions without duplicate or gap, no write lost.",
];

#[test]
fn portable() {
    demo("run.sh", "portable", POSTGRES);
}

#[test]
fn native() {
    demo("run.sh", "native", POSTGRES);
}

#[test]
fn mysql_portable() {
    demo("mysql.sh", "portable", MYSQL);
}

#[test]
fn mysql_native() {
    demo("mysql.sh", "native", MYSQL);
}
