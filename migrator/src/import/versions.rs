//! The versions of the streams that pass by, kept small: a hash and a number per stream, up to a limit; beyond it the store
//! is asked.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::error::{Doing, Error};

/// Streams kept in memory: 2^20 slots are seven eighths full then, some 20 MB.
const MOST: usize = 917_000;

/// The newest version of every stream so far.
#[derive(Debug)]
pub struct Versions {
    newest: HashMap<u64, u32>,
    /// Some streams were forgotten, or the store held events before: a stream that is not known here may have events.
    asks: bool,
    changed: Vec<(u64, Option<u32>)>,
    /// Streams of which an event was rejected, and the number of that row.
    broken: HashMap<u64, u64>,
    /// Streams seen, counting those forgotten once more.
    pub streams: u64,
}

impl Versions {
    /// Nothing was seen. `asks` when the store holds events already.
    pub fn new(asks: bool) -> Self {
        Self { newest: HashMap::new(), asks, changed: vec![], broken: HashMap::new(), streams: 0 }
    }

    /// The newest version of a stream, from memory; none when the store has to be asked.
    pub fn known(&self, stream: u64) -> Option<i64> {
        match self.newest.get(&stream) {
            Some(version) => Some(i64::from(*version)),
            None if self.asks => None,
            None => Some(0),
        }
    }

    /// Whether the store may have to be asked.
    pub fn asks(&self) -> bool {
        self.asks
    }

    /// The stream has this version now.
    pub fn set(&mut self, stream: u64, version: i64) {
        let before = self.newest.insert(stream, version as u32);
        self.streams += u64::from(before.is_none());
        self.changed.push((stream, before));
    }

    /// What was set since is final. Memory is given back when there are too many streams.
    pub fn keep(&mut self) {
        self.changed.clear();
        if self.newest.len() > MOST {
            self.newest.clear();
            self.asks = true;
        }
    }

    /// Takes back what was set since `keep`.
    pub fn undo(&mut self) {
        while let Some((stream, before)) = self.changed.pop() {
            match before {
                Some(version) => _ = self.newest.insert(stream, version),
                None => {
                    self.newest.remove(&stream);
                    self.streams -= 1;
                }
            }
        }
    }

    /// An event of the stream was rejected at this row, so that what follows would leave a gap.
    pub fn break_stream(&mut self, stream: u64, place: u64) {
        let first = self.broken.entry(stream).or_insert(place);
        *first = place.min(*first);
    }

    /// Whether an event of the stream was rejected before this row.
    pub fn is_broken(&self, stream: u64, place: u64) -> bool {
        self.broken.get(&stream).is_some_and(|first| *first < place)
    }
}

/// The newest version that a stream has in the store below a position.
pub async fn newest_below(conn: &mut PgConnection, kind: &str, id: &str, position: i64) -> Result<i64, Error> {
    sqlx::query_scalar(
        "select coalesce(pg_catalog.max(e.aggregate_version), 0) from domain_events.events e \
          where e.aggregate_type = $1 and e.aggregate_id = $2 and e.global_position < $3",
    )
    .bind(kind)
    .bind(id)
    .bind(position)
    .fetch_one(conn)
    .await
    .doing("reading the version of a stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_can_be_taken_back() {
        let mut versions = Versions::new(false);
        versions.set(1, 1);
        versions.keep();
        versions.set(1, 2);
        versions.set(1, 3);
        versions.set(2, 1);
        versions.undo();
        assert_eq!((versions.known(1), versions.known(2), versions.streams), (Some(1), Some(0), 1));
        assert_eq!(Versions::new(true).known(5), None);
    }
}
