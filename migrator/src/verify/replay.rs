//! Running the changes on one side and comparing two sides.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use sqlx::PgConnection;

use super::changes::{Change, TABLE};
use crate::as_owner::{self, Owner};
use crate::db;
use crate::error::{Doing, Error};
use domain_events_sql::quote::quote_literal;

/// Where a side keeps its rows and its events.
#[derive(Debug, Clone)]
pub struct Side {
    /// In whose name it is changed: the table's owner.
    pub owner: Owner,
    /// In whose name its events are read.
    pub reader: Owner,
    /// The table that is changed.
    pub table: String,
    /// A query for the events in the order they were written, each as JSON.
    pub events: String,
}

impl Side {
    /// Events in a legacy table.
    pub fn legacy(owner: Owner, table: String, reader: Owner, event_table: &str) -> Self {
        Self {
            owner,
            reader,
            table,
            events: format!("select pg_catalog.to_jsonb(e)::text from {event_table} e order by e.ctid"),
        }
    }

    /// Events in the store.
    pub fn store(owner: Owner, store: Owner, table: String, aggregate_type: &str) -> Self {
        let events = format!(
            "select pg_catalog.to_jsonb(e)::text from domain_events.events e where e.aggregate_type = {} \
             and e.transaction_id = pg_catalog.pg_current_xact_id() and pg_catalog.age(e.xmin) <= 0 order by e.global_position",
            quote_literal(aggregate_type)
        );
        Self { owner, reader: store, table, events }
    }
}

/// What a change did.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// SQLSTATE if it failed.
    pub error: Option<String>,
    /// What the server said then.
    pub message: Option<String>,
    /// Rows that it changed.
    pub rows: u64,
    /// The events it wrote.
    pub events: Vec<BTreeMap<String, Value>>,
}

/// Runs all changes, each in a savepoint.
pub async fn run(conn: &mut PgConnection, side: &Side, changes: &[Change]) -> Result<Vec<Outcome>, Error> {
    let mut outcomes = vec![];
    let mut seen = 0;
    for change in changes {
        db::execute(conn, "savepoint change", "replaying").await?;
        // what waits for the commit is run now: there will be none
        let ran = as_owner::staged(conn, &side.owner, &change.sql.replace(TABLE, &side.table)).await;
        let mut rows = 0;
        let mut message = None;
        let error = match ran {
            Ok(done) => {
                rows = done;
                None
            }
            Err(error) => {
                let Some(server) = crate::error::server_error(&error) else {
                    return Err(error).doing("replaying a change");
                };
                let code = server.code().to_owned();
                message = Some(server.message().to_owned());
                db::execute(conn, "rollback to savepoint change", "replaying").await?;
                Some(code)
            }
        };
        db::execute(conn, "release savepoint change", "replaying").await?;
        as_owner::pin(conn, &side.owner).await?;
        let sql = format!("{} offset {seen}", side.events);
        let texts: Vec<(String,)> =
            as_owner::staged_rows(conn, &side.reader, &sql, "event text", "reading the events").await?;
        seen += texts.len();
        let events = texts
            .iter()
            .map(|(t,)| serde_json::from_str(t))
            .collect::<Result<_, _>>()
            .map_err(|e| Error::json("an event", e))?;
        outcomes.push(Outcome { error, message, rows, events });
    }
    Ok(outcomes)
}

/// What is not compared, or is compared otherwise.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Columns that may differ: the version, and what the plan declares.
    pub ignored: Vec<String>,
    /// Columns of times and ids: both sides must have a value, not the same.
    pub moving: Vec<String>,
    /// The versions, where the old ones were right.
    pub versions: Option<Versions>,
    /// The numbers, where they cannot be compared one by one.
    pub numbers: Option<Numbers>,
    /// Capture: the new side's events are those of the store.
    pub capture: Option<CaptureTerms>,
}

/// Versions that must be the same on both sides, unless the legacy code gave one twice in a stream: its key would have refused that.
#[derive(Debug, Clone, Default)]
pub struct Versions {
    /// Their column.
    pub column: String,
    /// The columns beside it in each unique key of the event table.
    pub streams: Vec<Vec<String>>,
}

impl Versions {
    fn names(stream: &[String], event: &BTreeMap<String, Value>) -> Vec<Value> {
        stream.iter().map(|c| event.get(c).cloned().unwrap_or_default()).collect()
    }

    /// The streams, by the number of their key, in which the old side gave a version twice.
    fn doubled(&self, old: &[Outcome]) -> Vec<(usize, Vec<Value>)> {
        let mut doubled = vec![];
        for (n, stream) in self.streams.iter().enumerate() {
            let mut seen = HashSet::new();
            for event in old.iter().flat_map(|o| &o.events) {
                let names = Self::names(stream, event);
                let version = event.get(&self.column).cloned().unwrap_or_default();
                if !seen.insert(Value::Array([names.clone(), vec![version]].concat()).to_string()) {
                    doubled.push((n, names));
                }
            }
        }
        doubled
    }

    fn difference(
        &self,
        change: &Change,
        old: &BTreeMap<String, Value>,
        new: &BTreeMap<String, Value>,
        doubled: &[(usize, Vec<Value>)],
    ) -> Option<String> {
        let was_wrong = doubled.iter().any(|(n, names)| Self::names(&self.streams[*n], old) == *names);
        let (a, b) = (old.get(&self.column)?, new.get(&self.column)?);
        (a != b && !was_wrong).then(|| format!("{}: {} is {b} instead of {a}", change.what, self.column))
    }
}

