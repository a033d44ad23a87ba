//! Who reads: by cursors of `read_all()`, or by the strategies that everybody tries first.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU8, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use domain_events_tests::{Db, Rows, Session, Trouble};

use crate::random::Random;

/// How often an idle reader asks again.
const POLL: Duration = Duration::from_millis(5);
/// A reader to whom nothing is given for so long after the last commit has read to the end: thirty times what two ticks
/// are apart.
const SILENCE: Duration = Duration::from_millis(300);

/// Who reads for so long after the last commit goes in circles.
const LONG: Duration = Duration::from_secs(180);
/// What a reader appends by itself.
const FOLLOW: &str = "select from domain_events.append_event('FollowUp', '1', 'Followed')";

/// What says where to go on, and what comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// `read_all()` with a cursor. `filter`: further arguments.
    Cursor { max_count: u64, filter: &'static str },
    /// position > last
    Position,
    /// (transaction, position) > last, of transactions below the oldest that is open.
    Transaction,
    /// position > last, up to the newest one whose transaction is below the oldest that is open.
    HighWater,
}

/// What happens to a reader.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Steady,
    /// It pauses at random.
    Pausing,
    /// Its connection is dropped, by it and by the server, and it goes on from the last mark it saved.
    Killed,
    /// It reads within transactions of REPEATABLE READ, some of which are rolled back.
    Repeatable,
    /// It appends what follows, before or after it reads, in the same transaction, which then may be rolled back.
    Appending,
    /// It may not take ticks: it goes by those of others.
    ReadOnly,
}

/// An event, and when it was handed out, in microseconds since 1970.
pub struct Seen {
    pub id: String,
    pub stream: String,
    pub version: i64,
    pub at: i64,
}

pub struct Reader<'a> {
    pub name: String,
    pub strategy: Strategy,
    pub manner: Manner,
    /// Which events it asks for, as a condition on `domain_events.events`.
    pub wanted: &'static str,
    pub seen: Vec<Seen>,
    /// Where it goes on.
    pub mark: Option<String>,
    /// How much it had seen after each page, and the page's mark.
    pub pages: Vec<(usize, Option<String>)>,
    /// Pages, connections lost, errors.
    pub counts: BTreeMap<String, u64>,
    /// The process that serves it, 0 while there is none.
    pub process: Arc<AtomicI64>,
    db: &'a Db,
    session: Option<Session>,
}

/// How far a history has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// There are writers.
    Writing,
    /// Everything is committed: read to the end.
    Written,
    /// Stop where you are.
    Halted,
}

/// What readers and their history tell each other.
pub struct Course {
    phase: AtomicU8,
    reading: AtomicUsize,
}

impl Course {
    pub fn new(readers: usize) -> Course {
        Course { phase: AtomicU8::new(Phase::Writing as u8), reading: AtomicUsize::new(readers) }
    }

    /// Goes on to a later phase, never back.
    pub fn set(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
    }

    /// Stops the readers and waits until none reads any more.
    pub fn halt(&self) {
        self.set(Phase::Halted);
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.reading.load(Ordering::SeqCst) > 0 {
            assert!(Instant::now() < deadline, "a reader does not stop");
            thread::sleep(POLL);
        }
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Writing,
            1 => Phase::Written,
            _ => Phase::Halted,
        }
    }
}

/// However a history ends, its readers do.
impl Drop for Halting<'_> {
    fn drop(&mut self) {
        self.0.set(Phase::Halted);
    }
}

pub struct Halting<'a>(pub &'a Course);

