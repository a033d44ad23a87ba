//! Histories: random transactions of sixteen writers, and whether each reader saw every event once, each stream in order,
//! and nothing that is not stored. The strategies that everybody tries first read the same histories, which are hard enough
//! if those lose events there.
//!
//! `HISTORY_SEED` repeats a choice of operations (what meets whom is up to the scheduler), `HISTORY_SECONDS` sets how long
//! a history takes, `HISTORY_ROUNDS` how many there are, with seeds that follow each other.

mod adoption;
mod crash;
mod history;
mod own_number;
mod prepared;
#[path = "../soak/random.rs"]
mod random;
mod reader;
mod restore;
mod standby;
mod verdict;
mod writer;

use std::{
    env,
    time::{Duration, SystemTime},
};

use domain_events_tests::{Db, Engine, engines_alone};
use history::{History, store};
use reader::{Manner, Reader, Strategy};
use verdict::{Truth, judge, one_era};
use writer::{Counts, Writers};

engines_alone! { histories }

/// A number from the environment.
pub fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|value| value.parse().ok())
}

/// `HISTORY_SEED`, else one that is printed with the result.
pub fn seed() -> u64 {
    setting("HISTORY_SEED").unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        since.as_nanos() as u64 % 1_000_000
    })
}

/// How long a history takes, where it is not said.
pub fn time(default: u64) -> Duration {
    Duration::from_secs(setting("HISTORY_SECONDS").unwrap_or(default))
}

/// The counts of a history, as one line.
pub fn line(counts: &Counts) -> String {
    counts.iter().map(|(what, n)| format!("{what} {n}")).collect::<Vec<_>>().join(", ")
}

fn readers(db: &Db) -> Vec<Reader<'_>> {
    let filtered =
        |name, max_count, filter, wanted| Reader::new(db, name, Strategy::Cursor { max_count, filter }).wanted(wanted);
    vec![
        Reader::pages(db, 1),
        Reader::pages(db, 50),
        Reader::pages(db, 1000),
        filtered("  two types", 100, ", aggregate_types => '{Order,Doc}'", "aggregate_type in ('Order', 'Doc')"),
        filtered("  a rare event type", 10, ", event_types => '{Rare}'", "event_type = 'Rare'"),
        Reader::pages(db, 200).named("  pausing").manner(Manner::Pausing),
        Reader::pages(db, 100).named("  killed").manner(Manner::Killed),
        Reader::pages(db, 100).named("  repeatable read").manner(Manner::Repeatable),
        Reader::pages(db, 100).named("  appending").manner(Manner::Appending),
        Reader::pages(db, 100).named("  read only").manner(Manner::ReadOnly),
        Reader::new(db, "position > last", Strategy::Position),
        Reader::new(db, "(xid, position), xid < xmin", Strategy::Transaction),
        Reader::new(db, "max(position) where xid < xmin", Strategy::HighWater),
    ]
}

fn histories(engine: Engine) {
    let first = seed();
    let mut events = 0;
    for seed in first..first + setting("HISTORY_ROUNDS").unwrap_or(1) {
        let db = store(engine, &[]);
        let history = History { db: &db, seed, time: time(12), writers: Writers::default() };
        let mut readers = readers(&db);
        let mut thinned = Duration::ZERO;
        // No cursor needs a tick but the newest.
        let thin = "delete from domain_events.ticks where tick < (select max(tick) from domain_events.ticks)";
        let counts = history.run(&mut readers, |elapsed, _| {
            if elapsed > thinned + Duration::from_millis(500) {
                thinned = elapsed;
                db.admin().run(thin);
            }
        });
        let truth = Truth::of(&db, "true");
        events += truth.len();
        let title = format!(
            "\nhistory on {}, seed {seed}, {} writers, {} s: {} events, {} positions burnt\n{}",
            engine.name(),
            history.writers.count,
            history.time.as_secs(),
            truth.len(),
            truth.burnt(),
            line(&counts)
        );
        let verdicts = judge(&title, &db, &readers);
        one_era(&db);
        let naive = readers.iter().position(|reader| reader.strategy == Strategy::Position).expect("one by position");
        assert!(verdicts[naive].lost > 0, "seed {seed}: a history in which nobody loses events proves nothing");
        db.check_table("Doc", "doc");
        assert_eq!(db.admin().table("select gid from pg_prepared_xacts"), "", "every prepared transaction was decided");
    }
    println!("{events} events on {}", engine.name());
}
