//! The interleavings by which readers lose events, or see a stream in another order than it was written.

use domain_events_tests::{Db, engines};

use super::{Reader, append, versions};

engines! {
    r1_a_late_commit_is_not_skipped, r2_a_position_below_the_highest_is_not_skipped, r3_a_stream_comes_in_its_order,
    r10_nobody_waits_for_other_work, r11_a_reader_holds_up_no_writer, r12_what_was_rolled_back_is_no_gap,
    xmax_is_not_the_next_number, a_consumer_that_appends_gets_its_own_events, a_position_is_drawn_after_the_number,
    a_tick_in_repeatable_read, a_number_of_before,
    a_tick_that_was_rolled_back, a_tick_of_an_old_snapshot, a_transaction_that_reads_for_long, a_number_from_long_ago,
    a_tick_of_a_snapshot_of_long_ago, who_appends_and_reads_takes_no_ticks, two_readers_take_ticks, late_by_many,
}

fn r1_a_late_commit_is_not_skipped(db: &Db) {
    let (mut a, mut b, mut reader) = (db.owner(), db.owner(), Reader::new(db));
    a.run(&format!("begin; {}", append("A")));
    b.run(&append("B"));
    assert_eq!(reader.rest(), versions("B", 1..=1));
    a.run("commit");
    assert_eq!(reader.rest(), versions("A", 1..=1));
}

fn r2_a_position_below_the_highest_is_not_skipped(db: &Db) {
    let (mut a, mut b, mut reader) = (db.owner(), db.owner(), Reader::new(db));
    a.run(&format!("begin; {}", append("A")));
    b.run(&format!("begin; {}", append("B")));
    a.run(&format!("{}; commit", append("A")));
    assert_eq!(reader.rest(), versions("A", 1..=2));
    b.run("commit");
    assert_eq!(reader.rest(), versions("B", 1..=1));
}

fn r3_a_stream_comes_in_its_order(db: &Db) {
    let (mut a, mut b, mut reader) = (db.owner(), db.owner(), Reader::new(db));
    a.run("begin; select pg_current_xact_id()");
    b.run(&append("S"));
    a.run(&append("S"));
    assert_eq!(reader.rest(), versions("S", 1..=1));
    a.run("commit");
    assert_eq!(reader.rest(), versions("S", 2..=2));
}

/// A transaction that writes something else, one that only reads, and one of another database.
fn r10_nobody_waits_for_other_work(db: &Db) {
    let (mut other, mut locks, mut elsewhere) = (db.owner(), db.owner(), db.cluster().connect("postgres", "postgres"));
    other.run("create table t (i int); insert into t values (1)");
    other.run("begin; insert into t values (2)");
    locks.run("begin; select * from t for update");
    elsewhere.run("begin; select pg_current_xact_id()");
    let mut reader = Reader::new(db);
    db.owner().run(&append("A"));
    assert_eq!(reader.rest(), versions("A", 1..=1));
}

fn r11_a_reader_holds_up_no_writer(db: &Db) {
    let (mut a, mut reader) = (db.owner(), db.owner());
    a.run(&format!("begin; {}", append("A")));
    reader.run("begin; select * from domain_events.read_all()");
    db.owner().run(&format!("set statement_timeout = '2s'; {}", append("B")));
    let mut second = Reader::new(db);
    assert_eq!(second.rest(), versions("B", 1..=1), "a reader whose transaction goes on keeps none from another");
}

fn r12_what_was_rolled_back_is_no_gap(db: &Db) {
    let (mut a, mut reader) = (db.owner(), Reader::new(db));
    let append = append("A");
    a.run(&format!("begin; {append}; rollback"));
    a.run(&format!("begin; {append}; savepoint s; {append}; rollback to s; {append}; commit"));
    a.run(&format!("begin; savepoint s; {append}; release s; rollback"));
    a.run(&append);
    assert_eq!(reader.rest(), versions("A", 1..=3));
}

/// Transactions that run when a snapshot is taken, and are in no list of it: nothing later has ended.
fn xmax_is_not_the_next_number(db: &Db) {
    let (mut a, mut b) = (db.owner(), db.owner());
    db.owner().run(&append("S"));
    a.run(&format!("begin; {}", append("A")));
    b.run(&format!("begin; {}", append("B")));
    let mut reader = Reader::from_now(db);
    b.run("commit");
    assert_eq!(reader.rest(), versions("B", 1..=1));
    a.run("commit");
    assert_eq!(reader.rest(), versions("A", 1..=1));
}

