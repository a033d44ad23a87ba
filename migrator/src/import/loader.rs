//! Rows of an event table on their way into the store: numbered, encoded, sent.

mod refused;

use std::collections::HashSet;

use indicatif::ProgressBar;
use sqlx::PgConnection;

use super::Options;
use super::batch::{self, Batch, Running};
use super::checksum::{self, Sums};
use super::encode::{self, Field};
use super::event::{self, Maker};
use super::journal::{self, Import};
use super::record::Record;
use super::rejects::{Reject, Rejects, shown};
use super::source::{Rows, Step};
use super::versions::{self, Versions};
use crate::adopt::{Adoption, Legacy};
use crate::connect::connect;
use crate::context::Context;
use crate::db;
use crate::engine_sql::EVENTS;
use crate::error::{Doing, Error};
use domain_events_mysql::schema::Table;
use domain_events_sql::quote::quote_ident;

/// A row of the batch.
#[derive(Debug, Clone)]
struct Meta {
    place: u64,
    line: u64,
    stream: u64,
    // what the source says
    old: i64,
    version: i64,
    // where the version stands in the texts
    at: [(usize, usize); 2],
    // where what is hashed ends
    hashed: usize,
}

/// Loads the rows of one event table.
pub struct Loader {
    name: String,
    /// Makes the events.
    pub maker: Maker,
    /// Streams so far.
    pub versions: Versions,
    side: Vec<(usize, Field)>,
    version_column: usize,
    targets: Vec<String>,
    // the table of the legacy columns
    side_table: Option<String>,
    batch_size: usize,
    repair: bool,
    adoption: Adoption,
    batch: Batch,
    metas: Vec<Meta>,
    hashed: Vec<u8>,
    bad: Vec<Reject>,
    value: Vec<u8>,
    /// What the store must hold in the end.
    pub sums: Sums,
    /// Rows of the source so far.
    pub place: u64,
    /// Events stored, with those of earlier runs.
    pub stored: i64,
    /// Rows rejected, with those of earlier runs.
    pub rejected: u64,
    /// Events with another version than in the source.
    pub repaired: u64,
    ask: Option<PgConnection>,
}

impl Loader {
    /// For a table whose positions are reserved.
    pub fn new(
        table: &Table,
        legacy: &Legacy,
        options: &Options,
        maker: Maker,
        versions: Versions,
        adoption: Adoption,
    ) -> Self {
        let mut side_table = None;
        let mut targets = vec![format!("copy {EVENTS} ({}) from stdin", event::COLUMNS)];
        let mut side = vec![];
        if options.view {
            for column in legacy.side_columns() {
                if let Some(i) = table.columns.iter().position(|c| c.name == column.name) {
                    side.push((i, Field::new(&table.columns[i], options.zero_dates)));
                }
            }
            let names: Vec<_> = side.iter().map(|(_, f)| quote_ident(&f.name)).collect();
            side_table = Some(legacy.side_name());
            targets.push(format!("copy {} ({}) from stdin", legacy.side_name(), names.join(", ")));
        }
        let version_column = table.columns.iter().position(|c| c.name == legacy.mapping.aggregate_version).unwrap_or(0);
        Self {
            name: table.name.clone(),
            maker,
            versions,
            side,
            version_column,
            targets,
            side_table,
            batch_size: options.batch_size,
            repair: options.repair_versions,
            adoption,
            batch: Batch::default(),
            metas: vec![],
            hashed: vec![],
            bad: vec![],
            value: vec![],
            sums: Sums::default(),
            place: 0,
            stored: 0,
            rejected: 0,
            repaired: 0,
            ask: None,
        }
    }

    fn position(&self, place: u64) -> i64 {
        self.adoption.first_position + place as i64 - 1
    }

