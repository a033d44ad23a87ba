//! `uninstall`: takes the store away, never events or users' triggers in silence.

use serde_json::json;
use sqlx::PgConnection;

use crate::apply::{journal, state};
use crate::as_owner::{self, Owner};
use crate::blockers::Mode;
use crate::cli::UninstallArgs;
use crate::commands::install::native_to_portable;
use crate::connect::connect;
use crate::context::Context;
use crate::dependents::{self, Dependents};
use crate::engine_sql::{SCHEMA, VERSION};
use crate::error::{Doing, Error, Exit};
use crate::locks;
use crate::marks;
use crate::plan::{ObjectKind, calls, shim};
use crate::script::{self, Step};
use crate::store::{self, Found, ROLES};
use crate::{db, proof};
use domain_events_sql::quote::quote_ident;
use domain_events_sql::quote::quote_literal;

/// Where the objects go that are about to be dropped, while the events stay.
const DISCARD: &str = "_domain_events_uninstall";

/// What would go, and in which way.
#[derive(Debug)]
struct Assessment {
    events: i64,
    /// Dead letters: events that wait to be stored.
    letters: i64,
    /// Captured tables, qualified and quoted.
    captured: Vec<String>,
    /// Those of them whose end no event tells.
    untold: Vec<String>,
    dependents: Dependents,
    steps: Vec<Step>,
}

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

async fn assess(args: &UninstallArgs, found: &Found, conn: &mut PgConnection) -> Result<Assessment, Error> {
    check_may_go(found)?;
    let events = count_events(conn).await?;
    let letters = match found {
        Found::Store { .. } => count_letters(conn).await?,
        _ => 0,
    };
    if letters > 0 && !args.drop_events {
        return Err(Error::refused(
            "2BP01",
            format!("{} in {SCHEMA}.capture_failures, where they would be lost; nothing was changed", waiting(letters)),
            format!(
                "Store them first: select {SCHEMA}.retry_capture_failures(); What it does not store can be given up on purpose: \
                 delete from {SCHEMA}.capture_failures where stored_version is null; --drop-events drops all."
            ),
        ));
    }
    if events > 0 && !args.keep_events && !args.drop_events {
        return Err(Error::refused(
            "2BP01",
            format!("schema \"{SCHEMA}\" holds {}; nothing was changed", plural(events)),
            "Say what becomes of them: --keep-events leaves table domain_events.events, --drop-events drops it for ever.",
        ));
    }
    let Found::Store { owner, extension, .. } = found else {
        return assess_kept(args, events, conn).await;
    };
    let captured: Vec<(String, bool)> = dependents::captured_tables(conn).await?;
    let mut dependents = dependents::read(conn).await?;
    dependents.check()?;

    let mut steps = leftovers(conn, &mut dependents).await?;
    if extension.is_some() {
        steps.extend(native_to_portable());
    }
    // Event triggers would refuse what follows. They are ours, and no extension's any more.
    steps.extend(
        dependents.event_triggers.iter().map(|name| {
            Step::new(format!("event trigger {name}"), format!("drop event trigger {};", quote_ident(name)))
        }),
    );
    steps.extend(dependents.triggers.iter().map(|(name, table)| {
        Step::new(format!("trigger on {table}"), format!("drop trigger {} on {table};", quote_ident(name)))
    }));
    // Where the events stay, they tell that capture has ended.
    let mut untold = Vec::new();
    for (table, _) in captured.iter().filter(|(_, owned)| *owned) {
        let Some(owner) = ender(conn, table).await? else {
            untold.push(table.clone());
            continue;
        };
        let call = format!("select {SCHEMA}.disable_capture({});", quote_literal(table));
        steps.push(Step::new(format!("capture of {table}"), call).of(owner));
    }
    let readers = dependents::readers(conn).await?;
    steps.extend(
        readers
            .into_iter()
            .map(|(table, reader)| Step::new(format!("the reader of {table}"), format!("drop function {reader};"))),
    );
    if args.keep_events {
        steps.extend(keep_events(owner));
    } else {
        steps.push(Step::new("the schema", format!("drop schema {SCHEMA} cascade;")));
    }
    Ok(Assessment {
        events,
        letters,
        captured: captured.into_iter().map(|(table, _)| table).collect(),
        untold,
        dependents,
        steps,
    })
}

/// What plans that were rolled back had made, and left disabled on the tables of users. A shim is known by itself, whoever applied its
/// plan; the rest is in the journal, of which nothing is run that a lesser role could have written there.
async fn leftovers(conn: &mut PgConnection, dependents: &mut Dependents) -> Result<Vec<Step>, Error> {
    let shims: Vec<(String, String)> = sqlx::query_as(
        "select c.oid::pg_catalog.regclass::text, p.oid::pg_catalog.regprocedure::text \
           from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid join pg_catalog.pg_proc p on p.oid = t.tgfoid \
          where t.tgname = $1 and t.tgenabled = 'D' and t.tgparentid = 0 and p.proowner = c.relowner \
            and pg_catalog.starts_with(pg_catalog.obj_description(p.oid, 'pg_proc'), $2) \
            and not exists (select from pg_catalog.pg_trigger o where o.tgfoid = p.oid and o.tgrelid <> c.oid and o.tgparentid = 0) \
          order by 1",
    )
    .bind(shim::TRIGGER)
    .bind(marks::SHIM)
    .fetch_all(&mut *conn)
    .await
    .doing("looking for what is left of plans")?;
    let mut left: Vec<(String, String)> = shims
        .into_iter()
        .map(|(table, function)| {
            let sql = format!("drop trigger {} on {table};\ndrop function {function};", quote_ident(shim::TRIGGER));
            (table, sql)
        })
        .collect();
    let plans = if Owner::of_store(conn).await?.is_other() { vec![] } else { journal::rolled_back(conn).await? };
    for statement in plans.iter().flat_map(|plan| &plan.clear) {
        let object = &statement.object;
        let Some(table) = object.table.clone().filter(|_| object.name != shim::TRIGGER) else { continue };
        let is_disabled = state::read(conn, object).await?.is_some_and(|now| now.enabled.as_deref() == Some("D"));
        if object.kind == ObjectKind::Trigger && is_disabled && !left.iter().any(|(_, sql)| *sql == statement.sql) {
            calls::pieces(&statement.sql, object.kind, "dropping what is left of a plan")?;
            left.push((table, statement.sql.clone()));
        }
    }
    let mut steps = vec![];
    for (table, sql) in left {
        // a function that goes calls the store no more
        dependents.mentions.retain(|mention| !sql.contains(mention.as_str()));
        let owner = Owner::of_table(conn, &table).await?;
        steps.push(Step::new(format!("what is left of a plan on {table}"), sql).of(owner));
    }
    Ok(steps)
}

