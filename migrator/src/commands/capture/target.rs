//! The table whose capture is changed, and what the store says of it.

use serde_json::Value;
use sqlx::PgConnection;

use crate::apply;
use crate::as_owner::{self, Owner};
use crate::blockers::Mode;
use crate::context::Context;
use crate::error::{Doing, Error, Exit};
use crate::locks;
use crate::store;
use domain_events_sql::quote::quote_literal;

/// Written by whoever registers a capture, which one does at a time; who does it is named too.
const REGISTRY: (&str, Mode) = ("domain_events.capture_config", Mode::ShareRowExclusive);

/// A table of users, and in whose name a statement on it runs.
#[derive(Debug)]
pub struct Target {
    /// Qualified and quoted.
    pub name: String,
    /// Who owns it.
    pub owner: Owner,
}

impl Target {
    /// The table that a person means: by its schema, or without it where there is one of that name.
    pub async fn find(conn: &mut PgConnection, name: &str) -> Result<Self, Error> {
        let found = tables(conn, name).await?;
        match found.as_slice() {
            [] => Err(Error::refused(
                "42P01",
                format!("there is no table {name}"),
                "Name it with its schema: SCHEMA.TABLE, quoted as in SQL where it has capital letters.",
            )),
            [one] if ["domain_events.", "pg_catalog.", "information_schema."].iter().any(|s| one.starts_with(s)) => {
                Err(Error::refused(
                    "42809",
                    format!("{one} belongs to the system or to the event store itself"),
                    "Name a table of the application.",
                ))
            }
            [one] => Ok(Self { owner: owner(conn, one).await?, name: one.clone() }),
            _ => Err(Error::usage(
                format!("there are several tables {name}: {}", found.join(", ")),
                "Name it with its schema: SCHEMA.TABLE",
            )),
        }
    }

    /// As an argument of the store's functions.
    pub fn argument(&self) -> String {
        format!("{}::pg_catalog.regclass", quote_literal(&self.name))
    }

    /// Calls a function of the store in the name of the owner; gives the number of rows that the statement gave.
    pub async fn call(&self, conn: &mut PgConnection, sql: &str, doing: &str) -> Result<u64, Error> {
        if self.owner.is_other() {
            return as_owner::execute(conn, &self.owner, sql, doing).await;
        }
        let me = Owner::confined(conn).await?;
        as_owner::execute(conn, &me, sql, doing).await
    }

    /// One transaction on the table, with its locks first. `mode` is none where no lock on the table is wanted.
    pub async fn change<T>(
        &self,
        conn: &mut PgConnection,
        mode: Option<Mode>,
        lock_timeout_ms: u32,
        ctx: &Context,
        mut work: impl AsyncFnMut(&mut PgConnection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut wanted = vec![REGISTRY];
        wanted.extend(mode.map(|mode| (self.name.as_str(), mode)));
        locks::with_locks(conn, &wanted, lock_timeout_ms, ctx, async |conn| {
            locks::lock_for_transaction(conn).await?;
            apply::prepare(conn).await?;
            if let Some(mode) = mode {
                apply::take_locks(conn, &[&self.name], mode, lock_timeout_ms).await?;
            }
            work(conn).await
        })
        .await
    }
}

/// The best matches for a name: exact ones before those that SQL would find by folding to lower case.
async fn tables(conn: &mut PgConnection, name: &str) -> Result<Vec<String>, Error> {
    sqlx::query_scalar(
        "with named as ( \
           select pg_catalog.format('%I.%I', n.nspname, c.relname) as name, \
                  case when $1 = pg_catalog.format('%I.%I', n.nspname, c.relname) or $1 = n.nspname || '.' || c.relname then 1 \
                       when pg_catalog.lower($1) = n.nspname || '.' || c.relname then 2 \
                       when n.nspname ~ '^pg_' or n.nspname in ('information_schema', 'domain_events') then null \
                       when $1 = c.relname or $1 = pg_catalog.quote_ident(c.relname) then 3 \
                       when pg_catalog.lower($1) = c.relname then 4 end as distance \
             from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
            where c.relkind in ('r', 'p', 'v', 'm', 'f')) \
         select name from named where distance = (select pg_catalog.min(distance) from named) order by 1",
    )
    .bind(name)
    .fetch_all(conn)
    .await
    .doing(format!("looking for table {name}"))
}

/// The owner of the table where a superuser has to act as another. Where that role may not administer captures, the superuser
/// asks the store itself, as `apply` does: only `enable` with a baseline reads the table, and refuses that.
async fn owner(conn: &mut PgConnection, table: &str) -> Result<Owner, Error> {
    let owner = Owner::of_table(conn, table).await?;
    let Some(oid) = owner.oid() else { return Ok(owner) };
    let may = store::may_capture(conn, oid).await?;
    Ok(if may { owner } else { Owner::own() })
}

/// Captures as the store knows them: of one table, or all.
pub async fn captures(conn: &mut PgConnection, table: Option<&str>) -> Result<Vec<Value>, Error> {
    let sql = "select pg_catalog.jsonb_build_object('table', \
                  coalesce(case when r.oid is not null then pg_catalog.format('%I.%I', n.nspname, r.relname) end, k.table_name, c.target::oid::text), \
                  'aggregate_type', c.aggregate_type, 'aggregate_id', c.aggregate_id, 'include', c.include, 'exclude', c.exclude, \
                  'redact', c.redact, 'event_types', c.event_types, 'event_name_style', c.event_name_style, 'payload', c.payload, \
                  'on_failure', c.on_failure, 'baseline', c.baseline, 'replication', c.replication, 'state', c.state, \
                  'captured_since', pg_catalog.to_char(c.captured_since at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
                  'pending_failures', c.pending_failures)::text \
           from domain_events.captures c left join domain_events.capture_config k on k.relation = c.target \
           left join pg_catalog.pg_class r on r.oid = c.target left join pg_catalog.pg_namespace n on n.oid = r.relnamespace \
          where $1::text is null or c.target = pg_catalog.to_regclass($1) \
             or k.capture_id = domain_events._restored_capture(pg_catalog.to_regclass($1)) order by 1";
    let rows: Vec<(String,)> = as_owner::ask_store(conn, sql, "capture text", &[table], "reading the captures").await?;
    rows.iter().map(|(row,)| serde_json::from_str(row).map_err(|e| Error::json("a capture", e))).collect()
}

pub async fn state(conn: &mut PgConnection, target: &Target) -> Result<Option<String>, Error> {
    let found = captures(conn, Some(&target.name)).await?;
    Ok(found.first().and_then(|capture| capture["state"].as_str()).map(str::to_owned))
}

/// The capture as it is now, in JSON; a sentence for people.
pub async fn report(conn: &mut PgConnection, target: &Target, sentence: &str, ctx: &Context) -> Result<Exit, Error> {
    if ctx.out.is_json() {
        let found = captures(conn, Some(&target.name)).await?;
        ctx.out.json(found.first().unwrap_or(&Value::Null))?;
    } else {
        ctx.out.line(sentence)?;
    }
    Ok(Exit::Clean)
}
