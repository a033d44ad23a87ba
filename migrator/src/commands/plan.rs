//! `plan`.

use rand::RngExt;
use serde_json::json;
use sqlx::PgConnection;

use crate::apply::{adoption, journal};
use crate::cli::{PlanArgs, Strategy as Chosen};
use crate::commands::from::Origin;
use crate::connect::connect;
use crate::context::Context;
use crate::error::{Doing, Error, Exit};
use crate::from_mysql;
use crate::judge::{self, Strategy};
use crate::plan::{self, Brought, Choices, Plan, bring};
use crate::source::{self, Catalogue};

/// Runs the verb.
pub async fn run(args: &PlanArgs, ctx: &Context) -> Result<Exit, Error> {
    plan::check_out(&args.out, args.revise.as_deref())?;
    let earlier = args.revise.as_deref().map(plan::read).transpose()?;
    let replaced = earlier.as_ref().filter(|_| args.out.exists()).map(|p| p.plan_id.clone());
    let translates = args.from.is_some() || earlier.as_ref().is_some_and(|p| !p.translated.is_empty());
    if translates && !args.adopt.is_empty() {
        return Err(Error::usage(
            "one plan cannot both translate triggers and adopt an event table: they would write into a table that becomes a view under them",
            "Adopt first: domain-events plan --adopt=NAME, then apply; then plan --from. Or bring the events with: domain-events import --events",
        ));
    }
    let mut conn = connect(ctx).await?;
    if let Some(id) = &replaced {
        refuse_applied(&mut conn, id).await?;
    }
    let now: String =
        sqlx::query_scalar("select pg_catalog.to_char(pg_catalog.now() at time zone 'UTC', 'YYYYMMDD-HH24MISS')")
            .fetch_one(&mut conn)
            .await
            .doing("asking for the time")?;
    let mut catalogue = source::read(&mut conn).await?;
    catalogue.treats = earlier.as_ref().map(|p| p.treat.clone()).unwrap_or_default();
    super::treats::put(&args.treats, &mut catalogue)?;
    let mut brought = match &args.from {
        Some(from) => from_mysql(from, args, &catalogue, ctx).await?,
        None => earlier.as_ref().map(|p| p.translated.clone()).unwrap_or_default(),
    };
    let report = if brought.is_empty() {
        judge::judge(&catalogue)
    } else {
        bring::expect_absent(&catalogue, &brought)?;
        let report = bring::judged(&mut catalogue, &brought)?;
        bring::refuse_views(&catalogue, &report, &mut brought);
        report
    };
    let strategies = args.strategies.iter().map(|(name, chosen)| (name.clone(), strategy(*chosen))).collect();
    let choices = Choices { strategies, adopt: args.adopt.clone(), earlier, brought, ..Choices::default() };
    let plan_id = format!("{now}-{:04x}", rand::rng().random::<u16>());
    let made = plan::build(&catalogue, &report, &choices, &plan_id)?;
    if catalogue.store.is_some() && !made.adoptions.is_empty() {
        // what apply would refuse is refused before anybody reviews it
        adoption::check_tables(&mut conn, &made, &[], ctx).await?;
        if let Err(error) = adoption::demand_store_owner(&mut conn).await {
            ctx.out.warn(format!("apply will refuse to run as this role: {error}"));
        }
    }
    // it may have come there meanwhile
    plan::check_out(&args.out, args.revise.as_deref())?;
    plan::write(&made, &args.out)?;
    tell(&made, args, ctx)?;
    if catalogue.store.is_none() && made.has_steps() {
        ctx.out.warn("the event store is not installed here, or this role may not see it; apply needs it");
        ctx.out.hint("Run: domain-events install");
    }
    Ok(if made.ports.is_empty() && !made.has_steps() { Exit::Clean } else { Exit::Pending })
}

