//! Events into the store: positions reserved, legacy columns beside them, everything compared in the end.

use std::collections::HashSet;

use indicatif::ProgressBar;
use sqlx::PgConnection;

use super::batch::{self, Batch, Running};
use super::checksum::{self, SEPARATOR, Sums};
use super::encode::{self, Field};
use super::event::{self, Maker};
use super::journal::{self, Import};
use super::legacy;
use super::rejects::Rejects;
use super::source::{Record, Rows, Source, Step};
use super::table::{Reject, check_same, expect_free, shown};
use super::versions::{self, Versions};
use super::{Options, Outcome, store};
use crate::Context;
use crate::adopt::{self, Adoption, Legacy};
use crate::db::{self, quote_ident, quote_literal};
use crate::error::{Doing, Error};
use crate::mysql::ddl;
use crate::mysql::schema::{KeyKind, Table};

/// The name of the store's table in the journal.
const STORE: &str = "domain_events.events";
/// Streams named in a message.
const EXAMPLES: usize = 10;

/// Imports the events of one table.
pub async fn import(
    conn: &mut PgConnection,
    source: &mut Source,
    table: &Table,
    options: &Options,
    rejects: &mut Rejects,
    ctx: &Context,
) -> Result<Outcome, Error> {
    let owner: String =
        sqlx::query_scalar("select current_user::text").fetch_one(&mut *conn).await.doing("reading the role")?;
    let legacy = legacy::legacy(table, options, &owner)?;
    let mut outcome = Outcome { source: table.name.clone(), target: STORE.into(), ..Outcome::default() };
    outcome.notes = notes(table, &legacy, options);
    let how = how(&legacy, options)?;
    let import = match journal::find(conn, &source.name(), &table.name, STORE).await? {
        Some(found) if found.state == "finished" && found.fingerprint == source.fingerprint()? => {
            (outcome.already, outcome.verified) = (true, true);
            outcome.rows = found.rows_read.unsigned_abs();
            outcome.stored = found.rows_stored.unsigned_abs();
            outcome.rejected = found.rejected.len() as u64;
            return Ok(outcome);
        }
        Some(found) if found.state != "finished" => {
            check_same(&found, &source.fingerprint()?, &how, STORE)?;
            ctx.out.note(format!("import of the events of {} goes on after row {}", table.name, found.rows_read));
            *rejects = Rejects::open(rejects.path(), found.rejects_bytes.unsigned_abs(), found.rejected.len() as u64);
            found
        }
        _ => {
            let rows = examine(source, table, &legacy, options, ctx).await?;
            if options.view {
                expect_free(conn, &legacy.view_name()).await?;
                expect_free(conn, &legacy.side_name()).await?;
            }
            begin(conn, source, table, &legacy, options, (rows, &how), ctx).await?
        }
    };
    let adoption_id = import.adoption_id.unwrap_or_default();
    let adoption = adopt::read(conn, adoption_id).await?;
    let now: String = sqlx::query_scalar(
        "select pg_catalog.to_char(began_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00:00' \
         from domain_events.imports where import_id = $1",
    )
    .bind(import.import_id)
    .fetch_one(&mut *conn)
    .await
    .doing("reading when the import began")?;
    let asks = store::holds_others(conn, adoption.first_position, adoption.last_position).await?;
    let bar = ctx.out.progress(source.length(table).await?, format!("importing events of {}", table.name));
    let rows = source.rows(table).await?;
    let maker = Maker::new(table, &legacy, options.zero_dates, now);
    let mut loader = Loader::new(table, &legacy, options, maker, Versions::new(asks), adoption.clone());
    let loaded = loader.load(conn, rows, &import, rejects, &bar, ctx).await;
    bar.finish_and_clear();
    loaded?;
    outcome.rows = loader.place;
    outcome.stored = loader.stored.unsigned_abs();
    outcome.rejected = loader.rejected;
    outcome.streams = Some(loader.versions.streams);
    outcome.repaired = options.repair_versions.then_some(loader.repaired);
    if loader.maker.untold {
        outcome
            .notes
            .push("times are in a named zone, which only the server knows: counts are compared, sums are not".into());
    }
    verify(conn, &adoption, &loader, ctx).await?;
    outcome.verified = true;
    complete(conn, &legacy, table, options, &adoption, &import, ctx).await?;
    Ok(outcome)
}

