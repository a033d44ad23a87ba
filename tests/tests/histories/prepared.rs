//! Transactions that are prepared, and decided after the server was restarted or killed.

use std::{
    thread,
    time::{Duration, Instant},
};

use domain_events_tests::{Engine, Session, engines_alone};

use crate::history::store;

engines_alone! { prepared_across_restart }

/// Where a reader is, and what it is given from there: a tick may be 10 ms old, so it asks until nothing comes.
fn read_on(session: &mut Session, cursor: &mut String) -> String {
    let mut events = Vec::new();
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_millis(50) {
        let rows = session.rows(&format!(
            "select aggregate_id || ' ' || aggregate_version, cursor from domain_events.read_all('{cursor}', 2)"
        ));
        for row in rows {
            last = Instant::now();
            *cursor = row[1].clone().expect("a cursor");
            events.extend(row[0].clone());
        }
        thread::sleep(Duration::from_millis(5));
    }
    events.join(", ")
}

fn append(stream: &str) -> String {
    format!("select domain_events.append_event('Note', '{stream}', 'NoteTaken')")
}

fn prepared_across_restart(engine: Engine) {
    let db = store(engine, &[]);
    let mut cursor = db.session("history_reader").one("select domain_events.latest_cursor()");
    let begin = cursor.clone();
    let mut writer = db.owner();
    for (name, stream) in [("kept", "a"), ("undone", "b"), ("crashed", "c")] {
        writer.run(&format!("begin; {0}; {0}; prepare transaction '{name}'", append(stream)));
    }
    writer.run("begin; insert into doc values (1, 1); prepare transaction 'captured'");
    writer.run(&append("other"));
    assert_eq!(read_on(&mut db.session("history_reader"), &mut cursor), "other 1");
    db.cluster().restart();
    let mut writer = db.owner();
    writer.run(&append("other"));
    assert_eq!(read_on(&mut db.session("history_reader"), &mut cursor), "other 2");
    let undecided = cursor.clone();
    writer.run("commit prepared 'kept'");
    writer.run("rollback prepared 'undone'");
    assert_eq!(read_on(&mut db.session("history_reader"), &mut cursor), "a 1, a 2");
    db.cluster().crash();
    db.cluster().restart();
    let mut writer = db.owner();
    writer.run(&append("a"));
    assert_eq!(read_on(&mut db.session("history_reader"), &mut cursor), "a 3");
    writer.run("commit prepared 'captured'");
    writer.run("commit prepared 'crashed'");
    assert_eq!(read_on(&mut db.session("history_reader"), &mut cursor), "c 1, c 2, 1 1");
    // From each cursor, in the order of positions: what had been handed out by then is not.
    let mut reader = db.session("history_reader");
    assert_eq!(read_on(&mut reader, &mut undecided.clone()), "a 1, a 2, c 1, c 2, 1 1, a 3");
    assert_eq!(read_on(&mut reader, &mut begin.clone()), "a 1, a 2, c 1, c 2, 1 1, other 1, other 2, a 3");
    db.check_table("Doc", "doc");
}
