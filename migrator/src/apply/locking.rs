//! What every transaction of the tool begins with: its settings, and all its locks.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::name;
use crate::blockers::Mode;
use crate::db;
use crate::error::Error;
use crate::locks;

/// Runs `work` while no other command of the tool changes this database. Not left to the end of the connection: the server
/// may notice that only after the next command has begun.
pub(crate) async fn alone<T>(
    conn: &mut PgConnection,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Error>,
) -> Result<T, Error> {
    locks::lock_for_session(conn).await?;
    let done = work(conn).await;
    // a connection that is broken holds nothing any more
    let released = db::execute(conn, "select pg_catalog.pg_advisory_unlock_all()", "releasing the tool's lock").await;
    done.and_then(|value| released.map(|()| value))
}

/// The locks of a transaction, for naming who holds them.
pub(crate) fn wanted<'a>(exclusive: &[&'a str], locks: &[&'a str]) -> Vec<(&'a str, Mode)> {
    let exclusive = exclusive.iter().map(|table| (*table, Mode::AccessExclusive));
    exclusive.chain(locks.iter().map(|table| (*table, Mode::ShareRowExclusive))).collect()
}

/// Settings for a transaction of the tool's: nothing depends on the session, and a process that hangs lets go.
pub(crate) async fn prepare(conn: &mut PgConnection) -> Result<(), Error> {
    db::pin_settings(conn).await?;
    db::execute(
        conn,
        "set local check_function_bodies = off; \
         set local idle_in_transaction_session_timeout = '5s'; set local client_min_messages = warning",
        "preparing the transaction",
    )
    .await
}

/// Takes all locks of a transaction, in the order given, within one lock_timeout altogether: whoever waits behind the first
/// lock does not wait for each of the others in turn.
pub(crate) async fn take_locks(
    conn: &mut PgConnection,
    tables: &[&str],
    mode: Mode,
    lock_timeout_ms: u32,
) -> Result<(), Error> {
    let end = Instant::now() + Duration::from_millis(lock_timeout_ms.into());
    for table in tables {
        name::expect_name(table)?;
        let left = end.saturating_duration_since(Instant::now()).as_millis().max(1);
        db::execute(
            conn,
            &format!("set local lock_timeout = {left}; lock table {table} in {} mode", mode.name()),
            &format!("locking {table}"),
        )
        .await?;
    }
    db::execute(conn, &format!("set local lock_timeout = {lock_timeout_ms}"), "setting lock_timeout").await
}
