//! Carrying out a plan, completing it, taking it back. Each is one transaction: locks first, then the check that nothing
//! has changed, then the changes and their journal; a process that dies leaves the old state or the new one.

pub mod adoption;
mod drift;
pub mod journal;
mod name;
mod renamed;
pub(crate) mod roles;
mod rollback;
pub(crate) mod state;

use std::time::{Duration, Instant};

use sqlx::PgConnection;

pub use drift::check as check_drift;
pub use rollback::{changed_since, leave_whole, rollback};

use crate::blockers::Mode;
use crate::context::Context;
use crate::db;
use crate::error::Error;
use crate::locks;
use crate::plan::{Kind, Plan, Statement};

/// What `apply --finish` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// Statements that ran.
    pub statements: usize,
}

/// Carries out the steps of a plan, then moves the events of the tables it adopts. The caller has checked it with
/// [`check_drift`], unless it was begun before.
pub async fn apply(conn: &mut PgConnection, plan: &Plan, lock_timeout_ms: u32, ctx: &Context) -> Result<usize, Error> {
    alone(conn, async |conn| {
        let done = adoption::done_transactions(conn, plan).await?;
        let checked = adoption::check(conn, plan, &done, ctx).await?;
        let count = steps(conn, plan, &done, &checked, lock_timeout_ms, ctx).await?;
        if !plan.adoptions.is_empty() {
            let events = adoption::complete(conn, plan, "moved", lock_timeout_ms, ctx).await?;
            adoption::mark_applied(conn, plan).await?;
            ctx.out.note(format!("{events} events were moved into the store"));
        }
        Ok(count)
    })
    .await
}

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

async fn steps(
    conn: &mut PgConnection,
    plan: &Plan,
    carried_out: &[u32],
    checked: &[adoption::Checked<'_>],
    lock_timeout_ms: u32,
    ctx: &Context,
) -> Result<usize, Error> {
    let mut done = 0;
    let transactions: Vec<u32> = {
        let mut numbers: Vec<u32> = plan.steps.iter().map(|s| s.transaction).collect();
        numbers.dedup();
        numbers.retain(|n| !carried_out.contains(n));
        numbers
    };
    for (n, number) in transactions.iter().enumerate() {
        // an adoption goes on after its step
        let last = n + 1 == transactions.len() && plan.adoptions.is_empty();
        let steps = || plan.steps.iter().filter(|s| s.transaction == *number);
        let locks: Vec<&str> = steps().flat_map(|s| s.locks.iter().map(String::as_str)).collect();
        let exclusive: Vec<&str> = steps().flat_map(|s| s.exclusive.iter().map(String::as_str)).collect();
        let run = locks::with_locks(conn, &wanted(&exclusive, &locks), lock_timeout_ms, ctx, async |conn| {
            prepare(conn).await?;
            take_locks(conn, &exclusive, Mode::AccessExclusive, lock_timeout_ms).await?;
            take_locks(conn, &locks, Mode::ShareRowExclusive, lock_timeout_ms).await?;
            if n == 0 && carried_out.is_empty() {
                state::expect_before(conn, plan).await?;
            }
            for (legacy, last) in checked.iter().filter(|(l, _)| exclusive.contains(&l.view_name().as_str())) {
                legacy.check_new_rows(conn, *last).await?;
            }
            journal::plan_state(conn, plan, if last { "applied" } else { "applying" }).await?;
            let mut count = 0;
            for step in steps() {
                for statement in &step.statements {
                    run_statement(conn, plan, "apply", &step.title, statement, &statement.sql).await?;
                    count += 1;
                }
            }
            Ok(count)
        })
        .await;
        done += run?;
    }
    Ok(done)
}

/// Drops what an applied plan has disabled, or what a plan that was rolled back had made.
pub async fn finish(
    conn: &mut PgConnection,
    plan: &Plan,
    lock_timeout_ms: u32,
    ctx: &Context,
) -> Result<Finished, Error> {
    let statements = alone(conn, async |conn| dropped(conn, plan, lock_timeout_ms, ctx).await).await?;
    Ok(Finished { statements })
}

async fn dropped(conn: &mut PgConnection, plan: &Plan, lock_timeout_ms: u32, ctx: &Context) -> Result<usize, Error> {
    let tables: Vec<&str> = plan.finish.iter().chain(&plan.clear).filter_map(|s| s.object.table.as_deref()).collect();
    locks::with_locks(conn, &wanted(&tables, &[]), lock_timeout_ms, ctx, async |conn| {
        prepare(conn).await?;
        let state = journal::state_of(conn, &plan.plan_id).await?;
        let (statements, next) = match state.as_deref() {
            Some("applied") => (&plan.finish, "finished"),
            Some("rolled_back") => (&plan.clear, "rolled_back"),
            Some("finished") => return Ok(0),
            _ => {
                return Err(Error::refused(
                    "55000",
                    format!("plan {} was not applied here", plan.plan_id),
                    "Run `domain-events apply FILE` first; `domain-events status` lists the plans of this database.",
                ));
            }
        };
        let tables: Vec<&str> = statements.iter().filter_map(|s| s.object.table.as_deref()).collect();
        take_locks(conn, &tables, Mode::AccessExclusive, lock_timeout_ms).await?;
        let mut count = 0;
        for statement in statements {
            let now = state::read(conn, &statement.object).await?;
            let Some(now) = now else { continue };
            if statement.object.kind == Kind::Trigger && now.enabled.as_deref() != Some("D") {
                return Err(Error::drift(
                    format!("{} is enabled, so it is not dropped", statement.object.identity()),
                    "Somebody enabled it after the plan ran. Disable it, or roll the plan back.",
                ));
            }
            run_statement(conn, plan, "finish", "drop what is no longer needed", statement, &statement.sql).await?;
            count += 1;
        }
        journal::plan_state(conn, plan, next).await?;
        Ok(count)
    })
    .await
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
        "set local check_function_bodies = off; set local quote_all_identifiers = off; \
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

async fn run_statement(
    conn: &mut PgConnection,
    plan: &Plan,
    action: &str,
    step: &str,
    statement: &Statement,
    sql: &str,
) -> Result<(), Error> {
    let before = state::read(conn, &statement.object).await?;
    roles::run(conn, plan, statement, sql, &format!("{step}: {}", statement.object.identity())).await?;
    let after = state::read(conn, &statement.object).await?;
    journal::entry(conn, plan, action, step, statement, sql, before.as_ref(), after.as_ref()).await
}
