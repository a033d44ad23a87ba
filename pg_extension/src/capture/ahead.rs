//! The order of events when a user's trigger changes another row of the statement whose own change is still queued.
//!
//! Postgres fires the queued change after the one the trigger made. So a change whose old row was made by this very
//! transaction, and whose making has not been captured yet, first captures that: the earlier row version is looked up, its
//! event is written, and the queued change finds it done. This needs to be known only where a user's code can run between
//! two rows, that is for tables with further AFTER ROW triggers; for those one bit per written row is kept until the
//! transaction ends. Where the earlier version cannot be found (its key has changed, it has come from another partition, or
//! another table's trigger did it) the late event is marked with its place instead, as the portable engine does: `late`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use super::late;
use super::plan::Plan;
use super::record::record;
use crate::bytes;
use crate::error::Result;
use crate::pg::memory::CallMemory;
use crate::pg::subtransaction::current_subtransaction;
use crate::pg::trigger::{Change, Operation, Storage, TupleVersion, is_nested};

/// Lines of one page; 8 kB pages have at most 291.
type Lines = [u64; 5];

#[derive(Default)]
struct Seen {
    captured: HashMap<(Storage, u32), Lines>,
    /// Written ahead of their turn, each in a subtransaction that may still be rolled back.
    ahead: HashMap<TupleVersion, u32>,
}

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
    /// Nothing is known of row versions that earlier commands of the transaction have made.
    static SINCE: Cell<u32> = const { Cell::new(0) };
}

/// From this command on changes are captured, or seen, that were not before in this transaction. Where that is said too
/// late, an event is marked with its place that could have been in its place.
pub fn begin(command: u32) {
    SINCE.set(SINCE.get().max(command));
}

/// True when the change has been captured ahead of its turn.
pub fn is_done(plan: &Plan, change: &Change) -> bool {
    plan.is_tracked
        && change.made().is_some_and(|version| SEEN.with_borrow_mut(|seen| seen.ahead.remove(&version)).is_some())
}

/// Remembers that the new row of this change is captured.
pub fn mark(plan: &Plan, change: &Change) {
    if plan.is_tracked
        && let Some(version) = change.made()
    {
        SEEN.with_borrow_mut(|seen| seen.mark(&version));
    }
}

/// Captures what made the old row, if that is this transaction's and still queued.
pub fn catch_up(memory: &CallMemory, plan: &Plan, change: &Change) -> Result<()> {
    if !plan.is_tracked || !matches!(change.operation, Operation::Update | Operation::Delete) {
        return Ok(());
    }
    let Some(version) = change.replaced().filter(|version| !SEEN.with_borrow(|seen| seen.is_captured(version))) else {
        return Ok(());
    };
    // What is late itself goes by its mark, and so does what made its old row: that fires after it.
    if !is_nested() || late::place(change).is_some() {
        return Ok(());
    }
    let Some(earlier) = change.earlier().filter(|earlier| earlier.is_since(SINCE.get())) else { return Ok(()) };
    catch_up(memory, plan, &earlier)?;
    SEEN.with_borrow_mut(|seen| {
        seen.mark(&version);
        bytes::make_room(&mut seen.ahead);
        seen.ahead.insert(version, current_subtransaction());
    });
    if !record(memory, plan, &earlier)? {
        SEEN.with_borrow_mut(|seen| seen.ahead.remove(&version));
    }
    Ok(())
}

/// The table has been emptied, perhaps in place: what is stored there from now on are other rows.
pub fn empty(storage: Storage) {
    SEEN.with_borrow_mut(|seen| seen.captured.retain(|(known, _), _| *known != storage));
}

/// A transaction has ended.
pub fn forget() {
    SINCE.set(0);
    SEEN.with_borrow_mut(|seen| {
        if !seen.captured.is_empty() || !seen.ahead.is_empty() {
            *seen = Seen::default();
        }
    });
}

/// A subtransaction is rolled back, and with it those that began after it: what was written ahead there is queued again.
pub fn roll_back(subtransaction: u32) {
    SEEN.with_borrow_mut(|seen| {
        let undone: Vec<TupleVersion> =
            seen.ahead.iter().filter(|(_, made_in)| **made_in >= subtransaction).map(|(version, _)| *version).collect();
        for version in undone {
            seen.ahead.remove(&version);
            seen.unmark(&version);
        }
    });
}

impl Seen {
    fn mark(&mut self, version: &TupleVersion) {
        bytes::make_room(&mut self.captured);
        let lines = self.captured.entry((version.storage, version.block)).or_default();
        if let Some(word) = lines.get_mut(usize::from(version.line) / 64) {
            *word |= 1 << (version.line % 64);
        }
    }

    fn unmark(&mut self, version: &TupleVersion) {
        if let Some(lines) = self.captured.get_mut(&(version.storage, version.block))
            && let Some(word) = lines.get_mut(usize::from(version.line) / 64)
        {
            *word &= !(1 << (version.line % 64));
        }
    }

    fn is_captured(&self, version: &TupleVersion) -> bool {
        self.captured
            .get(&(version.storage, version.block))
            .and_then(|lines| lines.get(usize::from(version.line) / 64))
            .is_some_and(|word| word & (1 << (version.line % 64)) != 0)
    }
}
