//! `repair`.

use std::path::Path;

use rand::RngExt;
use serde_json::json;
use sqlx::PgConnection;

use super::sequence::{self, tell_sequences};
use crate::apply::journal;
use crate::as_owner;
use crate::cli::RepairArgs;
use crate::connect::connect;
use crate::context::Context;
use crate::db;
use crate::error::{Doing, Error, Exit};
use crate::judge::{self, Severity};
use crate::plan;
use crate::repair::{self, Examined, Header, PREFIX, Repair, Subject, Table, Wanted};
use crate::source::{self, Catalogue};
use crate::store;
use crate::text::in_line;
use domain_events_sql::quote::quote_ident;

/// From so many events on, a batch that reads the whole table keeps writers waiting noticeably.
const MANY: i64 = 100_000;

/// Runs the verb.
pub async fn run(args: &RepairArgs, ctx: &Context) -> Result<Exit, Error> {
    match &args.file {
        Some(file) => carry_out(file, args, ctx).await,
        None if args.sequence => sequence::run(args, ctx).await,
        None => look(args, ctx).await,
    }
}

async fn look(args: &RepairArgs, ctx: &Context) -> Result<Exit, Error> {
    args.out.as_deref().map(repair::check_out).transpose()?;
    let mut conn = connect(ctx).await?;
    as_owner::expect_own_store(&mut conn, "repair anything").await?;
    db::begin_read_only(&mut conn).await?;
    let (behind, counters) = match store::inspect(&mut conn).await?.check_usable() {
        Ok(()) => (repair::behind(&mut conn).await?, repair::counters_behind(&mut conn).await?),
        Err(_) => (None, vec![]),
    };
    let looked = looked(&mut conn, args, ctx).await;
    db::rollback(&mut conn).await?;
    let (examined, written) = looked?;
    if args.add_key {
        return add_keys(&mut conn, &examined, args, ctx).await;
    }
    if ctx.out.is_json() {
        let file = args.out.as_ref().map(|f| f.display().to_string());
        ctx.out.json(&json!({"tables": examined, "sequence": behind, "counters": counters, "plan_id": written.as_ref().map(|w| &w.plan_id), "file": file,
            "proposal": written.as_ref().map(|w| w.tables.iter().map(summary).collect::<Vec<_>>())}))?;
    } else {
        print(&examined, ctx)?;
        tell_sequences(behind.as_ref(), &counters, ctx)?;
    }
    let is_behind = behind.is_some() || !counters.is_empty();
    if is_behind {
        ctx.out.hint("Set it forward: domain-events repair --sequence");
    }
    if let (Some(header), Some(out)) = (&written, &args.out) {
        tell(header, out, ctx)?;
    }
    let wrong = examined.iter().any(|e| e.findings.iter().any(|f| f.severity > Severity::Info));
    if wrong && args.out.is_none() && examined.iter().any(|e| e.repairable_streams > 0 && e.obstacles.is_empty()) {
        ctx.out.hint("Propose new versions: domain-events repair --out repair.toml");
    }
    let pending = written.is_some_and(|w| w.tables.iter().any(|t| t.renumbered_events > 0));
    Ok(if wrong || pending || is_behind { Exit::Pending } else { Exit::Clean })
}

