//! Taking a plan back.

use sqlx::PgConnection;

use super::{adoption, journal, prepare, run_statement, state, take_locks, wanted};
use crate::blockers::Mode;
use crate::context::Context;
use crate::error::Error;
use crate::locks;
use crate::plan::{ObjectKind, Plan, Statement};

/// Undoes an applied plan, newest statement first, and checks that every object is again what it was, byte for byte.
pub async fn rollback(
    conn: &mut PgConnection,
    plan: &Plan,
    lock_timeout_ms: u32,
    ctx: &Context,
) -> Result<usize, Error> {
    super::alone(conn, async |conn| {
        let count = undo(conn, plan, lock_timeout_ms, ctx).await?;
        leave_whole(conn, plan, lock_timeout_ms, ctx).await?;
        Ok(count)
    })
    .await
}

/// Stored events stay: what was adopted in part is completed, so that no stream of the store is left with gaps.
pub async fn leave_whole(
    conn: &mut PgConnection,
    plan: &Plan,
    lock_timeout_ms: u32,
    ctx: &Context,
) -> Result<(), Error> {
    if plan.adoptions.is_empty() {
        return Ok(());
    }
    adoption::complete(conn, plan, "withdrawn", lock_timeout_ms, ctx).await?;
    ctx.out.note("the legacy table is back, with every event; those in domain_events.events stay: stored events are never removed");
    Ok(())
}

async fn undo(conn: &mut PgConnection, plan: &Plan, lock_timeout_ms: u32, ctx: &Context) -> Result<usize, Error> {
    let exclusive: Vec<&str> = plan.steps.iter().flat_map(|s| s.exclusive.iter().map(String::as_str)).collect();
    let tables: Vec<&str> = plan.steps.iter().flat_map(|s| s.locks.iter().map(String::as_str)).collect();
    locks::with_locks(conn, &wanted(&exclusive, &tables), lock_timeout_ms, ctx, async |conn| {
        prepare(conn).await?;
        let state = journal::state_of(conn, &plan.plan_id).await?;
        let finished = match state.as_deref() {
            Some("finished") => true,
            Some("applied" | "applying") => false,
            _ => {
                return Err(Error::refused(
                    "55000",
                    format!("plan {} is not applied", plan.plan_id),
                    "`domain-events status` lists the plans of this database.",
                ));
            }
        };
        if finished && adoption::payload_is_gone(plan) {
            return Err(Error::refused(
                "55000",
                format!("plan {} is finished: the payload of its adopted events is in the store alone", plan.plan_id),
                "The view of the old name has every column and event: create a table from it if you need one. Nothing was changed.",
            ));
        }
        take_locks(conn, &exclusive, Mode::AccessExclusive, lock_timeout_ms).await?;
        let mut locks = tables.clone();
        if finished {
            locks.extend(plan.finish.iter().filter_map(|s| s.object.table.as_deref()));
        }
        let mut seen = vec![];
        locks.retain(|l| {
            !seen.contains(l) && {
                seen.push(l);
                true
            }
        });
        take_locks(conn, &locks, Mode::ShareRowExclusive, lock_timeout_ms).await?;
        let carried_out = adoption::done_transactions(conn, plan).await?;
        let steps = plan.steps.iter().filter(|s| carried_out.contains(&s.transaction));
        let done: Vec<&Statement> = steps.flat_map(|s| &s.statements).collect();
        let dropped: Vec<&Statement> = if finished { plan.finish.iter().collect() } else { vec![] };
        let touched: Vec<&Statement> = done.iter().chain(&dropped).copied().collect();
        unchanged(conn, plan, &touched).await?;
        let mut count = 0;
        // what finish dropped must be there again before its steps are undone
        for statement in dropped.into_iter().chain(done.into_iter().rev()) {
            if let Some(undo) = &statement.undo {
                run_statement(conn, plan, "rollback", "take it back", statement, undo).await?;
                count += 1;
            }
        }
        restored(conn, plan).await?;
        journal::plan_state(conn, plan, "rolled_back").await?;
        Ok(count)
    })
    .await
}

/// Whoever changed an object after the plan did would lose the change.
async fn unchanged(conn: &mut PgConnection, plan: &Plan, statements: &[&Statement]) -> Result<(), Error> {
    let changed = changed(conn, plan, statements).await?;
    if changed.is_empty() {
        return Ok(());
    }
    Err(Error::drift(
        format!("changed since plan {} was applied: {}", plan.plan_id, changed.join("; ")),
        "Nothing was touched. Take those changes back first, or undo the plan by hand with the definitions in domain_events.migration_journal.",
    ))
}

/// What is no longer as an applied plan left it. Wants an empty `search_path`.
pub async fn changed_since(conn: &mut PgConnection, plan: &Plan) -> Result<Vec<String>, Error> {
    let statements: Vec<&Statement> = plan.steps.iter().flat_map(|s| &s.statements).collect();
    changed(conn, plan, &statements).await
}

async fn changed(conn: &mut PgConnection, plan: &Plan, statements: &[&Statement]) -> Result<Vec<String>, Error> {
    let mut changed = vec![];
    for statement in statements {
        let object = &statement.object;
        let left = journal::left_as(conn, plan, object.kind, &object.identity()).await?;
        let now = state::read(conn, object).await?;
        if let Some(difference) = state::difference(left.as_ref(), now.as_ref()) {
            let line = format!("{} {} {difference}", object.kind.name(), object.identity());
            if !changed.contains(&line) {
                changed.push(line);
            }
        }
    }
    Ok(changed)
}

/// The promise of rollback, checked before it is committed.
async fn restored(conn: &mut PgConnection, plan: &Plan) -> Result<(), Error> {
    let touched = |kind: ObjectKind, name: &str, table: &Option<String>| {
        plan.steps
            .iter()
            .flat_map(|s| &s.statements)
            .any(|s| s.object.kind == kind && s.object.name == name && s.object.table == *table)
    };
    for object in plan.objects.iter().filter(|o| o.before.is_some() && touched(o.kind, &o.name, &o.table)) {
        let now = state::read(conn, &object.object_name()).await?;
        let definition = (
            object.before.as_ref().and_then(|s| s.definition.as_ref()),
            now.as_ref().and_then(|s| s.definition.as_ref()),
        );
        let same_text = definition.0 == definition.1;
        // the fingerprint of a trigger holds its function too, which is compared by itself
        if let Some(difference) = state::difference(object.before.as_ref(), now.as_ref())
            .or_else(|| (!same_text).then(|| "has another text".to_owned()))
        {
            return Err(Error::refused(
                "XX000",
                format!("{} {} could not be restored: it {difference}", object.kind.name(), object.name),
                "Nothing was changed. The old definitions are in the plan file and in domain_events.migration_journal.",
            ));
        }
    }
    Ok(())
}
