//! What is written: random transactions of the kinds that readers lose events by.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use domain_events_tests::{Db, Rows, Session, Trouble};

use crate::random::Random;

/// The captured table, a stream for each row, and who reads.
pub const SET_UP: &str = "create table doc (id int primary key, v int not null);
    select domain_events.enable_capture('doc')";

/// Few enough for writers to meet; the lower, the more often.
const STREAMS: u64 = 60;

/// How the writers of a history write.
#[derive(Clone, Copy)]
pub struct Writers {
    pub count: u64,
    /// The types of the streams they append to.
    pub kinds: &'static [&'static str],
    /// One transaction that stays open for half of the time, and writes at both ends.
    pub long: bool,
    /// `synchronous_commit`.
    pub synchronous: bool,
    /// The server is killed under them.
    pub crashes: bool,
}

impl Default for Writers {
    fn default() -> Self {
        Writers { count: 16, kinds: &["Order", "User", "Invoice"], long: true, synchronous: true, crashes: false }
    }
}

/// How many transactions of each kind, and what went wrong as it may.
pub type Counts = BTreeMap<String, u64>;

pub struct Writer<'a> {
    db: &'a Db,
    number: u64,
    how: Writers,
    random: Random,
    session: Option<Session>,
    counts: Counts,
}

type Work<'a> = fn(&mut Writer<'a>) -> Result<(), Trouble>;

impl<'a> Writer<'a> {
    pub fn new(db: &'a Db, number: u64, seed: u64, how: Writers) -> Writer<'a> {
        let random = Random::new(seed.wrapping_mul(1000).wrapping_add(number));
        Writer { db, number, how, random, session: None, counts: Counts::new() }
    }

    pub fn write(mut self, until: Instant) -> Counts {
        while Instant::now() < until {
            self.once();
            self.pause(8);
        }
        self.resolve();
        self.counts
    }

    /// One transaction from a quarter of the time to three quarters: its positions are drawn early and late, in a stream of
    /// its own and, in the end, in one that all write.
    pub fn write_long(mut self, time: Duration) -> Counts {
        thread::sleep(time / 4);
        let own = [self.append_as("Long", "1"), self.append_as("Long", "2")].join("; ");
        let begun = self.connect().and_then(|()| self.run(&format!("begin; {own}")));
        begun.unwrap_or_else(|trouble| panic!("the long transaction: {trouble:?}"));
        thread::sleep(time / 2);
        let shared = self.any_append();
        let over = self.run(&format!("{own}; {shared}; commit"));
        over.unwrap_or_else(|trouble| panic!("the long transaction: {trouble:?}"));
        self.count("long");
        self.counts
    }

    fn once(&mut self) {
        let (name, work): (&str, Work<'a>) = match self.random.below(100) {
            0..=38 => ("single append", Self::single),
            39..=50 => ("several streams", Self::several),
            51..=60 => ("rolled back", Self::rolled_back),
            61..=68 => ("savepoints", Self::savepoints),
            69..=75 => ("xid first", Self::xid_first),
            76..=79 => ("two-phase", Self::two_phase),
            80..=84 => ("batch", Self::batch),
            85 => ("burst", Self::burst),
            86..=95 => ("captured", Self::captured),
            _ => ("repeatable read", Self::repeatable_read),
        };
        let done = self.connect().and_then(|()| work(self));
        match done {
            Ok(()) => self.count(name),
            // Portable may say so without need.
            Err(Trouble::Refused(failure)) if failure.code == "40001" && name == "repeatable read" => {
                self.count("error 40001");
                self.run("rollback").map(drop).unwrap_or_default();
            }
            Err(Trouble::Refused(failure)) if self.how.crashes && failure.code.starts_with("57P") => self.lost(),
            Err(Trouble::Lost(_)) if self.how.crashes => self.lost(),
            Err(trouble) => panic!("writer {}, {name}: {trouble:?}", self.number),
        }
    }

    fn lost(&mut self) {
        self.session = None;
        self.count("connection lost");
        thread::sleep(Duration::from_millis(20));
    }

    fn count(&mut self, what: &str) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    fn connect(&mut self) -> Result<(), Trouble> {
        if self.session.is_none() {
            let connected = self.db.cluster().try_connect(&self.db.name, "app_owner");
            let mut session = connected.map_err(|error| Trouble::Lost(error.to_string()))?;
            let level = if self.how.synchronous { "on" } else { "off" };
            session.try_run(&format!("set synchronous_commit = {level}; set statement_timeout = '30s'"))?;
            self.session = Some(session);
            self.decide_prepared()?;
        }
        Ok(())
    }

    fn run(&mut self, sql: &str) -> Result<Rows, Trouble> {
        self.session.as_mut().expect("a session").try_run(sql)
    }

    fn pause(&mut self, milliseconds: u64) {
        thread::sleep(Duration::from_micros(self.random.below(milliseconds * 1000)));
    }

    /// A stream, as its number in the order in which transactions take several.
    fn stream(&mut self) -> u64 {
        let r = self.random.below(1000);
        STREAMS * r * r / 1_000_000
    }

    fn append_to(&mut self, stream: u64) -> String {
        self.append_as(self.how.kinds[stream as usize % self.how.kinds.len()], &stream.to_string())
    }

    fn any_append(&mut self) -> String {
        let stream = self.stream();
        self.append_to(stream)
    }

    fn append_as(&mut self, kind: &str, id: &str) -> String {
        let event = if self.random.percent(1) { "Rare" } else { "Happened" };
        format!("select from domain_events.append_event('{kind}', '{id}', '{event}', '{{\"n\": 1}}')")
    }

    fn single(&mut self) -> Result<(), Trouble> {
        let append = self.any_append();
        self.run(&append).map(drop)
    }

    fn several(&mut self) -> Result<(), Trouble> {
        let mut streams: Vec<u64> = (0..2 + self.random.below(3)).map(|_| self.stream()).collect();
        // In one order, or they would be deadlocks of the application's own.
        streams.sort_unstable();
        self.run("begin")?;
        for stream in streams {
            let append = self.append_to(stream);
            self.run(&append)?;
            self.pause(20);
        }
        self.run("commit").map(drop)
    }

    fn rolled_back(&mut self) -> Result<(), Trouble> {
        let append = self.any_append();
        self.run(&format!("begin; {append}; {append}"))?;
        self.pause(20);
        self.run("rollback").map(drop)
    }

    fn savepoints(&mut self) -> Result<(), Trouble> {
        let append = self.any_append();
        self.run(&format!("begin; savepoint a; {append}; rollback to a; {append}; savepoint b; {append}; release b"))?;
        self.pause(10);
        self.run(&format!("savepoint c; {append}; rollback to c; commit")).map(drop)
    }

    /// The transaction has its number long before its position: others' later numbers get lower positions.
    fn xid_first(&mut self) -> Result<(), Trouble> {
        let append = self.any_append();
        self.run("begin; select pg_current_xact_id()")?;
        self.pause(50);
        self.run(&format!("{append}; commit")).map(drop)
    }

    fn two_phase(&mut self) -> Result<(), Trouble> {
        let append = self.any_append();
        let name = format!("writer {} {}", self.number, self.random.uuid());
        let decision = if self.random.percent(80) { "commit" } else { "rollback" };
        self.run(&format!("begin; {append}; prepare transaction '{name}'"))?;
        self.pause(200);
        self.run(&format!("{decision} prepared '{name}'")).map(drop)
    }

    fn batch(&mut self) -> Result<(), Trouble> {
        let stream = self.stream();
        let kind = self.how.kinds[stream as usize % self.how.kinds.len()];
        let count = 1 + self.random.below(200);
        self.run(&format!(
            "select count(*) from domain_events.append_events('{kind}', '{stream}',
               (select jsonb_agg(jsonb_build_object('event_type', 'Happened', 'event_data', jsonb_build_object('n', i)))
                  from generate_series(1, {count}) as i))"
        ))
        .map(drop)
    }

