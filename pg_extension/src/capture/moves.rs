//! Rows that an update moves to another partition. Postgres fires their triggers as for a DELETE and an INSERT; the two are
//! told as the one update they are. The old row is known by the mark that the move left on it, and kept until the INSERT of
//! the same command fires, which is next but for what users' triggers do in between.

use std::cell::RefCell;

use super::plan::Plan;
use super::{plan_of, record};
use crate::error::Result;
use crate::pg::memory::CallMemory;
use crate::pg::trigger::{Change, Leaving};

thread_local! {
    static LEAVING: RefCell<Vec<(i32, Leaving)>> = const { RefCell::new(Vec::new()) };
}

pub fn keep(plan: &Plan, change: &Change) {
    let leaving = change.leave();
    LEAVING.with_borrow_mut(|rows| rows.push((plan.capture_id, leaving)));
}

/// The row that this change is the arrival of. One of the same command that did not arrive, because a trigger kept it from
/// being inserted, was deleted, and is recorded as that now.
pub fn take(plan: &Plan, change: &Change) -> Result<Option<Leaving>> {
    if LEAVING.with_borrow(Vec::is_empty) {
        return Ok(None);
    }
    let last = LEAVING.with_borrow_mut(|rows| {
        let arrives = rows.last().is_some_and(|(id, row)| *id == plan.capture_id && change.is_arrival_of(row));
        if arrives { rows.pop() } else { None }
    });
    if last.is_none() && change.is_leaving {
        let lost = LEAVING.with_borrow_mut(|rows| {
            let lost = rows.last().is_some_and(|(id, row)| *id == plan.capture_id && change.left_with(row));
            if lost { rows.pop() } else { None }
        });
        if let Some((_, row)) = lost {
            record(plan, &row.as_delete())?;
            row.free();
        }
    }
    Ok(last.map(|(_, row)| row))
}

/// Records the rows that never arrived.
pub fn flush() -> Result<()> {
    while let Some((_, row)) = LEAVING.with_borrow_mut(Vec::pop) {
        let _memory = CallMemory::enter();
        let change = row.as_delete();
        let plan = plan_of(&change)?;
        if let Some(plan) = plan.as_ref().filter(|plan| !plan.paused) {
            record(plan, &change)?;
        }
    }
    Ok(())
}

/// Their memory has gone with the transaction.
pub fn forget() {
    LEAVING.with_borrow_mut(Vec::clear);
}