    async fn newest(&mut self, stream: u64, kind: &str, id: &str, place: u64, ctx: &Context) -> Result<i64, Error> {
        if let Some(version) = self.versions.known(stream) {
            return Ok(version);
        }
        if self.ask.is_none() {
            self.ask = Some(connect(ctx).await?);
        }
        let position = self.position(place);
        match &mut self.ask {
            Some(conn) => versions::newest_below(conn, kind, id, position).await,
            None => Ok(0),
        }
    }

    // The version of the event that the maker holds, or why it has none.
    async fn number(&mut self, stream: u64, ctx: &Context) -> Result<Result<i64, String>, Error> {
        let (kind, id) = (self.maker.kind.clone(), self.maker.id.clone());
        let next = self.newest(stream, &kind, &id, self.place, ctx).await? + 1;
        Ok(self.accept(stream, self.place, self.maker.version, next))
    }

    fn accept(&mut self, stream: u64, place: u64, old: i64, next: i64) -> Result<i64, String> {
        if self.repair {
            return Ok(next);
        }
        if self.versions.is_broken(stream, place) {
            return Err("an earlier event of its stream was rejected: its version would leave a gap".into());
        }
        if old != next {
            self.versions.break_stream(stream, place);
            return Err(format!("it has version {old} where {next} is next in its stream"));
        }
        Ok(old)
    }

    // Encodes the row; what is half written is cut off by the caller when it fails.
    fn encode(&mut self, record: &Record, stream: u64, version: i64) -> Result<(), String> {
        self.maker.make(record)?;
        let position = self.position(self.place);
        let mut at = [(0, 0); 2];
        let line = self.batch.text(0);
        line.extend_from_slice(format!("{position}\t").as_bytes());
        at[0].0 = line.len();
        line.extend_from_slice(version.to_string().as_bytes());
        at[0].1 = line.len();
        line.push(b'\t');
        line.extend_from_slice(&self.maker.rest);
        for (i, (column, field)) in self.side.iter().enumerate() {
            let line = self.batch.text(1);
            if i > 0 {
                line.push(b'\t');
            }
            if *column == self.version_column {
                at[1].0 = line.len();
                line.extend_from_slice(version.to_string().as_bytes());
                at[1].1 = line.len();
                continue;
            }
            self.value.clear();
            if field.text(record.value(*column), record.zone(), &mut self.value)? {
                encode::escape(&self.value, line);
            } else {
                line.extend_from_slice(encode::NULL);
            }
        }
        if !self.side.is_empty() {
            self.batch.text(1).push(b'\n');
        }
        self.batch.end_row();
        self.hashed.extend_from_slice(&self.maker.hashed);
        self.metas.push(Meta {
            place: self.place,
            line: record.line,
            stream,
            old: self.maker.version,
            version,
            at,
            hashed: self.hashed.len(),
        });
        Ok(())
    }

    async fn row(&mut self, step: &Step, record: &Record, ctx: &Context) -> Result<(), Error> {
        let mut stream = None;
        let fault = if let Step::Bad(reason) = step {
            Some(reason.clone())
        } else if let Err(reason) = self.maker.stream(record) {
            Some(reason)
        } else {
            let hash = checksum::stream(self.maker.kind.as_bytes(), self.maker.id.as_bytes());
            stream = Some(hash);
            match self.number(hash, ctx).await? {
                Err(reason) => Some(reason),
                Ok(version) => match self.encode(record, hash, version) {
                    Err(reason) => Some(reason),
                    Ok(()) => {
                        self.versions.set(hash, version);
                        None
                    }
                },
            }
        };
        if let Some(reason) = fault {
            let text = shown(self.batch.pending(0));
            self.batch.cut();
            self.bad.push(Reject { place: self.place, line: record.line, reason, text });
            if let Some(stream) = stream.filter(|_| !self.repair) {
                self.versions.break_stream(stream, self.place);
            }
        }
        Ok(())
    }

