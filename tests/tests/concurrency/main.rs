//! Real sessions that meet: who waits, who goes on, what the lock table holds, who calls, what survives a restart.
//! The traps of event stores that concern writing are in `writing`, each named after its number.

mod asking;
mod bulk;
mod callers;
mod capture;
mod crowd;
mod errors;
mod interrupted;
mod legacy;
mod recovery;
mod snapshots;
mod writing;

use std::thread::{self, JoinHandle};

pub(crate) use domain_events_tests::engines_alone;
use domain_events_tests::{Db, Failure, Rows, Session, Trouble};

/// Appends one event and says its version.
pub fn append(stream: &str) -> String {
    format!("select (domain_events.append_event('User', '{stream}', 'UserRenamed')).aggregate_version")
}

/// So many other streams that a transaction is beyond all locks it may keep.
pub const FILL: &str = "select count(domain_events.append_event('Fill', pg_backend_pid() || ' ' || i, 'A')) from generate_series(1, 300) as i";

/// A statement that is expected to wait.
pub struct Waiting(JoinHandle<(Session, Result<Rows, Failure>)>);

/// Starts a statement in the background and returns once it waits for a lock.
pub fn waits(db: &Db, mut session: Session, sql: &str) -> Waiting {
    let pid = session.pid();
    let sql = sql.to_owned();
    let handle = thread::spawn(move || {
        let result = session.try_run(&sql).map_err(|trouble| match trouble {
            Trouble::Refused(failure) => failure,
            // The connection was closed before the reason was read.
            Trouble::Lost(message) => Failure { code: "57P01".into(), message, ..Failure::default() },
        });
        (session, result)
    });
    db.wait_until_blocked(pid);
    Waiting(handle)
}

impl Waiting {
    /// The session again, and what came of its statement.
    pub fn result(self) -> (Session, Result<Rows, Failure>) {
        self.0.join().expect("the waiting session")
    }

    /// The single value it got in the end.
    pub fn one(self) -> String {
        let (_, result) = self.result();
        let rows = result.unwrap_or_else(|e| panic!("{e}"));
        rows.last().and_then(|row| row[0].clone()).expect("a value")
    }
}
