//! `rollback`.

use serde_json::json;

use crate::apply::{self, journal};
use crate::cli::RollbackArgs;
use crate::commands::repair::is_repair;
use crate::connect::connect;
use crate::context::Context;
use crate::error::{Error, Exit};
use crate::{as_owner, repair};

/// Runs the verb.
pub async fn run(args: &RollbackArgs, ctx: &Context) -> Result<Exit, Error> {
    let mut conn = connect(ctx).await?;
    journal::expect(&mut conn).await?;
    as_owner::expect_own_store(&mut conn, "take a plan back").await?;
    let states = ["applied", "finished", "applying"];
    let Some((plan, state)) = journal::plan(&mut conn, args.plan_id.as_deref(), &states).await? else {
        return Err(match &args.plan_id {
            Some(id) => Error::refused(
                "55000",
                format!("plan {id} was never applied here"),
                "`domain-events status` lists the plans of this database.",
            ),
            None => Error::refused("55000", "no plan is applied here", "There is nothing to roll back."),
        });
    };
    if state == "rolled_back" {
        ctx.out.note(format!("plan {} is rolled back already", plan.plan_id));
        apply::leave_whole(&mut conn, &plan, args.lock.lock_timeout, ctx).await?;
        return report(ctx, &plan.plan_id, 0);
    }
    if !ctx.out.confirm(&format!("Roll back plan {}?", plan.plan_id), args.confirm.yes)? {
        ctx.out.note("nothing was changed");
        return Ok(Exit::Pending);
    }
    if is_repair(&plan) {
        let events = repair::undo(&mut conn, &plan, args.lock.lock_timeout, ctx).await?;
        ctx.out.note(format!("{events} events have their old version again"));
        let done = report(ctx, &plan.plan_id, events)?;
        // A repair is the newest plan right after a port, which is perhaps what was meant.
        if args.plan_id.is_none()
            && let Some((next, _)) = journal::plan(&mut conn, None, &states).await?
        {
            ctx.out.hint(format!(
                "That was the newest plan here, a repair. {} stays as it is; to take it back too: domain-events rollback {0}",
                next.plan_id
            ));
        }
        return Ok(done);
    }
    let statements = apply::rollback(&mut conn, &plan, args.lock.lock_timeout, ctx).await?;
    report(ctx, &plan.plan_id, statements)?;
    if !plan.clear.is_empty() {
        ctx.out.hint(format!(
            "What the plan had made is disabled; `domain-events apply --finish {}` drops it in a quiet moment.",
            plan.plan_id
        ));
    }
    Ok(Exit::Clean)
}

fn report(ctx: &Context, plan_id: &str, statements: usize) -> Result<Exit, Error> {
    if ctx.out.is_json() {
        ctx.out.json(&json!({"plan_id": plan_id, "state": "rolled_back", "statements": statements}))?;
    } else {
        ctx.out.line(format!("plan {plan_id}: rolled back, {statements} statements"))?;
    }
    Ok(Exit::Clean)
}