    // Rows of an earlier run: what is known of their streams is known again, nothing is sent.
    async fn skip(&mut self, rows: &mut Rows<'_>, import: &Import, ctx: &Context) -> Result<(), Error> {
        let rejected: HashSet<i64> = import.rejected.iter().copied().collect();
        while self.place < import.rows_read.unsigned_abs() {
            let step = rows.next().await?;
            if step == Step::End {
                return Err(Error::drift(
                    format!("the source has {} rows, an earlier run has read {}", self.place, import.rows_read),
                    "Import from what it was.",
                ));
            }
            self.place += 1;
            let record = rows.record();
            if rejected.contains(&(self.place as i64)) {
                if !self.repair && step == Step::Row && self.maker.stream(record).is_ok() {
                    let stream = checksum::stream(self.maker.kind.as_bytes(), self.maker.id.as_bytes());
                    self.versions.break_stream(stream, self.place);
                }
                continue;
            }
            self.row(&step, record, ctx).await?;
            if self.batch.is_full(self.batch_size) {
                self.keep();
            }
        }
        if let Some(one) = self.bad.first() {
            return Err(Error::drift(
                format!("row {} was imported by an earlier run, and is rejected now: {}", one.place, one.reason),
                "The source has changed.",
            ));
        }
        self.keep();
        Ok(())
    }

    // The batch is stored.
    fn keep(&mut self) {
        let mut start = 0;
        for meta in &self.metas {
            let hash = checksum::hash(&self.hashed[start..meta.hashed], meta.version.cast_unsigned());
            self.sums.add(meta.stream, hash);
            self.repaired += u64::from(meta.version != meta.old);
            start = meta.hashed;
        }
        self.versions.keep();
        self.clear();
    }

    fn clear(&mut self) {
        self.batch.clear();
        self.metas.clear();
        self.hashed.clear();
        self.bad.clear();
    }

    /// Loads what an earlier run has left.
    pub async fn load(
        &mut self,
        conn: &mut PgConnection,
        mut rows: Rows<'_>,
        import: &Import,
        rejects: &mut Rejects,
        bar: &ProgressBar,
        ctx: &Context,
    ) -> Result<(), Error> {
        self.skip(&mut rows, import, ctx).await?;
        self.stored = import.rows_stored;
        self.rejected = import.rejected.len() as u64;
        let last = (self.adoption.last_position - self.adoption.first_position + 1) as u64;
        let mut ended = false;
        while !ended {
            batch::begin(conn, self.side_table.as_deref()).await?;
            let mut running = Running::begin(conn, &self.targets[0]).await?;
            while !self.batch.is_full(self.batch_size) {
                let step = rows.next().await?;
                // rows that came later have no position: those of a live server's snapshot are the same for both readings
                if step == Step::End || self.place == last {
                    ended = true;
                    break;
                }
                self.place += 1;
                self.row(&step, rows.record(), ctx).await?;
                running.feed(&self.batch).await?;
            }
            let mut sent = running.finish(&self.batch).await;
            if sent.is_ok() && self.targets.len() > 1 {
                sent = batch::copy_into(conn, &self.targets[1], &self.batch, 1, 0..self.batch.len()).await;
            }
            if let Err(error) = sent {
                db::rollback(conn).await?;
                if !batch::is_rows_fault(&error) {
                    return Err(error);
                }
                self.without_refused(conn, ctx).await?;
            }
            self.bad.sort_by_key(|r| r.place);
            for one in &self.bad {
                rejects.add(&self.name, one.place, one.line, &one.reason, &one.text)?;
            }
            let numbers: Vec<i64> = self.bad.iter().map(|r| r.place as i64).collect();
            self.stored += self.metas.len() as i64;
            self.rejected += numbers.len() as u64;
            journal::advance(conn, import, self.place as i64, self.stored, &numbers, rejects.length() as i64).await?;
            sqlx::query("update domain_events.adoptions set moved = $2 where adoption_id = $1")
                .bind(self.adoption.adoption_id)
                .bind(self.stored)
                .execute(&mut *conn)
                .await
                .doing("noting how far the import came")?;
            db::execute(conn, "commit", "committing").await?;
            self.keep();
            bar.set_position(rows.progress());
        }
        Ok(())
    }
}