// What an import must go on with.
fn how(legacy: &Legacy, options: &Options) -> Result<String, Error> {
    let mapping = serde_json::to_string(&legacy.mapping).map_err(|e| Error::json("the mapping", e))?;
    Ok(format!(
        "repair versions {}, view {}, zero dates {:?}, zone {}, mapping {mapping}",
        options.repair_versions, options.view, options.zero_dates, options.time_zone
    ))
}

fn notes(table: &Table, legacy: &Legacy, options: &Options) -> Vec<String> {
    let mut notes = vec![];
    let held = legacy.mapping.held();
    let left: Vec<_> = table.columns.iter().map(|c| c.name.as_str()).filter(|c| !held.contains(c)).collect();
    if !left.is_empty() {
        let left = left.join(", ");
        notes.push(if options.view {
            format!(
                "the store has no {left}: they live in {}, and view {} joins them",
                legacy.side_name(),
                legacy.view_name()
            )
        } else {
            format!("the store has no {left}: they are left behind (--no-view)")
        });
    }
    if options.view && !table.foreign_keys.is_empty() {
        notes.push("the foreign keys of the event table are left out: an event keeps what it says when the row it names is gone".into());
    }
    if legacy.mapping.caused_by.is_none() {
        notes.push("no column says who caused the events: caused_by is null (--map COLUMN=caused_by)".into());
    }
    notes
}

// Counts the rows, and refuses wrong versions before anything is written.
async fn examine(
    source: &mut Source,
    table: &Table,
    legacy: &Legacy,
    options: &Options,
    ctx: &Context,
) -> Result<u64, Error> {
    let bar = ctx.out.progress(source.length(table).await?, format!("examining events of {}", table.name));
    let mut rows = source.rows(table).await?;
    let mut maker = Maker::new(table, legacy, options.zero_dates, String::new());
    let mut versions = Versions::new(false);
    let (mut place, mut wrong, mut streams, mut examples) = (0, 0u64, HashSet::new(), vec![]);
    loop {
        let step = rows.next().await?;
        if step == Step::End {
            break;
        }
        place += 1;
        if place % 10_000 == 0 {
            bar.set_position(rows.progress());
            versions.keep();
        }
        let record = rows.record();
        if options.repair_versions || step != Step::Row || maker.stream(record).is_err() {
            continue;
        }
        let stream = checksum::stream(maker.kind.as_bytes(), maker.id.as_bytes());
        let newest = versions.known(stream);
        if newest.is_some_and(|n| n + 1 != maker.version) {
            wrong += 1;
            if streams.insert(stream) && examples.len() < EXAMPLES {
                let next = newest.unwrap_or_default() + 1;
                examples.push(format!(
                    "line {}: {} {} has version {} where {next} is next",
                    record.line, maker.kind, maker.id, maker.version
                ));
            }
        }
        versions.set(stream, maker.version.clamp(0, i64::from(u32::MAX)));
    }
    bar.finish_and_clear();
    if wrong == 0 {
        return Ok(place);
    }
    Err(Error::refused(
        "23000",
        format!(
            "{wrong} events of {} streams in {} have wrong versions; nothing was imported\n  {}",
            streams.len(),
            table.name,
            examples.join("\n  ")
        ),
        "Number them 1, 2, 3 .. in the order of the rows with --repair-versions, or repair the source first.",
    ))
}

