//! What is refused, and how.

use domain_events_tests::{Db, Engine, engines};

use crate::{append, events, tail};

engines! { bad_arguments, who_may_not_read_is_told }

fn bad_arguments(db: &Db) {
    append(&mut db.owner(), "1", 1);
    for args in [
        &["--from", "begining"] as &[&str],
        &["--from", ""],
        &["--from", "now", "-n", "3"],
        &["-n", "-1"],
        &["-n", "ten"],
        &["-n", "100001"],
        &["--since", "yesterday"],
        &["--since", "2026-02-30"],
        &["--since", "5"],
        &["--stream", "Order"],
        &["--stream", "/1"],
        &["--backwards"],
        &["--stream", "Order/1", "--backwards", "--follow"],
        &["--stream", "Order/1", "--type", "Order"],
        &["--stream", "Order/1", "--from", "beginning"],
        &["--stream", "Order/1", "--cursor-file", "x"],
        &["--interval", "0"],
        &["--format", "prometheus"],
        &["--format", "xml"],
        &["Order/1"],
    ] {
        let out = tail(db, args).expect(2);
        assert!(out.stdout.is_empty() && out.stderr.starts_with("error: "), "{args:?}: {out:?}");
    }
    // what only the store can judge
    let cursor = events(db, &[])[0].cursor.clone().expect("a cursor");
    let damaged = format!("{cursor}1");
    for cursor in ["1", "x1", &damaged, "1'; drop table x; --", &"9".repeat(100_000)] {
        tail(db, &["--from", cursor]).expect_error(1, "22023");
    }
    tail(db, &["--stream", &format!("Order/{}", "x".repeat(2_000))]).expect_error(1, "22023");
    let document = tail(db, &["--from", "x1", "--format", "json"]).expect(1).json();
    assert_eq!(document["error"]["sqlstate"], "22023");
}

fn who_may_not_read_is_told(db: &Db) {
    let stranger = db.role("stranger");
    db.cli(&stranger, &["tail"]).expect_error(1, "42501").saying("domain_events_reader");
    let reader = db.role("reader");
    db.admin().run(&format!("grant domain_events_reader to {reader}"));
    append(&mut db.owner(), "1", 2);
    assert_eq!(db.cli(&reader, &["tail"]).expect(0).stdout.lines().count(), 2);
    assert_eq!(db.cli(&reader, &["tail", "--from", "beginning"]).expect(0).stdout.lines().count(), 2);
    assert_eq!(db.cli(&reader, &["tail", "--stream", "Order/1"]).expect(0).stdout.lines().count(), 2);
}

#[test]
fn without_a_store_it_says_what_to_run() {
    let db = Db::new(Engine::None);
    tail(&db, &[]).expect_error(1, "3F000").saying("domain-events install");
    tail(&db, &["--follow"]).expect_error(1, "3F000");
}

/// Each look at what is new would run what the store's owner may have put there.
#[test]
fn a_superuser_leaves_a_lesser_roles_store_to_its_readers() {
    let db = Db::new(Engine::Portable);
    append(&mut db.owner(), "1", 1);
    db.cli("postgres", &["tail"]).expect_error(1, "42501").saying("app_owner");
    let db = Db::new(Engine::PortableSuper);
    append(&mut db.owner(), "1", 1);
    assert_eq!(db.cli("postgres", &["tail"]).expect(0).stdout.lines().count(), 1);
}
