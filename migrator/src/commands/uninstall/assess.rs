//! What an uninstallation would take away, and in which steps; nothing is changed.

use sqlx::PgConnection;

use crate::apply::{journal, state};
use crate::as_owner::{self, Owner};
use crate::cli::UninstallArgs;
use crate::commands::install::native_to_portable;
use crate::dependents::{self, Dependents};
use crate::engine_sql::{SCHEMA, VERSION};
use crate::error::{Doing, Error};
use crate::marks;
use crate::plan::{ObjectKind, calls, shim};
use crate::script::Step;
use crate::store::{self, Found};
use domain_events_sql::quote::{quote_ident, quote_literal};

/// Where the objects go that are about to be dropped, while the events stay.
const DISCARD: &str = "_domain_events_uninstall";

/// What would go, and in which way.
#[derive(Debug)]
pub struct Assessment {
    /// Events of the store.
    pub events: i64,
    /// Dead letters: events that wait to be stored.
    pub letters: i64,
    /// Captured tables, qualified and quoted.
    pub captured: Vec<String>,
    /// Those of them whose end no event tells.
    pub untold: Vec<String>,
    /// What hangs on the store.
    pub dependents: Dependents,
    /// What would be run.
    pub steps: Vec<Step>,
}

/// What would go, or why nothing may.
pub async fn assess(args: &UninstallArgs, found: &Found, conn: &mut PgConnection) -> Result<Assessment, Error> {
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

/// How many events there are.
pub async fn count_events(conn: &mut PgConnection) -> Result<i64, Error> {
    let sql = "select count(*) from domain_events.events";
    let rows: Vec<(i64,)> = as_owner::store_rows(conn, sql, "events int8", &[], "counting the events").await?;
    Ok(rows.first().map_or(0, |(events,)| *events))
}

async fn count_letters(conn: &mut PgConnection) -> Result<i64, Error> {
    let sql = "select count(*) from domain_events.capture_failures where stored_version is null";
    as_owner::store_count(conn, sql, "counting the events that wait").await
}

/// So many events wait.
pub fn waiting(letters: i64) -> String {
    if letters == 1 { "1 event waits".into() } else { format!("{letters} events wait") }
}

/// So many events.
pub fn plural(events: i64) -> String {
    if events == 1 { "1 event".into() } else { format!("{events} events") }
}

/// Whether this tool, in this role, may take it away.
pub fn check_may_go(found: &Found) -> Result<(), Error> {
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
