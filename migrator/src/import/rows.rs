//! The rows of a table, on their way into it.

use std::collections::HashSet;

use indicatif::ProgressBar;
use sqlx::PgConnection;

use super::Options;
use super::batch::{self, Batch, Running};
use super::encode::{self, Field};
use super::journal::{self, Import};
use super::record::Record;
use super::rejects::{Reject, Rejects, shown};
use super::source::{Rows, Step};
use crate::db;
use crate::error::Error;
use domain_events_mysql::schema::Table;
use domain_events_sql::quote::quote_ident;

/// A row above this size is not copied in memory if that can be.
const LARGE: usize = 16 * 1024 * 1024;

/// Encodes them, copies them batch by batch, and tells of each batch in the journal.
pub struct Loader {
    name: String,
    fields: Vec<(usize, Field)>,
    target: String,
    targets: Vec<String>,
    batch_size: usize,
    batch: Batch,
    value: Vec<u8>,
}

impl Loader {
    /// For the columns that are not generated.
    pub fn new(table: &Table, target: &str, options: &Options) -> Self {
        let fields: Vec<_> = table
            .columns
            .iter()
            .enumerate()
            .filter(|(_, c)| c.generated.is_none())
            .map(|(i, c)| (i, Field::new(c, options.zero_dates)))
            .collect();
        let names: Vec<_> = fields.iter().map(|(_, f)| quote_ident(&f.name)).collect();
        let copy = format!("copy {target} ({}) from stdin", names.join(", "));
        Self {
            name: table.name.clone(),
            fields,
            target: target.to_owned(),
            targets: vec![copy],
            batch_size: options.batch_size,
            batch: Batch::default(),
            value: vec![],
        }
    }

    fn encode(&mut self, record: &Record) -> Result<(), String> {
        for (i, (column, field)) in self.fields.iter().enumerate() {
            self.value.clear();
            let known = field.text(record.value(*column), record.zone(), &mut self.value)?;
            let line = self.batch.text(0);
            if i > 0 {
                line.push(b'\t');
            }
            if known {
                encode::escape(&self.value, line);
            } else {
                line.extend_from_slice(encode::NULL);
            }
        }
        self.batch.text(0).push(b'\n');
        self.batch.end_row();
        Ok(())
    }

    /// A row whose one large value is text: the memory that holds it becomes the batch's, for it may be as large as all that
    // there is. False if it is no such row.
    fn encode_large(&mut self, record: &mut Record) -> Result<bool, String> {
        let large = |(column, field): &(usize, Field)| {
            field.verbatim(record.value(*column)).is_some_and(|bytes| bytes.len() > record.size() / 2)
        };
        let Some(at) = self.fields.iter().position(large) else { return Ok(false) };
        let mut sides = [vec![], vec![]];
        for (i, (column, field)) in self.fields.iter().enumerate().filter(|(i, _)| *i != at) {
            let side = &mut sides[usize::from(i > at)];
            if i > at {
                side.push(b'\t');
            }
            self.value.clear();
            if field.text(record.value(*column), record.zone(), &mut self.value)? {
                encode::escape(&self.value, side);
            } else {
                side.extend_from_slice(encode::NULL);
            }
            if i < at {
                side.push(b'\t');
            }
        }
        let [before, mut after] = sides;
        after.push(b'\n');
        let Some((mut data, place)) = record.take(self.fields[at].0) else { return Ok(false) };
        encode::escape_in_place(&mut data, place.clone());
        data.reserve_exact(after.len());
        data.extend_from_slice(&after);
        self.batch.text(0).extend_from_slice(&before);
        self.batch.continue_in(0, data, place.start);
        self.batch.end_row();
        Ok(true)
    }

    /// Rows read, stored and rejected, with those of earlier runs.
    pub async fn load(
        mut self,
        conn: &mut PgConnection,
        mut rows: Rows<'_>,
        import: &Import,
        rejects: &mut Rejects,
        bar: &ProgressBar,
    ) -> Result<(u64, u64, u64), Error> {
        let done = import.rows_read.unsigned_abs();
        let (mut place, mut stored, mut rejected) = (0, import.rows_stored, import.rejected.len() as u64);
        while place < done && rows.next().await? != Step::End {
            place += 1;
        }
        let mut ended = false;
        while !ended {
            self.batch.clear();
            let mut places: Vec<(u64, u64)> = vec![];
            let mut bad: Vec<Reject> = vec![];
            batch::begin(conn, Some(&self.target)).await?;
            let mut running = Running::begin(conn, &self.targets[0]).await?;
            while !self.batch.is_full(self.batch_size) {
                let step = rows.next().await?;
                let (line, size) = (rows.record().line, rows.record().size());
                let reason = match step {
                    Step::End => {
                        ended = true;
                        break;
                    }
                    Step::Bad(reason) => Some(reason),
                    Step::Row if size > LARGE => match self.encode_large(rows.record_mut()) {
                        Ok(true) => None,
                        Ok(false) => self.encode(rows.record()).err(),
                        Err(reason) => Some(reason),
                    },
                    Step::Row => self.encode(rows.record()).err(),
                };
                place += 1;
                match reason {
                    None => places.push((place, line)),
                    Some(reason) => {
                        let text = shown(self.batch.pending(0));
                        self.batch.cut();
                        bad.push(Reject { place, line, reason, text });
                    }
                }
                running.feed(&self.batch).await?;
            }
            if let Err(error) = running.finish(&self.batch).await {
                db::rollback(conn).await?;
                if !batch::is_rows_fault(&error) {
                    return Err(error);
                }
                let refused = batch::search(conn, Some(&self.target), &self.targets, &self.batch).await?;
                batch::begin(conn, Some(&self.target)).await?;
                let mut from = 0;
                for one in &refused {
                    batch::copy(conn, &self.targets, &self.batch, from..one.row).await?;
                    from = one.row + 1;
                    let (place, line) = places[one.row];
                    let text = shown(self.batch.lines(0, one.row..one.row + 1));
                    bad.push(Reject { place, line, reason: one.reason.clone(), text });
                }
                batch::copy(conn, &self.targets, &self.batch, from..self.batch.len()).await?;
                stored -= refused.len() as i64;
            }
            stored += self.batch.len() as i64;
            bad.sort_by_key(|r| r.place);
            let before = HashSet::<i64>::from_iter(import.rejected.iter().copied());
            for one in &bad {
                rejects.add(&self.name, one.place, one.line, &one.reason, &one.text)?;
            }
            let numbers: Vec<i64> = bad.iter().map(|r| r.place as i64).filter(|p| !before.contains(p)).collect();
            rejected += numbers.len() as u64;
            journal::advance(conn, import, place as i64, stored, &numbers, rejects.length() as i64).await?;
            db::execute(conn, "commit", "committing").await?;
            bar.set_position(rows.progress());
        }
        Ok((place, stored.unsigned_abs(), rejected))
    }
}
