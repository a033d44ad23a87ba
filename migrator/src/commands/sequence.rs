//! `repair --sequence`.

use serde_json::json;

use crate::as_owner;
use crate::cli::RepairArgs;
use crate::connect::connect;
use crate::context::Context;
use crate::db;
use crate::engine_sql::EVENTS;
use crate::error::{Error, Exit};
use crate::repair::{self, Behind};
use crate::store;

/// Sets the sequence of positions forward, after showing by how much.
pub async fn run(args: &RepairArgs, ctx: &Context) -> Result<Exit, Error> {
    let mut conn = connect(ctx).await?;
    as_owner::expect_own_store(&mut conn, "repair anything").await?;
    store::inspect(&mut conn).await?.check_usable()?;
    db::begin_read_only(&mut conn).await?;
    let found = repair::behind(&mut conn).await;
    let counters = repair::counters_behind(&mut conn).await;
    db::rollback(&mut conn).await?;
    let (found, counters) = (found?, counters?);
    if found.is_none() && counters.is_empty() {
        if ctx.out.is_json() {
            ctx.out.json(&json!({"sequence": null, "counters": [], "state": "sound"}))?;
        } else {
            ctx.out.line("The sequence of positions is not behind the events, nor another behind the store's rows, as far as this role may see them")?;
        }
        return Ok(Exit::Clean);
    }
    if !ctx.out.is_json() {
        tell_sequences(found.as_ref(), &counters, ctx)?;
    }
    let pending = |ctx: &Context| -> Result<Exit, Error> {
        if ctx.out.is_json() {
            ctx.out.json(&json!({"sequence": found, "counters": counters, "state": "pending"}))?;
        }
        ctx.out.note("nothing was changed");
        Ok(Exit::Pending)
    };
    if args.dry_run {
        return pending(ctx);
    }
    if found.as_ref().is_some_and(|f| !f.is_owner) {
        return Err(Error::refused(
            "42501",
            "only the owner of the store may set its sequence",
            "Run it as the owner of schema domain_events.",
        ));
    }
    let question = match &found {
        Some(found) => format!("Set the sequence to {}?", found.events_up_to),
        None => "Set them forward?".into(),
    };
    if !ctx.out.confirm(&question, args.confirm.yes)? {
        return pending(ctx);
    }
    let done = match found {
        Some(_) => repair::advance(&mut conn, args.lock.lock_timeout, ctx).await?,
        None => None,
    };
    let set = match counters.is_empty() {
        true => vec![],
        false => repair::advance_counters(&mut conn, args.lock.lock_timeout, ctx).await?,
    };
    if ctx.out.is_json() {
        ctx.out.json(&json!({"sequence": done, "counters": set, "state": "applied"}))?;
    } else {
        match &done {
            Some(done) => ctx.out.line(format!("the next event gets position {}", done.events_up_to + 1))?,
            None if found.is_some() => ctx.out.line("somebody else has set it forward already")?,
            None => {}
        }
        set.iter().try_for_each(|counter| ctx.out.line(format!("{counter} is set forward")))?;
    }
    ctx.out.hint("What became a dead letter meanwhile: select domain_events.retry_capture_failures();");
    Ok(Exit::Clean)
}

pub fn tell_sequences(found: Option<&Behind>, counters: &[String], ctx: &Context) -> Result<(), Error> {
    found.into_iter().try_for_each(|found| tell_sequence(found, ctx))?;
    counters.iter().try_for_each(|counter| {
        ctx.out.line(format!("counter_behind {counter}: rows of the store were restored or replicated without it, and what needs a new number fails"))
    })
}

fn tell_sequence(found: &Behind, ctx: &Context) -> Result<(), Error> {
    ctx.out.line(format!(
        "sequence_behind {}: the sequence of positions stands at {}, and events have positions up to {}: writes fail or become dead letters until it is set to {}",
        EVENTS, found.stands_at, found.events_up_to, found.events_up_to
    ))
}
