//! Rows on their way into PostgreSQL: sent by COPY as they are encoded, kept until the transaction has committed, so that a
//! row that the server refuses can be found and left out.

use sqlx::PgConnection;
use sqlx::postgres::PgCopyIn;

use crate::as_owner::Owner;
use crate::db;
use crate::error::{Doing, Error};

/// Bytes after which what is encoded is sent, so that the server works while the next rows are read.
const CHUNK: usize = 64 * 1024;
/// Bytes of a batch, whatever its rows.
const LARGEST: usize = 8 * 1024 * 1024;

/// Begins a transaction that writes a table of the import, unless somebody has put another one in its place: whoever owns the
/// schema can do that, and the code of that table would run as whoever imports.
pub async fn begin(conn: &mut PgConnection, table: Option<&str>) -> Result<(), Error> {
    db::execute(conn, "begin", "beginning a transaction").await?;
    match table {
        Some(table) => expect_own(conn, table).await,
        None => Ok(()),
    }
}

/// Refuses a table of somebody else's. It stays as it is until the transaction ends.
pub async fn expect_own(conn: &mut PgConnection, table: &str) -> Result<(), Error> {
    db::execute(conn, &format!("lock table {table} in row exclusive mode"), &format!("locking {table}")).await?;
    if Owner::of_table(conn, table).await?.is_other() {
        return Err(Error::refused(
            "42501",
            format!("{table} is not the table that the import made: it belongs to another role"),
            "Import as the owner of the schema, or into a schema of your own with --schema.",
        ));
    }
    Ok(())
}

/// Rows for up to two tables, side by side.
#[derive(Debug, Default)]
pub struct Batch {
    /// Encoded lines per target.
    text: [Vec<u8>; 2],
    /// Where each row ends in each text.
    ends: Vec<[usize; 2]>,
}

impl Batch {
    /// Appends to the text of a target.
    pub fn text(&mut self, target: usize) -> &mut Vec<u8> {
        &mut self.text[target]
    }

    /// The text so far goes in front of these bytes, whose memory is used from now on.
    pub fn continue_in(&mut self, target: usize, mut data: Vec<u8>, from: usize) {
        let before = std::mem::take(&mut self.text[target]);
        data.reserve_exact(before.len());
        data.splice(..from, before);
        self.text[target] = data;
    }

    /// The row is complete.
    pub fn end_row(&mut self) {
        self.ends.push([self.text[0].len(), self.text[1].len()]);
    }

    /// Takes back what was appended since the last whole row.
    pub fn cut(&mut self) {
        let ends = self.ends.last().copied().unwrap_or_default();
        self.text[0].truncate(ends[0]);
        self.text[1].truncate(ends[1]);
    }

    /// Rows in it.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether it is as large as a batch may be.
    pub fn is_full(&self, rows: usize) -> bool {
        self.ends.len() >= rows || self.text[0].len() + self.text[1].len() >= LARGEST
    }

    /// Where the next row begins in a text.
    pub fn start(&self, target: usize) -> usize {
        self.ends.last().map_or(0, |e| e[target])
    }

    /// What was appended since the last whole row.
    pub fn pending(&self, target: usize) -> &[u8] {
        &self.text[target][self.start(target)..]
    }

    /// Where a row ends in a text.
    pub fn end(&self, target: usize, row: usize) -> usize {
        self.ends[row][target]
    }

    /// The lines of some rows.
    pub fn lines(&self, target: usize, rows: std::ops::Range<usize>) -> &[u8] {
        let start = if rows.start == 0 { 0 } else { self.ends[rows.start - 1][target] };
        let end = if rows.end == 0 { 0 } else { self.ends[rows.end - 1][target] };
        &self.text[target][start..end]
    }

    /// Empties it, keeping its memory, unless one row has taken too much of it.
    pub fn clear(&mut self) {
        for text in &mut self.text {
            text.clear();
            text.shrink_to(4 * LARGEST);
        }
        self.ends.clear();
    }
}

