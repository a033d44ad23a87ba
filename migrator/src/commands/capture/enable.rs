//! `capture enable`.

use sqlx::PgConnection;

use super::target::{Target, report};
use crate::as_owner::Owner;
use crate::blockers::Mode;
use crate::cli::CaptureEnableArgs;
use crate::context::Context;
use crate::error::{Doing, Error, Exit};
use domain_events_sql::quote::quote_literal;

/// Rows of one transaction of a baseline: so long a writer may wait for one of them.
const BATCH: u64 = 2000;

pub async fn run(args: &CaptureEnableArgs, conn: &mut PgConnection, ctx: &Context) -> Result<Exit, Error> {
    if let Some(text) = &args.event_types {
        let read: Result<serde_json::Value, _> = serde_json::from_str(text);
        read.map_err(|e| {
            Error::usage(
                format!("--event-types is no JSON: {e}"),
                r#"For example: --event-types '[{"on":"update","when_changed":["email"],"type":"UserEmailChanged"}]'"#,
            )
        })?;
    }
    let target = Target::find(conn, &args.table).await?;
    let now = args.baseline == "now";
    if now && !target.owner.is_other() {
        refuse_for_others(conn, &target).await?;
    }
    // what is there already is told afterwards, in batches: here writers wait
    let call = format!("select domain_events.enable_capture({}{})", target.argument(), options(args));
    let doing = format!("capturing {}", target.name);
    let mode = Some(Mode::ShareRowExclusive);
    target.change(conn, mode, args.lock.lock_timeout, ctx, async |conn| target.call(conn, &call, &doing).await).await?;
    warn(conn, &target, ctx).await?;
    let told = if now { baseline(args, conn, &target, ctx).await? } else { 0 };
    let more = if now { format!(", {told} rows that were there have their event") } else { String::new() };
    report(conn, &target, &format!("{} is captured{more}", target.name), ctx).await
}

/// The arguments that were given, in SQL.
fn options(args: &CaptureEnableArgs) -> String {
    let mut text = String::new();
    let mut add = |name: &str, value: String| text.push_str(&format!(", {name} => {value}"));
    if let Some(name) = &args.aggregate_type {
        add("aggregate_type", quote_literal(name));
    }
    for (name, columns) in [
        ("aggregate_id", &args.aggregate_id),
        ("include", &args.include),
        ("exclude", &args.exclude),
        ("redact", &args.redact),
    ] {
        if !columns.is_empty() {
            let columns: Vec<String> = columns.iter().map(|c| quote_literal(c)).collect();
            add(name, format!("array[{}]::pg_catalog.text[]", columns.join(", ")));
        }
    }
    if let Some(json) = &args.event_types {
        add("event_types", format!("{}::pg_catalog.jsonb", quote_literal(json)));
    }
    for (name, value) in [
        ("event_name_style", &args.event_name_style),
        ("payload", &args.payload),
        ("on_failure", &args.on_failure),
        ("replication", &args.replication),
    ] {
        add(name, quote_literal(value));
    }
    text
}

/// A superuser reads nobody's table with a superuser's rights.
async fn refuse_for_others(conn: &mut PgConnection, target: &Target) -> Result<(), Error> {
    if !Owner::of_table(conn, &target.name).await?.is_other() {
        return Ok(());
    }
    let owner: String = sqlx::query_scalar(
        "select pg_catalog.pg_get_userbyid(c.relowner)::text from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass($1)",
    )
    .bind(&target.name)
    .fetch_one(conn)
    .await
    .doing("looking for the owner")?;
    Err(Error::refused(
        "42501",
        format!("the rows of {} are read as its owner, and role \"{owner}\" may not administer captures", target.name),
        format!(
            "Run: grant domain_events_admin to {}; or leave out --baseline now.",
            domain_events_sql::quote::quote_ident(&owner)
        ),
    ))
}

/// What enable_capture() says in a NOTICE.
async fn warn(conn: &mut PgConnection, target: &Target, ctx: &Context) -> Result<(), Error> {
    let (shared, untold): (bool, Option<String>) = sqlx::query_as(
        "select not domain_events._is_unique(c.target, c.aggregate_id), \
                (select pg_catalog.string_agg(pg_catalog.quote_ident(v), ', ') from pg_catalog.unnest(domain_events._virtual_columns(c.target)) as v \
                  where c.include is null and v <> all (coalesce(c.exclude, '{}'))) \
           from domain_events.captures c where c.target = pg_catalog.to_regclass($1)",
    )
    .bind(&target.name)
    .fetch_one(conn)
    .await
    .doing("reading the capture")?;
    if shared {
        ctx.out.warn(format!(
            "several rows of {} can share a stream: its writers wait for each other until commit, and opposite orders can deadlock (40P01)",
            target.name
        ));
    }
    if let Some(untold) = untold {
        ctx.out.warn(format!("virtual generated columns are not captured: {untold}"));
    }
    Ok(())
}

/// Tells the rows that were there, while writers go on.
async fn baseline(
    args: &CaptureEnableArgs,
    conn: &mut PgConnection,
    target: &Target,
    ctx: &Context,
) -> Result<u64, Error> {
    // as many rows as it has told
    let call = format!(
        "select from pg_catalog.generate_series(1, domain_events.baseline_capture({}, {BATCH}))",
        target.argument()
    );
    let doing = format!("telling the rows of {}", target.name);
    let bar = ctx.out.progress(0, doing.clone());
    let mut told = 0;
    loop {
        let step =
            target.change(conn, None, args.lock.lock_timeout, ctx, async |conn| target.call(conn, &call, &doing).await);
        match step.await {
            Ok(0) => break,
            Ok(rows) => told += rows,
            Err(error) => {
                bar.finish_and_clear();
                ctx.out.note(format!(
                    "{} is captured, and {told} rows were told; to go on, until it gives 0: select domain_events.baseline_capture({});",
                    target.name,
                    quote_literal(&target.name)
                ));
                return Err(error);
            }
        }
        bar.set_message(format!("{doing}: {told}"));
    }
    bar.finish_and_clear();
    Ok(told)
}
