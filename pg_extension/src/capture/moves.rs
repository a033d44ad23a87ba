//! Rows that an update moves to another partition. Postgres fires their triggers as for a DELETE and an INSERT; the two are
//! told as the one update they are. The old row is known by the mark that the move left on it, and kept until the INSERT of
//! the same command fires, which is next but for what users' triggers do in between.

use std::cell::RefCell;

use super::plan::Plan;
use super::{plan_of, record};
use crate::error::Result;
use crate::pg::memory::CallMemory;
use crate::pg::subtransaction::current_subtransaction;
use crate::pg::trigger::{Change, Leaving};

struct Row {
    capture_id: i32,
    /// The subtransaction it left in.
    left_in: u32,
    row: Leaving,
}

thread_local! {
    static LEAVING: RefCell<Vec<Row>> = const { RefCell::new(Vec::new()) };
}

pub fn keep(plan: &Plan, change: &Change) {
    let leaving = change.leave();
    LEAVING.with_borrow_mut(|rows| {
        rows.push(Row { capture_id: plan.capture_id, left_in: current_subtransaction(), row: leaving })
    });
}

/// The row that this change is the arrival of. One of the same command that did not arrive, because a trigger kept it from
/// being inserted, was deleted, and is recorded as that now.
pub fn take(plan: &Plan, change: &Change) -> Result<Option<Leaving>> {
    if LEAVING.with_borrow(Vec::is_empty) {
        return Ok(None);
    }
    let last = LEAVING.with_borrow_mut(|rows| {
        let arrives =
            rows.last().is_some_and(|last| last.capture_id == plan.capture_id && change.is_arrival_of(&last.row));
        if arrives { rows.pop() } else { None }
    });
    if last.is_none() && change.is_leaving {
        let lost = LEAVING.with_borrow_mut(|rows| {
            let lost =
                rows.last().is_some_and(|last| last.capture_id == plan.capture_id && change.left_with(&last.row));
            if lost { rows.pop() } else { None }
        });
        if let Some(Row { row, .. }) = lost {
            record(plan, &row.as_delete())?;
            row.free();
        }
    }
    Ok(last.map(|last| last.row))
}

/// Records the rows that never arrived.
pub fn flush() -> Result<()> {
    while let Some(Row { row, .. }) = LEAVING.with_borrow_mut(Vec::pop) {
        let _memory = CallMemory::enter();
        let change = row.as_delete();
        let plan = plan_of(&change)?;
        if let Some(plan) = plan.as_ref().filter(|plan| !plan.paused) {
            record(plan, &change)?;
        }
    }
    Ok(())
}

/// A subtransaction is rolled back, and with it those that began after it: rows that left there never did.
pub fn roll_back(subtransaction: u32) {
    LEAVING.with_borrow_mut(|rows| rows.retain(|row| row.left_in < subtransaction));
}

/// Their memory has gone with the transaction.
pub fn forget() {
    LEAVING.with_borrow_mut(Vec::clear);
}
