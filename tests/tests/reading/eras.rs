//! Numbers of transactions that mean nothing any more: a restore in this database is a store of another cluster.

use domain_events_tests::{Db, engines};

use super::{Reader, append, versions};

engines! {
    an_era_waits_for_writers, readers_that_begin_an_era_at_once, events_before_an_era_is_noticed, a_sequence_that_was_set_back,
    who_begins_an_era_keeps_its_transaction_open, a_fixed_snapshot_begins_no_settled_era, an_era_begins_while_the_table_is_locked, a_fixed_snapshot_older_than_the_era,
    begin_era_that_stays_open, a_copy_of_the_database, who_writes_before_it_reads_goes_on, a_server_that_was_set_back,
}

/// As a restored dump: the events and ticks are those of another cluster.
fn restored(db: &Db) {
    db.admin().run("update domain_events.eras set cluster = cluster + 1");
}

fn an_era_waits_for_writers(db: &Db) {
    let (mut writer, mut reader) = (db.owner(), Reader::new(db));
    db.owner().run(&append("A"));
    assert_eq!(reader.rest(), versions("A", 1..=1));
    restored(db);
    writer.run(&format!("begin; {}", append("B")));
    db.owner().run(&append("C"));
    assert!(reader.page().is_empty(), "a writer's position may lie below the boundary");
    // Who writes meanwhile is not held up for longer than the reader waits.
    db.owner().run(&format!("set statement_timeout = '2s'; {}", append("D")));
    writer.run("commit");
    assert_eq!(reader.rest(), ["B 1", "C 1", "D 1"]);
    db.owner().run(&append("A"));
    assert_eq!(reader.rest(), versions("A", 2..=2));
    // One that was noted serves, or one that was begun when nobody wrote.
    assert!((2..=3).contains(&db.owner().number("select count(*) from domain_events.eras")));
}

fn readers_that_begin_an_era_at_once(db: &Db) {
    db.owner().run(&append("A"));
    let mut readers: Vec<Reader> = (0..4).map(|_| Reader::new(db)).collect();
    for reader in &mut readers {
        assert_eq!(reader.rest(), versions("A", 1..=1));
    }
    restored(db);
    db.owner().run(&append("A"));
    let threads: Vec<_> = readers
        .into_iter()
        .map(|mut reader| {
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                for _ in 0..40 {
                    seen.extend(reader.rest());
                }
                seen
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().expect("a reader"), versions("A", 2..=2));
    }
    assert_eq!(db.owner().number("select count(distinct boundary) from domain_events.eras"), 2);
}

/// Its snapshot does not show what is committed when the era begins.
fn a_fixed_snapshot_begins_no_settled_era(db: &Db) {
    let (mut fixed, mut writer, mut reader) = (db.owner(), db.owner(), Reader::new(db));
    writer.run(&append("A"));
    assert_eq!(reader.rest(), versions("A", 1..=1));
    restored(db);
    fixed.run("begin isolation level repeatable read; select 1");
    writer.run(&append("A"));
    let cursor = reader.cursor.clone().expect("a cursor");
    let seen = fixed.rows(&format!("select cursor from domain_events.read_all('{cursor}')"));
    assert!(seen.is_empty(), "nothing may be read yet: {seen:?}");
    fixed.run("rollback");
    assert_eq!(reader.rest(), versions("A", 2..=2));
}

/// Nobody can wait for writers while the table is vacuumed, or a transaction is open for long; whoever was open when the era
/// was noted is waited for.
fn an_era_begins_while_the_table_is_locked(db: &Db) {
    let (mut vacuum, mut writer, mut reader) = (db.admin(), db.owner(), Reader::new(db));
    writer.run(&append("A"));
    assert_eq!(reader.rest(), versions("A", 1..=1));
    restored(db);
    writer.run(&format!("begin; {}", append("open")));
    vacuum.run("begin; lock table domain_events.events in share update exclusive mode");
    db.owner().run(&append("A"));
    assert!(reader.page().is_empty(), "the open one's position may lie below the boundary");
    writer.run("commit");
    // Tests beside this one have transactions of their own.
    let came = (0..300).map(|_| reader.page()).find(|page| !page.is_empty());
    assert_eq!(came, Some(vec!["open 1".into(), "A 2".into()]));
    vacuum.run("commit");
    let all: Vec<String> = Reader::new(db).rest();
    assert_eq!(all, ["A 1", "open 1", "A 2"]);
}

