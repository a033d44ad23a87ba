//! Whether a connection leads to the server itself, or to a pooler that may hand every transaction to another server process.
//!
//! The tool keeps things for the length of a session: its settings, its advisory lock, temporary functions. Behind pgbouncer in
//! transaction mode a SET would reach the next client instead, so nothing is set before this is known.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use crate::error::server_error;

/// A setting that is given in the start-up packet: where it does not arrive, somebody stands between.
pub const MARK: &str = "domain_events_cli.session";
/// How long the second of two connections may wait for a server process.
const PATIENCE: Duration = Duration::from_secs(2);

/// What stands between the tool and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// Nothing, or a pooler that keeps one server process for a connection.
    Session,
    /// A pooler that does not, or that does not tell.
    Transaction,
}

/// Whether the server refused options in the start-up packet, as pgbouncer does.
pub fn refuses_options(error: &sqlx::Error) -> bool {
    server_error(error).is_some_and(|e| e.code() == "08P01" && e.message().contains("startup parameter"))
        || error.to_string().contains("unsupported startup parameter")
}

/// Whether the mark has arrived.
pub async fn is_marked(conn: &mut PgConnection, mark: &str) -> Result<bool, sqlx::Error> {
    let found = one(conn, &format!("select pg_catalog.current_setting('{MARK}', true)")).await?;
    Ok(found.as_deref() == Some(mark))
}

/// Two connections, of which one is in a transaction: where the other one changes its server process, they share them.
pub async fn between(conn: &mut PgConnection, options: &PgConnectOptions) -> Result<Between, sqlx::Error> {
    let ask = "select pg_catalog.pg_backend_pid()::pg_catalog.text";
    // none may begin one in statement mode
    let Ok(first) = one(conn, &format!("begin; {ask}")).await else { return Ok(Between::Transaction) };
    let other = tokio::time::timeout(PATIENCE, async {
        let mut other = options.connect().await?;
        let pid = one(&mut other, ask).await?;
        Ok::<_, sqlx::Error>((other, pid))
    })
    .await;
    one(conn, "rollback").await?;
    // without a second connection nothing is known
    let Ok(Ok((mut other, pid))) = other else { return Ok(Between::Transaction) };
    // three a round: a pool that deals its server processes out in turn would give each of two askers always the same
    for _ in 0..3 {
        if one(&mut other, ask).await? != pid || one(&mut other, ask).await? != pid || one(conn, ask).await? != first {
            return Ok(Between::Transaction);
        }
    }
    Ok(Between::Session)
}

/// The value that a statement gives, by the simple protocol: nothing is prepared.
async fn one(conn: &mut PgConnection, sql: &str) -> Result<Option<String>, sqlx::Error> {
    use sqlx::{Executor, Row};
    let rows = conn.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
    rows.first().map_or(Ok(None), |row| row.try_get(0))
}
