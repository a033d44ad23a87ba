//! Capture: a row's change becomes an event of its stream.
//!
//! The plan of a relation is kept until the relation changes. Columns are compared by image before anything is detoasted,
//! only what the event shows is rendered, and the event goes straight into the store's table. No code of a user runs, and
//! no identity is assumed, unless somebody has added triggers or constraints to the store (`pg::store::slow_insert`).
//!
//! on_failure => 'dead_letter': rendering takes no locks and writes nothing, so what fails there is caught as it is. Writing to
//! the store as it was installed fails only in ways that have to fail the statement, or that are seen before
//! (`Store::try_insert`); only then, and where somebody has built on the store, a row takes a subtransaction.

mod ahead;
mod draft;
mod failure;
mod late;
mod marks;
mod moves;
mod payload;
mod plan;
mod prefetch;
mod record;
mod row;
mod rules;

use pgrx::pg_sys::Datum;

use self::plan::Plan;
use self::record::record;
use crate::error::Result;
use crate::pg::cache::{self, Cache, Kept};
use crate::pg::call::Call;
use crate::pg::memory::CallMemory;
use crate::pg::trigger::{ArrivedRow, Change, Fired, Operation, current_command};

thread_local! {
    static PLANS: Cache<Option<Plan>> = Cache::new();
}

/// Called before a transaction commits.
pub fn before_commit() -> Result<()> {
    moves::flush()
}

/// Called when a transaction has ended.
pub fn at_transaction_end() {
    moves::forget();
    ahead::forget();
    late::forget();
    failure::forget();
}

/// Called when a subtransaction is rolled back.
pub fn roll_back(subtransaction: u32) {
    ahead::roll_back(subtransaction);
    late::roll_back(subtransaction);
    moves::roll_back(subtransaction);
}

/// Something about a capture has changed, for the running transaction from its next command on.
pub fn renew() -> Result<()> {
    moves::flush()?;
    ahead::begin(current_command());
    Ok(())
}

/// A relation has changed; zero stands for all.
pub fn forget(relation: pgrx::pg_sys::Oid) {
    PLANS.with(|plans| plans.forget(relation));
}

/// domain_events.capture_<id>()
pub fn trigger(call: Call) -> Result<Datum> {
    let mut change = match Change::of(&call)? {
        Fired::Before(row) => return Ok(row),
        Fired::After(change) => change,
        Fired::Twice => return Ok(Datum::from(0)),
    };
    if change.operation == Operation::Truncate {
        ahead::empty(change.storage);
        late::empty(change.storage);
    }
    let memory = CallMemory::enter();
    let kept = plan_of(&change)?;
    let Some(plan) = kept.as_ref().filter(|plan| !plan.paused && plan.tells(&change)) else {
        return Ok(Datum::from(0));
    };
    // Where nothing leaves, and it leaves only in partitioned tables, this costs a look at an empty list.
    let mut arrived = ArrivedRow::default();
    let leaving = moves::take(&memory, plan, &change)?;
    if change.is_leaving {
        ahead::catch_up(&memory, plan, &change)?;
        moves::keep(kept.clone(), &change, row::place_before(&memory, plan, &change)?);
        return Ok(Datum::from(0));
    }
    if let Some(leaving) = &leaving {
        leaving.arrive(plan, &mut change, &mut arrived);
    }
    if !ahead::is_done(plan, &change) && record(&memory, plan, &change)? {
        ahead::mark(plan, &change);
    }
    if let Some(leaving) = leaving {
        leaving.free();
    }
    drop(memory);
    Ok(Datum::from(0))
}

fn plan_of(change: &Change) -> Result<Kept<Option<Plan>>> {
    let kept = known_plan_of(change)?;
    if kept.as_ref().is_some_and(Plan::has_composites) {
        // Who writes the table has heard of its changes, but holds no lock on the types of its columns.
        cache::hear_of_changes();
        return known_plan_of(change);
    }
    Ok(kept)
}

fn known_plan_of(change: &Change) -> Result<Kept<Option<Plan>>> {
    PLANS.with(|plans| {
        plans.get(change.relation, |previous| {
            let previous = previous.and_then(Option::as_ref);
            let plan = Plan::load(change, previous)?;
            if Plan::begins(previous, change) {
                ahead::begin(change.command());
            }
            Ok(plan)
        })
    })
}
