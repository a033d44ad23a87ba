//! `status`: what is installed, what it holds, and what waits for somebody.

use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};

use crate::as_owner;
use crate::cli::StatusArgs;
use crate::commands::indexes;
use crate::connect::connect;
use crate::context::Context;
use crate::db;
use crate::engine_sql::{SCHEMA, VERSION};
use crate::error::{Doing, Error, Exit};
use crate::output::Output;
use crate::store::{self, Found, ROLES};
use domain_events_sql::quote::quote_ident;

/// Above this, the planner's estimate is shown: counting would read the whole table.
const COUNT_UP_TO: f32 = 1_000_000.0;

/// Everything that `status` knows; the JSON document has these fields.
#[derive(Debug, Serialize)]
struct Status {
    database: String,
    server_version: String,
    role: String,
    installed: bool,
    engine: Option<String>,
    version: Option<String>,
    tool_version: &'static str,
    owner: Option<String>,
    extension: Option<String>,
    native_offered: bool,
    events: Option<i64>,
    events_exact: bool,
    streams: Option<i64>,
    captures: Vec<Capture>,
    event_tables: Vec<String>,
    indexes: Vec<String>,
    roles: Vec<StoreRole>,
    plans: Vec<Plan>,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Capture {
    table: String,
    aggregate_type: String,
    state: String,
    on_failure: String,
    pending_failures: i64,
}

#[derive(Debug, Serialize)]
struct StoreRole {
    name: String,
    exists: bool,
    granted: bool,
}

#[derive(Debug, Serialize)]
struct Plan {
    plan_id: String,
    state: String,
    applied_by: String,
    applied_at: String,
}

#[derive(Debug, Serialize)]
struct Finding {
    code: String,
    /// `error` and `warning` make exit code 3, `info` does not.
    severity: String,
    object: String,
    detail: String,
}

/// Reads the columns named like the fields; sqlx's own derive would cost a crate of macros.
macro_rules! from_row {
    ($type:ident { $($field:ident),+ }) => {
        impl FromRow<'_, PgRow> for $type {
            fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: row.try_get(stringify!($field))?),+ })
            }
        }
    };
}
from_row!(Capture { table, aggregate_type, state, on_failure, pending_failures });
from_row!(StoreRole { name, exists, granted });
from_row!(Plan { plan_id, state, applied_by, applied_at });
from_row!(Finding { code, severity, object, detail });

impl Status {
    fn find(&mut self, severity: &str, code: &str, object: impl Into<String>, detail: impl Into<String>) {
        self.findings.push(Finding {
            code: code.into(),
            severity: severity.into(),
            object: object.into(),
            detail: detail.into(),
        });
    }

    fn exit(&self) -> Exit {
        if self.findings.iter().any(|f| f.severity != "info") { Exit::Pending } else { Exit::Clean }
    }
}

/// Runs the verb.
pub async fn run(_args: &StatusArgs, ctx: &Context) -> Result<Exit, Error> {
    let mut conn = connect(ctx).await?;
    as_owner::begin_read_only(&mut conn, &[]).await?;
    db::pin_settings(&mut conn).await?;
    let status = read(&mut conn).await?;
    db::rollback(&mut conn).await?;
    if ctx.out.is_json() {
        ctx.out.json(&status)?;
    } else {
        print(&status, &ctx.out)?;
    }
    Ok(status.exit())
}

async fn read(conn: &mut PgConnection) -> Result<Status, Error> {
    let found = store::inspect(conn).await?;
    let powers = store::powers(conn).await?;
    let (database, server_version): (String, String) =
        sqlx::query_as("select pg_catalog.current_database()::text, pg_catalog.current_setting('server_version')")
            .fetch_one(&mut *conn)
            .await
            .doing("reading the server's version")?;
    let mut status = Status {
        database,
        server_version,
        role: powers.role,
        installed: false,
        engine: None,
        version: None,
        tool_version: VERSION,
        owner: None,
        extension: None,
        native_offered: powers.native_offered,
        events: None,
        events_exact: false,
        streams: None,
        captures: Vec::new(),
        event_tables: Vec::new(),
        indexes: Vec::new(),
        roles: Vec::new(),
        plans: Vec::new(),
        findings: Vec::new(),
    };
    match found {
        Found::Nothing => {
            status.find(
                "warning",
                "not_installed",
                SCHEMA,
                "pg_domain_events is not installed; run: domain-events install",
            );
            for name in store::renamed(conn).await? {
                let detail = format!(
                    "holds an event store, which works under the name {SCHEMA} alone; run: alter schema {} rename to {SCHEMA};",
                    quote_ident(&name)
                );
                status.find("error", "schema_renamed", name, detail);
            }
        }
        Found::Foreign { owner, kept_events: true } => {
            status.owner = Some(owner);
            status.find(
                "warning",
                "kept_events",
                SCHEMA,
                "not installed; the schema holds the events that an uninstall has kept; install takes them over",
            );
        }
        Found::Foreign { owner, kept_events: false } => {
            let detail =
                format!("the schema exists, belongs to \"{owner}\" and is not an event store; install would refuse");
            status.owner = Some(owner);
            status.find("error", "foreign_schema", SCHEMA, detail);
        }
        Found::Store { owner, engine, version, extension, .. } => {
            status.installed = true;
            status.owner = Some(owner);
            status.engine = Some(engine);
            let other_version = version != VERSION;
            if other_version {
                let detail =
                    format!("version {version} is installed, this tool is {VERSION}: it reads no more than that");
                status.find("error", "other_version", SCHEMA, detail);
            }
            status.version = Some(version);
            status.extension = extension;
            if !other_version {
                read_store(&mut status, conn).await?;
            }
        }
    }
    Ok(status)
}

