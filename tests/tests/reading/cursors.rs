//! What a cursor is worth elsewhere, damaged, or later.

use domain_events_tests::{Db, engines};

use super::{Reader, append};

engines! {
cursors_of_fixed_snapshots_are_in_order, far_positions, a_cursor_is_short, a_damaged_cursor_is_told, a_cursor_of_another_store, a_cursor_of_the_future, cursors_are_in_order }

fn a_cursor_is_short(db: &Db) {
    let mut writers: Vec<_> = (0..16).map(|_| db.owner()).collect();
    // Numbers as those of a store that has been in use for long.
    db.admin().run("select setval('domain_events.events_global_position_seq', 5000000000)");
    for (number, writer) in writers.iter_mut().enumerate() {
        writer.run(&format!("begin; {}", append(&number.to_string())));
    }
    db.owner().run(&append("X"));
    let mut reader = Reader::from_now(db).with("max_count => 1");
    for writer in &mut writers {
        writer.run("commit");
        let stream = format!("late {}", writer.pid());
        writer.run(&format!("begin; {}", append(&stream)));
        db.owner().run(&append("X"));
    }
    reader.page();
    let cursor = reader.cursor.expect("a cursor");
    assert!(cursor.contains(':') && cursor.len() < 200, "{} bytes: {cursor}", cursor.len());
}

fn a_damaged_cursor_is_told(db: &Db) {
    let mut a = db.owner();
    a.run(&append("A"));
    a.run(&append("A"));
    let inside = a.one("select cursor from domain_events.read_all(max_count => 1)");
    let whole = a.one("select domain_events.latest_cursor()");
    let mut refused = 0;
    for cursor in [inside, whole] {
        for position in 0..cursor.len() {
            let mut bytes = cursor.clone().into_bytes();
            bytes[position] = match bytes[position] {
                b'0'..=b'8' => bytes[position] + 1,
                b'9' => b'0',
                b'a'..=b'e' => bytes[position] + 1,
                _ => b'7',
            };
            let damaged = String::from_utf8(bytes).expect("text");
            a.error(&format!("select * from domain_events.read_all('{damaged}')")).expect("22023");
            refused += 1;
        }
        a.error(&format!("select * from domain_events.read_all('{}')", &cursor[..cursor.len() - 1])).expect("22023");
        a.error(&format!("select * from domain_events.read_all('{cursor}x')")).expect("22023");
    }
    assert!(refused > 50, "{refused}");
}

fn a_cursor_of_another_store(db: &Db) {
    let other = Db::new(db.engine);
    other.owner().run(&append("A"));
    let foreign = other.owner().one("select cursor from domain_events.read_all()");
    let mut a = db.owner();
    a.run(&append("A"));
    a.error(&format!("select * from domain_events.read_all('{foreign}')")).expect("55000").naming("another store");
    a.error(&format!("select domain_events.cursor_before('{foreign}', '{foreign}')")).expect("55000");
}

fn a_cursor_of_the_future(db: &Db) {
    let mut a = db.owner();
    let mut cursor = String::new();
    for _ in 0..4 {
        a.run(&append("A"));
        cursor = a.one("select domain_events.latest_cursor()");
    }
    // As if the tick had never been taken here.
    db.admin().run("delete from domain_events.ticks; alter sequence domain_events.ticks_tick_seq restart with 1");
    a.error(&format!("select * from domain_events.read_all('{cursor}')")).expect("55000").naming("future");
}

fn cursors_are_in_order(db: &Db) {
    let mut a = db.owner();
    let mut cursors = Vec::new();
    let mut reader = Reader::new(db).with("max_count => 2");
    for _ in 0..4 {
        a.run("select count(domain_events.append_event('T', 'A', 'E')) from generate_series(1, 3)");
        while !reader.page().is_empty() {
            cursors.push(reader.cursor.clone().expect("a cursor"));
        }
    }
    cursors.push(a.one("select domain_events.latest_cursor()"));
    assert!(cursors.len() >= 9);
    for (i, before) in cursors.iter().enumerate() {
        for (j, after) in cursors.iter().enumerate() {
            let found = a.one(&format!("select domain_events.cursor_before('{before}', '{after}')")) == "t";
            assert_eq!(found, i < j, "{before} and {after}");
        }
    }
    assert_eq!(a.one("select domain_events.cursor_before(null, 'x') is null"), "t");
}

/// A transaction with a fixed snapshot takes the later tick, and the older one.
fn cursors_of_fixed_snapshots_are_in_order(db: &Db) {
    let (mut fixed, mut a) = (db.owner(), db.owner());
    a.run(&append("A"));
    fixed.run("begin isolation level repeatable read; select 1");
    a.run(&append("A"));
    let newer = a.one("select domain_events.latest_cursor()");
    let older = fixed.one("select max(cursor) from domain_events.read_all()");
    fixed.run("commit");
    assert_eq!(a.one(&format!("select domain_events.cursor_before('{older}', '{newer}')")), "t");
    assert_eq!(a.one(&format!("select domain_events.cursor_before('{newer}', '{older}')")), "f");
}

/// As far as a sequence goes.
fn far_positions(db: &Db) {
    let mut a = db.owner();
    for position in [899_999_999_999_999_i64, 941_457_586_800_000, 9_223_372_036_854_775_000] {
        db.admin().run(&format!("select setval('domain_events.events_global_position_seq', {position})"));
        a.run("select count(domain_events.append_event('T', 'A', 'E')) from generate_series(1, 3)");
        let mut cursor = a.one("select cursor from domain_events.read_all(max_count => 100000) where global_position > 0 order by global_position desc limit 1");
        a.run("select count(domain_events.append_event('T', 'A', 'E')) from generate_series(1, 3)");
        std::thread::sleep(std::time::Duration::from_millis(12));
        for _ in 0..3 {
            let page = a.rows(&format!("select cursor, global_position from domain_events.read_all('{cursor}', 1)"));
            assert_eq!(page.len(), 1, "behind {position}");
            cursor = page[0][0].clone().expect("a cursor");
        }
        std::thread::sleep(std::time::Duration::from_millis(12));
        assert_eq!(a.number(&format!("select count(*) from domain_events.read_all('{cursor}')")), 0);
    }
}
