//! Whether the sequence of positions can run out while a statement is running.
//!
//! nextval() raises its error while it holds the sequence's page, so only a subtransaction gets over it. Which rows need one is
//! known from the sequence itself. It is looked at once in a command (120 ns), not with every row: what remains then is enough
//! for all that any number of sessions can draw meanwhile. setval() to just below the end, while the command runs, goes unseen.

use std::cell::Cell;

use pgrx::pg_sys;

use crate::pg::guard::protect;
use crate::pg::info::Sequence;
use crate::pg::raw;

/// No command lasts for so many positions.
const ENOUGH: i64 = 1 << 32;

/// The columns of a sequence's only row.
#[repr(C)]
struct SequenceRow {
    last_value: i64,
    log_count: i64,
    is_called: bool,
}

thread_local! {
    /// The command that has looked, its transaction, and what it saw.
    static SEEN: Cell<(u64, pg_sys::CommandId, bool)> = const { Cell::new((u64::MAX, 0, false)) };
}

/// True when drawing a position cannot fail. The sequence is locked since `Store::open`.
pub(super) fn has_room(sequence: &Sequence) -> bool {
    // SAFETY: reads the transaction's state.
    let (transaction, command) =
        unsafe { (raw::GetTopFullTransactionIdIfAny().value, raw::GetCurrentCommandId(false)) };
    let (seen_in, seen_by, has_room) = SEEN.get();
    // Before the transaction has an id, one command is like another.
    if transaction == seen_in && command == seen_by && transaction != 0 && has_room {
        return true;
    }
    let has_room = room(sequence) >= ENOUGH;
    SEEN.set((transaction, command, has_room));
    has_room
}

fn room(sequence: &Sequence) -> i64 {
    let oid = sequence.oid;
    // SAFETY: the relation is locked; its first page holds its only row. Nothing in here needs dropping, and after an error
    // the resource owner releases page and relation.
    let last = unsafe {
        protect(|| {
            let relation = raw::relation_open(oid, pg_sys::NoLock as i32);
            let buffer = raw::ReadBuffer(relation, 0);
            raw::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
            let page: pg_sys::PageHeader = pg_sys::BufferGetPage(buffer).cast();
            // PageGetItemId() and PageGetItem() are inline functions since 16.
            let item = &*(*page).pd_linp.as_ptr();
            let tuple: pg_sys::HeapTupleHeader = page.cast::<u8>().add(item.lp_off() as usize).cast();
            let row: *const SequenceRow = tuple.cast::<u8>().add(usize::from((*tuple).t_hoff)).cast();
            let last = (*row).last_value;
            raw::UnlockReleaseBuffer(buffer);
            raw::relation_close(relation, pg_sys::NoLock as i32);
            last
        })
    };
    if sequence.increment > 0 {
        sequence.last.saturating_sub(last) / sequence.increment
    } else {
        last.saturating_sub(sequence.last) / sequence.increment.saturating_neg().max(1)
    }
}
