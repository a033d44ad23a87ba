//! The server is killed under writers that do not wait for the disk: what was handed out by then must survive.

use std::time::Duration;

use domain_events_tests::{Engine, engines_alone};

use crate::{
    history::{History, store},
    line,
    reader::{Manner, Reader, Strategy},
    seed, setting,
    verdict::{judge, one_era},
    writer::Writers,
};

engines_alone! { crash_async_commit_no_phantom, what_is_handed_out_survives, a_tick_that_is_committed_asynchronously }

/// How long the server lives between two crashes.
const LIFE: Duration = Duration::from_secs(2);

fn crash_async_commit_no_phantom(engine: Engine) {
    // The longer commits wait for the disk, the more of them a crash undoes. What readers hand out may not be among them,
    // whatever is set for all.
    let db = store(engine, &[("wal_writer_delay", "500ms"), ("synchronous_commit", "off")]);
    let crashes = setting("HISTORY_CRASHES").unwrap_or(3) as u32;
    let writers = Writers { count: 8, synchronous: false, crashes: true, long: false, ..Writers::default() };
    let history = History { db: &db, seed: seed(), time: LIFE * (crashes + 1), writers };
    let mut readers = vec![
        Reader::pages(&db, 1000),
        Reader::pages(&db, 50),
        Reader::pages(&db, 100).named("  repeatable read").manner(Manner::Repeatable),
        Reader::pages(&db, 200).named("  pausing").manner(Manner::Pausing),
        Reader::new(&db, "position > last", Strategy::Position),
    ];
    let mut crashed = 0;
    let counts = history.run(&mut readers, |elapsed, _| {
        if crashed < crashes && elapsed > LIFE * (crashed + 1) {
            db.cluster().crash();
            db.cluster().restart();
            crashed += 1;
        }
    });
    assert_eq!(crashed, crashes);
    let title = format!("\n{crashes} crashes on {}, seed {}\n{}", engine.name(), history.seed, line(&counts));
    judge(&title, &db, &readers);
    one_era(&db);
    db.check_table("Doc", "doc");
}

/// On a server that writes nothing to the disk by itself: an event is handed out, and at once the server is killed. What was
/// handed out five times and is gone.
fn handed_out_and_gone(engine: Engine, first: &str) -> Vec<String> {
    let settings = [("wal_writer_delay", "10s"), ("autovacuum", "off"), ("synchronous_commit", "off")];
    let db = store(engine, &settings);
    let mut given = Vec::new();
    for _ in 0..5 {
        let (mut other, mut reader) = (db.session("history_reader"), db.session("history_reader"));
        let cursor = reader.one("select domain_events.latest_cursor()");
        db.owner().run("select domain_events.append_event('Note', '1', 'NoteTaken')");
        other.run(first);
        let seen = reader.rows(&format!("select event_id from domain_events.read_all('{cursor}')"));
        given.extend(seen.into_iter().filter_map(|mut row| row[0].take()));
        db.cluster().crash();
        db.cluster().restart();
    }
    let stored = db.admin().table("select event_id from domain_events.events");
    given.retain(|id| !stored.contains(id));
    given
}

/// The reader's own tick is on the disk, whatever is set.
fn what_is_handed_out_survives(engine: Engine) {
    let a_tick_is_too_old = "select pg_sleep(0.015)";
    assert_eq!(handed_out_and_gone(engine, a_tick_is_too_old), Vec::<String>::new());
}

/// Somebody makes the commit of a tick asynchronous after it was taken; another reader goes by that tick.
fn a_tick_that_is_committed_asynchronously(engine: Engine) {
    let other = "begin; select 1 from domain_events.read_all(); set local synchronous_commit = off; commit";
    assert_eq!(handed_out_and_gone(engine, other), Vec::<String>::new());
}
