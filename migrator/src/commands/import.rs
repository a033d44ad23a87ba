//! `import`.

use std::path::PathBuf;

use serde_json::json;
use sqlx::PgConnection;

use crate::as_owner;
use crate::cli::ImportArgs;
use crate::connect::connect;
use crate::context::Context;
use crate::db;
use crate::error::{Error, Exit};
use crate::import::rejects::Rejects;
use crate::import::source::Source;
use crate::import::{Options, Outcome, events, table};
use crate::locks;
use crate::store::{self, Found};
use domain_events_mysql::schema::{Schema, Table};

/// Runs the verb.
pub async fn run(args: &ImportArgs, ctx: &Context) -> Result<Exit, Error> {
    let options = options(args)?;
    let mut conn = connect(ctx).await?;
    as_owner::expect_own_store(&mut conn, "import").await?;
    let found = store::inspect(&mut conn).await?;
    found.check_usable()?;
    if let Found::Store { mine: false, owner, .. } = &found {
        return Err(Error::refused(
            "42501",
            format!("the event store belongs to role \"{owner}\", which alone may import"),
            format!("Connect as \"{owner}\" or as a member of that role."),
        ));
    }
    let mut source = Source::open(&args.from, &options.time_zone).await?;
    let mut wanted = options.tables.clone();
    wanted.extend(options.events.clone());
    let schema = source.schema(&wanted).await?;
    let tables: Vec<&Table> = options.tables.iter().map(|name| find(&schema, name)).collect::<Result<_, _>>()?;
    let event_table = options.events.as_deref().map(|name| find(&schema, name)).transpose()?;
    let question = format!("Import {} into the database?", wanted.join(", "));
    if !ctx.out.confirm(&question, args.confirm.yes)? {
        ctx.out.note("nothing was changed");
        return Ok(Exit::Pending);
    }
    wanted.iter().try_for_each(|name| Rejects::check(&rejects_of(&options, name, wanted.len())))?;
    locks::lock_for_session(&mut conn).await?;
    db::pin_session(&mut conn).await?;
    db::execute(&mut conn, "set synchronous_commit = on", "pinning the settings").await?;
    let mut outcomes = vec![];
    for one in &tables {
        let mut rejects = Rejects::open(&rejects_of(&options, &one.name, wanted.len()), 0, 0);
        outcomes.push(table::import(&mut conn, &mut source, one, &options, &mut rejects, ctx).await?);
        told(&rejects, ctx);
    }
    link(&mut conn, &tables, &options, &mut outcomes).await?;
    if let Some(one) = event_table {
        let mut rejects = Rejects::open(&rejects_of(&options, &one.name, wanted.len()), 0, 0);
        outcomes.push(events::import(&mut conn, &mut source, one, &options, &mut rejects, ctx).await?);
        told(&rejects, ctx);
    }
    report(&outcomes, &options, ctx)
}

fn options(args: &ImportArgs) -> Result<Options, Error> {
    if args.tables.is_empty() && args.events.is_none() {
        return Err(Error::usage("nothing to import", "Name tables with --tables, or the event table with --events."));
    }
    if let Some(events) = &args.events
        && args.tables.contains(events)
    {
        return Err(Error::usage(
            format!("{events} is named twice"),
            "With --events its rows go to the store; with --tables they are copied as they are.",
        ));
    }
    Ok(Options {
        tables: args.tables.clone(),
        no_rows: args.no_rows,
        keys_first: args.keys_first,
        events: args.events.clone(),
        map: args.map.clone(),
        constant_type: args.aggregate_type.clone(),
        repair_versions: args.repair_versions,
        view: !args.no_view,
        schema: args.schema.clone(),
        batch_size: args.batch_size as usize,
        rejects: args.rejects.clone(),
        zero_dates: args.zero_dates,
        time_zone: args.time_zone.clone(),
        lock_timeout: args.lock.lock_timeout,
    })
}

