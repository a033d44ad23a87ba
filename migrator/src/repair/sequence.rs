//! A sequence of positions that is behind the events, after a restore, a switch-over or a setval(): every write fails or becomes
//! a dead letter until it is set forward.
//!
//! Who has drawn a position holds a lock on the sequence until its transaction ends. So whoever has the sequence to itself sees
//! every event that was given a position by it, and nobody draws one between the look and the change.

use serde::Serialize;
use sqlx::PgConnection;

use crate::context::Context;
use crate::db;
use crate::error::{Doing, Error};
use crate::locks;

/// The sequence.
pub const SEQUENCE: &str = "domain_events.events_global_position_seq";

/// Where a sequence stands that is behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// The position drawn last.
    pub stands_at: i64,
    /// The highest position of an event.
    pub events_up_to: i64,
    /// Whether the connected role may set it forward.
    #[serde(skip)]
    pub is_owner: bool,
}

/// What counts the store's own rows and is behind them; none too where this role may not look.
///
/// # Errors
/// When the server fails.
pub async fn counters_behind(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    let doing = "looking at the sequences of the store";
    let readable: bool =
        sqlx::query_scalar("select pg_catalog.has_function_privilege('domain_events._counters_behind()', 'execute')")
            .fetch_one(&mut *conn)
            .await
            .doing(doing)?;
    if !readable {
        return Ok(vec![]);
    }
    sqlx::query_scalar("select counter from domain_events._counters_behind()").fetch_all(conn).await.doing(doing)
}

/// Sets what counts the store's own rows forward; those that were behind.
///
/// # Errors
/// When a lock cannot be had, or the server fails.
pub async fn advance_counters(
    conn: &mut PgConnection,
    lock_timeout_ms: u32,
    ctx: &Context,
) -> Result<Vec<String>, Error> {
    locks::with_lock_retry(conn, lock_timeout_ms, ctx, async |conn| {
        sqlx::query_scalar("select domain_events.set_sequences()")
            .fetch_all(conn)
            .await
            .doing("setting the sequences of the store forward")
    })
    .await
}

/// Whether the sequence is behind; none too where this role may not look.
pub async fn behind(conn: &mut PgConnection) -> Result<Option<Behind>, Error> {
    let doing = "looking at the sequence of positions";
    let readable: bool = sqlx::query_scalar(
        "select pg_catalog.has_table_privilege('domain_events.events', 'select') \
            and pg_catalog.has_function_privilege('domain_events._sequence_findings()', 'execute')",
    )
    .fetch_one(&mut *conn)
    .await
    .doing(doing)?;
    if !readable {
        return Ok(None);
    }
    let found: Option<(i64, i64, bool)> = sqlx::query_as(
        "select domain_events._last_position() as stands_at, (select pg_catalog.max(e.global_position) from domain_events.events e) as events_up_to, \
                (select pg_catalog.pg_has_role(c.relowner, 'usage') from pg_catalog.pg_class c where c.oid = $1::regclass) as is_owner \
          where exists (select from domain_events._sequence_findings())",
    )
    .bind(SEQUENCE)
    .fetch_optional(conn)
    .await
    .doing(doing)?;
    Ok(found.map(|(stands_at, events_up_to, is_owner)| Behind { stands_at, events_up_to, is_owner }))
}

/// Sets the sequence forward; none when it was not behind any more.
pub async fn advance(conn: &mut PgConnection, lock_timeout_ms: u32, ctx: &Context) -> Result<Option<Behind>, Error> {
    locks::with_lock_retry(conn, lock_timeout_ms, ctx, async |conn| {
        // what it always has; it locks out who would draw a position
        let lock = format!("alter sequence {SEQUENCE} cache 1");
        db::execute(conn, &lock, "waiting for those who have drawn positions").await?;
        let Some(found) = behind(conn).await? else { return Ok(None) };
        sqlx::query("select pg_catalog.setval($1::regclass, greatest($2, domain_events._last_position()))")
            .bind(SEQUENCE)
            .bind(found.events_up_to)
            .execute(conn)
            .await
            .doing("setting the sequence of positions forward")?;
        Ok(Some(found))
    })
    .await
}
