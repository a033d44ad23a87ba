//! Ticks that are older than they look: of a reader whose transaction had its number, or its snapshot, before it reads.

use std::{thread, time::Duration};

use domain_events_tests::{Db, Session, engines};

engines! { a_transaction_that_wrote_and_then_reads, two_reads_of_one_snapshot, a_newest_tick_with_an_old_snapshot, a_read_that_is_rolled_back }

fn append(stream: &str) -> String {
    format!("select (domain_events.append_event('Note', '{stream}', 'NoteTaken')).aggregate_version")
}

/// A tick of another reader may be 10 ms old.
fn read(session: &mut Session, cursor: &str) -> (String, String) {
    read_page(session, cursor, "1000")
}

fn read_page(session: &mut Session, cursor: &str, page: &str) -> (String, String) {
    thread::sleep(Duration::from_millis(15));
    let rows = session.rows(&format!(
        "select aggregate_id || aggregate_version, cursor from domain_events.read_all({cursor}, {page})"
    ));
    let events: Vec<&str> = rows.iter().filter_map(|row| row[0].as_deref()).collect();
    let last = rows.last().map_or(cursor.into(), |row| format!("'{}'", row[1].as_deref().expect("a cursor")));
    (events.join(" "), last)
}

/// The writer's number is above the reader's, its position not above what the reader finds drawn, and it ends later. With a
/// commit in between, the snapshot of READ COMMITTED lists the writer.
fn a_transaction_that_wrote_and_then_reads(db: &Db) {
    let (mut reader, mut writer, mut other) = (db.owner(), db.owner(), db.owner());
    for (round, (isolation, commit_between)) in
        [("read committed", false), ("read committed", true), ("repeatable read", false), ("repeatable read", true)]
            .into_iter()
            .enumerate()
    {
        let (_, start) = read(&mut other, "null");
        reader.run(&format!("begin isolation level {isolation}; select pg_current_xact_id()"));
        writer.run(&format!("begin; {}", append("late")));
        if commit_between {
            other.run(&append("between"));
        }
        let (mine, after_mine) = read(&mut reader, &start);
        reader.run("commit");
        let (early, after_early) = read(&mut other, &start);
        writer.run("commit");
        let (late, case) =
            (format!("late{}", round + 1), format!("{isolation}, a commit in between: {commit_between}"));
        assert!(!mine.contains("late") && !early.contains("late"), "{case}: {mine}, {early}");
        assert!(read(&mut other, &after_early).0.contains(&late), "{case}: a reader of its own loses it");
        assert!(read(&mut other, &after_mine).0.contains(&late), "{case}: the reader loses it");
    }
    assert_eq!(db.admin().table("select count(*) from domain_events.eras"), "1");
}

/// The second read of a transaction sees the tick of its first, which no snapshot shows.
fn two_reads_of_one_snapshot(db: &Db) {
    let (mut reader, mut writer) = (db.owner(), db.owner());
    reader.run(&append("own"));
    let (_, start) = read(&mut reader, "null");
    writer.run(&append("a"));
    reader.run("begin isolation level repeatable read");
    let (first, cursor) = read(&mut reader, &start);
    writer.run(&append("b"));
    let (second, cursor) = read(&mut reader, &cursor);
    writer.run(&format!("begin; {}", append("open")));
    let (third, cursor) = read(&mut reader, &cursor);
    reader.run("commit");
    writer.run(&format!("{}; commit", append("open")));
    let (rest, _) = read(&mut reader, &cursor);
    assert_eq!([first, second, third, rest], ["a1", "", "", "b1 open1 open2"]);
    assert_eq!(db.admin().table("select count(*) from domain_events.eras"), "1");
}

/// Others are in the middle of a page of a tick that shows more than the newest one.
fn a_newest_tick_with_an_old_snapshot(db: &Db) {
    let (mut old, mut reader) = (db.owner(), db.owner());
    reader.run(&append("start"));
    for filter in ["", ", aggregate_types => '{Note}'"] {
        let cursor = reader.one("select domain_events.latest_cursor()");
        old.run("begin isolation level repeatable read; select 1");
        reader.run(&format!("{}; {}; {}", append("a"), append("b"), append("c")));
        let page = format!("1{filter}");
        let (first, inside) = read_page(&mut reader, &format!("'{cursor}'"), &page);
        read(&mut old, "null");
        old.run("commit");
        // Nobody else reads.
        let (second, inside) = read_page(&mut reader, &inside, &page);
        let (third, inside) = read_page(&mut reader, &inside, &page);
        let (end, _) = read_page(&mut reader, &inside, &page);
        let names = [first, second, third, end].map(|event| event.trim_end_matches(char::is_numeric).to_owned());
        assert_eq!(names, ["a", "b", "c", ""], "{page}");
    }
}

/// Its tick is gone, and with it what it was given; from the cursor before that everything comes.
fn a_read_that_is_rolled_back(db: &Db) {
    let mut reader = db.owner();
    reader.run(&append("a"));
    let (_, start) = read(&mut reader, "null");
    for _ in 0..3 {
        reader.run("begin");
        reader.run(&append("undone"));
        read(&mut reader, &start);
        reader.run("rollback");
    }
    reader.run(&append("b"));
    assert_eq!(read(&mut reader, &start).0, "b1");
}