/// The cursor is newer than what its snapshot shows, and no alarm.
fn a_fixed_snapshot_older_than_the_era(db: &Db) {
    let (mut fixed, mut writer) = (db.owner(), db.owner());
    writer.run(&append("A"));
    writer.run("select count(*) from domain_events.read_all()");
    fixed.run("begin isolation level repeatable read; select 1");
    let mut admin = db.admin();
    admin.run("select domain_events.begin_era()");
    // It serves when what is open now has ended, in other tests, too.
    while admin.one("select (domain_events._newest_era()).era = max(e.era) from domain_events.eras e") == "f" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    writer.run(&append("A"));
    let cursor = writer.one("select domain_events.latest_cursor()");
    fixed.error(&format!("select * from domain_events.read_all('{cursor}')")).expect("40001");
    fixed.run("rollback");
    assert_eq!(fixed.number(&format!("select count(*) from domain_events.read_all('{cursor}')")), 0);
}

/// A server was started while it was open: the era that began then has the higher number, and shows less.
fn begin_era_that_stays_open(db: &Db) {
    let (mut writer, mut reader, mut admin) = (db.owner(), Reader::new(db), db.admin());
    writer.run(&append("A"));
    assert_eq!(reader.rest(), versions("A", 1..=1));
    admin.run("begin; select domain_events.begin_era(); select count(*) from domain_events.read_all()");
    db.admin().run(STARTED);
    std::thread::sleep(std::time::Duration::from_millis(120));
    writer.run(&append("A"));
    std::thread::sleep(std::time::Duration::from_millis(120));
    assert_eq!(reader.rest(), versions("A", 2..=2));
    admin.run("commit");
    for version in 3..=5 {
        writer.run(&append("A"));
        assert_eq!(reader.rest(), versions("A", version..=version));
    }
    let boundaries = "select count(distinct boundary) from domain_events.eras";
    assert_eq!(writer.number(boundaries), 2);
}

/// Its era is not there for the others, who begin one of their own.
fn who_begins_an_era_keeps_its_transaction_open(db: &Db) {
    let (mut first, mut writer, mut other) = (db.owner(), db.owner(), Reader::new(db));
    writer.run(&append("A"));
    assert_eq!(other.rest(), versions("A", 1..=1));
    let cursor = other.cursor.clone().expect("a cursor");
    restored(db);
    writer.run(&append("A"));
    std::thread::sleep(std::time::Duration::from_millis(12));
    let read = |cursor: &str| format!("select max(cursor) from domain_events.read_all('{cursor}')");
    first.run("begin");
    let kept = first.one(&read(&cursor));
    // Who takes ticks is left alone for a tenth of a second.
    let a_tenth = std::time::Duration::from_millis(120);
    std::thread::sleep(a_tenth);
    assert_eq!(other.rest(), versions("A", 2..=2));
    writer.run(&append("A"));
    std::thread::sleep(a_tenth);
    assert_eq!(other.rest(), versions("A", 3..=3));
    let kept = first.one(&read(&kept));
    first.run("commit");
    writer.run(&append("A"));
    assert_eq!(other.rest(), versions("A", 4..=4));
    let mut reader = Reader::new(db);
    reader.cursor = Some(kept);
    assert_eq!(reader.rest(), versions("A", 4..=4));
}

/// Their numbers may be lower than those that a cursor calls committed.
fn events_before_an_era_is_noticed(db: &Db) {
    let (mut a, mut late, mut reader) = (db.owner(), db.owner(), Reader::new(db).with("max_count => 3"));
    late.run(&format!("begin; {}", append("L")));
    a.run("select count(domain_events.append_event('T', 'A', 'E')) from generate_series(1, 5)");
    assert_eq!(reader.rest(), versions("A", 1..=5));
    late.run("commit");
    restored(db);
    a.run("select count(domain_events.append_event('T', 'A', 'E')) from generate_series(1, 4)");
    let mut expected = versions("L", 1..=1);
    expected.extend(versions("A", 6..=9));
    assert_eq!(reader.rest(), expected);
    let mut fresh = Reader::new(db);
    assert_eq!(fresh.rest().len(), 10);
}

