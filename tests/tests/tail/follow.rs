//! `--follow`: beside writers, through restarts of the server, and how it ends.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use domain_events_tests::{Cluster, Db, Engine, engines};
use rand::RngExt;

use crate::{Event, Following, append, events, positions};

engines! { each_event_once_beside_writers, a_stream_is_followed, a_filter_is_followed }

/// Every stream by rising versions, without a hole from the first that was seen on.
#[track_caller]
pub fn expect_in_order(seen: &[Event]) {
    let mut newest: HashMap<&str, i64> = HashMap::new();
    for event in seen {
        if let Some(before) = newest.insert(&event.stream, event.version) {
            assert_eq!(event.version, before + 1, "{event:?}");
        }
    }
}

/// Single appends, transactions over several streams with pauses, rollbacks.
pub fn write(db: &Db, number: u32, is_over: &AtomicBool) {
    let (mut s, mut random) = (db.owner(), rand::rng());
    while !is_over.load(Ordering::Relaxed) {
        let stream = random.random_range(0..20);
        match random.random_range(0..10) {
            0..6 => append(&mut s, &stream.to_string(), 1),
            6..8 => {
                s.run("begin");
                // a number of its own before the first event
                s.run("select pg_current_xact_id()");
                thread::sleep(Duration::from_millis(random.random_range(0..30)));
                append(&mut s, &format!("{number}-{stream}"), 2);
                thread::sleep(Duration::from_millis(random.random_range(0..30)));
                append(&mut s, &format!("{number}-other"), 1);
                s.run("commit");
            }
            8 => {
                s.run("begin");
                append(&mut s, &format!("{number}-{stream}"), 3);
                s.run("rollback");
            }
            _ => {
                s.run("begin; savepoint a");
                append(&mut s, &format!("{number}-{stream}"), 1);
                s.run("rollback to savepoint a");
                append(&mut s, &format!("{number}-other"), 1);
                s.run("commit");
            }
        }
    }
}

fn each_event_once_beside_writers(db: &Db) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..6 {
            let is_over = &is_over;
            scope.spawn(move || write(db, number, is_over));
        }
        let mut all = Following::start(db, &["--from", "beginning"]);
        let mut later = vec![];
        for lines in ["10", "0", "50"] {
            thread::sleep(Duration::from_millis(700));
            later.push(Following::start(db, &["-n", lines]));
        }
        thread::sleep(Duration::from_secs(2));
        is_over.store(true, Ordering::Relaxed);
        let count = events(db, &["--from", "beginning"]).len();
        all.wait_until("all events", |f| f.lines().len() >= count);
        // whatever would come twice may come now
        thread::sleep(Duration::from_millis(300));
        let seen = all.events();
        expect_in_order(&seen);
        let (mut sorted, stored) = (positions(&seen), stored(db));
        sorted.sort_unstable();
        assert_eq!(sorted, stored);
        let mut whole: HashMap<&str, i64> = HashMap::new();
        for event in &seen {
            *whole.entry(&event.stream).or_default() += 1;
        }
        for mut one in later {
            // from its first line on it has seen what the other has, of each stream up to the end
            let newest = format!("\"global_position\":{},", stored.last().expect("events"));
            one.wait_until("the newest event", |f| f.lines().iter().any(|line| line.contains(&newest)));
            thread::sleep(Duration::from_millis(300));
            let seen = one.events();
            expect_in_order(&seen);
            let last: HashMap<&str, i64> = seen.iter().map(|e| (e.stream.as_str(), e.version)).collect();
            for (stream, version) in last {
                assert_eq!(whole[stream], version, "{stream}");
            }
            assert_eq!(one.signal("-TERM"), Some(0));
        }
        assert_eq!(all.signal("-INT"), Some(0));
        assert_eq!(all.messages(), "");
    });
    db.check_versions();
}

fn stored(db: &Db) -> Vec<i64> {
    let rows = db.owner().rows("select global_position from domain_events.events order by 1");
    rows.iter().map(|row| row[0].as_deref().expect("a position").parse().expect("a number")).collect()
}

