//! Numbers of transactions that mean nothing any more: a restore in this database is a store whose identity is another's.

use domain_events_tests::{Db, engines};

use super::{Reader, append, versions};

engines! { an_era_waits_for_writers, an_era_is_begun_once, events_before_an_era_is_noticed, a_position_below_the_newest }

/// As a restored dump: the events and ticks are those of another cluster.
fn restored(db: &Db) {
    db.admin().run("update domain_events.eras set identity = identity + 1");
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
    assert_eq!(db.owner().number("select count(*) from domain_events.eras"), 2);
}

fn an_era_is_begun_once(db: &Db) {
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
    assert_eq!(db.owner().number("select count(*) from domain_events.eras"), 2);
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

/// A restore of data alone: the sequence stands below the events.
fn a_position_below_the_newest(db: &Db) {
    let (mut a, mut reader) = (db.owner(), Reader::new(db));
    a.run("select count(domain_events.append_event('T', 'A', 'E')) from generate_series(1, 5)");
    assert_eq!(reader.rest(), versions("A", 1..=5));
    db.admin().run("select setval('domain_events.events_global_position_seq', 2)");
    let _ = reader.page();
    a.run(&append("A"));
    assert_eq!(reader.rest(), versions("A", 6..=6));
    assert_eq!(a.one("select max(global_position) > 5 from domain_events.events"), "t");
}
