//! The tool's own lock, and transactions that try again where a lock is not to be had.

use std::time::Duration;

use sqlx::PgConnection;

use crate::blockers::{self, Blocker, Mode};
use crate::context::Context;
use crate::db;
use crate::error::{Doing, Error};
use domain_events_sql::quote::quote_ident;

/// First key of the tool's own advisory lock: the bytes of "pgde". The second key is free for kinds of work.
const LOCK_CLASS: i32 = 0x7067_6465;
/// Second key: whatever changes the installation or the triggers of a database.
const LOCK_CHANGE: i32 = 1;
/// Tries of a transaction that could not get its locks.
const LOCK_TRIES: u32 = 10;

/// Takes the tool's advisory lock until the transaction ends, or fails with exit code 5.
pub async fn lock_for_transaction(conn: &mut PgConnection) -> Result<(), Error> {
    try_lock(conn, "select pg_catalog.pg_try_advisory_xact_lock($1, $2)").await
}

/// Takes the tool's advisory lock until the session ends, or fails with exit code 5.
pub async fn lock_for_session(conn: &mut PgConnection) -> Result<(), Error> {
    try_lock(conn, "select pg_catalog.pg_try_advisory_lock($1, $2)").await
}

async fn try_lock(conn: &mut PgConnection, sql: &'static str) -> Result<(), Error> {
    let got: bool = sqlx::query_scalar(sql)
        .bind(LOCK_CLASS)
        .bind(LOCK_CHANGE)
        .fetch_one(&mut *conn)
        .await
        .doing("taking the tool's advisory lock")?;
    if got {
        return Ok(());
    }
    let holder: Option<i32> = sqlx::query_scalar(
        "select pid from pg_catalog.pg_locks where locktype = 'advisory' and classid = $1::text::oid and objid = $2::text::oid \
         and objsubid = 2 and granted and database = (select oid from pg_catalog.pg_database \
         where datname = pg_catalog.current_database()) limit 1",
    )
    .bind(LOCK_CLASS.to_string())
    .bind(LOCK_CHANGE.to_string())
    .fetch_optional(conn)
    .await
    .doing("looking for the holder of the advisory lock")?;
    let who = holder.map(|pid| format!(" (server process {pid})")).unwrap_or_default();
    Err(Error::locked(
        format!("another domain-events command is changing this database{who}"),
        "Wait until it has ended, then run the command again.",
    ))
}

/// Runs `work` in a transaction with a `lock_timeout`; when a lock is not to be had, rolls back, pauses and tries again.
pub async fn with_lock_retry<T>(
    conn: &mut PgConnection,
    lock_timeout_ms: u32,
    ctx: &Context,
    work: impl AsyncFnMut(&mut PgConnection) -> Result<T, Error>,
) -> Result<T, Error> {
    with_locks(conn, &[], lock_timeout_ms, ctx, work).await
}

/// The same, for work that wants these locks: who holds one of them is named when it was not to be had.
pub async fn with_locks<T>(
    conn: &mut PgConnection,
    wanted: &[(&str, Mode)],
    lock_timeout_ms: u32,
    ctx: &Context,
    mut work: impl AsyncFnMut(&mut PgConnection) -> Result<T, Error>,
) -> Result<T, Error> {
    // those of the last try at which there were any: they may be gone a moment later
    let mut blockers: Vec<Blocker> = vec![];
    for attempt in 1.. {
        db::execute(conn, &format!("begin; set local lock_timeout = {lock_timeout_ms}"), "beginning a transaction")
            .await?;
        let error = match work(conn).await {
            Ok(value) => match db::execute(conn, "commit", "committing").await {
                Ok(()) => return Ok(value),
                Err(error) => error,
            },
            Err(error) => error,
        };
        // a broken connection cannot be rolled back, and need not be: report the first error
        let rolled_back = db::rollback(conn).await.is_ok();
        if rolled_back && error.sqlstate().as_deref() == Some("25006") {
            return Err(read_only(conn, error).await);
        }
        if !rolled_back || !is_lock_failure(&error) {
            return Err(error);
        }
        let found = blockers::of(conn, wanted).await?;
        if !found.is_empty() {
            blockers = found;
        }
        let held = blockers::held_by(&blockers);
        if attempt == LOCK_TRIES {
            return Err(Error::locked(
                format!("{error}, {LOCK_TRIES} times within {lock_timeout_ms} ms each{held}; nothing was changed"),
                blockers::hint(&blockers),
            ));
        }
        ctx.out.note(format!("{error}{held}; trying again ({attempt} of {LOCK_TRIES})"));
        tokio::time::sleep(db::jitter(Duration::from_millis(50) * 2u32.pow(attempt.min(4)))).await;
    }
    Err(Error::locked("no attempt was made", ""))
}

/// Why the server takes no writes, and what to do about it.
async fn read_only(conn: &mut PgConnection, error: Error) -> Error {
    let known: Result<(bool, bool, String, String), _> = sqlx::query_as(
        "select pg_catalog.pg_is_in_recovery(), s.setting = 'on', s.source, pg_catalog.current_database()::text \
           from pg_catalog.pg_settings s where s.name = 'default_transaction_read_only'",
    )
    .fetch_one(conn)
    .await;
    let (why, hint) = match known {
        Ok((true, ..)) => (
            "the server is a standby".to_owned(),
            "Give the URL of the primary; status, scan, plan, verify and monitor work here too.".to_owned(),
        ),
        Ok((false, true, source, database)) => (
            format!("default_transaction_read_only is on ({source})"),
            format!(
                "Somebody made it so on purpose: ask, then take it back (alter database {} reset default_transaction_read_only; or alter role, or alter system), \
                 or for this command alone: PGOPTIONS='-c default_transaction_read_only=off'",
                quote_ident(&database)
            ),
        ),
        _ => return error,
    };
    Error::refused("25006", format!("{error}: {why}; nothing was changed"), hint)
}

/// Whether waiting and trying again can help: lock not available, or chosen as the victim of a deadlock.
pub fn is_lock_failure(error: &Error) -> bool {
    matches!(error.sqlstate().as_deref(), Some("55P03" | "40P01"))
}
