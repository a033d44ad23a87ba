//! `uninstall`: takes the store away, never events or users' triggers in silence.

mod assess;

use serde_json::json;
use sqlx::PgConnection;

use self::assess::{Assessment, assess, check_may_go, count_events, plural, waiting};
use crate::as_owner;
use crate::blockers::Mode;
use crate::cli::UninstallArgs;
use crate::connect::connect;
use crate::context::Context;
use crate::dependents;
use crate::engine_sql::SCHEMA;
use crate::error::{Doing, Error, Exit};
use crate::locks;
use crate::script;
use crate::store::{self, Found, ROLES};
use crate::{db, proof};

/// Runs the verb.
pub async fn run(args: &UninstallArgs, ctx: &Context) -> Result<Exit, Error> {
    let mut conn = connect(ctx).await?;
    as_owner::begin_read_only(&mut conn, &[]).await?;
    db::pin_settings(&mut conn).await?;
    let found = store::inspect(&mut conn).await?;
    if found == Found::Nothing {
        return nothing_to_do(ctx);
    }
    let assessment = assess(args, &found, &mut conn).await?;
    let tables = all_tables(&found, &mut conn).await?;
    db::rollback(&mut conn).await?;
    for mention in &assessment.dependents.mentions {
        ctx.out.warn(format!("{mention} calls the store and will fail when it runs"));
    }
    if args.dry_run {
        return dry_run(&assessment, args, ctx);
    }
    if ctx.out.asks(args.confirm.yes) {
        tell(&assessment, args, false, ctx);
    }
    if !ctx.out.confirm("Uninstall pg_domain_events from this database?", args.confirm.yes)? {
        if ctx.out.is_json() {
            ctx.out.json(&json!({"changed": false}))?;
        }
        ctx.out.note("nothing was changed");
        return Ok(Exit::Error);
    }

    let wanted: Vec<(&str, Mode)> = tables.iter().map(|table| (table.as_str(), Mode::AccessExclusive)).collect();
    let done = locks::with_locks(&mut conn, &wanted, args.lock.lock_timeout, ctx, async |conn| {
        locks::lock_for_transaction(conn).await?;
        db::pin_settings(conn).await?;
        let found = store::inspect(conn).await?;
        if found == Found::Nothing {
            return Ok(None);
        }
        lock_all(&found, conn).await?;
        proof::hold(conn).await?;
        let mut assessment = assess(args, &found, conn).await?;
        script::execute(&assessment.steps, conn, ctx, "uninstalling").await?;
        if args.keep_events {
            // one more for each capture that ended
            assessment.events = count_events(conn).await?;
        }
        Ok(Some(assessment))
    })
    .await?;
    match done {
        Some(assessment) => {
            let missing = store::powers(&mut conn).await?.missing_roles;
            let roles: Vec<_> = ROLES.into_iter().filter(|role| !missing.iter().any(|m| m == role)).collect();
            report(&assessment, &roles, args, ctx)
        }
        None => nothing_to_do(ctx),
    }
}

fn nothing_to_do(ctx: &Context) -> Result<Exit, Error> {
    if ctx.out.is_json() {
        ctx.out.json(&json!({"changed": false}))?;
    }
    ctx.out.note("pg_domain_events is not installed in this database; nothing was changed");
    Ok(Exit::Clean)
}

/// Every table that is locked until the store is gone: who holds one of them is named.
async fn all_tables(found: &Found, conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    let mut tables = lockable(found, conn).await?;
    tables.extend(store::tables(conn).await?);
    Ok(tables)
}

async fn lockable(found: &Found, conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    match found {
        Found::Store { .. } => {
            sqlx::query_scalar(dependents::LOCKABLE_TABLES).fetch_all(conn).await.doing("reading the captured tables")
        }
        _ => Ok(Vec::new()),
    }
}

/// Takes all locks before anything is changed, the events last: who writes to a captured table is never caught between the
/// two. A table that the connected role may not lock is left to the drop, which needs no right on it.
async fn lock_all(found: &Found, conn: &mut PgConnection) -> Result<(), Error> {
    check_may_go(found)?;
    let mut tables = lockable(found, conn).await?;
    tables.push(format!("{SCHEMA}.events"));
    let sql = format!("lock table {} in access exclusive mode", tables.join(", "));
    db::execute(conn, &sql, "locking the events and the captured tables").await
}

fn fate(assessment: &Assessment, args: &UninstallArgs) -> String {
    let events = plural(assessment.events);
    match (assessment.events, assessment.letters, args.keep_events) {
        (_, _, true) => format!(
            "kept: {events} in table {SCHEMA}.events, still append-only; read with: select * from {SCHEMA}.events order by \
             aggregate_type, aggregate_id, aggregate_version"
        ),
        (0, 0, false) => "there are no events".into(),
        (_, 0, false) => format!("dropped for ever: {events}"),
        (_, letters, false) => {
            format!("dropped for ever: {events}, and what {} in {SCHEMA}.capture_failures", waiting(letters))
        }
    }
}

/// `done` is false as long as all this is only going to be.
fn tell(assessment: &Assessment, args: &UninstallArgs, done: bool, ctx: &Context) {
    for table in &assessment.captured {
        let verb = if done { "were" } else { "would be" };
        ctx.out.note(format!("the capture triggers of {table} {verb} dropped"));
    }
    for table in assessment.untold.iter().filter(|_| args.keep_events) {
        let why = "its owner may not administer captures, and nobody else runs this store's code on it";
        ctx.out.warn(format!("no event tells that the capture of {table} has ended: {why}"));
    }
    ctx.out.note(format!("{}{}", if done { "" } else { "what becomes of the events: " }, fate(assessment, args)));
}

fn dry_run(assessment: &Assessment, args: &UninstallArgs, ctx: &Context) -> Result<Exit, Error> {
    if ctx.out.is_json() {
        ctx.out.json(&json!({
            "dry_run": true,
            "events": assessment.events,
            "pending_failures": assessment.letters,
            "captured_tables": assessment.captured,
            "callers": assessment.dependents.mentions,
            "steps": assessment.steps,
        }))?;
    } else {
        script::print(&assessment.steps, ctx)?;
    }
    tell(assessment, args, false, ctx);
    ctx.out.note("dry run; nothing was changed");
    Ok(if assessment.steps.is_empty() { Exit::Clean } else { Exit::Pending })
}

fn report(assessment: &Assessment, roles: &[&str], args: &UninstallArgs, ctx: &Context) -> Result<Exit, Error> {
    if ctx.out.is_json() {
        ctx.out.json(&json!({
            "changed": !assessment.steps.is_empty(),
            "events": assessment.events,
            "kept_table": args.keep_events.then(|| format!("{SCHEMA}.events")),
            "captured_tables": assessment.captured,
            "callers": assessment.dependents.mentions,
            "roles_left": roles,
        }))?;
    }
    tell(assessment, args, true, ctx);
    ctx.out.note("pg_domain_events was uninstalled from this database");
    if args.keep_events {
        ctx.out.note("the way back: domain-events install takes the kept events over, and their versions go on");
    }
    if !roles.is_empty() {
        ctx.out.note(format!("left, since other databases may use them: roles {}", roles.join(", ")));
    }
    Ok(Exit::Clean)
}
