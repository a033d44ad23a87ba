//! A history: writers and readers side by side, and what each reader came to.

use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use domain_events_tests::{Cluster, Db, Engine};

use crate::{
    random::Random,
    reader::{Course, Halting, Manner, Phase, Reader},
    writer::{Counts, SET_UP, Writer, Writers},
};

pub struct History<'a> {
    /// Where the writers write.
    pub db: &'a Db,
    pub seed: u64,
    pub time: Duration,
    pub writers: Writers,
}

/// A store with the captured table, on a server of its own.
pub fn store(engine: Engine, settings: &[(&str, &str)]) -> Db {
    let db = Db::on(server(settings), engine);
    db.owner().run(SET_UP);
    db
}

/// A server whose commits have times, with a role that may read and no more.
pub fn server(settings: &[(&str, &str)]) -> Cluster {
    let cluster = Cluster::start(&[]);
    let mut admin = cluster.connect("postgres", "postgres");
    // Into the server's own file, so that a standby has them as well.
    let common = [("max_prepared_transactions", "30"), ("track_commit_timestamp", "on")];
    for (name, value) in common.iter().chain(settings) {
        admin.run(&format!("alter system set {name} = '{value}'"));
    }
    admin.run("create role history_reader login; grant domain_events_reader to history_reader");
    drop(admin);
    cluster.restart();
    cluster
}

impl History<'_> {
    /// Runs it; `meanwhile` is called every 20 ms while there are writers, and may halt the readers, which else read to the
    /// end.
    pub fn run(&self, readers: &mut [Reader<'_>], mut meanwhile: impl FnMut(Duration, &Course)) -> Counts {
        let course = Course::new(readers.len());
        let victims: Vec<_> =
            readers.iter().filter(|r| r.manner == Manner::Killed).map(|r| r.process.clone()).collect();
        thread::scope(|scope| {
            let _halting = Halting(&course);
            let start = Instant::now();
            let until = start + self.time;
            let reading: Vec<_> = (500..)
                .zip(readers)
                .map(|(number, reader)| (Random::new(self.seed.wrapping_mul(1000).wrapping_add(number)), reader))
                .map(|(random, reader)| scope.spawn(|| reader.read(&course, random)))
                .collect();
            let mut writing: Vec<_> = (0..self.writers.count)
                .map(|number| Writer::new(self.db, number, self.seed, self.writers))
                .map(|writer| scope.spawn(move || writer.write(until)))
                .collect();
            if self.writers.long {
                let writer = Writer::new(self.db, self.writers.count, self.seed, self.writers);
                writing.push(scope.spawn(move || writer.write_long(self.time)));
            }
            let mut killed = start;
            while Instant::now() < until {
                thread::sleep(Duration::from_millis(20));
                meanwhile(start.elapsed(), &course);
                if killed.elapsed() > Duration::from_millis(400) {
                    killed = Instant::now();
                    self.kill(&victims);
                }
            }
            let mut counts = Counts::new();
            for writer in writing {
                writer.join().unwrap_or_else(|panic| resume_unwind(panic)).into_iter().for_each(|(what, n)| {
                    *counts.entry(what).or_default() += n;
                });
            }
            course.set(Phase::Written);
            for reader in reading {
                reader.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
            counts
        })
    }

    fn kill(&self, victims: &[Arc<AtomicI64>]) {
        let mut admin = None;
        for process in victims.iter().map(|victim| victim.load(Ordering::SeqCst)).filter(|process| *process > 0) {
            let admin = admin.get_or_insert_with(|| self.db.admin());
            admin.run(&format!("select pg_terminate_backend({process})"));
        }
    }
}