/// A COPY that is running, fed as rows are encoded.
pub struct Running<'c> {
    copy: PgCopyIn<&'c mut PgConnection>,
    sent: usize,
}

impl<'c> Running<'c> {
    /// Begins COPY into a target.
    pub async fn begin(conn: &'c mut PgConnection, sql: &str) -> Result<Self, Error> {
        let copy = conn.copy_in_raw(sql).await.doing("beginning COPY")?;
        Ok(Self { copy, sent: 0 })
    }

    /// Sends what is new in the batch once it is worth it.
    pub async fn feed(&mut self, batch: &Batch) -> Result<(), Error> {
        if batch.start(0) - self.sent >= CHUNK { self.send(batch).await } else { Ok(()) }
    }

    async fn send(&mut self, batch: &Batch) -> Result<(), Error> {
        let end = batch.start(0);
        // the driver copies what it is given
        for chunk in batch.text[0][self.sent..end].chunks(CHUNK) {
            self.copy.send(chunk).await.doing("sending rows")?;
        }
        self.sent = end;
        Ok(())
    }

    /// Sends the rest; whether the server took it all.
    pub async fn finish(mut self, batch: &Batch) -> Result<(), Error> {
        self.send(batch).await?;
        self.copy.finish().await.doing("storing rows")?;
        Ok(())
    }
}

/// A row that the server refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the batch.
    pub row: usize,
    /// What the server said.
    pub reason: String,
}

/// Copies some rows of the batch into all targets.
pub async fn copy(
    conn: &mut PgConnection,
    targets: &[String],
    batch: &Batch,
    rows: std::ops::Range<usize>,
) -> Result<(), Error> {
    for (target, sql) in targets.iter().enumerate() {
        copy_into(conn, sql, batch, target, rows.clone()).await?;
    }
    Ok(())
}

/// Copies some rows of the batch into one target.
pub async fn copy_into(
    conn: &mut PgConnection,
    sql: &str,
    batch: &Batch,
    target: usize,
    rows: std::ops::Range<usize>,
) -> Result<(), Error> {
    let mut copy = conn.copy_in_raw(sql).await.doing("beginning COPY")?;
    for chunk in batch.lines(target, rows).chunks(CHUNK) {
        copy.send(chunk).await.doing("sending rows")?;
    }
    copy.finish().await.doing("storing rows")?;
    Ok(())
}

/// Finds the rows that the server refuses, each half of a refused part by itself, in a transaction that is rolled back.
pub async fn search(
    conn: &mut PgConnection,
    table: Option<&str>,
    targets: &[String],
    batch: &Batch,
) -> Result<Vec<Refused>, Error> {
    let mut refused = vec![];
    begin(conn, table).await?;
    let mut parts = vec![(0, batch.len())];
    while let Some((first, end)) = parts.pop() {
        let part = first..end;
        db::execute(conn, "savepoint part", "setting a savepoint").await?;
        match copy(conn, targets, batch, part.clone()).await {
            Ok(()) => db::execute(conn, "release savepoint part", "releasing a savepoint").await?,
            Err(error) if is_rows_fault(&error) => {
                db::execute(conn, "rollback to savepoint part; release savepoint part", "rolling back").await?;
                if part.len() == 1 {
                    refused.push(Refused { row: first, reason: reason(&error) });
                } else {
                    let middle = first + part.len() / 2;
                    // the first half is looked at first: a doubled row is the later one
                    parts.push((middle, end));
                    parts.push((first, middle));
                }
            }
            Err(error) => return Err(error),
        }
    }
    db::rollback(conn).await?;
    Ok(refused)
}

/// Whether the row is to blame: data, a constraint, or a limit.
pub fn is_rows_fault(error: &Error) -> bool {
    error.sqlstate().is_some_and(|code| matches!(code.get(..2), Some("22" | "23" | "54")))
}

/// What the server said of it.
fn reason(error: &Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("storing rows: ").unwrap_or(&text);
    let code = error.sqlstate().unwrap_or_default();
    match error.detail() {
        Some(detail) => format!("{text} ({code}): {detail}"),
        None => format!("{text} ({code})"),
    }
}