async fn begin(
    conn: &mut PgConnection,
    source: &Source,
    table: &Table,
    legacy: &Legacy,
    options: &Options,
    (rows, how): (u64, &str),
    ctx: &Context,
) -> Result<Import, Error> {
    let (name, fingerprint) = (source.name(), source.fingerprint()?);
    db::with_lock_retry(conn, options.lock_timeout, ctx, async |conn| {
        let side = legacy.side_name();
        if options.view {
            db::execute(conn, &legacy.side_table(), "making the table of the legacy columns").await?;
        }
        let event_table = options.view.then_some(side.as_str());
        let adoption = adopt::reserve(conn, &name, event_table, 1, rows as i64, None, None).await?;
        journal::begin(conn, (&name, &table.name, STORE), &fingerprint, Some(adoption.adoption_id), how).await
    })
    .await
}

// Counts and checksums of source and store, and versions without gaps.
async fn verify(conn: &mut PgConnection, adoption: &Adoption, loader: &Loader, ctx: &Context) -> Result<(), Error> {
    let bar = ctx.out.progress(0, "comparing source and store");
    let different = store::compare(conn, adoption, &loader.sums, !loader.maker.untold).await;
    let wrong = store::wrong_streams(conn, adoption).await;
    bar.finish_and_clear();
    let (different, wrong) = (different?, wrong?);
    if !different.is_empty() {
        let streams = store::streams_in(conn, adoption, &different).await?;
        return Err(Error::refused(
            "XX001",
            format!(
                "source and store differ in {} groups of streams, among them: {}",
                different.len(),
                streams.join(", ")
            ),
            "The source has changed while it was read, or somebody wrote to these positions. Compare these streams.",
        ));
    }
    if !wrong.is_empty() {
        return Err(Error::refused(
            "23000",
            format!("versions are not 1, 2, 3 .. in the streams {}", wrong.join(", ")),
            "See the reject file for what was left out of them.",
        ));
    }
    Ok(())
}

// The legacy columns get their keys, the old name its view, the journal its end.
async fn complete(
    conn: &mut PgConnection,
    legacy: &Legacy,
    table: &Table,
    options: &Options,
    adoption: &Adoption,
    import: &Import,
    ctx: &Context,
) -> Result<(), Error> {
    let bar = ctx.out.progress(0, "building keys");
    let events = adopt::count(conn, adoption).await?;
    let done = db::with_lock_retry(conn, options.lock_timeout, ctx, async |conn| {
        if options.view {
            for sql in side_keys(table, legacy) {
                db::execute(conn, &sql, "building the keys of the legacy columns").await?;
            }
            for column in table.columns.iter().filter(|c| c.auto_increment) {
                let sql = format!(
                    "select pg_catalog.setval(pg_catalog.pg_get_serial_sequence({0}, {1}), \
                     greatest({2}, coalesce((select max({3}) from {4}), 0) + 1), false)",
                    quote_literal(&legacy.side_name()),
                    quote_literal(&column.name),
                    table.auto_increment.unwrap_or(1),
                    quote_ident(&column.name),
                    legacy.side_name()
                );
                db::execute(conn, &sql, "setting the sequence").await?;
            }
            for sql in [legacy.insert_function(), legacy.view(), legacy.guards()] {
                db::execute(conn, &sql, "making the view of the old name").await?;
            }
        }
        adopt::end(conn, adoption, "moved", events).await?;
        journal::finish(conn, import).await
    })
    .await;
    bar.finish_and_clear();
    done?;
    db::execute(conn, &format!("analyze {STORE}"), "analysing the store").await?;
    if options.view {
        db::execute(conn, &format!("analyze {}", legacy.side_name()), "analysing the legacy columns").await?;
    }
    Ok(())
}