/// Set back, and then to the newest event, where positions had been drawn that were rolled back.
fn a_sequence_that_was_set_back(db: &Db) {
    let (mut a, mut reader) = (db.owner(), Reader::new(db));
    a.run("select count(domain_events.append_event('T', 'A', 'E')) from generate_series(1, 5)");
    a.run("begin; select count(domain_events.append_event('T', 'A', 'E')) from generate_series(1, 5); rollback");
    assert_eq!(reader.rest(), versions("A", 1..=5));
    db.admin().run("select setval('domain_events.events_global_position_seq', (select max(global_position) from domain_events.events))");
    a.run(&append("A"));
    assert_eq!(reader.rest(), versions("A", 6..=6));
    assert_eq!(db.owner().number("select count(*) from domain_events.eras"), 2);
    a.run(&append("A"));
    assert_eq!(reader.rest(), versions("A", 7..=7));
}

/// A copy in the same cluster: the numbers go on, and a cursor that was handed out after the copy was made is not of this store.
fn a_copy_of_the_database(db: &Db) {
    let (mut a, mut reader) = (db.owner(), Reader::new(db).with("max_count => 2"));
    a.run("select count(domain_events.append_event('T', 'A', 'E')) from generate_series(1, 3)");
    assert_eq!(reader.page(), versions("A", 1..=2));
    drop(a);
    let cursor = reader.cursor.clone().expect("a cursor");
    drop(reader);
    let name = format!("{}_copy", db.name);
    let mut server = db.cluster().connect("postgres", "postgres");
    server.run(&format!("create database {name} template {} owner app_owner", db.name));
    let mut original = db.owner();
    original.run(&append("A"));
    std::thread::sleep(std::time::Duration::from_millis(12));
    let after_the_copy = original.one("select domain_events.latest_cursor()");
    let mut copy = db.cluster().connect(&name, "app_owner");
    // Somebody writes in it all the time.
    let mut writer = db.cluster().connect(&name, "app_owner");
    writer.run(&format!("begin; {}", append("W")));
    let rest = |copy: &mut domain_events_tests::Session, cursor: &str| {
        copy.one(&format!(
            "select string_agg(aggregate_id || ' ' || aggregate_version, ',') from domain_events.read_all('{cursor}')"
        ))
    };
    assert_eq!(rest(&mut copy, &cursor), "A 3");
    copy.error(&format!("select * from domain_events.read_all('{after_the_copy}')")).expect("55000");
    drop((copy, writer));
    server.run(&format!("drop database {name} with (force)"));
}

/// A server that was started anew.
const STARTED: &str = "update domain_events.eras set place = place || '+'";

/// A consumer that locks its own row first: its transaction has its number before it reads.
fn who_writes_before_it_reads_goes_on(db: &Db) {
    let (mut a, mut consumer) = (db.owner(), db.owner());
    let mut cursor = "null".to_owned();
    let mut next = |expected: i64| {
        consumer.run("begin; select pg_current_xact_id()");
        let rows = consumer.rows(&format!("select aggregate_version, cursor from domain_events.read_all({cursor})"));
        consumer.run("commit");
        assert_eq!(rows.len() as i64, expected, "{rows:?}");
        cursor = format!("'{}'", rows.last().and_then(|row| row[1].clone()).expect("a cursor"));
    };
    a.run(&append("A"));
    next(1);
    for change in [STARTED, "update domain_events.eras set cluster = cluster + 1"] {
        db.admin().run(change);
        a.run(&append("A"));
        std::thread::sleep(std::time::Duration::from_millis(12));
        next(1);
    }
}

/// A copy of the files of before: ticks that were handed out are gone, and their numbers are given again.
fn a_server_that_was_set_back(db: &Db) {
    let (mut a, mut reader) = (db.owner(), Reader::new(db));
    a.run(&append("A"));
    assert_eq!(reader.rest().len(), 1);
    for _ in 0..3 {
        a.run(&append("A"));
        assert_eq!(reader.rest().len(), 1);
    }
    let mut admin = db.admin();
    admin.run(
        "delete from domain_events.ticks where tick > 1; alter sequence domain_events.ticks_tick_seq restart with 2",
    );
    admin.run(STARTED);
    for _ in 0..6 {
        a.run(&append("A"));
        a.run("select domain_events.latest_cursor()");
    }
    let cursor = reader.cursor.expect("a cursor");
    a.error(&format!("select * from domain_events.read_all('{cursor}')")).expect("55000").naming("lost");
}
