//! Carrying out a plan, completing it, taking it back. Each is one transaction: locks first, then the check that nothing
//! has changed, then the changes and their journal; a process that dies leaves the old state or the new one.

pub mod adoption;
mod drift;
pub mod journal;
mod locking;
mod name;
pub(crate) mod roles;
mod rollback;
pub(crate) mod state;

use sqlx::PgConnection;

pub use drift::check as check_drift;
pub(crate) use locking::{alone, prepare, take_locks, wanted};
pub use rollback::{changed_since, leave_whole, rollback};

use crate::blockers::Mode;
use crate::context::Context;
use crate::error::Error;
use crate::locks;
use crate::plan::{ObjectKind, Plan, Statement};

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
        let checked = adoption::check(conn, plan, &done, lock_timeout_ms, ctx).await?;
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
            let mut adopted = vec![];
            for (legacy, checked) in checked.iter().filter(|(l, _)| exclusive.contains(&l.view_name().as_str())) {
                adopted.push((legacy, checked, legacy.check_new_rows(conn, checked).await?));
            }
            journal::plan_state(conn, plan, if last { "applied" } else { "applying" }).await?;
            let mut count = 0;
            for step in steps() {
                for statement in &step.statements {
                    run_statement(conn, plan, "apply", &step.title, statement, &statement.sql).await?;
                    count += 1;
                }
            }
            for (legacy, checked, new) in adopted {
                legacy.bring_newest(conn, &plan.plan_id, checked, new).await?;
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
            if statement.object.kind == ObjectKind::Trigger && now.enabled.as_deref() != Some("D") {
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
