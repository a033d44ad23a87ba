//! `verify`.

use serde_json::json;

use crate::apply::journal;
use crate::as_owner;
use crate::cli::VerifyArgs;
use crate::connect::{connect, connect_to};
use crate::context::Context;
use crate::error::{Error, Exit};
use crate::plan::{self, Plan};
use crate::verify::{self, Check, Verdict, recorded};

/// Runs the verb.
pub async fn run(args: &VerifyArgs, ctx: &Context) -> Result<Exit, Error> {
    let mut plans: Vec<Plan> = args.file.as_deref().map(plan::read).transpose()?.into_iter().collect();
    if plans.is_empty() {
        let mut conn = connect(ctx).await?;
        journal::expect(&mut conn).await?;
        as_owner::expect_own_store(&mut conn, "verify what is written in it").await?;
        plans = journal::applied(&mut conn).await?;
        if plans.is_empty() {
            return Err(Error::refused(
                "55000",
                "no plan is applied here",
                "Name a plan file: domain-events verify FILE",
            ));
        }
    }
    let mut conn = match &args.against {
        Some(url) => connect_to(url, ctx).await?,
        None => connect(ctx).await?,
    };
    journal::expect(&mut conn).await?;
    if args.against.is_some() {
        as_owner::expect_own_store(&mut conn, "carry a plan out in it").await?;
    }
    let recorded = match &args.changes {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| Error::io(path.display().to_string(), e))?;
            recorded::read(&text, &path.display().to_string())?
        }
        None => vec![],
    };
    let mut checks = vec![];
    for plan in &plans {
        plan::check_decided(plan)?;
        journal::expect_same(&mut conn, plan).await?;
        checks.extend(verify::verify(&mut conn, plan, args.against.is_some(), &recorded, ctx).await?);
    }
    tell(&checks, ctx)?;
    let bad = checks.iter().filter(|c| c.verdict != Verdict::Equal).count();
    let left = plans.iter().any(Plan::has_manual);
    if left {
        ctx.out.warn("some statements are left to strategy manual; they were not replayed");
    }
    Ok(if bad == 0 && !left { Exit::Clean } else { Exit::Pending })
}

fn tell(checks: &[Check], ctx: &Context) -> Result<(), Error> {
    if ctx.out.is_json() {
        return ctx.out.json(&json!({ "checks": checks }));
    }
    if checks.is_empty() {
        return ctx.out.line("The plan ports nothing.");
    }
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let header = ["TRIGGER", "TABLE", "STRATEGY", "CHANGES", "EVENTS", "RESULT"];
    let rows = checks.iter().map(|c| {
        vec![
            dash(&c.trigger),
            dash(&c.table),
            c.strategy.name().into(),
            c.changes.to_string(),
            c.events.to_string(),
            c.verdict.name().into(),
        ]
    });
    ctx.out.table(&header, rows)?;
    for check in checks {
        for declared in &check.declared {
            ctx.out.line(format!("  declared: {declared}"))?;
        }
        for difference in check.differences.iter().take(20) {
            ctx.out.line(format!("  {}: {difference}", check.verdict.name()))?;
        }
        if check.differences.len() > 20 {
            ctx.out.line(format!("  and {} more", check.differences.len() - 20))?;
        }
    }
    Ok(())
}
