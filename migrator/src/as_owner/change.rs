//! Changing rows as their owner: changes that stay, and changes that are rolled back.

use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};

use super::forget_statements;
use super::owner::{Owner, Role};
use super::read::rows;
use crate::db::{self, PATH, SETTINGS};
use crate::error::{Doing, Error};
use domain_events_sql::quote::quote_literal;

/// Names of what is made for one statement.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Carries out statements that stay, as the owner, inside the caller's transaction; gives the number of rows that the last
/// of them changed. What a constraint would leave for the commit is checked at once.
pub async fn execute(conn: &mut PgConnection, owner: &Owner, sql: &str, doing: &str) -> Result<u64, Error> {
    execute_in(conn, owner, PATH, sql, doing).await
}

/// The same, with another `search_path` for the statement.
pub async fn execute_in(
    conn: &mut PgConnection,
    owner: &Owner,
    path: &str,
    sql: &str,
    doing: &str,
) -> Result<u64, Error> {
    let Some(other) = &owner.other else {
        if path == PATH {
            return Ok(sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(conn).await.doing(doing)?.rows_affected());
        }
        let look = |path: &str| format!("select pg_catalog.set_config('search_path', {}, true)", quote_literal(path));
        db::execute(conn, &look(path), doing).await?;
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *conn).await.doing(doing)?;
        db::execute(conn, &look(PATH), doing).await?;
        return Ok(done.rows_affected());
    };
    let statements = |outcome: &str| {
        format!(
            "perform pg_catalog.set_config('search_path', {path}, true); execute {sql}; get diagnostics changed = row_count; \
             insert into {outcome} values (changed);",
            path = quote_literal(path),
            sql = quote_literal(sql),
        )
    };
    let act = Act::begin(conn, other, "changed pg_catalog.int8", statements, doing).await?;
    // the table is ours: the owner may insert into it, and nothing else
    let changed: Option<i64> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select pg_catalog.max(o.changed) from {} o", act.outcome())))
            .persistent(false)
            .fetch_one(&mut *conn)
            .await
            .doing(doing)?;
    act.end(conn, other).await?;
    Ok(changed.unwrap_or_default().unsigned_abs())
}

/// Statements that were run as an owner by `refresh materialized view`, until what that needed is dropped.
pub(super) struct Act {
    schema: String,
}

impl Act {
    /// Runs statements of PL/pgSQL, which may insert into a table of these columns.
    pub(super) async fn begin(
        conn: &mut PgConnection,
        other: &Role,
        columns: &str,
        statements: impl Fn(&str) -> String,
        doing: &str,
    ) -> Result<Self, Error> {
        let role = &other.name;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // a name that nobody else has: what is looked up in it was made here
        let schema = format!("domain_events_as_owner_{}_{number}_{:016x}", std::process::id(), rand::random::<u64>());
        let act = Self { schema };
        let (schema, outcome) = (&act.schema, act.outcome());
        let body = format!(
            "declare changed pg_catalog.int8; begin set constraints all immediate; {} return null; end",
            statements(&outcome)
        );
        let run = format!(
            "{open}create schema {schema}; grant usage on schema {schema} to {role}; \
             create table {outcome} ({columns}); grant insert on {outcome} to {role}; \
             create function {schema}.run() returns pg_catalog.int4 language plpgsql volatile as {body}; \
             create materialized view {schema}.act as select {schema}.run() as nothing with no data; \
             alter materialized view {schema}.act owner to {role}; \
             refresh materialized view {schema}.act",
            open = other.open(),
            body = quote_literal(&body),
        );
        db::execute(conn, &run, doing).await?;
        forget_statements(conn, doing).await?;
        Ok(act)
    }

    /// The table with what came of it.
    pub(super) fn outcome(&self) -> String {
        format!("{}.outcome", self.schema)
    }

    pub(super) async fn end(self, conn: &mut PgConnection, other: &Role) -> Result<(), Error> {
        let drop =
            format!("set local client_min_messages = warning; drop schema {} cascade; {}", self.schema, other.close());
        db::execute(conn, &drop, "dropping what ran as the owner").await
    }
}

/// Carries out a statement as the owner in a transaction that the caller rolls back, whatever happens; gives the number of
/// rows that it changed. What it leaves for the commit is run too.
pub async fn staged(conn: &mut PgConnection, owner: &Owner, sql: &str) -> Result<u64, sqlx::Error> {
    let Some(other) = &owner.other else {
        let sql = format!("{sql};\nset constraints all immediate");
        return Ok(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.as_str())).execute(conn).await?.rows_affected());
    };
    // made anew: in the call before, its owner may have altered it
    let name = format!("pg_temp.domain_events_stage_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let make = format!(
        "{SETTINGS}; {open}\
         create function {name}(pg_catalog.text) returns pg_catalog.int8 language plpgsql volatile security definer \
         as 'declare changed pg_catalog.int8; begin execute $1; get diagnostics changed = row_count; set constraints all immediate; return changed; end'; \
         revoke all on function {name}(pg_catalog.text) from public; alter function {name}(pg_catalog.text) owner to {role}",
        open = other.open(),
        role = other.name,
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(make.as_str())).execute(&mut *conn).await?;
    let changed: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select {name}($1)")))
        .bind(sql)
        .persistent(false)
        .fetch_one(&mut *conn)
        .await?;
    sqlx::raw_sql(SETTINGS).execute(&mut *conn).await?;
    use sqlx::Connection as _;
    conn.clear_cached_statements().await?;
    sqlx::raw_sql("deallocate all").execute(&mut *conn).await?;
    Ok(changed.unsigned_abs())
}

/// Reads rows as the owner in a transaction that the caller rolls back; what it has done so far is seen.
pub async fn staged_rows<T>(
    conn: &mut PgConnection,
    owner: &Owner,
    sql: &str,
    columns: &str,
    doing: &str,
) -> Result<Vec<T>, Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    if owner.is_other() {
        db::execute(conn, SETTINGS, doing).await?;
    }
    rows(conn, owner, sql, columns, &[], doing).await
}
