//! One session: random transactions until the time is over, with its own ledger.

use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use domain_events_tests::{Db, Failure, Rows, Session, Trouble};

use crate::{
    ledger::{Fate, Ledger, Op},
    random::Random,
};

/// Everything that can be held, in this order: a stream of appends, a stream that several rows share, a row and its stream,
/// a stream of the legacy table.
pub type Key = (u8, u64);

/// In which order a transaction goes through streams and rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Rising, or back to one it holds already: nobody may ever see a deadlock.
    Rising,
    /// Any: 40P01 is an answer then.
    Any,
}

pub struct Worker<'a> {
    pub db: &'a Db,
    pub number: u64,
    pub random: Random,
    pub ledger: Ledger,
    pub order: Order,
    /// How many streams there are: few to meet on, or many.
    pub streams: u64,
    /// Ids of events that every session tries to store.
    pub shared_ids: &'a [String],
    /// Processes that may be killed.
    pub victims: &'a Mutex<Vec<i64>>,
    session: Option<(Session, i64)>,
    transactions: u64,
}

/// A transaction on its way.
#[derive(Default)]
pub struct Tx {
    id: String,
    pub isolation: &'static str,
    pub ops: Vec<Op>,
    pub undone: Vec<String>,
    pub shared: Vec<String>,
    pub held: HashSet<Key>,
    pub top: Key,
    /// Newest version of each stream written by this transaction.
    pub versions: HashMap<u64, i64>,
    savepoints: Vec<Savepoint>,
    pub last_op: String,
}

struct Savepoint {
    ops: usize,
    shared: usize,
    held: HashSet<Key>,
    versions: HashMap<u64, i64>,
}

impl Tx {
    pub fn hold(&mut self, key: Key) {
        self.held.insert(key);
        self.top = self.top.max(key);
    }

    /// What it did up to now, for messages.
    pub fn history(&self) -> String {
        let ops: Vec<String> = self.ops.iter().map(|op| format!("{} {}", op.tag, op.what)).collect();
        format!("{} in {}, {}, after {ops:#?}, undone: {:?}", self.last_op, self.id, self.isolation, self.undone)
    }

    /// A name for the next operation.
    pub fn tag(&mut self) -> String {
        format!("{}.{}", self.id, self.ops.len() + self.undone.len())
    }
}

/// True for errors after which the connection does not exist.
fn is_end(failure: &Failure) -> bool {
    matches!(failure.code.as_str(), "57P01" | "57P02" | "57P03")
}

impl<'a> Worker<'a> {
    pub fn new(
        db: &'a Db,
        number: u64,
        seed: u64,
        order: Order,
        streams: u64,
        shared_ids: &'a [String],
        victims: &'a Mutex<Vec<i64>>,
    ) -> Self {
        Worker {
            db,
            number,
            random: Random::new(seed.wrapping_mul(1000).wrapping_add(number)),
            ledger: Ledger::default(),
            order,
            streams,
            shared_ids,
            victims,
            session: None,
            transactions: 0,
        }
    }

    pub fn work(mut self, until: Instant) -> Ledger {
        while Instant::now() < until {
            if self.random.percent(8) { self.exactly_once() } else { self.transaction() }
        }
        self.forget();
        self.ledger
    }

    /// Runs statements in the session, which is made when there is none: only the first statement of a transaction may do so.
    pub fn query(&mut self, sql: &str) -> Result<Rows, Trouble> {
        let (session, _) = self.session.as_mut().expect("a session within a transaction");
        session.try_run(sql)
    }

    fn forget(&mut self) {
        if let Some((_, pid)) = self.session.take() {
            self.victims.lock().expect("the list").retain(|v| *v != pid);
        }
    }