impl Strategy {
    /// The next page: id, stream, version, mark; where only the mark moves, the rest is null.
    fn page(self, mark: Option<&str>, phase: Phase) -> String {
        let event = "event_id, aggregate_type || '/' || aggregate_id, aggregate_version";
        let oldest = "pg_snapshot_xmin(pg_current_snapshot())";
        let position = mark.unwrap_or("0");
        match self {
            Strategy::Cursor { max_count, filter } => {
                let after = mark.map_or("null".into(), |mark| format!("'{mark}'"));
                // In pages of one it would take many times as long to read to the end as it took to write.
                let max_count = if phase == Phase::Written { max_count.max(100) } else { max_count };
                format!("select {event}, cursor from domain_events.read_all({after}, {max_count}{filter})")
            }
            Strategy::Position => format!(
                "select {event}, global_position from domain_events.events where global_position > {position}
                  order by global_position limit 1000"
            ),
            Strategy::Transaction => {
                let (transaction, position) = mark.and_then(|mark| mark.split_once(' ')).unwrap_or(("0", "0"));
                format!(
                    "select {event}, transaction_id || ' ' || global_position from domain_events.events
                      where (transaction_id, global_position) > ('{transaction}', {position}) and transaction_id < {oldest}
                      order by transaction_id, global_position limit 1000"
                )
            }
            Strategy::HighWater => format!(
                "select {event}, global_position from domain_events.events
                  where global_position > {position}
                    and global_position <= (select global_position from domain_events.events where transaction_id < {oldest}
                                             order by global_position desc limit 1)
                  order by global_position limit 1000"
            ),
        }
    }
}

/// Microseconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_micros()).expect("before the year 294246")
}

fn number(text: Option<&str>) -> i64 {
    text.and_then(|text| text.parse().ok()).expect("a number")
}

impl<'a> Reader<'a> {
    pub fn new(db: &'a Db, name: impl Into<String>, strategy: Strategy) -> Reader<'a> {
        Reader {
            name: name.into(),
            strategy,
            manner: Manner::Steady,
            wanted: "true",
            seen: Vec::new(),
            mark: None,
            pages: Vec::new(),
            counts: BTreeMap::new(),
            process: Arc::default(),
            db,
            session: None,
        }
    }

    /// By cursor, in pages of so many.
    pub fn pages(db: &'a Db, max_count: u64) -> Reader<'a> {
        Reader::new(db, format!("read_all, pages of {max_count}"), Strategy::Cursor { max_count, filter: "" })
    }

    pub fn named(self, name: &str) -> Reader<'a> {
        Reader { name: name.into(), ..self }
    }

    pub fn manner(self, manner: Manner) -> Reader<'a> {
        Reader { manner, ..self }
    }

