//! One change from beginning to end: its event, or its dead letter.
//!
//! Capturing a row may have to capture the change that made its old row first (`ahead`), and that is a change like any other:
//! the recursion is the problem's own.

use std::cell::RefCell;

use super::draft::Draft;
use super::failure::{Failure, keep};
use super::plan::Plan;
use super::{late, row};
use crate::error::Result;
use crate::jsonb::Writer;
use crate::pg::memory::CallMemory;
use crate::pg::spi::PinnedPath;
use crate::pg::store::Store;
use crate::pg::subtransaction;
use crate::pg::trigger::{Change, Operation};

thread_local! {
    /// The buffer of the last event, for the next.
    static BUFFER: RefCell<Writer> = RefCell::default();
}

/// Stores the change's event, or keeps what failed; false when the change makes no event.
pub fn record(memory: &CallMemory, plan: &Plan, change: &Change) -> Result<bool> {
    let mut draft = Draft {
        memory,
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
