//! `status`: 0 when all is well, 3 when something waits or is wrong.

use serde_json::{Value, json};

use crate::{capture_users, catalogue, empty, installed};

fn codes(status: &Value) -> Vec<&str> {
    status["findings"].as_array().expect("findings").iter().map(|f| f["code"].as_str().expect("a code")).collect()
}

#[test]
fn not_installed_is_3_and_says_what_to_run() {
    let db = empty();
    let run = db.cli("app_owner", &["status"]).expect(3);
    assert!(run.stdout.contains("not installed") && run.stdout.contains("domain-events install"), "{}", run.stdout);
    let status = db.cli("app_owner", &["--format", "json", "status"]).expect(3).json();
    assert_eq!(status["installed"], false);
    assert_eq!(codes(&status), ["not_installed"]);
}

#[test]
fn a_foreign_schema_is_named() {
    let db = empty();
    db.admin().run("create schema domain_events");
    let status = db.cli("app_owner", &["--format", "json", "status"]).expect(3).json();
    assert_eq!(codes(&status), ["foreign_schema"]);
    assert_eq!(status["owner"], "postgres");
}

#[test]
fn it_counts_events_streams_and_captures_and_writes_nothing() {
    let db = installed();
    capture_users(&db);
    db.admin().run(&format!("alter role app_owner in database {} set default_transaction_read_only = on", db.name));
    let before = catalogue(&db);
    let status = db.cli("app_owner", &["--format", "json", "status"]).expect(0).json();
    assert_eq!(before, catalogue(&db));
    assert_eq!(status["engine"], "portable");
    assert_eq!(status["version"], "0.1.0");
    assert_eq!(status["tool_version"], "0.1.0");
    assert_eq!((&status["events"], &status["events_exact"], &status["streams"]), (&json!(3), &json!(true), &json!(2)));
    assert_eq!(
        status["captures"],
        json!([{"table": "public.users", "aggregate_type": "User", "state": "active", "on_failure": "dead_letter",
                "pending_failures": 0}])
    );
    assert_eq!(status["roles"][1], json!({"name": "domain_events_writer", "exists": true, "granted": true}));
    assert_eq!(status["findings"], json!([]));
    let run = db.cli("app_owner", &["status"]).expect(0);
    assert!(run.stdout.contains("portable engine 0.1.0") && run.stdout.contains("public.users"), "{}", run.stdout);
    assert_eq!(run.stderr, "");
}

#[test]
fn a_reader_sees_the_same() {
    let db = installed();
    capture_users(&db);
    let reader = db.role("reader");
    db.admin().run(&format!("grant domain_events_reader to {reader}"));
    let mut of_reader = db.cli(&reader, &["--format", "json", "status"]).expect(0).json();
    let of_owner = db.cli("app_owner", &["--format", "json", "status"]).expect(0).json();
    of_reader["role"] = of_owner["role"].clone();
    assert_eq!(of_reader, of_owner);
}

#[test]
fn a_stranger_is_told_that_it_sees_too_little() {
    let db = installed();
    let stranger = db.role("stranger");
    let status = db.cli(&stranger, &["--format", "json", "status"]).expect(3).json();
    assert_eq!(status["engine"], "portable");
    assert_eq!(status["events"], json!(null));
    assert_eq!(codes(&status), ["not_readable"]);
}

#[test]
fn a_paused_capture_a_lost_trigger_and_dead_letters_are_findings() {
    let db = installed();
    capture_users(&db);
    db.owner().run("select domain_events.pause_capture('public.users')");
    assert_eq!(codes(&db.cli("app_owner", &["--format", "json", "status"]).expect(3).json()), ["capture_paused"]);
    db.owner().run("select domain_events.resume_capture('public.users')");
    db.cli("app_owner", &["status"]).expect(0);
    db.owner().run("alter table public.users disable trigger \" domain_events_capture\"");
    assert_eq!(
        codes(&db.cli("app_owner", &["--format", "json", "status"]).expect(3).json()),
        ["capture_trigger_missing"]
    );
}

#[test]
fn a_dropped_captured_table_does_not_break_it() {
    let db = installed();
    capture_users(&db);
    db.owner().run("drop table public.users");
    let status = db.cli("app_owner", &["--format", "json", "status"]).expect(3).json();
    assert_eq!(codes(&status), ["captured_table_missing"]);
    assert_eq!(status["captures"][0]["aggregate_type"], "User");
    db.cli("app_owner", &["uninstall", "--keep-events"]).expect(0);
}

#[test]
fn plans_of_the_journal_are_shown() {
    let db = installed();
    db.owner().run(
        "insert into domain_events.migration_plans (plan_id, state, plan, tool_version) values
           ('p1', 'rolled_back', '{}', '0.1.0'), ('p2', 'applied', '{}', '0.1.0')",
    );
    let status = db.cli("app_owner", &["--format", "json", "status"]).expect(0).json();
    assert_eq!(status["plans"].as_array().map(Vec::len), Some(2));
    db.cli("app_owner", &["uninstall"]).expect_error(1, "2BP01").saying("p2").saying("rollback");
    db.owner().run("update domain_events.migration_plans set state = 'applying' where plan_id = 'p2'");
    assert_eq!(codes(&db.cli("app_owner", &["--format", "json", "status"]).expect(3).json()), ["plan_unfinished"]);
}

#[test]
fn a_store_of_another_name_is_found() {
    // Where no superuser has installed it, nothing refuses that.
    let db = crate::installed();
    db.owner().run("alter schema domain_events rename to \"other name\"");
    for user in ["app_owner", "postgres"] {
        let run = db.cli(user, &["--format", "json", "status"]).expect(3).json();
        let found = run["findings"].to_string();
        assert!(
            found.contains("schema_renamed")
                && found.contains("alter schema \\\"other name\\\" rename to domain_events"),
            "{found}"
        );
    }
    db.owner().run("alter schema \"other name\" rename to domain_events");
    db.cli("app_owner", &["status"]).expect(0);
}