async fn read_store(status: &mut Status, conn: &mut PgConnection) -> Result<(), Error> {
    let doing = "reading the state of the store";
    status.roles = sqlx::query_as(
        "select w as name, r.oid is not null as \"exists\", \
                coalesce(case w when 'domain_events_writer' \
                  then exists (select from pg_catalog.pg_proc p \
                                where p.pronamespace = 'domain_events'::pg_catalog.regnamespace and p.proname = 'append_event' \
                                  and pg_catalog.has_function_privilege(r.oid, p.oid, 'execute')) \
                  else pg_catalog.has_table_privilege(r.oid, 'domain_events.events', 'select') end, false) as granted \
           from pg_catalog.unnest($1::text[]) with ordinality as u (w, n) \
           left join pg_catalog.pg_roles r on r.rolname = w order by n",
    )
    .bind(ROLES.map(str::to_owned).to_vec())
    .fetch_all(&mut *conn)
    .await
    .doing(doing)?;
    for index in 0..status.roles.len() {
        let StoreRole { name, exists, granted } = &status.roles[index];
        let name = name.clone();
        match (exists, granted) {
            (false, _) => {
                let detail = format!(
                    "the role does not exist; create role {name} nologin; select domain_events.grant_privileges();"
                );
                status.find("info", "role_missing", name, detail);
            }
            (true, false) => {
                let detail =
                    "the role has no rights here; as the store's owner: select domain_events.grant_privileges();";
                status.find("warning", "role_without_rights", name, detail);
            }
            (true, true) => {}
        }
    }

    let readable: bool = sqlx::query_scalar(
        "select pg_catalog.has_table_privilege('domain_events.events', 'select') \
            and pg_catalog.has_table_privilege('domain_events.captures', 'select') \
            and pg_catalog.has_function_privilege('domain_events.check_infrastructure()', 'execute')",
    )
    .fetch_one(&mut *conn)
    .await
    .doing(doing)?;
    if !readable {
        let detail =
            format!("role \"{}\" may not read the store; connect as a member of domain_events_reader", status.role);
        status.find("warning", "not_readable", "domain_events.events", detail);
        return Ok(());
    }

    let estimate: f32 = sqlx::query_scalar(
        "select reltuples from pg_catalog.pg_class where oid = 'domain_events.events'::pg_catalog.regclass",
    )
    .fetch_one(&mut *conn)
    .await
    .doing(doing)?;
    if estimate > COUNT_UP_TO {
        status.events = Some(estimate as i64);
    } else {
        let sql = "select coalesce(sum(events), 0)::bigint, count(*) \
               from (select count(*) as events from domain_events.events group by aggregate_type, aggregate_id) s";
        let counts: Vec<(i64, i64)> =
            as_owner::store_rows(conn, sql, "events bigint, streams bigint", &[], doing).await?;
        for (events, streams) in counts {
            status.events = Some(events);
            status.events_exact = true;
            status.streams = Some(streams);
        }
    }
    let sql = "select coalesce(case when r.oid is not null then pg_catalog.format('%I.%I', n.nspname, r.relname) end, k.table_name, c.target::oid::text) as \"table\", \
                c.aggregate_type, c.state, c.on_failure, c.pending_failures \
           from domain_events.captures c left join domain_events.capture_config k on k.relation = c.target \
           left join pg_catalog.pg_class r on r.oid = c.target left join pg_catalog.pg_namespace n on n.oid = r.relnamespace \
          order by 1";
    let columns = "\"table\" text, aggregate_type text, state text, on_failure text, pending_failures int8";
    status.captures = as_owner::store_rows(conn, sql, columns, &[], doing).await?;
    let sql = "select case when r.oid is null then e.event_table::oid::text else pg_catalog.format('%I.%I', n.nspname, r.relname) end \
           from domain_events.event_tables e \
           left join pg_catalog.pg_class r on r.oid = e.event_table left join pg_catalog.pg_namespace n on n.oid = r.relnamespace \
          order by 1";
    let tables: Vec<(String,)> = as_owner::store_rows(conn, sql, "name text", &[], doing).await?;
    status.event_tables = tables.into_iter().map(|(name,)| name).collect();
    let sql = "select a.adoption_id, a.source, a.moved, a.last_position - a.first_position + 1 as places \
           from domain_events.adoptions a \
          where a.state = 'moving' and a.readers = 'wait' and a.last_position >= a.first_position order by 1";
    let columns = "adoption_id bigint, source text, moved bigint, places bigint";
    let moving: Vec<(i64, String, i64, i64)> = as_owner::store_rows(conn, sql, columns, &[], doing).await?;
    for (id, source, moved, places) in moving {
        let detail = format!(
            "readers of all events wait until adoption {id} ({source}) has moved its events, {moved} for {places} places so far; \
             select domain_events.skip_adoption({id}) lets them pass over it"
        );
        status.find("info", "readers_wait", "domain_events.events", detail);
    }
    for (name, is_complete) in indexes::present(conn).await? {
        if !is_complete {
            let detail = "its build was interrupted: no query uses it; run install --index again";
            status.find("warning", "index_unfinished", format!("domain_events.{name}"), detail);
        }
        status.indexes.push(name);
    }
    let sql = "select plan_id, state, applied_by, \
                pg_catalog.to_char(applied_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as applied_at \
           from domain_events.migration_plans order by migration_plans.applied_at, plan_id";
    let columns = "plan_id text, state text, applied_by text, applied_at text";
    status.plans = as_owner::store_rows(conn, sql, columns, &[], doing).await?;
    let sql = "select code, severity, object, detail from domain_events.check_infrastructure()";
    let columns = "code text, severity text, object text, detail text";
    let mut findings: Vec<Finding> =
        as_owner::store_rows(conn, sql, columns, &[], "checking the infrastructure").await?;
    status.findings.append(&mut findings);
    for index in 0..status.plans.len() {
        let id = status.plans[index].plan_id.clone();
        match status.plans[index].state.as_str() {
            "applying" => {
                let detail = "apply did not come to its end; run it again, or run: domain-events rollback";
                status.find("warning", "plan_unfinished", id, detail);
            }
            "applied" => {
                let detail = "the old triggers are disabled, not dropped; when content, run apply --finish";
                status.find("info", "plan_not_finished", id, detail);
            }
            _ => {}
        }
    }
    Ok(())
}

