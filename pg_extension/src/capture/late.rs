//! The place of an event that fired after a later change of the same row.
//!
//! What says so is the row itself: the version that the change made has been replaced by this very transaction. Versions
//! are told apart by where they are stored, never by their values, which may come back. So for every event that replaced a
//! version of its own transaction, while code of a user is running around it, its place is kept; what made that version,
//! and fires later, is then marked to belong before it. Changes that made no event are passed over from version to version.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::bytes;
use crate::pg::subtransaction::current_subtransaction;
use crate::pg::trigger::{Change, Storage, TupleVersion, is_surrounded, statement_start};

/// 24 bytes for each such event of the statement that the client sent.
struct Step {
    version: TupleVersion,
    kept_in: u32,
    place: i64,
}

#[derive(Default)]
struct Steps {
    statement: i64,
    /// By block.
    steps: HashMap<(Storage, u32), Vec<Step>>,
}

thread_local! {
    static STEPS: RefCell<Steps> = RefCell::default();
}

/// What made the row version whose end was told, belongs at `place`, see domain_events._late_marks().
pub fn keep(change: &Change, place: i64) {
    if !is_surrounded() {
        return;
    }
    let Some(version) = change.replaced() else { return };
    STEPS.with_borrow_mut(|kept| {
        let statement = statement_start();
        if kept.statement != statement {
            *kept = Steps { statement, ..Steps::default() };
        }
        bytes::make_room(&mut kept.steps);
        let steps = kept.steps.entry((version.storage, version.block)).or_default();
        steps.retain(|step| step.version != version);
        bytes::push(steps, Step { version, kept_in: current_subtransaction(), place });
    });
}

/// The place of this change's event, if later changes of the row have been told already.
pub fn place(change: &Change) -> Option<i64> {
    if STEPS.with_borrow(|kept| kept.steps.is_empty()) {
        return None;
    }
    change.outdated().find_map(|version| {
        STEPS.with_borrow(|kept| {
            let steps = kept.steps.get(&(version.storage, version.block))?;
            steps.iter().find(|step| step.version == version).map(|step| step.place)
        })
    })
}

/// The table has been emptied, perhaps in place: what is stored there from now on are other rows.
pub fn empty(storage: Storage) {
    STEPS.with_borrow_mut(|kept| kept.steps.retain(|(known, _), _| *known != storage));
}

/// A transaction has ended.
pub fn forget() {
    STEPS.with_borrow_mut(|kept| {
        if !kept.steps.is_empty() {
            *kept = Steps::default();
        }
    });
}

/// A subtransaction is rolled back, and with it those that began after it.
pub fn roll_back(subtransaction: u32) {
    STEPS.with_borrow_mut(|kept| {
        kept.steps.retain(|_, steps| {
            steps.retain(|step| step.kept_in < subtransaction);
            !steps.is_empty()
        });
    });
}