fn a_stream_is_followed(db: &Db) {
    let mut s = db.owner();
    append(&mut s, "1", 3);
    let mut one = Following::start(db, &["--stream", "Order/1", "-n", "2"]);
    one.wait_for(2);
    append(&mut s, "2", 5);
    s.run("begin");
    append(&mut s, "1", 2);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(one.lines().len(), 2);
    s.run("commit");
    one.wait_for(4);
    assert_eq!(one.events().iter().map(|e| e.version).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert_eq!(one.signal("-TERM"), Some(0));
}

/// A filter that meets little goes on through much that it does not want.
fn a_filter_is_followed(db: &Db) {
    let mut s = db.owner();
    // more than are looked at for one page
    let bulk = "insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type) \
         select 'Order', gen_random_uuid()::text, 1, 'OrderPlaced' from generate_series(1, 60000)";
    db.admin().run(bulk);
    s.run("select domain_events.append_event('Rare', '1', 'RareSeen')");
    db.admin().run(bulk);
    let mut one = Following::start(db, &["--type", "Rare", "--from", "beginning"]);
    one.wait_for(1);
    s.run("select domain_events.append_event('Rare', '1', 'RareSeen')");
    one.wait_for(2);
    assert_eq!(events(db, &["--type", "Rare", "--from", "beginning"]).len(), 2);
    assert_eq!(one.events().iter().map(|e| e.version).collect::<Vec<_>>(), [1, 2]);
}

/// The server restarts and crashes meanwhile; sessions are ended; it goes on, and says so once each time.
#[test]
fn a_server_that_goes_away_is_waited_for() {
    for engine in [Engine::Portable, Engine::Native] {
        let db = Db::on(Cluster::start(&[]), engine);
        append(&mut db.owner(), "1", 3);
        let mut one = Following::start(&db, &["--from", "beginning"]);
        let mut stream = Following::start(&db, &["--stream", "Order/1"]);
        one.wait_for(3);
        stream.wait_for(3);
        for round in 1..=3usize {
            match round {
                1 => db.cluster().restart(),
                2 => {
                    db.cluster().crash();
                    thread::sleep(Duration::from_millis(500));
                    db.cluster().restart();
                }
                _ => db.admin().run(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'domain-events'",
                ),
            }
            append(&mut db.owner(), "1", 2);
            one.wait_for(3 + 2 * round);
            stream.wait_for(3 + 2 * round);
        }
        for mut one in [one, stream] {
            assert_eq!(one.events().iter().map(|e| e.version).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
            let said = one.messages();
            assert_eq!(said.matches("trying again").count(), 3, "{said}");
            assert_eq!(said.matches("connected again").count(), 3, "{said}");
            assert_eq!(one.signal("-TERM"), Some(0));
        }
    }
}

/// What does not pass ends it: nobody waits for a database that was dropped, or for a store that was removed.
#[test]
fn what_does_not_pass_ends_it() {
    let db = Db::new(Engine::Portable);
    append(&mut db.owner(), "1", 1);
    // every 20 ms, it and the removal of the schema would wait for each other each time
    let mut one = Following::spawn(&mut db.cli_command("app_owner", &["tail", "-f", "-n", "1", "--interval", "700"]));
    one.wait_for(1);
    db.cli("app_owner", &["uninstall", "--drop-events", "--yes"]).expect(0);
    assert_eq!(one.child.wait().expect("a process").code(), Some(1));
    let db = Db::new(Engine::Portable);
    append(&mut db.owner(), "1", 1);
    let mut one = Following::start(&db, &[]);
    one.wait_for(1);
    // its database is dropped
    drop(db);
    assert_eq!(one.child.wait().expect("a process").code(), Some(1), "{}", one.messages());
}

/// Whoever reads its output has stopped to: it can be ended all the same.
#[test]
fn a_stuck_reader_does_not_keep_it() {
    let db = Db::new(Engine::Portable);
    append(&mut db.owner(), "1", 5_000);
    let mut command = db.cli_command("app_owner", &["tail", "--follow", "--from", "beginning"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("domain-events starts");
    thread::sleep(Duration::from_secs(2));
    assert!(child.try_wait().expect("a process").is_none());
    assert!(Command::new("kill").arg(child.id().to_string()).status().expect("kill").success());
    let began = Instant::now();
    assert_eq!(child.wait().expect("a process").code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