/// The file of a plan that was applied is what `apply --finish` and `verify` are given.
async fn refuse_applied(conn: &mut PgConnection, plan_id: &str) -> Result<(), Error> {
    let there: bool = sqlx::query_scalar("select pg_catalog.to_regclass('domain_events.migration_plans') is not null")
        .fetch_one(&mut *conn)
        .await
        .doing("looking for the journal")?;
    if !there {
        return Ok(());
    }
    match journal::state_of(conn, plan_id).await?.as_deref() {
        Some(state @ ("applied" | "applying" | "finished")) => Err(Error::refused(
            "55000",
            format!("plan {plan_id} is {state} here: its file is not replaced"),
            "Write the revised plan to another file: --out FILE",
        )),
        _ => Ok(()),
    }
}

/// Everything of a source that is to be created in this database.
async fn from_mysql(from: &str, args: &PlanArgs, target: &Catalogue, ctx: &Context) -> Result<Vec<Brought>, Error> {
    let origins = super::from::read(from, args.dialect, ctx).await?;
    let of_mysql = origins.into_iter().find_map(|origin| match origin {
        Origin::MySql(source) => Some(source),
        Origin::Postgres(..) => None,
    });
    let Some(source) = of_mysql else {
        return Err(Error::usage(
            "a plan for triggers of PostgreSQL is made from their database",
            "Leave --from out and name the database with DATABASE_URL or --database-url.",
        ));
    };
    for problem in &source.problems {
        ctx.out.warn(format!("not read: {problem}"));
    }
    for missing in &source.missing {
        ctx.out.warn(missing.to_string());
    }
    let moved = from_mysql::port::port(&source, target, from)?;
    for note in &moved.left_out {
        ctx.out.note(note);
    }
    for (variable, setting) in &moved.settings {
        ctx.out.warn(format!(
            "{variable} becomes the setting {setting}: the application has to SET it, or its value is lost"
        ));
    }
    Ok(moved.brought)
}

fn strategy(chosen: Chosen) -> Strategy {
    match chosen {
        Chosen::Shim => Strategy::Shim,
        Chosen::Rewrite => Strategy::Rewrite,
        Chosen::Capture => Strategy::Capture,
    }
}

fn tell(made: &Plan, args: &PlanArgs, ctx: &Context) -> Result<(), Error> {
    if ctx.out.is_json() {
        return ctx.out.json(&json!({
            "plan_id": made.plan_id,
            "file": args.out.display().to_string(),
            "ports": made.ports,
            "adoptions": made.adoptions,
            "translated": made.translated,
            "steps": made.steps,
        }));
    }
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    if made.ports.is_empty() && made.adoptions.is_empty() && made.translated.is_empty() {
        ctx.out.line("Nothing needs work; the plan is empty.")?;
    } else if !made.ports.is_empty() {
        let header = ["CODE", "TRIGGER", "TABLE", "EVENT TABLE", "STRATEGY"];
        let rows = made.ports.iter().map(|p| {
            vec![
                p.code.clone(),
                p.trigger.clone().unwrap_or_else(|| dash(&p.function)),
                dash(&p.table),
                dash(&p.event_table),
                p.strategy.name().into(),
            ]
        });
        ctx.out.table(&header, rows)?;
    }
    for legacy in &made.adoptions {
        ctx.out.line(format!(
            "{} becomes a view over the event store; columns that stay with it alone: {}",
            legacy.view_name(),
            legacy.free_columns().join(", ")
        ))?;
    }
    for one in made.translated.iter().filter(|b| b.kind != "helper") {
        let fate = if one.refused.is_empty() { "translated" } else { "NOT translated" };
        ctx.out.line(format!("{} {}: {fate}", one.kind, one.name))?;
        for difference in one.declared.iter().chain(&one.refused) {
            ctx.out.line(format!("  {difference}"))?;
        }
    }
    for port in made.ports.iter().filter(|p| p.strategy == Strategy::Manual) {
        let name = port.trigger.as_ref().or(port.function.as_ref()).or(port.event_table.as_ref());
        ctx.out.warn(format!(
            "{} {} is left to you: {}",
            port.code,
            name.map_or("-", String::as_str),
            port.reasons.join("; ")
        ));
    }
    let statements: usize = made.steps.iter().map(|s| s.statements.len()).sum();
    ctx.out.note(format!("plan {} with {statements} statements written to {}", made.plan_id, args.out.display()));
    if statements > 0 {
        ctx.out.hint(format!("Review it, then: domain-events apply {}", args.out.display()));
    }
    Ok(())
}
