//! Reading the whole store: what a reader gets, and when. `order` holds the interleavings by which other strategies lose or
//! invert events, each named after its trap; random histories are in the tests of that name.

mod blocks;
mod cursors;
mod eras;
mod order;
mod pages;
mod streams;

use domain_events_tests::{Db, Session};

/// Appends an event to a stream of type `T`.
pub fn append(stream: &str) -> String {
    format!("select domain_events.append_event('T', '{stream}', 'E')")
}

/// A reader that goes from page to page, each in a transaction of its own.
pub struct Reader {
    session: Session,
    /// The last it was given.
    pub cursor: Option<String>,
    arguments: String,
}

impl Reader {
    /// From the beginning.
    pub fn new(db: &Db) -> Reader {
        Reader { session: db.owner(), cursor: None, arguments: String::new() }
    }

    /// From what is there now.
    pub fn from_now(db: &Db) -> Reader {
        let mut reader = Reader::new(db);
        reader.cursor = Some(reader.session.one("select domain_events.latest_cursor()"));
        reader
    }

    /// With further arguments of `read_all()`.
    pub fn with(mut self, arguments: &str) -> Reader {
        self.arguments = format!(", {arguments}");
        self
    }

    /// One call: the events as `stream version`, and `-` for a row without one.
    pub fn page(&mut self) -> Vec<String> {
        // The last tick is as old as it has to be for another.
        std::thread::sleep(std::time::Duration::from_millis(12));
        let after = self.cursor.as_ref().map_or("null".into(), |cursor| format!("'{cursor}'"));
        let rows = self.session.rows(&format!(
            "select coalesce(aggregate_id || ' ' || aggregate_version, '-'), cursor from domain_events.read_all({after}{})",
            self.arguments
        ));
        if let Some(last) = rows.last() {
            self.cursor = last[1].clone();
        }
        rows.into_iter().map(|row| row[0].clone().expect("an event")).collect()
    }

    /// Until nothing is left.
    pub fn rest(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let page = self.page();
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }
}

/// `stream 1` to `stream n`.
pub fn versions(stream: &str, range: std::ops::RangeInclusive<i64>) -> Vec<String> {
    range.map(|version| format!("{stream} {version}")).collect()
}
