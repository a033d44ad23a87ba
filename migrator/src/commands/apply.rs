//! `apply`.

use serde_json::json;
use sqlx::PgConnection;

use crate::apply::{self, journal};
use crate::as_owner;
use crate::cli::ApplyArgs;
use crate::connect::connect;
use crate::context::Context;
use crate::error::{Error, Exit};
use crate::plan::{self, Plan};

/// Runs the verb.
pub async fn run(args: &ApplyArgs, ctx: &Context) -> Result<Exit, Error> {
    // a plan is finished weeks later, when its file may be gone
    let id = args.file.to_str().filter(|id| args.finish && !args.file.exists() && !id.contains('/'));
    let read = match id {
        Some(_) => None,
        None => Some(plan::read(&args.file)?),
    };
    let mut conn = connect(ctx).await?;
    journal::expect(&mut conn).await?;
    as_owner::expect_own_store(&mut conn, "carry a plan out").await?;
    let plan = match read {
        Some(plan) => plan,
        None => of_journal(&mut conn, id).await?,
    };
    plan::check_decided(&plan)?;
    journal::expect_same(&mut conn, &plan).await?;
    let state = journal::state_of(&mut conn, &plan.plan_id).await?;
    if args.finish {
        return finish(&mut conn, &plan, args, ctx).await;
    }
    if matches!(state.as_deref(), Some("applied" | "finished")) {
        ctx.out.note(format!("plan {} is applied already", plan.plan_id));
        return report(ctx, &plan, state.as_deref().unwrap_or("applied"), 0);
    }
    // an adoption that was interrupted goes on
    let resumed = state.as_deref() == Some("applying") && !plan.adoptions.is_empty();
    if !resumed {
        apply::check_drift(&mut conn, &plan).await?;
    }
    if args.dry_run {
        return dry_run(&plan, ctx);
    }
    if !plan.has_steps() {
        ctx.out.note("the plan has no steps: nothing to do");
        return report(ctx, &plan, "empty", 0);
    }
    let question = if resumed {
        ctx.out.note(format!("plan {} was interrupted: it goes on", plan.plan_id));
        format!("Go on with plan {}?", plan.plan_id)
    } else {
        format!("Apply plan {} to database \"{}\"?", plan.plan_id, plan.database)
    };
    if !ctx.out.confirm(&question, args.confirm.yes)? {
        ctx.out.note("nothing was changed");
        return Ok(Exit::Pending);
    }
    let statements = apply::apply(&mut conn, &plan, args.lock.lock_timeout, ctx).await?;
    report(ctx, &plan, "applied", statements)
}

async fn of_journal(conn: &mut PgConnection, id: Option<&str>) -> Result<Plan, Error> {
    let found = journal::plan(conn, id, &[]).await?;
    found.map(|(plan, _)| plan).ok_or_else(|| {
        Error::refused(
            "55000",
            format!("there is no file {0}, and no plan {0} was applied here", id.unwrap_or_default()),
            "`domain-events status` lists the plans of this database.",
        )
    })
}

fn dry_run(plan: &Plan, ctx: &Context) -> Result<Exit, Error> {
    if ctx.out.is_json() {
        ctx.out.json(&json!({"plan_id": plan.plan_id, "steps": plan.steps}))?;
    } else {
        for step in &plan.steps {
            ctx.out.line(format!("-- {}", step.title))?;
            for table in &step.exclusive {
                ctx.out.line(format!("lock table {table} in access exclusive mode;"))?;
            }
            for table in &step.locks {
                ctx.out.line(format!("lock table {table} in share row exclusive mode;"))?;
            }
            for statement in &step.statements {
                ctx.out.line(format!("-- lock: {}; {}", statement.lock, statement.expected))?;
                ctx.out.sql(&statement.sql)?;
            }
        }
    }
    ctx.out.note(format!("plan {} fits this database; nothing was changed", plan.plan_id));
    Ok(if plan.has_steps() { Exit::Pending } else { Exit::Clean })
}

async fn finish(conn: &mut PgConnection, plan: &Plan, args: &ApplyArgs, ctx: &Context) -> Result<Exit, Error> {
    let state = journal::state_of(conn, &plan.plan_id).await?;
    let statements = if state.as_deref() == Some("rolled_back") { &plan.clear } else { &plan.finish };
    if args.dry_run {
        statements.iter().try_for_each(|s| ctx.out.sql(&s.sql))?;
        return Ok(if statements.is_empty() { Exit::Clean } else { Exit::Pending });
    }
    let question =
        format!("Drop what plan {} no longer needs? Readers of those tables wait for a moment.", plan.plan_id);
    if !ctx.out.confirm(&question, args.confirm.yes)? {
        ctx.out.note("nothing was changed");
        return Ok(Exit::Pending);
    }
    let finished = apply::finish(conn, plan, args.lock.lock_timeout, ctx).await?;
    let state = journal::state_of(conn, &plan.plan_id).await?;
    report(ctx, plan, state.as_deref().unwrap_or("finished"), finished.statements)
}

fn report(ctx: &Context, plan: &Plan, state: &str, statements: usize) -> Result<Exit, Error> {
    if ctx.out.is_json() {
        ctx.out.json(&json!({"plan_id": plan.plan_id, "state": state, "statements": statements}))?;
    } else {
        ctx.out.line(format!("plan {}: {state}, {statements} statements", plan.plan_id))?;
    }
    if state == "applied" && statements > 0 {
        ctx.out.hint(format!("Prove it: domain-events verify; take it back: domain-events rollback {}", plan.plan_id));
    }
    Ok(Exit::Clean)
}
