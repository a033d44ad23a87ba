//! Rows that an update moves to another partition. Postgres fires their triggers as for a DELETE and an INSERT; the two are
//! told as the one update they are. The old row is known by the mark that the move left on it, and kept until the INSERT of
//! the same command fires, which is next but for what users' triggers do in between. A row that does not arrive, because a
//! trigger kept it from being inserted, was deleted: that is told before anything that follows, by the plan of the time.

use std::cell::RefCell;
use std::rc::Rc;

use super::plan::Plan;
use super::record::record;
use crate::bytes;
use crate::error::Result;
use crate::pg::cache::Kept;
use crate::pg::memory::CallMemory;
use crate::pg::snapshot::ActiveSnapshot;
use crate::pg::subtransaction::current_subtransaction;
use crate::pg::trigger::{ArrivedRow, Change, Leaving, depth};

pub struct MovedRow {
    /// The table may have changed by the time it is found missing.
    plan: Kept<Option<Plan>>,
    /// The subtransaction it left in.
    left_in: u32,
    /// Of the trigger that saw it leave: between its two halves only deeper ones are fired.
    depth: usize,
    row: Leaving,
}

thread_local! {
    static LEAVING: RefCell<Vec<Rc<MovedRow>>> = const { RefCell::new(Vec::new()) };
    /// Told to be deleted in a later subtransaction than they left in: if that is rolled back, they are told again.
    static TOLD: RefCell<Vec<(u32, Rc<MovedRow>)>> = const { RefCell::new(Vec::new()) };
}

/// `left_after`: version of the row's stream at this moment.
pub fn keep(plan: Kept<Option<Plan>>, change: &Change, left_after: Option<i64>) {
    let row = MovedRow { plan, left_in: current_subtransaction(), depth: depth(), row: change.leave(left_after) };
    LEAVING.with_borrow_mut(|rows| bytes::push(rows, Rc::new(row)));
}

/// The row that this change is the arrival of. What should have arrived before it is lost.
pub fn take(memory: &CallMemory, plan: &Plan, change: &Change) -> Result<Option<Rc<MovedRow>>> {
    if LEAVING.with_borrow(Vec::is_empty) {
        return Ok(None);
    }
    let depth = depth();
    record_lost(memory, depth)?;
    let arrived = LEAVING.with_borrow_mut(|rows| {
        rows.pop_if(|last| {
            last.depth == depth
                && last.plan.as_ref().is_some_and(|left| left.capture_id == plan.capture_id)
                && change.is_arrival_of(&last.row)
        })
    });
    if arrived.is_none() {
        record_lost(memory, depth - 1)?;
    }
    Ok(arrived)
}

/// Records what left in deeper triggers than this and has not arrived: no statement that could bring it is running.
fn record_lost(memory: &CallMemory, depth: usize) -> Result<()> {
    let next = || {
        LEAVING.with_borrow_mut(|rows| {
            let place = rows.iter().position(|row| row.depth > depth)?;
            Some(rows.remove(place))
        })
    };
    while let Some(row) = next() {
        let now = current_subtransaction();
        if row.left_in != now {
            TOLD.with_borrow_mut(|told| bytes::push(told, (now, row.clone())));
        }
        if let Some(plan) = row.plan.as_ref() {
            record(memory, plan, &row.row.as_delete())?;
        }
        row.free();
    }
    Ok(())
}

/// As `record_lost`, at any place outside of a capture trigger.
pub fn flush() -> Result<()> {
    if LEAVING.with_borrow(Vec::is_empty) {
        return Ok(());
    }
    let memory = CallMemory::enter();
    // When a transaction commits, there is none any more.
    let _snapshot = ActiveSnapshot::of_transaction();
    record_lost(&memory, depth())
}

/// A subtransaction is rolled back, and with it those that began after it: rows that left there never did.
pub fn roll_back(subtransaction: u32) {
    let untold = TOLD.with_borrow_mut(|told| {
        told.extract_if(.., |(told_in, _)| *told_in >= subtransaction).map(|(_, row)| row).collect::<Vec<_>>()
    });
    LEAVING.with_borrow_mut(|rows| {
        rows.extend(untold);
        rows.retain(|row| row.left_in < subtransaction);
    });
}

/// Their memory has gone with the transaction.
pub fn forget() {
    LEAVING.with_borrow_mut(Vec::clear);
    TOLD.with_borrow_mut(Vec::clear);
}

impl MovedRow {
    /// Makes an update of the change that is the row's arrival. `arrived` holds what the old row was.
    pub fn arrive(&self, plan: &Plan, change: &mut Change, arrived: &mut ArrivedRow) {
        let place = |old| self.plan.as_ref().and_then(|left| plan.place(left, old));
        change.arrive(&self.row, place, arrived);
    }

    /// Of one that is kept no longer.
    pub fn free(self: Rc<Self>) {
        if let Some(row) = Rc::into_inner(self) {
            row.row.free();
        }
    }
}
