//! `--cursor-file`: what was killed is gone on with.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use domain_events_tests::{Db, Engine, engines};
use rand::RngExt;

use crate::follow::{expect_in_order, write};
use crate::{Following, Place, append, events, positions, tail};

engines! { a_killed_run_loses_nothing, it_begins_where_it_was }

fn a_killed_run_loses_nothing(db: &Db) {
    let place = Place::new(db);
    let file = place.path("cursor");
    let args = ["--cursor-file", &file, "--from", "beginning"];
    let is_over = AtomicBool::new(false);
    let mut seen: Vec<i64> = vec![];
    let mut again = 0;
    thread::scope(|scope| {
        for number in 0..4 {
            let is_over = &is_over;
            scope.spawn(move || write(db, number, is_over));
        }
        for _ in 0..12 {
            let mut one = Following::start(db, &args);
            thread::sleep(Duration::from_millis(rand::rng().random_range(100..500)));
            assert_eq!(one.signal("-KILL"), None);
            // what is in the pipe has been printed
            thread::sleep(Duration::from_millis(50));
            let lines = one.lines();
            let whole: Vec<_> =
                lines.iter().filter(|line| line.ends_with('}')).map(|l| crate::Event::read(l)).collect();
            expect_in_order(&whole);
            again += whole.iter().filter(|e| seen.contains(&e.position)).count();
            seen.extend(positions(&whole));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let rest = events(db, &args);
    expect_in_order(&rest);
    seen.extend(positions(&rest));
    seen.sort_unstable();
    let with_repeats = seen.len();
    seen.dedup();
    eprintln!(
        "{} events, {} of them twice, {again} of these before the last run",
        seen.len(),
        with_repeats - seen.len()
    );
    let rows = db.owner().rows("select global_position from domain_events.events order by 1");
    let stored: Vec<i64> =
        rows.iter().map(|r| r[0].as_deref().expect("a position").parse().expect("a number")).collect();
    assert!(stored.len() > 100);
    assert_eq!(seen, stored);
    // whole runs come to an end, and repeat nothing
    assert_eq!(events(db, &args), []);
}

fn it_begins_where_it_was(db: &Db) {
    let place = Place::new(db);
    let file = place.path("cursor");
    let mut s = db.owner();
    append(&mut s, "1", 3);
    // without a file: now, and that is kept
    assert_eq!(events(db, &["--cursor-file", &file]), []);
    append(&mut s, "1", 2);
    assert_eq!(events(db, &["--cursor-file", &file]).len(), 2);
    assert_eq!(events(db, &["--cursor-file", &file]), []);
    // with one, it decides
    append(&mut s, "1", 1);
    assert_eq!(events(db, &["--cursor-file", &file, "--from", "beginning"]).len(), 1);
    // a filter that meets nothing has read on as well
    append(&mut s, "1", 1);
    let before = fs::read_to_string(&file).expect("the cursor");
    assert_eq!(events(db, &["--cursor-file", &file, "--type", "None"]), []);
    assert_ne!(fs::read_to_string(&file).expect("the cursor"), before);
    assert_eq!(events(db, &["--cursor-file", &file]), []);
    // another beginning
    for (name, args, count) in
        [("a", &["--from", "beginning"] as &[&str], 7), ("b", &["-n", "2"], 2), ("c", &["--since", "1h"], 7)]
    {
        let file = place.path(name);
        assert_eq!(events(db, &[&["--cursor-file", &file], args].concat()).len(), count, "{name}");
        assert_eq!(events(db, &["--cursor-file", &file]).len(), 0, "{name}");
    }
    // its text is a cursor as any other
    let kept = fs::read_to_string(&file).expect("the cursor");
    append(&mut s, "1", 1);
    assert_eq!(events(db, &["--from", kept.trim()]).len(), 1);
}

/// The cursor is kept after what it is behind has been printed: where it cannot be kept, that comes again.
#[test]
fn what_was_printed_is_kept_afterwards() {
    let db = Db::new(Engine::Portable);
    let place = Place::new(&db);
    let file = place.path("cursor");
    tail(&db, &["--cursor-file", &file]).expect(0);
    append(&mut db.owner(), "1", 3);
    fs::create_dir(place.path("cursor.part")).expect("a directory in the way");
    let first = tail(&db, &["--cursor-file", &file]).expect(1).saying(&file);
    assert_eq!(first.stdout.lines().count(), 3);
    fs::remove_dir(place.path("cursor.part")).expect("out of the way");
    assert_eq!(tail(&db, &["--cursor-file", &file]).expect(0).stdout, first.stdout);
    // nor is it kept where nothing could be printed
    append(&mut db.owner(), "1", 1);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let out =
        db.cli_command("app_owner", &["tail", "--cursor-file", &file]).stdout(full).output().expect("domain-events");
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(events(&db, &["--cursor-file", &file]).len(), 1);
}

#[test]
fn a_second_run_with_the_same_file_is_refused() {
    let db = Db::new(Engine::Portable);
    let place = Place::new(&db);
    let file = place.path("cursor");
    append(&mut db.owner(), "1", 1);
    let mut first = Following::start(&db, &["--cursor-file", &file, "--from", "beginning"]);
    first.wait_for(1);
    tail(&db, &["--cursor-file", &file]).expect(5).saying(&file).saying("hint: ");
    assert_eq!(first.signal("-KILL"), None);
    tail(&db, &["--cursor-file", &file]).expect(0);
}

#[test]
fn a_file_that_holds_no_cursor_is_named_and_left() {
    let (db, other) = (Db::new(Engine::Portable), Db::new(Engine::Portable));
    let place = Place::new(&db);
    let file = place.path("cursor");
    append(&mut db.owner(), "1", 3);
    append(&mut other.owner(), "1", 3);
    tail(&db, &["--cursor-file", &file]).expect(0);
    let good = fs::read_to_string(&file).expect("the cursor");
    let digit = good.char_indices().filter(|(_, c)| c.is_ascii_digit()).nth(12).map(|(at, _)| at).expect("a digit");
    let mut changed = good.clone();
    changed.replace_range(digit..=digit, if good[digit..].starts_with('7') { "3" } else { "7" });
    for bytes in ["", "\n", "my notes\n", "12345\n", "two\nlines\n", &good[..good.len() / 2], &changed, "\u{1b}[31m"] {
        fs::write(&file, bytes).expect("a file");
        tail(&db, &["--cursor-file", &file]).expect_error(1, "22023").saying(&file);
        tail(&db, &["--cursor-file", &file, "--follow"]).expect_error(1, "22023").saying(&file);
        assert_eq!(fs::read_to_string(&file).expect("the file"), bytes);
    }
    // a cursor of another database
    fs::write(&file, &good).expect("a file");
    tail(&other, &["--cursor-file", &file]).expect_error(1, "55000").saying(&file);
    tail(&db, &["--cursor-file", &file]).expect(0);
    // places where none can be
    tail(&db, &["--cursor-file", &place.path("no/such")]).expect(1).saying("no/such");
    tail(&db, &["--cursor-file", &place.path("")]).expect(1).saying("directory");
    tail(&db, &["--cursor-file", "/dev/null"]).expect(1).saying("device");
}