/// Numbers whose places within one statement mean something.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    /// Their column.
    pub column: String,
    /// The columns of the stream.
    pub stream: Vec<String>,
}

impl Numbers {
    /// One change that writes several rows of a stream, each with a number of its own, gives the numbers a meaning: they must
    /// follow each other as before, from wherever the stream stands.
    fn reordered(&self, change: &Change, old: &Outcome, new: &Outcome) -> Option<String> {
        let streams = |side: &Outcome| {
            let mut streams: BTreeMap<String, Vec<i64>> = BTreeMap::new();
            for event in &side.events {
                let stream = Value::Array(Versions::names(&self.stream, event)).to_string();
                streams.entry(stream).or_default().extend(event.get(&self.column).and_then(Value::as_i64));
            }
            streams
        };
        let steps = |numbers: &[i64]| -> Vec<i64> { numbers.windows(2).map(|w| w[1] - w[0]).collect() };
        let (before, after) = (streams(old), streams(new));
        before.into_iter().find_map(|(stream, was)| {
            let is = after.get(&stream)?;
            let distinct = was.iter().collect::<HashSet<_>>().len() == was.len();
            (distinct && was.len() == is.len() && steps(&was) != steps(is)).then(|| {
                format!("{}: {} of the rows of {stream} is {is:?} instead of {was:?}", change.what, self.column)
            })
        })
    }
}

/// The legacy columns that a captured event is compared by.
#[derive(Debug, Clone, Default)]
pub struct CaptureTerms {
    /// Pairs of a legacy column and the store's.
    pub columns: Vec<(String, &'static str)>,
    /// Operations that the legacy trigger has events for.
    pub operations: Vec<String>,
}

/// All differences between two sides, in words.
pub fn compare(changes: &[Change], old: &[Outcome], new: &[Outcome], terms: &Terms) -> Vec<String> {
    let mut found = vec![];
    let doubled = terms.versions.as_ref().map(|v| v.doubled(old)).unwrap_or_default();
    for ((change, old), new) in changes.iter().zip(old).zip(new) {
        if let Some(numbers) = &terms.numbers {
            found.extend(numbers.reordered(change, old, new));
        }
        if let Some(capture) = &terms.capture
            && (change.no_op || !capture.operations.iter().any(|o| o == change.operation))
        {
            continue;
        }
        if old.error != new.error {
            let show = |e: &Option<String>| e.as_ref().map_or("passes".to_owned(), |code| format!("fails with {code}"));
            found.push(format!("{}: old {}, new {}", change.what, show(&old.error), show(&new.error)));
            continue;
        }
        if old.events.len() != new.events.len() {
            found.push(format!("{}: old writes {} events, new {}", change.what, old.events.len(), new.events.len()));
            continue;
        }
        for (a, b) in old.events.iter().zip(&new.events) {
            found.extend(event(change, a, b, terms));
            found.extend(terms.versions.as_ref().and_then(|v| v.difference(change, a, b, &doubled)));
        }
    }
    found
}

fn event(change: &Change, old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>, terms: &Terms) -> Vec<String> {
    let differs = |column: &str, a: &Value, b: &Value| format!("{}: {column} is {b} instead of {a}", change.what);
    if let Some(capture) = &terms.capture {
        let text = |v: Option<&Value>| match v {
            Some(Value::String(s)) => s.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        let pairs = capture.columns.iter().filter(|(a, b)| text(old.get(a)) != text(new.get(*b)));
        return pairs
            .map(|(a, b)| differs(a, old.get(a).unwrap_or(&Value::Null), new.get(*b).unwrap_or(&Value::Null)))
            .collect();
    }
    let mut found = vec![];
    for (column, a) in old.iter().filter(|(c, _)| !terms.ignored.contains(c)) {
        let b = new.get(column).unwrap_or(&Value::Null);
        let same = if terms.moving.contains(column) { a.is_null() == b.is_null() } else { a == b };
        if !same {
            found.push(differs(column, a, b));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(json: &str) -> Outcome {
        Outcome { error: None, message: None, rows: 1, events: vec![serde_json::from_str(json).unwrap()] }
    }

    #[test]
    fn what_is_declared_may_differ_and_nothing_else() {
        let change = Change { what: "x".into(), operation: "UPDATE", no_op: false, sql: String::new() };
        let terms = Terms {
            ignored: vec!["version".into()],
            moving: vec!["at".into()],
            versions: None,
            numbers: None,
            capture: None,
        };
        let run = |a: &str, b: &str| compare(std::slice::from_ref(&change), &[outcome(a)], &[outcome(b)], &terms).len();
        assert_eq!(
            run(
                r#"{"version": 1, "at": "1", "data": {"a": null}}"#,
                r#"{"version": 2, "at": "2", "data": {"a": null}}"#
            ),
            0
        );
        assert_eq!(run(r#"{"version": 1, "at": "1", "data": 1}"#, r#"{"version": 2, "at": null, "data": 2}"#), 2);
        let lost = Outcome { error: None, message: None, rows: 1, events: vec![] };
        assert_eq!(compare(&[change], &[outcome("{}")], &[lost], &terms).len(), 1);
    }
}