fn print(status: &Status, out: &Output) -> Result<(), Error> {
    out.line(format!("database  {} (PostgreSQL {}), as {}", status.database, status.server_version, status.role))?;
    match (&status.engine, &status.version, &status.owner) {
        (Some(engine), Some(version), Some(owner)) => {
            out.line(format!("store     {engine} engine {version}, owner {owner}"))?;
        }
        _ => out.line("store     not installed")?,
    }
    match (status.events, status.streams) {
        (Some(events), Some(streams)) => out.line(format!("events    {events}, streams {streams}"))?,
        (Some(events), None) => out.line(format!("events    about {events}"))?,
        _ => {}
    }
    if !status.indexes.is_empty() {
        out.line(format!("indexes   {}", status.indexes.join(", ")))?;
    }
    for table in &status.event_tables {
        out.line(format!("legacy    {table}"))?;
    }
    if !status.captures.is_empty() {
        out.line("")?;
        let rows = status.captures.iter().map(|c| {
            vec![
                c.table.clone(),
                c.aggregate_type.clone(),
                c.state.clone(),
                c.on_failure.clone(),
                c.pending_failures.to_string(),
            ]
        });
        out.table(&["captured table", "type", "state", "on failure", "dead letters"], rows)?;
    }
    if !status.plans.is_empty() {
        out.line("")?;
        let rows = status
            .plans
            .iter()
            .map(|p| vec![p.plan_id.clone(), p.state.clone(), p.applied_at.clone(), p.applied_by.clone()]);
        out.table(&["plan", "state", "applied", "by"], rows)?;
    }
    if !status.findings.is_empty() {
        out.line("")?;
        let rows = status
            .findings
            .iter()
            .map(|f| vec![f.severity.clone(), f.code.clone(), f.object.clone(), f.detail.clone()]);
        out.table(&["severity", "finding", "object", "detail"], rows)?;
    }
    Ok(())
}
