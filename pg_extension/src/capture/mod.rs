//! Capture: a row's change becomes an event of its stream.
//!
//! The plan of a relation is kept until the relation changes. Columns are compared by image before anything is detoasted,
//! only what the event shows is rendered, and the event goes straight into the store's table. No code of a user runs, and
//! no identity is assumed, unless somebody has added triggers or constraints to the store (`pg::slow_insert`).
//!
//! on_failure => 'dead_letter': rendering takes no locks and writes nothing, so what fails there is caught as it is. Writing to
//! the store as it was installed fails only in ways that have to fail the statement, or that are seen before
//! (`Store::try_insert`); only then, and where somebody has built on the store, a row takes a subtransaction.

mod ahead;
mod failure;
mod late;
mod moves;
mod neighbours;
mod payload;
mod plan;
mod row;
mod rules;

use std::cell::RefCell;

use pgrx::pg_sys::Datum;

use self::failure::{Failure, keep};
use self::plan::Plan;
use crate::bytes::Bytes;
use crate::error::Result;
use crate::jsonb::Writer;
use crate::pg::cache::{self, Cache, Kept};
use crate::pg::call::Call;
use crate::pg::memory::CallMemory;
use crate::pg::spi::PinnedPath;
use crate::pg::store::Store;
use crate::pg::subtransaction;
use crate::pg::trigger::{ArrivedRow, Change, Fired, Operation, current_command};

thread_local! {
    static PLANS: Cache<Option<Plan>> = Cache::new();
    /// The buffer of the last event, for the next.
    static BUFFER: RefCell<Writer> = RefCell::default();
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

/// The event as far as it has got: what a dead letter keeps.
struct Draft {
    operation: Operation,
    id: Option<Bytes>,
    event_type: Vec<u8>,
    event_name: Option<Vec<u8>>,
    writer: Writer,
    has_data: bool,
    complete: bool,
    /// Its place, if it fired after a later change of the same row.
    late: Option<i64>,
    /// The place of what happened right before the event that tells the end of the old row, see domain_events._late_marks().
    told_after: Option<i64>,
    /// Id and data of the event that ends the old stream, when the key has changed.
    left: Option<(Option<Bytes>, Writer)>,
    /// The place of that event, if its key was taken again before.
    left_late: Option<i64>,
}

impl Draft {
    /// The table or partition where the row is from now on, if that has to be said.
    fn in_table<'a>(&self, plan: &'a Plan) -> Option<&'a [u8]> {
        plan.in_table.as_deref().filter(|_| self.operation != Operation::Delete)
    }
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
    let leaving = moves::take(plan, &change)?;
    if change.is_leaving {
        ahead::catch_up(plan, &change)?;
        moves::keep(kept.clone(), &change, row::place_before(plan, &change)?);
        return Ok(Datum::from(0));
    }
    if let Some(leaving) = &leaving {
        leaving.arrive(plan, &mut change, &mut arrived);
    }
    if !ahead::is_done(plan, &change) && record(plan, &change)? {
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

/// Stores the change's event, or keeps what failed; false when the change makes no event.
fn record(plan: &Plan, change: &Change) -> Result<bool> {
    let mut draft = Draft {
        operation: change.operation,
        id: None,
        event_type: Vec::new(),
        event_name: None,
        writer: BUFFER.take(),
        has_data: false,
        complete: false,
        late: late::place(change),
        told_after: None,
        left: None,
        left_late: None,
    };
    let path = plan.names_objects.then(PinnedPath::enter);
    let captured = if plan.dead_letter && !Store::is_plain_now()? {
        // Whatever is done to a store that others have built on may fail, and leave something behind.
        subtransaction::run(|| row::capture(plan, change, &mut draft).or_else(|failure| failure.raise()))
            .map_err(Failure::from)
    } else {
        row::capture(plan, change, &mut draft)
    };
    drop(path);
    let kept = match captured {
        Err(failure) if plan.dead_letter => keep(plan, &draft, failure).map(|place| draft.told_after = place),
        Err(failure) => failure.raise(),
        Ok(()) => Ok(()),
    };
    let makes_event = !draft.event_type.is_empty() || change.operation == Operation::Truncate;
    if let Some(place) = draft.told_after {
        late::keep(change, place);
    }
    // A buffer that one huge row has blown up is not kept for the session.
    if draft.writer.capacity() <= 1 << 20 {
        BUFFER.replace(draft.writer);
    }
    kept.map(|()| makes_event)
}