    pub fn wanted(self, wanted: &'static str) -> Reader<'a> {
        Reader { wanted, ..self }
    }

    /// It goes on with what it has, somewhere else.
    pub fn at<'b>(self, db: &'b Db) -> Reader<'b> {
        Reader { db, session: None, ..self }
    }

    /// Between which marks an event was handed out, for messages.
    pub fn page_of(&self, place: usize) -> String {
        let page = self.pages.partition_point(|(seen, _)| *seen <= place);
        let before = page.checked_sub(1).and_then(|before| self.pages[before].1.as_deref());
        format!("number {place}, from {before:?} to {:?}", self.pages.get(page).and_then(|(_, mark)| mark.as_deref()))
    }

    /// True of those whose promise is kept.
    pub fn has_cursor(&self) -> bool {
        matches!(self.strategy, Strategy::Cursor { .. })
    }

    /// The others wait for whatever transaction is open, those of readers too.
    fn silence(&self) -> Duration {
        if self.has_cursor() { SILENCE } else { SILENCE * 5 }
    }

    pub fn read(&mut self, course: &Course, mut random: Random) {
        let mut idle: Option<Instant> = None;
        let mut written: Option<Instant> = None;
        loop {
            let phase = course.phase();
            if phase == Phase::Written {
                let since = written.get_or_insert_with(Instant::now).elapsed();
                assert!(since < LONG, "{}: no end in {since:?}, at {:?}", self.name, self.mark);
            }
            let got = self.connect().and_then(|()| self.turn(phase, &mut random));
            match got {
                _ if phase == Phase::Halted => break,
                Ok(0) if idle.is_some_and(|since| since.elapsed() > self.silence()) => break,
                Ok(0) => {
                    if phase == Phase::Written {
                        idle.get_or_insert_with(Instant::now);
                    }
                    thread::sleep(POLL);
                }
                Ok(_) => idle = None,
                Err(trouble) => {
                    idle = None;
                    self.overcome(trouble);
                }
            }
            if self.manner == Manner::Pausing && phase == Phase::Writing && random.percent(30) {
                thread::sleep(Duration::from_millis(random.below(500)));
            }
        }
        self.forget();
        course.reading.fetch_sub(1, Ordering::SeqCst);
    }

    /// One page, or some within a transaction; how many rows there were.
    fn turn(&mut self, phase: Phase, random: &mut Random) -> Result<usize, Trouble> {
        let isolation = match self.manner {
            Manner::Repeatable => Some("repeatable read"),
            Manner::Appending => Some("read committed"),
            _ => None,
        };
        let appends = self.manner == Manner::Appending && phase == Phase::Writing;
        let mut mark = self.mark.clone();
        let mut seen = Vec::new();
        let mut rows = 0;
        if let Some(isolation) = isolation {
            self.run(&format!("begin isolation level {isolation}"))?;
        }
        if appends && random.percent(50) {
            self.run(FOLLOW)?;
            thread::sleep(Duration::from_micros(random.below(10_000)));
        }
        for _ in 0..if isolation.is_some() { 1 + random.below(3) } else { 1 } {
            let page = self.run(&self.strategy.page(mark.as_deref(), phase))?;
            let at = now();
            rows += page.len();
            let Some(last) = page.last() else { break };
            mark = Some(last[3].clone().expect("a mark"));
            seen.extend(page.into_iter().filter_map(|mut row| {
                let id = row[0].take()?;
                Some(Seen { id, stream: row[1].take()?, version: number(row[2].as_deref()), at })
            }));
        }
        if appends && random.percent(50) {
            self.run(FOLLOW)?;
        }
        if isolation.is_some() && random.percent(20) {
            self.run("rollback")?;
            return Ok(rows);
        } else if isolation.is_some() {
            self.run("commit")?;
        }
        *self.counts.entry("pages".into()).or_default() += 1;
        if self.manner == Manner::Killed && random.percent(5) {
            // before it has handled the page
            self.forget();
            *self.counts.entry("connections dropped".into()).or_default() += 1;
            return Ok(rows.max(1));
        }
        self.seen.append(&mut seen);
        self.mark = mark;
        self.pages.push((self.seen.len(), self.mark.clone()));
        Ok(rows)
    }

    fn run(&mut self, sql: &str) -> Result<Rows, Trouble> {
        self.session.as_mut().expect("a session").try_run(sql)
    }

    fn connect(&mut self) -> Result<(), Trouble> {
        if self.session.is_none() {
            let user = if self.manner == Manner::Appending { "app_owner" } else { "history_reader" };
            let connected = self.db.cluster().try_connect(&self.db.name, user);
            let mut session = connected.map_err(|error| Trouble::Lost(error.to_string()))?;
            let read_only = self.manner == Manner::ReadOnly;
            let rows = session.try_run(&format!(
                "set default_transaction_read_only = {read_only}; set statement_timeout = '30s'; select pg_backend_pid()"
            ))?;
            self.process.store(number(rows[0][0].as_deref()), Ordering::SeqCst);
            self.session = Some(session);
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.process.store(0, Ordering::SeqCst);
        self.session = None;
    }

    /// A server that goes and comes, and a standby that must go on replaying; anything else is an error.
    fn overcome(&mut self, trouble: Trouble) {
        let what = match trouble {
            Trouble::Refused(failure) if failure.code.starts_with("57P") => "connections lost",
            // Somebody else began the era, which this snapshot does not show.
            Trouble::Refused(failure)
                if self.manner == Manner::Repeatable
                    && failure.code == "40001"
                    && failure.context.contains(".eras") =>
            {
                "repeated"
            }
            Trouble::Refused(failure) if failure.message.contains("conflict with recovery") => {
                "conflicts with recovery"
            }
            Trouble::Refused(failure) => panic!("{}, from {:?}: {failure}", self.name, self.mark),
            Trouble::Lost(_) => "connections lost",
        };
        *self.counts.entry(what.into()).or_default() += 1;
        self.forget();
        thread::sleep(POLL);
    }
}