    /// A server that has been killed needs a while.
    fn connect(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.session.is_none() {
            assert!(Instant::now() < deadline, "the server does not come back");
            if let Ok(mut session) = self.db.cluster().try_connect(&self.db.name, "app_owner")
                // A statement that takes longer waits for a lock that nobody gives back.
                && session.try_run("set statement_timeout = '30s'").is_ok()
                && let Ok(rows) = session.try_run("select pg_backend_pid()")
            {
                let pid = rows[0][0].as_deref().and_then(|p| p.parse().ok()).expect("a process id");
                self.victims.lock().expect("the list").push(pid);
                self.session = Some((session, pid));
            } else {
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// A single append outside a transaction block, repeated with the same event id until there is an answer.
    fn exactly_once(&mut self) {
        self.transactions += 1;
        let tag = format!("{}.{}", self.number, self.transactions);
        let stream = 1 + self.random.below(self.streams);
        let sql = format!(
            "select (domain_events.append_event('Soak', '{stream:05}', 'Happened', event_id => '{}', correlation_id => '{tag}')).aggregate_version",
            self.random.uuid()
        );
        loop {
            self.connect();
            match self.query(&sql) {
                Ok(_) => break,
                // A waiter can be the one whom a cycle of the others hits.
                Err(Trouble::Refused(failure)) if failure.code == "40P01" && self.order == Order::Any => {
                    self.ledger.count("error 40P01");
                }
                Err(Trouble::Refused(failure)) if !is_end(&failure) => panic!("a single append: {failure}"),
                Err(_) => {
                    self.ledger.count("appends repeated with their event id");
                    self.forget();
                }
            }
        }
        self.ledger.count("operation: append outside a transaction");
        self.ledger.book(vec![Op { tag, what: sql, events: 1 }], Vec::new(), Vec::new(), Fate::Committed);
    }

    fn transaction(&mut self) {
        self.connect();
        self.transactions += 1;
        let id = format!("{}.{}", self.number, self.transactions);
        let isolation = match self.random.below(10) {
            0..=6 => "read committed",
            7 | 8 => "repeatable read",
            _ => "serializable",
        };
        let mut tx = Tx { id, isolation, ..Tx::default() };
        let begun = self.query(&format!("begin isolation level {isolation}"));
        let mut result = begun.map(|_| ());
        for _ in 0..=self.random.below(8) {
            if result.is_err() {
                break;
            }
            result = match self.random.below(12) {
                0 => self.savepoint(&mut tx),
                1 if !tx.savepoints.is_empty() => self.back_to_savepoint(&mut tx),
                2 if !tx.savepoints.is_empty() => self.release(&mut tx),
                _ => self.operation(&mut tx),
            };
            if let Err(Trouble::Refused(failure)) = &result
                && !is_end(failure)
            {
                self.judge(&tx, failure);
                if failure.code.starts_with("23") && !tx.savepoints.is_empty() {
                    result = self.back_to_savepoint(&mut tx);
                }
            }
        }
        match result {
            Ok(()) => self.finish(tx),
            Err(Trouble::Refused(failure)) if !is_end(&failure) => {
                let over = self.query("rollback");
                self.close(tx, Fate::RolledBack);
                if over.is_err() {
                    self.forget();
                }
            }
            // The commit was not sent.
            Err(_) => {
                self.ledger.count("sessions lost");
                self.close(tx, Fate::RolledBack);
                self.forget();
            }
        }
    }

    /// Which errors there may be, and where.
    fn judge(&mut self, tx: &Tx, failure: &Failure) {
        self.ledger.count(format!("error {}", failure.code));
        let allowed = match failure.code.as_str() {
            "40001" => tx.isolation != "read committed",
            "40P01" => self.order == Order::Any,
            "23000" => tx.last_op == "wrong version",
            "23505" => failure.message.contains("doc_pkey"),
            _ => false,
        };
        if !allowed {
            // The server's log names the statements of all who took part.
            let log = self.db.cluster().log();
            let end: Vec<&str> = log.lines().rev().take(40).collect();
            panic!("{}: {failure}\n{}", tx.history(), end.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }

    fn close(&mut self, tx: Tx, fate: Fate) {
        self.ledger.book(tx.ops, tx.undone, tx.shared, fate);
    }

    fn finish(&mut self, tx: Tx) {
        match self.random.below(20) {
            0..=2 => {
                let over = self.query("rollback");
                self.close(tx, Fate::RolledBack);
                if over.is_err() {
                    self.forget();
                }
            }
            3 => self.two_phases(tx),
            _ => match self.query("commit") {
                Ok(_) => self.close(tx, Fate::Committed),
                Err(Trouble::Refused(failure)) if !is_end(&failure) => {
                    self.judge(&tx, &failure);
                    self.close(tx, Fate::RolledBack);
                }
                Err(_) => {
                    self.close(tx, Fate::Unsure);
                    self.forget();
                }
            },
        }
    }

    /// Prepares and decides later; whoever loses the connection looks up what became of it.
    fn two_phases(&mut self, tx: Tx) {
        let id = format!("soak {}", tx.id);
        match self.query(&format!("prepare transaction '{id}'")) {
            Ok(_) => {}
            Err(Trouble::Refused(failure)) if !is_end(&failure) => {
                self.judge(&tx, &failure);
                return self.close(tx, Fate::RolledBack);
            }
            Err(_) => {
                self.forget();
                self.connect();
                if !self.is_prepared(&id) {
                    return self.close(tx, Fate::RolledBack);
                }
            }
        }
        self.ledger.count("transactions prepared");
        let commit = self.random.percent(70);
        let decision = format!("{} prepared '{id}'", if commit { "commit" } else { "rollback" });
        loop {
            match self.query(&decision) {
                Ok(_) => break,
                Err(Trouble::Refused(failure)) if !is_end(&failure) => panic!("{decision}: {failure}"),
                Err(_) => {
                    self.forget();
                    self.connect();
                    if !self.is_prepared(&id) {
                        break;
                    }
                }
            }
        }
        self.close(tx, if commit { Fate::Committed } else { Fate::RolledBack });
    }

    fn is_prepared(&mut self, id: &str) -> bool {
        let query = format!("select count(*) from pg_prepared_xacts where gid = '{id}'");
        loop {
            self.connect();
            match self.query(&query) {
                Ok(rows) => return rows[0][0].as_deref() == Some("1"),
                Err(_) => self.forget(),
            }
        }
    }

    fn savepoint(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        tx.last_op = "savepoint".into();
        self.query(&format!("savepoint s{}", tx.savepoints.len()))?;
        tx.savepoints.push(Savepoint {
            ops: tx.ops.len(),
            shared: tx.shared.len(),
            held: tx.held.clone(),
            versions: tx.versions.clone(),
        });
        Ok(())
    }

    fn back_to_savepoint(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        let to = tx.savepoints.pop().expect("a savepoint");
        self.query(&format!("rollback to savepoint s{0}; release savepoint s{0}", tx.savepoints.len()))?;
        tx.undone.extend(tx.ops.drain(to.ops..).map(|op| op.tag));
        tx.shared.truncate(to.shared);
        tx.held = to.held;
        tx.versions = to.versions;
        self.ledger.count("savepoints rolled back");
        Ok(())
    }

    fn release(&mut self, tx: &mut Tx) -> Result<(), Trouble> {
        tx.savepoints.pop();
        self.query(&format!("release savepoint s{}", tx.savepoints.len())).map(|_| ())
    }
}