// One reject file per table when there are several.
fn rejects_of(options: &Options, table: &str, tables: usize) -> PathBuf {
    if tables == 1 {
        return options.rejects.clone();
    }
    let name = options.rejects.file_stem().unwrap_or_default().to_string_lossy();
    let extension = options.rejects.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    let safe: String = table.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '-' }).collect();
    options.rejects.with_file_name(format!("{name}.{safe}{extension}"))
}

fn find<'a>(schema: &'a Schema, name: &str) -> Result<&'a Table, Error> {
    if let Some(table) = schema.table(name) {
        return Ok(table);
    }
    if let Some(unread) = schema.unread.iter().find(|u| u.table.as_deref() == Some(name)) {
        return Err(Error::refused(
            "42601",
            format!("the definition of {name} is not understood, line {}: {}", unread.line, unread.reason),
            "Correct or simplify it, or make the table by hand.",
        ));
    }
    let known: Vec<_> = schema.tables.iter().map(|t| t.name.as_str()).collect();
    let hint = match (known.is_empty(), schema.unread.first()) {
        (false, _) => format!("It has the tables {}.", known.join(", ")),
        (true, Some(unread)) => format!("Line {}: {}", unread.line, unread.reason),
        (true, None) => "It has no CREATE TABLE: dump the tables with their definitions.".into(),
    };
    Err(Error::refused("42P01", format!("the source has no table {name}"), hint))
}

async fn link(
    conn: &mut PgConnection,
    tables: &[&Table],
    options: &Options,
    outcomes: &mut [Outcome],
) -> Result<(), Error> {
    for (table, outcome) in tables.iter().zip(outcomes) {
        let notes = table::link(conn, table, &options.schema).await?;
        outcome.notes.extend(notes);
    }
    Ok(())
}

fn told(rejects: &Rejects, ctx: &Context) {
    if rejects.rows > 0 {
        ctx.out.warn(format!("{} rows were rejected: see {}", rejects.rows, rejects.path().display()));
    }
}

fn report(outcomes: &[Outcome], options: &Options, ctx: &Context) -> Result<Exit, Error> {
    let unverified: Vec<_> = outcomes.iter().filter(|o| !o.verified).collect();
    if ctx.out.is_json() {
        ctx.out.json(&json!({"tables": outcomes}))?;
    } else {
        let rows = outcomes.iter().map(|o| {
            let verified = match (o.verified, o.already) {
                (_, true) => "imported already",
                (true, _) if o.streams.is_some() => "counts and checksums agree",
                (true, _) => "counts agree",
                (false, _) => "DIFFERENT",
            };
            let count = |n: Option<u64>| n.map_or_else(|| "-".into(), |n| n.to_string());
            vec![
                o.source.clone(),
                o.target.replace('"', ""),
                o.rows.to_string(),
                o.stored.to_string(),
                o.rejected.to_string(),
                count(o.streams),
                count(o.repaired),
                verified.into(),
            ]
        });
        ctx.out.table(&["SOURCE", "TARGET", "ROWS", "STORED", "REJECTED", "STREAMS", "REPAIRED", "RESULT"], rows)?;
        for outcome in outcomes.iter().filter(|o| !o.already) {
            outcome.notes.iter().try_for_each(|note| ctx.out.line(format!("  declared: {note}")))?;
        }
    }
    if let Some(outcome) = unverified.first() {
        return Err(Error::refused(
            "XX001",
            format!(
                "{}: {} rows read, {} stored and {} rejected",
                outcome.source, outcome.rows, outcome.stored, outcome.rejected
            ),
            "Somebody else wrote to the table meanwhile, or the source has changed.",
        ));
    }
    if options.events.is_some() {
        ctx.out.hint("Check the store: domain-events monitor");
    }
    Ok(if outcomes.iter().any(|o| o.rejected > 0) { Exit::Pending } else { Exit::Clean })
}