/// A snapshot counts its own transaction as ended once a later one has.
fn a_consumer_that_appends_gets_its_own_events(db: &Db) {
    let (mut consumer, mut other) = (db.owner(), db.owner());
    consumer.run("begin; select pg_current_xact_id()");
    other.run(&append("X"));
    let cursor = consumer.one("select domain_events.latest_cursor()");
    consumer.run(&format!("{}; commit", append("FollowUp")));
    let mut reader = Reader::new(db);
    reader.cursor = Some(cursor);
    assert_eq!(reader.rest(), versions("FollowUp", 1..=1));
}

/// A tick between the two would be taken below the event's number, and above its position.
fn a_position_is_drawn_after_the_number(db: &Db) {
    let mut writer = db.admin();
    // A default that is evaluated after that of the position: who draws it first has no number yet.
    db.admin().run(
        "create function public.pause() returns text language plpgsql as $$ begin perform pg_sleep(0.6); return null; end $$;
         grant execute on function public.pause() to public;
         alter table domain_events.events alter column correlation_id set default public.pause();",
    );
    writer.run("begin");
    let slow = std::thread::spawn(move || {
        writer.run(
            "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type) values ('T', 'A', 1, 'E')",
        );
        writer.run("commit");
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    let mut other = db.admin();
    other.run("insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type, correlation_id) values ('T', 'X', 1, 'E', 'c')");
    let mut reader = Reader::from_now(db);
    slow.join().expect("a writer");
    assert_eq!(reader.rest(), versions("A", 1..=1));
}

fn a_tick_in_repeatable_read(db: &Db) {
    let (mut fixed, mut other) = (db.owner(), db.owner());
    other.run(&append("A"));
    fixed.run("begin isolation level repeatable read; select 1");
    other.run(&append("B"));
    let read = "select string_agg(aggregate_id, '') from domain_events.read_all()";
    assert_eq!(fixed.one(read), "A", "what came after its snapshot is not there for it");
    other.run(&append("C"));
    let cursor = fixed.one("select max(cursor) from domain_events.read_all()");
    assert_eq!(fixed.number(&format!("select count(*) from domain_events.read_all('{cursor}')")), 0);
    fixed.run("commit");
    let mut reader = Reader::new(db);
    reader.cursor = Some(cursor);
    assert_eq!(reader.rest(), ["B 1", "C 1"]);
    assert_eq!(db.owner().number("select count(*) from domain_events.eras"), 1);
}

/// The reader's transaction has its number already, so the tick's is older than the positions that are drawn.
fn a_number_of_before(db: &Db) {
    let (mut a, mut b) = (db.owner(), db.owner());
    b.run(&append("X"));
    a.run("begin; select pg_current_xact_id()");
    b.run(&format!("begin; {}", append("B")));
    let cursor = a.one("select domain_events.latest_cursor()");
    a.run("commit");
    b.run("commit");
    let mut reader = Reader::new(db);
    reader.cursor = Some(cursor);
    assert_eq!(reader.rest(), versions("B", 1..=1));
}

/// Each of its ticks is bounded by a number of its own: it need not look through what came since its first.
fn a_transaction_that_reads_for_long(db: &Db) {
    let (mut a, mut b) = (db.owner(), db.owner());
    b.run(&append("X"));
    a.run("begin; select pg_current_xact_id()");
    let mut cursor = a.one("select max(cursor) from domain_events.read_all()");
    for version in 1..=5 {
        let before = b.number("select last_value from domain_events.events_global_position_seq");
        b.run(&format!("begin; {}", append("B")));
        a.run(&append("own"));
        std::thread::sleep(std::time::Duration::from_millis(12));
        let read = format!("select count(*) from domain_events.read_all('{cursor}')");
        assert_eq!(a.number(&read), 0, "what is open is not there");
        b.run("commit");
        std::thread::sleep(std::time::Duration::from_millis(12));
        let rows = a.rows(&format!("select aggregate_version, cursor from domain_events.read_all('{cursor}')"));
        assert_eq!(rows.len(), 1, "neither the own events nor those of before: {rows:?}");
        assert_eq!(rows[0][0], Some(version.to_string()));
        cursor = rows[0][1].clone().expect("a cursor");
        let bound = a.number("select position_before from domain_events.ticks order by tick desc limit 1");
        assert!(bound > before, "{bound} is not above {before}, of the round before");
    }
    a.run("commit");
    let mut reader = Reader::new(db);
    reader.cursor = Some(cursor);
    assert_eq!(reader.rest(), versions("own", 1..=5));
}

/// What has come since its snapshot is not looked for, one transaction after the other.
fn a_tick_of_a_snapshot_of_long_ago(db: &Db) {
    let (mut fixed, mut other) = (db.owner(), db.owner());
    other.run(&append("A"));
    other.run("select domain_events.latest_cursor()");
    other.run(&append("A"));
    fixed.run("begin isolation level repeatable read; select 1");
    other.run(
        "do $$ begin for i in 1..2000 loop perform domain_events.append_event('T', 'B', 'E'); commit; end loop; end $$",
    );
    let rows = fixed.rows("select aggregate_version, cursor from domain_events.read_all()");
    fixed.run("commit");
    assert_eq!(rows.len(), 2);
    let late =
        "select cardinality(domain_events._late_transactions(t)) from domain_events.ticks t order by tick desc limit 1";
    assert!(db.admin().number(late) < 10);
    let mut reader = Reader::new(db);
    reader.cursor = rows[1][1].clone();
    assert_eq!(reader.rest(), versions("B", 1..=2000));
}

/// Its own events are no news for it.
fn who_appends_and_reads_takes_no_ticks(db: &Db) {
    let mut a = db.owner();
    a.run(&append("A"));
    let cursor = a.one("select domain_events.latest_cursor()");
    a.run(&format!("begin; {}", append("A")));
    let ticks = "select count(*) from domain_events.ticks";
    let before = a.number(ticks);
    for _ in 0..5 {
        std::thread::sleep(std::time::Duration::from_millis(12));
        assert_eq!(a.number(&format!("select count(*) from domain_events.read_all('{cursor}')")), 0);
    }
    assert!(a.number(ticks) <= before + 1);
    a.run("commit");
}

/// Ticks from before it had its number are not kept any more.
fn a_number_from_long_ago(db: &Db) {
    let (mut a, mut b) = (db.owner(), db.owner());
    b.run(&append("X"));
    a.run("begin; select pg_current_xact_id()");
    let cursor = b.one("select domain_events.latest_cursor()");
    b.run(&append("B"));
    let number = a.one("select pg_current_xact_id()");
    db.admin().run(&format!("delete from domain_events.ticks where top <= '{number}'"));
    std::thread::sleep(std::time::Duration::from_millis(12));
    let read = format!("select string_agg(aggregate_id, '') from domain_events.read_all('{cursor}')");
    assert_eq!(a.one(&read), "B");
    a.run("commit");
    assert_eq!(b.one(&read), "B");
}

/// The last tick is not the newest snapshot.
fn a_tick_of_an_old_snapshot(db: &Db) {
    let (mut fixed, mut writer) = (db.owner(), db.owner());
    writer.run(&append("A"));
    fixed.run("begin isolation level repeatable read; select 1");
    writer.run("select count(domain_events.append_event('T', 'A', 'E')) from generate_series(1, 4)");
    let mut reader = Reader::new(db).with("max_count => 2");
    assert_eq!(reader.page(), versions("A", 1..=2));
    fixed.run("select count(*) from domain_events.read_all()");
    fixed.run("commit");
    assert_eq!(reader.rest(), versions("A", 3..=5), "and nothing is written meanwhile");
}

fn a_tick_that_was_rolled_back(db: &Db) {
    let mut a = db.owner();
    a.run(&append("A"));
    // Somebody has read before.
    a.run("select domain_events.latest_cursor()");
    a.run(&append("A"));
    a.run("begin");
    std::thread::sleep(std::time::Duration::from_millis(12));
    let cursor = a.one("select max(cursor) filter (where aggregate_version = 2) from domain_events.read_all()");
    a.run("rollback");
    a.run(&append("B"));
    let mut reader = Reader::new(db);
    reader.cursor = Some(cursor);
    assert_eq!(reader.rest(), versions("B", 1..=1));
}

fn two_readers_take_ticks(db: &Db) {
    let (mut a, mut b, mut writer) = (Reader::new(db), Reader::new(db), db.owner());
    for version in 1..=20 {
        writer.run(&append("A"));
        let (from_a, from_b) = (a.rest(), b.rest());
        assert_eq!(from_a, versions("A", version..=version));
        assert_eq!(from_b, versions("A", version..=version));
    }
}

/// A transaction of many events that commits late is read in pages, each from where the last one ended.
fn late_by_many(db: &Db) {
    let (mut late, mut other) = (db.owner(), db.owner());
    late.run("begin; select count(domain_events.append_event('T', 'late', 'E')) from generate_series(1, 5000)");
    other.run(&append("X"));
    let mut reader = Reader::from_now(db).with("max_count => 700");
    other.run(&append("X"));
    late.run("commit");
    let mut expected = versions("late", 1..=5000);
    expected.push("X 2".into());
    assert_eq!(reader.rest(), expected);
}
