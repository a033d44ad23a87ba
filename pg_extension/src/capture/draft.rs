//! An event in the making.

use super::plan::Plan;
use crate::bytes::Bytes;
use crate::jsonb::Writer;
use crate::pg::memory::CallMemory;
use crate::pg::trigger::Operation;

/// The event as far as it has got: what a dead letter keeps.
pub struct Draft<'m> {
    pub memory: &'m CallMemory,
    pub operation: Operation,
    pub id: Option<Bytes>,
    pub event_type: Vec<u8>,
    pub event_name: Option<Vec<u8>>,
    pub writer: Writer,
    pub has_data: bool,
    pub complete: bool,
    /// Its place, if it fired after a later change of the same row.
    pub late: Option<i64>,
    /// The place of what happened right before the event that tells the end of the old row, see domain_events._late_marks().
    pub told_after: Option<i64>,
    /// Id and data of the event that ends the old stream, when the key has changed.
    pub left: Option<(Option<Bytes>, Writer)>,
    /// The place of that event, if its key was taken again before.
    pub left_late: Option<i64>,
}

impl Draft<'_> {
    /// The table or partition where the row is from now on, if that has to be said.
    pub fn in_table<'a>(&self, plan: &'a Plan) -> Option<&'a [u8]> {
        plan.in_table.as_deref().filter(|_| self.operation != Operation::Delete)
    }
}