/// In whose name the capture of a table is ended. Where the store is a lesser role's, that role can put other code into it at any
/// moment: so it is run by that role itself if the table is its own too, else by the table's owner; by nobody if that one may not.
async fn ender(conn: &mut PgConnection, table: &str) -> Result<Option<Owner>, Error> {
    let store = Owner::of_store(conn).await?;
    let Some(role) = store.oid() else { return Owner::confined(conn).await.map(Some) };
    let is_theirs: bool = sqlx::query_scalar(
        "select pg_catalog.pg_has_role($1::bigint::oid, c.relowner, 'usage') from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass($2)",
    )
    .bind(role)
    .bind(table)
    .fetch_one(&mut *conn)
    .await
    .doing(format!("looking for the owner of {table}"))?;
    if is_theirs {
        return Ok(Some(store));
    }
    let owner = Owner::of_table(conn, table).await?;
    match owner.oid() {
        Some(oid) if store::may_capture(conn, oid).await? => Ok(Some(owner)),
        _ => Ok(None),
    }
}

async fn count_events(conn: &mut PgConnection) -> Result<i64, Error> {
    let sql = "select count(*) from domain_events.events";
    let rows: Vec<(i64,)> = as_owner::store_rows(conn, sql, "events int8", &[], "counting the events").await?;
    Ok(rows.first().map_or(0, |(events,)| *events))
}

async fn count_letters(conn: &mut PgConnection) -> Result<i64, Error> {
    let sql = "select count(*) from domain_events.capture_failures where stored_version is null";
    as_owner::store_count(conn, sql, "counting the events that wait").await
}

fn waiting(letters: i64) -> String {
    if letters == 1 { "1 event waits".into() } else { format!("{letters} events wait") }
}

fn plural(events: i64) -> String {
    if events == 1 { "1 event".into() } else { format!("{events} events") }
}

fn check_may_go(found: &Found) -> Result<(), Error> {
    match found {
        Found::Store { mine: false, owner, .. } => Err(Error::refused(
            "42501",
            format!("the event store belongs to role \"{owner}\"; nothing was changed"),
            format!("Connect as \"{owner}\" or as a superuser."),
        )),
        Found::Store { version, .. } if version != VERSION => Err(Error::refused(
            "55000",
            format!("version {version} is installed, this tool is {VERSION}; nothing was changed"),
            format!("Use domain-events {version} with this database."),
        )),
        Found::Foreign { kept_events: false, owner } => Err(Error::refused(
            "42P06",
            format!("schema \"{SCHEMA}\" belongs to role \"{owner}\" and is not an event store; nothing was changed"),
            "It was not made by this tool; drop it by hand if it is yours to drop.",
        )),
        _ => Ok(()),
    }
}

/// What an earlier `--keep-events` has left.
async fn assess_kept(args: &UninstallArgs, events: i64, conn: &mut PgConnection) -> Result<Assessment, Error> {
    let steps = if args.keep_events {
        Vec::new()
    } else {
        Dependents { objects: dependents::objects(conn).await?, ..Dependents::default() }.check()?;
        vec![Step::new("the schema", format!("drop schema {SCHEMA} cascade;"))]
    };
    Ok(Assessment {
        events,
        letters: 0,
        captured: Vec::new(),
        untold: Vec::new(),
        dependents: Dependents::default(),
        steps,
    })
}

/// The events move into a fresh schema of the old name together with the type of a column and the function that keeps them append-only; all the rest
/// goes with the old schema. No list of objects, so none can be forgotten.
fn keep_events(owner: &str) -> Vec<Step> {
    let owner = quote_ident(owner);
    vec![
        Step::new(
            "a new schema for the events",
            format!(
                "alter schema {SCHEMA} rename to {DISCARD};\n\
             create schema {SCHEMA} authorization {owner};\n\
             comment on schema {SCHEMA} is 'Events kept when pg_domain_events {VERSION} was uninstalled. Table events is still append-only.';\n\
             grant usage on schema {SCHEMA} to public;"
            ),
        ),
        Step::new(
            "the events",
            format!(
                "alter table {DISCARD}.events alter column event_id set default pg_catalog.gen_random_uuid();\n\
             alter table {DISCARD}.events set schema {SCHEMA};\n\
             alter domain {DISCARD}.event_origin set schema {SCHEMA};\n\
             alter function {DISCARD}._refuse_change() set schema {SCHEMA};"
            ),
        ),
        Step::new("all the rest", format!("drop schema {DISCARD} cascade;")),
    ]
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
