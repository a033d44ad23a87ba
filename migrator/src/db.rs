//! Statements and transactions.

use std::time::Duration;

use rand::RngExt;
use sqlx::PgConnection;

use crate::error::{Doing, Error};

/// What the meaning of our own statements depends on, and the names that the server writes: whatever a role, a database or
/// code of a user's has set, a name is found in the catalogue alone, comes out qualified, and in quotes only where it must.
pub const SETTINGS: &str = "set local search_path = pg_catalog, pg_temp; set local standard_conforming_strings = on; \
     set local quote_all_identifiers = off; set local client_encoding = 'UTF8'";

/// What the text of a value depends on.
pub const RENDERING: &str = "set local timezone = 'UTC'; set local datestyle = 'ISO, YMD'; set local intervalstyle = 'postgres'; \
     set local extra_float_digits = 1; set local bytea_output = 'hex'";

/// Where names are looked for: only in the catalogue. An empty path would find types and tables of `pg_temp` first.
pub const PATH: &str = "pg_catalog, pg_temp";

/// No timeout of a role, a database or the server ends the rest of the transaction. In one message with its beginning.
pub const UNLIMITED: &str =
    "set local statement_timeout = 0; set local lock_timeout = 0; set local idle_in_transaction_session_timeout = 0";

/// Runs one or more statements that carry no parameters.
pub async fn execute(conn: &mut PgConnection, sql: &str, doing: &str) -> Result<(), Error> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(conn).await.doing(doing)?;
    Ok(())
}

/// Begins a transaction in which the server itself refuses every write; end it with `rollback`.
pub async fn begin_read_only(conn: &mut PgConnection) -> Result<(), Error> {
    execute(conn, "begin isolation level repeatable read, read only", "beginning a read-only transaction").await
}

/// Makes the rest of the transaction independent of the role's settings.
pub async fn pin_settings(conn: &mut PgConnection) -> Result<(), Error> {
    execute(conn, SETTINGS, "pinning the settings").await
}

/// Pins what the text of a value depends on, so that a key reads the same in every session.
pub async fn pin_rendering(conn: &mut PgConnection) -> Result<(), Error> {
    execute(conn, RENDERING, "pinning the settings").await
}

/// Pins both for the rest of the session.
pub async fn pin_session(conn: &mut PgConnection) -> Result<(), Error> {
    execute(conn, &format!("{SETTINGS}; {RENDERING}").replace("set local ", "set "), "pinning the settings").await
}

/// Ends the current transaction without keeping anything.
pub async fn rollback(conn: &mut PgConnection) -> Result<(), Error> {
    execute(conn, "rollback", "rolling back").await
}

/// A pause that is another in each session, so that those who wait for each other do not try again together.
pub fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..1.5))
}
