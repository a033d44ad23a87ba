//! The map from old to new versions, as lines of the file and as rows read from the table.

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::Subject;
use super::examine::stream;
use crate::as_owner::{self, Owner};
use crate::db;
use crate::error::{Doing, Error};

const CURSOR: &str = "domain_events_repair";
const FETCH: usize = 2000;

/// One event of a stream that is renumbered.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Number of its table in the file.
    pub table: usize,
    /// Number of its batch, from 1.
    pub batch: u32,
    /// The stream's type.
    pub kind: Option<String>,
    /// The stream's id.
    pub id: String,
    /// What names the row.
    pub key: String,
    /// Version before.
    pub old: Option<String>,
    /// Version after.
    pub new: i64,
}

impl Entry {
    /// As a line of the file.
    pub fn line(&self) -> Value {
        json!([self.table, self.batch, self.kind, self.id, self.key, self.old, self.new])
    }

    /// From a line of the file.
    pub fn parse(line: &str) -> Result<Self, Error> {
        let (table, batch, kind, id, key, old, new) =
            serde_json::from_str(line).map_err(|e| Error::json("a line of the map", e))?;
        Ok(Self { table, batch, kind, id, key, old, new })
    }

    /// Its stream as people read it.
    pub fn stream(&self) -> String {
        stream(self.kind.as_deref(), &self.id)
    }
}

/// An event as it is read from the table: stream, key, version before and after, and the number of events in its stream.
pub type Row = (Option<String>, String, String, Option<String>, i64, i64);

/// The events to renumber, stream by stream, through a cursor of the caller's transaction.
#[derive(Debug)]
pub struct Renumbering {
    owner: Owner,
}

impl Renumbering {
    /// Opens the cursor.
    pub async fn open(conn: &mut PgConnection, subject: &Subject, reorder: bool) -> Result<Self, Error> {
        let owner = Owner::of_table(conn, &subject.table).await?;
        let columns = "kind text, id text, row_key text, version text, place bigint, events bigint";
        let doing = format!("numbering the events of {}", subject.table);
        as_owner::declare(conn, &owner, CURSOR, &subject.renumbering(reorder), columns, &doing).await?;
        Ok(Self { owner })
    }

    /// The next events; none at the end.
    pub async fn next(&self, conn: &mut PgConnection) -> Result<Vec<Row>, Error> {
        let fetch = format!("fetch {FETCH} from {CURSOR}");
        let rows = sqlx::query_as(sqlx::AssertSqlSafe(fetch.as_str()))
            .persistent(false)
            .fetch_all(&mut *conn)
            .await
            .doing("reading the events")?;
        as_owner::pin(conn, &self.owner).await?;
        Ok(rows)
    }

    /// Closes the cursor.
    pub async fn close(self, conn: &mut PgConnection) -> Result<(), Error> {
        db::execute(conn, &format!("close {CURSOR}"), "closing the cursor").await
    }
}