// The keys of the table, on the side table; that of stream and version is there.
fn side_keys(table: &Table, legacy: &Legacy) -> Vec<String> {
    let mut side = table.clone();
    side.name.clone_from(&legacy.side);
    side.columns.retain(|c| !legacy.only_in_store.contains(&c.name));
    let stream = legacy.mapping.stream();
    side.keys.retain(|k| {
        let columns: Vec<_> = k.parts.iter().map(|p| p.column.as_str()).collect();
        columns != stream
            && columns.iter().all(|c| side.columns.iter().any(|s| s.name.eq_ignore_ascii_case(c)))
            && (k.kind != KeyKind::Unique || !columns.contains(&legacy.mapping.aggregate_version.as_str()))
    });
    let made = ddl::ddl(&side, &legacy.schema);
    [made.unique_keys, made.keys].concat()
}

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

struct Loader {
    name: String,
    maker: Maker,
    versions: Versions,
    side: Vec<(usize, Field)>,
    version_column: usize,
    targets: Vec<String>,
    batch_size: usize,
    repair: bool,
    adoption: Adoption,
    batch: Batch,
    metas: Vec<Meta>,
    hashed: Vec<u8>,
    bad: Vec<Reject>,
    value: Vec<u8>,
    sums: Sums,
    place: u64,
    stored: i64,
    rejected: u64,
    repaired: u64,
    ask: Option<PgConnection>,
}

impl Loader {
    fn new(
        table: &Table,
        legacy: &Legacy,
        options: &Options,
        maker: Maker,
        versions: Versions,
        adoption: Adoption,
    ) -> Self {
        let mut targets = vec![format!("copy {STORE} ({}) from stdin", event::COLUMNS)];
        let mut side = vec![];
        if options.view {
            for column in legacy.side_columns() {
                if let Some(i) = table.columns.iter().position(|c| c.name == column.name) {
                    side.push((i, Field::new(&table.columns[i], options.zero_dates)));
                }
            }
            let names: Vec<_> = side.iter().map(|(_, f)| quote_ident(&f.name)).collect();
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
            self.ask = Some(db::connect(ctx).await?);
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
        Ok(self.accept(stream, self.maker.version, next))
    }

    fn accept(&mut self, stream: u64, old: i64, next: i64) -> Result<i64, String> {
        if self.repair {
            return Ok(next);
        }
        if self.versions.is_broken(stream) {
            return Err("an earlier event of its stream was rejected: its version would leave a gap".into());
        }
        if old != next {
            self.versions.break_stream(stream);
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
                self.versions.break_stream(stream);
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
                    self.versions.break_stream(stream);
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

    async fn load(
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
            db::execute(conn, "begin", "beginning a transaction").await?;
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
            sqlx::query("update domain_events.adoptions set moved = $2, moved_up_to = $3 where adoption_id = $1")
                .bind(self.adoption.adoption_id)
                .bind(self.stored)
                .bind(self.place as i64)
                .execute(&mut *conn)
                .await
                .doing("noting how far the import came")?;
            db::execute(conn, "commit", "committing").await?;
            self.keep();
            bar.set_position(rows.progress());
        }
        Ok(())
    }

    // The batch again without the rows that the server refuses, numbered anew; it is stored in an open transaction.
    async fn without_refused(&mut self, conn: &mut PgConnection, ctx: &Context) -> Result<(), Error> {
        loop {
            let refused = batch::search(conn, &self.targets, &self.batch).await?;
            let mut reasons: std::collections::HashMap<usize, String> =
                refused.into_iter().map(|r| (r.row, r.reason)).collect();
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
                        self.versions.break_stream(meta.stream);
                    }
                } else {
                    let mut parts = text.split(|b| *b == SEPARATOR).skip(1);
                    let part = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                    let (kind, id) = (part(parts.next()), part(parts.next()));
                    let next = self.newest(meta.stream, &kind, &id, meta.place, ctx).await? + 1;
                    match self.accept(meta.stream, meta.old, next) {
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
            db::execute(conn, "begin", "beginning a transaction").await?;
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
