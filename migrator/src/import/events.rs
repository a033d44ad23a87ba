//! Events into the store: positions reserved, legacy columns beside them, everything compared in the end.

use std::collections::HashSet;

use sqlx::PgConnection;

use super::batch;
use super::checksum;
use super::event::Maker;
use super::journal::{self, Import};
use super::legacy;
use super::loader::Loader;
use super::rejects::Rejects;
use super::source::{Source, Step};
use super::table::{check_same, expect_free};
use super::versions::Versions;
use super::{Options, Outcome, store};
use crate::adopt::{self, Adoption, Legacy};
use crate::context::Context;
use crate::db;
use crate::engine_sql::EVENTS;
use crate::error::{Doing, Error};
use crate::locks;
use domain_events_mysql::ddl;
use domain_events_mysql::schema::{KeyKind, Table};
use domain_events_sql::quote::{quote_ident, quote_literal};

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
    let mut outcome = Outcome { source: table.name.clone(), target: EVENTS.into(), ..Outcome::default() };
    outcome.notes = notes(table, &legacy, options);
    let how = how(&legacy, options)?;
    let import = match journal::find(conn, &source.name(), &table.name, EVENTS).await? {
        Some(found) if found.state == "finished" && found.fingerprint == source.fingerprint()? => {
            (outcome.already, outcome.verified) = (true, true);
            outcome.rows = found.rows_read.unsigned_abs();
            outcome.stored = found.rows_stored.unsigned_abs();
            outcome.rejected = found.rejected.len() as u64;
            return Ok(outcome);
        }
        Some(found) if found.state != "finished" => {
            check_same(&found, &source.fingerprint()?, &how, EVENTS)?;
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
    locks::with_lock_retry(conn, options.lock_timeout, ctx, async |conn| {
        let side = legacy.side_name();
        if options.view {
            db::execute(conn, &legacy.side_table(), "making the table of the legacy columns").await?;
        }
        let event_table = options.view.then_some(side.as_str());
        let adoption = adopt::reserve(conn, &name, event_table, 1, rows as i64, None, None).await?;
        journal::begin(conn, (&name, &table.name, EVENTS), &fingerprint, Some(adoption.adoption_id), how).await
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
    let done = locks::with_lock_retry(conn, options.lock_timeout, ctx, async |conn| {
        if options.view {
            batch::expect_own(conn, &legacy.side_name()).await?;
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
    db::execute(conn, &format!("analyze {EVENTS}"), "analysing the store").await?;
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