async fn looked(
    conn: &mut PgConnection,
    args: &RepairArgs,
    ctx: &Context,
) -> Result<(Vec<Examined>, Option<Header>), Error> {
    let catalogue = source::read_in_transaction(conn).await?;
    let report = judge::judge(&catalogue);
    let wanted = Wanted {
        tables: args.tables.clone(),
        type_column: args.type_column.clone(),
        id_columns: args.id_column.iter().cloned().collect(),
        version_column: args.version_column.clone(),
        order_by: args.order_by.clone(),
    };
    if args.tables.len() != 1
        && (!wanted.id_columns.is_empty()
            || wanted.version_column.is_some()
            || wanted.type_column.is_some()
            || !wanted.order_by.is_empty())
    {
        return Err(Error::usage("columns are named for one table", "Name it: --table TABLE"));
    }
    let subjects = repair::choose(&wanted, &catalogue, &report)?;
    // whatever is another role's is read in a transaction that is prepared for it
    db::rollback(conn).await?;
    let tables: Vec<&str> = subjects.iter().map(|s| s.table.as_str()).collect();
    as_owner::begin_read_only(conn, &tables).await?;
    db::pin_settings(conn).await?;
    db::pin_rendering(conn).await?;
    let mut examined = vec![];
    let bar = ctx.out.progress(subjects.len() as u64, "examining");
    for subject in &subjects {
        bar.set_message(in_line(&format!("examining {}", subject.table)).into_owned());
        examined.push(repair::examine(conn, subject, &args.allow, args.reorder).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let header = match &args.out {
        None => None,
        Some(out) => Some(propose(conn, &catalogue, &examined, args, out, ctx).await?),
    };
    Ok((examined, header))
}

/// Writes the file for every table that can be renumbered; a table that cannot, and was named, is an error.
async fn propose(
    conn: &mut PgConnection,
    catalogue: &Catalogue,
    examined: &[Examined],
    args: &RepairArgs,
    out: &Path,
    ctx: &Context,
) -> Result<Header, Error> {
    let mut tables = vec![];
    for one in examined.iter().filter(|e| e.repairable_streams > 0) {
        match one.obstacles.first() {
            None => {
                if one.events > MANY && !repair::has_stream_index(conn, &one.subject).await? {
                    ctx.out.warn(format!("no index finds the events of a stream in {}: every batch reads the whole table while writers wait", one.subject.table));
                    ctx.out.hint(format!(
                        "Build one first: create index concurrently on {} ({});",
                        one.subject.table,
                        one.subject.id_columns.iter().map(|(c, _)| quote_ident(c)).collect::<Vec<_>>().join(", ")
                    ));
                }
                tables.push(table(catalogue, &one.subject, &args.allow)?);
            }
            Some(obstacle) if !args.tables.is_empty() => return Err(repair::refusal(&one.subject, obstacle)),
            Some(obstacle) => {
                ctx.out.warn(format!("{} is left out: {} {}", one.subject.table, obstacle.object, obstacle.reason));
            }
        }
    }
    let now: String =
        sqlx::query_scalar("select pg_catalog.to_char(pg_catalog.now() at time zone 'UTC', 'YYYYMMDD-HH24MISS')")
            .fetch_one(&mut *conn)
            .await
            .doing("asking for the time")?;
    let header = Header {
        format: 1,
        kind: "repair".into(),
        plan_id: format!("{PREFIX}{now}-{:04x}", rand::rng().random::<u16>()),
        tool: env!("CARGO_PKG_VERSION").into(),
        database: catalogue.database.clone(),
        content: String::new(),
        tables,
    };
    let bar = ctx.out.progress(0, format!("writing {}", out.display()));
    let written = repair::write(conn, header, args.reorder, args.batch_size, out, &bar).await;
    bar.finish_and_clear();
    written
}

fn table(catalogue: &Catalogue, subject: &Subject, allow: &[String]) -> Result<Table, Error> {
    let relation = catalogue
        .relations
        .iter()
        .find(|r| r.quoted == subject.table)
        .ok_or_else(|| Error::drift(format!("{} is gone", subject.table), "Run the command again."))?;
    Ok(Table {
        subject: subject.clone(),
        allow: allow.to_vec(),
        fingerprint: relation.fingerprint.clone(),
        owner: relation.owner.clone(),
        renumbered_streams: 0,
        events: 0,
        renumbered_events: 0,
        batches: 0,
        streams: vec![],
    })
}

fn print(examined: &[Examined], ctx: &Context) -> Result<(), Error> {
    if examined.is_empty() {
        return ctx.out.line("No event table is known here; name one: --table TABLE");
    }
    let header = ["CODE", "SEVERITY", "TABLE", "STREAMS", "EVENTS", "FINDING"];
    let rows = examined.iter().flat_map(|e| e.findings.iter().map(move |f| (e, f))).map(|(e, f)| {
        let streams = if f.streams == 0 { "-".into() } else { f.streams.to_string() };
        vec![
            f.code.into(),
            f.severity.name().into(),
            e.subject.table.clone(),
            streams,
            f.events.to_string(),
            f.message.clone(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        ctx.out.line("Every stream counts 1, 2, 3 .. without a gap.")?;
    } else {
        ctx.out.table(&header, rows)?;
    }
    for one in examined {
        for finding in one.findings.iter().filter(|f| !f.examples.is_empty()) {
            ctx.out.line(format!("\n{} {}", finding.code, one.subject.table))?;
            finding.examples.iter().try_for_each(|e| ctx.out.line(format!("  {e}")))?;
        }
        if one.repairable_streams > 0 {
            for obstacle in &one.obstacles {
                ctx.out.line(format!(
                    "\n{} {}: {}: {}",
                    obstacle.code, one.subject.table, obstacle.object, obstacle.reason
                ))?;
            }
        }
        ctx.out.note(format!("{}: {} events in {} streams", one.subject.table, one.events, one.streams));
    }
    Ok(())
}

fn summary(table: &Table) -> serde_json::Value {
    json!({"table": table.subject.table, "streams": table.renumbered_streams, "events": table.events,
        "renumbered_events": table.renumbered_events, "batches": table.batches, "before_after": table.streams})
}

fn tell(header: &Header, out: &Path, ctx: &Context) -> Result<(), Error> {
    for table in &header.tables {
        if !ctx.out.is_json() {
            ctx.out.line(format!(
                "\n{}: {} streams are renumbered; {} of their {} events get another version, in {} batches",
                table.subject.table, table.renumbered_streams, table.renumbered_events, table.events, table.batches
            ))?;
            let rows = table.streams.iter().take(10).map(|s| vec![s.stream.clone(), s.before.clone(), s.after.clone()]);
            ctx.out.table(&["STREAM", "BEFORE", "AFTER"], rows)?;
        }
    }
    let events: u64 = header.tables.iter().map(|t| t.renumbered_events).sum();
    ctx.out.note(format!("repair {} of {events} events written to {}", header.plan_id, out.display()));
    if events > 0 {
        ctx.out.hint(format!("Review it, then: domain-events repair {}", out.display()));
    }
    Ok(())
}

async fn carry_out(file: &Path, args: &RepairArgs, ctx: &Context) -> Result<Exit, Error> {
    let made = repair::open(file)?;
    let header = &made.header;
    let mut conn = connect(ctx).await?;
    journal::expect(&mut conn).await?;
    as_owner::expect_own_store(&mut conn, "repair anything").await?;
    match journal::state_of(&mut conn, &header.plan_id).await?.as_deref() {
        Some("finished") => {
            ctx.out.note(format!("repair {} is applied already", header.plan_id));
            let keys = keys(&mut conn, args, header, ctx).await?;
            return report(ctx, header, &repair::Done::default(), &keys);
        }
        Some("rolled_back") => {
            return Err(Error::refused(
                "55000",
                format!("repair {} was rolled back", header.plan_id),
                "Make it again: domain-events repair --out FILE",
            ));
        }
        // what an interrupted run has renumbered is no drift: each batch is checked by itself
        Some(_) => ctx.out.note(format!("repair {} was interrupted, and goes on", header.plan_id)),
        None => repair::check(&mut conn, &made).await?,
    }
    if args.dry_run {
        return dry_run(&made, ctx);
    }
    let question = format!(
        "Renumber {} events in database \"{}\"?",
        header.tables.iter().map(|t| t.renumbered_events).sum::<u64>(),
        header.database
    );
    if !ctx.out.confirm(&question, args.confirm.yes)? {
        ctx.out.note("nothing was changed");
        return Ok(Exit::Pending);
    }
    let done = repair::carry_out(&mut conn, &made, args.lock.lock_timeout, ctx).await?;
    if done.late > 0 {
        ctx.out
            .note(format!("{} events written since the repair was planned are numbered after the others", done.late));
    }
    let keys = keys(&mut conn, args, header, ctx).await?;
    report(ctx, header, &done, &keys)
}

fn dry_run(made: &Repair, ctx: &Context) -> Result<Exit, Error> {
    let header = &made.header;
    if ctx.out.is_json() {
        ctx.out.json(
            &json!({"plan_id": header.plan_id, "tables": header.tables.iter().map(summary).collect::<Vec<_>>()}),
        )?;
    } else {
        for table in &header.tables {
            ctx.out.line(format!(
                "{}: {} streams, {} events get another version, {} batches; each holds the table in SHARE ROW EXCLUSIVE mode: writers wait, readers do not",
                table.subject.table, table.renumbered_streams, table.renumbered_events, table.batches
            ))?;
        }
    }
    ctx.out.note(format!("repair {} fits this database; nothing was changed", header.plan_id));
    Ok(if header.tables.iter().any(|t| t.renumbered_events > 0) { Exit::Pending } else { Exit::Clean })
}

/// The keys that --add-key asks for, by name.
async fn keys(
    conn: &mut PgConnection,
    args: &RepairArgs,
    header: &Header,
    ctx: &Context,
) -> Result<Vec<String>, Error> {
    let mut made = vec![];
    if args.add_key {
        for table in &header.tables {
            made.extend(repair::add_key(conn, &table.subject, ctx).await?);
        }
    }
    Ok(made)
}

async fn add_keys(
    conn: &mut PgConnection,
    examined: &[Examined],
    args: &RepairArgs,
    ctx: &Context,
) -> Result<Exit, Error> {
    let missing: Vec<&Examined> =
        examined.iter().filter(|e| e.subject.unique_key.is_none() && !e.subject.is_store()).collect();
    if let Some(one) = missing.iter().find(|e| e.findings.iter().any(|f| f.code == "RP101")) {
        return Err(Error::refused(
            "23505",
            format!("{} has doubled versions: no unique key can be built", one.subject.table),
            "Renumber them first: domain-events repair --out FILE, then domain-events repair FILE --add-key",
        ));
    }
    if args.dry_run {
        missing
            .iter()
            .try_for_each(|e| ctx.out.line(format!("create unique index concurrently on {}", e.subject.table)))?;
        return Ok(if missing.is_empty() { Exit::Clean } else { Exit::Pending });
    }
    if !missing.is_empty() && !ctx.out.confirm("Build the missing unique keys?", args.confirm.yes)? {
        ctx.out.note("nothing was changed");
        return Ok(Exit::Pending);
    }
    let mut made = vec![];
    for one in missing {
        made.extend(repair::add_key(conn, &one.subject, ctx).await?);
    }
    if ctx.out.is_json() {
        ctx.out.json(&json!({"keys": made}))?;
    } else {
        ctx.out.line(if made.is_empty() {
            "no key was missing".into()
        } else {
            format!("made {}", made.join(", "))
        })?;
    }
    Ok(Exit::Clean)
}

fn report(ctx: &Context, header: &Header, done: &repair::Done, keys: &[String]) -> Result<Exit, Error> {
    if ctx.out.is_json() {
        ctx.out.json(&json!({"plan_id": header.plan_id, "state": "applied", "streams": done.streams,
            "events": done.events, "late": done.late, "keys": keys}))?;
    } else {
        ctx.out.line(format!(
            "repair {}: applied, {} streams, {} events renumbered",
            header.plan_id, done.streams, done.events
        ))?;
        keys.iter().try_for_each(|k| ctx.out.line(format!("made unique key {k}")))?;
    }
    if header.tables.iter().any(|t| t.subject.unique_key.is_none()) && keys.is_empty() {
        ctx.out.hint(format!("Nothing keeps versions unique yet: domain-events repair --add-key, then plan and apply; to take it back: domain-events rollback {}", header.plan_id));
    } else {
        ctx.out.hint(format!("To take it back: domain-events rollback {}", header.plan_id));
    }
    Ok(Exit::Clean)
}

/// Whether a plan of the journal is a repair.
pub fn is_repair(plan: &plan::Plan) -> bool {
    plan.plan_id.starts_with(PREFIX)
}
