//! The part of a plan that no transaction could hold: before an event table becomes a view its events are checked, and
//! afterwards they are moved into the store in batches. Nobody waits for that, it may be killed at any moment, and the next run
//! goes on where it stopped.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::{journal, prepare};
use crate::adopt::{self, Adoption, Legacy};
use crate::as_owner::{self, Owner};
use crate::blockers::Mode;
use crate::context::Context;
use crate::db;
use crate::error::{Doing, Error};
use crate::locks;
use crate::plan::Plan;

/// How long a batch may take: so long a writer may wait for an event that is just being moved.
const BATCH: Duration = Duration::from_millis(100);
/// Rows of a batch that are never too many.
const FEW: i64 = 250;
/// Waits of a batch for events that a writer's open transaction has moved: well below deadlock_timeout, so that it is never
/// the writer who has to give way.
const WAIT_MS: u32 = 200;
/// How often a batch is tried while a writer's transaction stays open.
const TRIES: u32 = 300;

/// An event table whose rows were found to be fit, and what is known of it.
pub type Checked<'a> = (&'a Legacy, adopt::Checked);

/// Refuses event tables whose rows the store could not hold as they are. Those of the transactions `done` are views already.
pub async fn check<'a>(
    conn: &mut PgConnection,
    plan: &'a Plan,
    done: &[u32],
    lock_timeout_ms: u32,
    ctx: &Context,
) -> Result<Vec<Checked<'a>>, Error> {
    if !plan.adoptions.is_empty() {
        demand_store_owner(conn).await?;
    }
    for legacy in to_adopt(plan, done) {
        expect_ended(conn, legacy).await?;
        let name = legacy.view_name();
        as_owner::begin_read_only(conn, &[&name]).await?;
        let known = legacy.is_known(conn).await;
        db::rollback(conn).await?;
        if known? {
            settle(conn, &name, lock_timeout_ms, ctx).await?;
        }
    }
    check_tables(conn, plan, done, ctx).await
}

/// Waits until whoever is writing the table has ended. Rows that come after the check have numbers that were drawn after this.
async fn settle(conn: &mut PgConnection, table: &str, lock_timeout_ms: u32, ctx: &Context) -> Result<(), Error> {
    locks::with_locks(conn, &super::wanted(&[], &[table]), lock_timeout_ms, ctx, async |conn| {
        prepare(conn).await?;
        super::take_locks(conn, &[table], Mode::ShareRowExclusive, lock_timeout_ms).await
    })
    .await
}

/// Refuses a table of which an adoption that was rolled back is still moving events: the table would have two of them.
async fn expect_ended(conn: &mut PgConnection, legacy: &Legacy) -> Result<(), Error> {
    let moving: Option<(i64, Option<String>)> = sqlx::query_as(
        "select a.adoption_id, a.plan_id from domain_events.adoptions a \
          where a.state = 'moving' and a.event_table = pg_catalog.to_regclass($1) order by 1 limit 1",
    )
    .bind(legacy.view_name())
    .fetch_optional(conn)
    .await
    .doing("looking for adoptions that have not ended")?;
    let Some((adoption, plan)) = moving else { return Ok(()) };
    Err(Error::refused(
        "55000",
        format!("adoption {adoption} of {} was interrupted while it was taken back", legacy.view_name()),
        format!("Nothing was changed. Let it end first: domain-events rollback {}", plan.unwrap_or_default()),
    ))
}

/// The tables that the transactions `done` have not made views yet.
fn to_adopt<'a>(plan: &'a Plan, done: &[u32]) -> impl Iterator<Item = &'a Legacy> {
    plan.adoptions.iter().filter(|legacy| {
        let name = legacy.view_name();
        !plan.steps.iter().any(|s| done.contains(&s.transaction) && s.exclusive.contains(&name))
    })
}

/// The same for whoever only plans: another role may apply the plan.
pub async fn check_tables<'a>(
    conn: &mut PgConnection,
    plan: &'a Plan,
    done: &[u32],
    ctx: &Context,
) -> Result<Vec<Checked<'a>>, Error> {
    let mut tables = vec![];
    for legacy in to_adopt(plan, done) {
        let name = legacy.view_name();
        let bar = ctx.out.progress(0, format!("checking the events of {name}"));
        as_owner::begin_read_only(conn, &[&name]).await?;
        let checked = legacy.check_rows(conn).await;
        db::rollback(conn).await?;
        bar.finish_and_clear();
        tables.push((legacy, checked?));
    }
    Ok(tables)
}

/// Old events are put between the others by the store's owner alone: whoever may do that may tell what never happened.
pub async fn demand_store_owner(conn: &mut PgConnection) -> Result<(), Error> {
    let (owner, mine): (String, bool) = sqlx::query_as(
        "select pg_catalog.pg_get_userbyid(c.relowner)::text, pg_catalog.pg_has_role(c.relowner, 'usage') \
           from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass('domain_events.events')",
    )
    .fetch_one(conn)
    .await
    .doing("looking whose the event store is")?;
    if mine {
        return Ok(());
    }
    Err(Error::refused(
        "42501",
        format!("the event store belongs to role \"{owner}\", which alone may adopt events; nothing was changed"),
        format!("Connect as \"{owner}\" or as a member of that role."),
    ))
}