    fn burst(&mut self) -> Result<(), Trouble> {
        for _ in 0..30 {
            self.single()?;
        }
        Ok(())
    }

    /// A row's event and, in half of the transactions, one of the application's own after a pause.
    fn captured(&mut self) -> Result<(), Trouble> {
        let id = self.stream();
        let change = if self.random.percent(15) {
            format!("delete from doc where id = {id}")
        } else {
            format!("insert into doc values ({id}, 1) on conflict (id) do update set v = doc.v + 1")
        };
        if self.random.percent(50) {
            return self.run(&change).map(drop);
        }
        self.run(&format!("begin; {change}"))?;
        self.pause(20);
        let append = self.any_append();
        self.run(&format!("{append}; commit")).map(drop)
    }

    fn repeatable_read(&mut self) -> Result<(), Trouble> {
        let append = self.any_append();
        self.run("begin isolation level repeatable read; select count(*) from doc")?;
        self.pause(20);
        self.run(&format!("{append}; commit")).map(drop)
    }

    /// What a killed session had prepared still holds its stream.
    fn decide_prepared(&mut self) -> Result<(), Trouble> {
        let query = format!("select gid from pg_prepared_xacts where gid like 'writer {} %'", self.number);
        for row in self.run(&query)? {
            self.run(&format!("commit prepared '{}'", row[0].as_deref().expect("a name")))?;
        }
        Ok(())
    }

    fn resolve(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(trouble) = self.connect().and_then(|()| self.decide_prepared()) {
            assert!(self.how.crashes && Instant::now() < deadline, "writer {}: {trouble:?}", self.number);
            self.lost();
        }
    }
}
