//! The batch again without the rows that the server refuses, numbered anew.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::{Loader, Meta};
use crate::context::Context;
use crate::db;
use crate::error::Error;
use crate::import::batch::{self, Batch};
use crate::import::checksum::SEPARATOR;
use crate::import::rejects::{Reject, shown};

impl Loader {
    /// Stores it in a transaction that stays open.
    pub(super) async fn without_refused(&mut self, conn: &mut PgConnection, ctx: &Context) -> Result<(), Error> {
        loop {
            let refused = batch::search(conn, self.side_table.as_deref(), &self.targets, &self.batch).await?;
            let mut reasons: HashMap<usize, String> = refused.into_iter().map(|r| (r.row, r.reason)).collect();
            let (old, metas, hashed) =
                (std::mem::take(&mut self.batch), std::mem::take(&mut self.metas), std::mem::take(&mut self.hashed));
            self.versions.undo();
            let mut start = 0;
            for (row, meta) in metas.into_iter().enumerate() {
                let text = &hashed[start..meta.hashed];
                start = meta.hashed;
                let mut fault = reasons.remove(&row);
                let mut version = meta.version;
                if fault.is_some() {
                    if !self.repair {
                        self.versions.break_stream(meta.stream, meta.place);
                    }
                } else {
                    let mut parts = text.split(|b| *b == SEPARATOR).skip(1);
                    let part = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                    let (kind, id) = (part(parts.next()), part(parts.next()));
                    let next = self.newest(meta.stream, &kind, &id, meta.place, ctx).await? + 1;
                    match self.accept(meta.stream, meta.place, meta.old, next) {
                        Ok(accepted) => version = accepted,
                        Err(reason) => fault = Some(reason),
                    }
                }
                if let Some(reason) = fault {
                    let text = shown(old.lines(0, row..row + 1));
                    self.bad.push(Reject { place: meta.place, line: meta.line, reason, text });
                    continue;
                }
                self.versions.set(meta.stream, version);
                self.again(&old, row, meta, version, text);
            }
            batch::begin(conn, self.side_table.as_deref()).await?;
            match batch::copy(conn, &self.targets, &self.batch, 0..self.batch.len()).await {
                Ok(()) => return Ok(()),
                // another row met it with its new version
                Err(error) if batch::is_rows_fault(&error) => db::rollback(conn).await?,
                Err(error) => return Err(error),
            }
        }
    }

    // A row of another batch with a version of its own.
    fn again(&mut self, old: &Batch, row: usize, mut meta: Meta, version: i64, hashed: &[u8]) {
        for target in 0..self.targets.len() {
            let start = if row == 0 { 0 } else { old.end(target, row - 1) };
            let line = old.lines(target, row..row + 1);
            let (from, to) = (meta.at[target].0 - start, meta.at[target].1 - start);
            let text = self.batch.text(target);
            text.extend_from_slice(&line[..from]);
            meta.at[target].0 = text.len();
            text.extend_from_slice(version.to_string().as_bytes());
            meta.at[target].1 = text.len();
            text.extend_from_slice(&line[to..]);
        }
        self.batch.end_row();
        self.hashed.extend_from_slice(hashed);
        meta.version = version;
        meta.hashed = self.hashed.len();
        self.metas.push(meta);
    }
}