/// Moves what is left to move. `state` is what the adoptions are then: moved, or withdrawn if the tables were given back.
pub async fn complete(
    conn: &mut PgConnection,
    plan: &Plan,
    state: &str,
    lock_timeout_ms: u32,
    ctx: &Context,
) -> Result<i64, Error> {
    let mut moved = 0;
    for (adoption, table) in adopt::of_plan(conn, &plan.plan_id).await? {
        if adoption.state == state || adoption.state == "withdrawn" {
            moved += adoption.moved;
            continue;
        }
        let Some((legacy, table)) = table.and_then(|t| Some((of_table(plan, &t)?, t))) else {
            return Err(Error::drift(
                format!("the legacy table of adoption {} is gone", adoption.adoption_id),
                "Its events that were not moved are lost with it. See domain_events.adoptions.",
            ));
        };
        moved += rows(conn, legacy, &adoption, &table, ctx).await?;
        let events = adopt::count(conn, &adoption).await?;
        locks::with_lock_retry(conn, lock_timeout_ms, ctx, async |conn| {
            prepare(conn).await?;
            adopt::end(conn, &adoption, state, events).await?;
            if state == "withdrawn" {
                // the plan is rolled back: nothing is left of it
                let owner = Owner::of_table(conn, &table).await?;
                as_owner::execute(
                    conn,
                    &owner,
                    &legacy.drop_head_function(),
                    "dropping the function that told of old events",
                )
                .await?;
            }
            Ok(())
        })
        .await?;
    }
    Ok(moved)
}

/// The adoption whose legacy columns are in a table: it has its old name again after a rollback.
fn of_table<'a>(plan: &'a Plan, table: &str) -> Option<&'a Legacy> {
    plan.adoptions.iter().find(|l| l.side_name() == table || l.view_name() == table)
}

async fn rows(
    conn: &mut PgConnection,
    legacy: &Legacy,
    adoption: &Adoption,
    table: &str,
    ctx: &Context,
) -> Result<i64, Error> {
    let bar = ctx.out.progress(0, format!("putting the events of {} in order", legacy.view_name()));
    let places = legacy.places(conn, table, adoption.last_place()).await?;
    bar.finish_and_clear();
    let total = adoption.last_position - adoption.first_position + 1;
    let bar = ctx.out.progress(total.max(0) as u64, format!("moving the events of {}", legacy.view_name()));
    let (mut before, mut size, mut moved, mut tries) = (adoption.before(), 200, adoption.moved, 0);
    let done = |before: i64| (adoption.last_place() + 1 - before).max(0) as u64;
    bar.set_position(done(before));
    loop {
        let begun = Instant::now();
        match batch(conn, legacy, adoption, table, places, before, size).await {
            Ok(None) => break,
            Ok(Some((stored, down_to))) => {
                (before, tries, moved) = (down_to, 0, moved + stored);
                bar.set_position(done(before));
                let took = begun.elapsed();
                // a busy server is slow with few rows too
                size = if took > BATCH { (size / 2).max(FEW) } else { (size * 2).min(5000) };
            }
            Err(error) if locks::is_lock_failure(&error) && tries < TRIES => {
                tries += 1;
                size = (size / 4).max(10);
                if tries % 20 == 0 {
                    ctx.out
                        .note(format!("{error}; an open transaction holds an event that is to be moved; trying again"));
                }
                tokio::time::sleep(Duration::from_millis(20 * u64::from(tries.min(50)))).await;
            }
            Err(error) => return Err(error),
        }
    }
    bar.finish_and_clear();
    db::execute(conn, &format!("drop table if exists {places}"), "dropping a temporary table").await?;
    Ok(moved)
}

/// One batch in one transaction: how many events were new, and how far it came; none at the end.
async fn batch(
    conn: &mut PgConnection,
    legacy: &Legacy,
    adoption: &Adoption,
    table: &str,
    places: &str,
    before: i64,
    size: i64,
) -> Result<Option<(i64, i64)>, Error> {
    db::execute(conn, &format!("begin; set local lock_timeout = {WAIT_MS}"), "beginning a transaction").await?;
    let done = async {
        prepare(conn).await?;
        db::pin_rendering(conn).await?;
        let moved = legacy.move_batch(conn, adoption, table, Some(places), before, size).await?;
        db::execute(conn, "commit", "committing").await?;
        Ok(moved.down_to.map(|down_to| (moved.stored, down_to)))
    }
    .await;
    if done.is_err() {
        // a broken connection has nothing to roll back; the first error is what counts
        let _ = db::rollback(conn).await;
    }
    done
}

/// Whether the payload of an adopted table is in the store alone.
pub fn payload_is_gone(plan: &Plan) -> bool {
    !plan.adoptions.is_empty() && plan.finish.iter().any(|s| s.object.kind == crate::plan::ObjectKind::Table)
}

/// The plan's state once its adoptions are complete.
pub async fn mark_applied(conn: &mut PgConnection, plan: &Plan) -> Result<(), Error> {
    journal::plan_state(conn, plan, "applied").await
}

/// Numbers of the plan's transactions that were carried out already.
pub async fn done_transactions(conn: &mut PgConnection, plan: &Plan) -> Result<Vec<u32>, Error> {
    let titles: Vec<String> = sqlx::query_scalar(
        "select distinct j.step from domain_events.migration_journal j where j.plan_id = $1 and j.action = 'apply' \
            and j.entry > (select coalesce(max(b.entry), 0) from domain_events.migration_journal b where b.plan_id = $1 and b.action = 'rollback')",
    )
    .bind(&plan.plan_id)
    .fetch_all(conn)
    .await
    .doing("reading the journal")?;
    Ok(plan.steps.iter().filter(|s| titles.contains(&s.title)).map(|s| s.transaction).collect())
}
