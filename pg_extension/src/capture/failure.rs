//! What becomes of a change that did not become an event.

use std::cell::Cell;

use super::draft::Draft;
use super::marks::marks;
use super::plan::Plan;
use crate::contract::PROPAGATES;
use crate::error::{Error, Result};
use crate::pg::delegate;
use crate::pg::guard::Caught;

thread_local! {
    static KEPT: Cell<bool> = const { Cell::new(false) };
}

/// Why a change did not become an event.
pub enum Failure {
    /// Found by us before anything was written.
    Own(Error),
    Caught(Caught),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Own(error)
    }
}

impl From<Caught> for Failure {
    fn from(error: Caught) -> Self {
        Failure::Caught(error)
    }
}

impl Failure {
    pub fn raise(self) -> ! {
        match self {
            Failure::Own(error) => error.raise(),
            Failure::Caught(error) => error.resume(),
        }
    }

    fn describe(&self) -> (String, String) {
        match self {
            Failure::Own(error) => error.describe(),
            Failure::Caught(error) => error.describe(),
        }
    }
}

/// As domain_events._propagates().
fn propagates(code: &str) -> bool {
    let (classes, codes) = PROPAGATES;
    classes.contains(&&code[..2]) || codes.contains(&code)
}

/// Keeps the event whole for domain_events.retry_capture_failures(), unless the failure has to fail the statement. Returns the
/// place of what happened to the old row right before.
pub fn keep(plan: &Plan, draft: &Draft, failure: Failure) -> Result<Option<i64>> {
    let (code, message) = failure.describe();
    if propagates(&code) {
        failure.raise();
    }
    let mut kept = delegate::KeptFailure {
        capture_id: plan.capture_id,
        operation: draft.operation.name(),
        aggregate_id: None,
        event_type: (!draft.event_type.is_empty()).then_some(draft.event_type.as_slice()),
        event_name: draft.event_name.as_deref(),
        event_data: None,
        metadata: None,
        place: None,
        code: &code,
        message: &message,
    };
    let mut told = None;
    if let Some((id, data)) = &draft.left {
        kept.aggregate_id = id.as_deref();
        kept.event_data = Some(data.bytes());
        kept.place = draft.left_late;
        told = delegate::keep_failure(&kept)?;
    }
    kept.aggregate_id = draft.id.as_deref();
    kept.event_data = draft.has_data.then(|| draft.writer.bytes());
    kept.metadata = marks(draft.complete, None, draft.in_table(plan))?;
    kept.place = draft.late;
    let place = delegate::keep_failure(&kept)?;
    KEPT.set(true);
    Ok(told.or(place))
}

/// Whether a change of this transaction has become a dead letter, which others may belong before; also when that was undone.
pub fn has_kept() -> bool {
    KEPT.get()
}

/// Called when a transaction has ended.
pub fn forget() {
    KEPT.set(false);
}
