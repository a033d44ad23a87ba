//! The change a trigger was fired for.

use pgrx::pg_sys::{self, Datum, Oid};

use super::call::Call;
use super::columns::{self, Column};
use crate::error::{Error, Result};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Insert,
    Update,
    Delete,
    Truncate,
}

impl Operation {
    pub fn name(self) -> &'static str {
        match self {
            Operation::Insert => "INSERT",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Truncate => "TRUNCATE",
        }
    }
}

pub struct Change {
    pub operation: Operation,
    pub relation: Oid,
    descriptor: pg_sys::TupleDesc,
    old: Row,
    new: Row,
    /// The new row has already been replaced or deleted by this transaction: a trigger of another row of the same
    /// statement changed it while this change was still queued, and that later change is recorded already.
    pub is_late: bool,
}

/// The columns of the old or the new row, if the operation has one.
#[derive(Clone, Copy)]
pub struct Row {
    values: *const Datum,
    nulls: *const bool,
    count: usize,
}

impl Row {
    const NONE: Row = Row { values: std::ptr::null(), nulls: std::ptr::null(), count: 0 };

    pub fn get(&self, index: usize) -> Option<Datum> {
        if index >= self.count {
            return None;
        }
        // SAFETY: below count; the slot lives while the trigger runs.
        unsafe { (!*self.nulls.add(index)).then(|| *self.values.add(index)) }
    }

    /// # Safety
    /// `slot` holds a row of this descriptor.
    unsafe fn of(slot: *mut pg_sys::TupleTableSlot, count: usize) -> Row {
        if slot.is_null() {
            return Row::NONE;
        }
        // SAFETY: caller's promise.
        unsafe {
            if ((*slot).tts_nvalid as usize) < count {
                pg_sys::slot_getsomeattrs_int(slot, count as i32);
            }
            Row { values: (*slot).tts_values, nulls: (*slot).tts_isnull, count }
        }
    }
}

impl Change {
    pub fn of(call: &Call) -> Result<Change> {
        let wrong = |message: &str| Error::NotATrigger { message: format!("capture function {message}") };
        // SAFETY: fcinfo is Postgres' own; its context is looked at before it is used as trigger data.
        unsafe {
            let context = (*call.raw()).context;
            if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
                return Err(wrong("was not called by a trigger"));
            }
            let trigger = &*context.cast::<pg_sys::TriggerData>();
            let event = trigger.tg_event;
            let operation = match event & pg_sys::TRIGGER_EVENT_OPMASK {
                pg_sys::TRIGGER_EVENT_INSERT => Operation::Insert,
                pg_sys::TRIGGER_EVENT_DELETE => Operation::Delete,
                pg_sys::TRIGGER_EVENT_UPDATE => Operation::Update,
                _ => Operation::Truncate,
            };
            if event & pg_sys::TRIGGER_EVENT_TIMINGMASK != pg_sys::TRIGGER_EVENT_AFTER {
                return Err(wrong("must be fired after the change"));
            }
            let for_each_row = event & pg_sys::TRIGGER_EVENT_ROW != 0;
            if for_each_row != (operation != Operation::Truncate) {
                return Err(wrong("must be fired for each row, or for a truncate"));
            }
            let descriptor = (*trigger.tg_relation).rd_att;
            let count = (*descriptor).natts as usize;
            let (old, new) = match operation {
                Operation::Insert => (std::ptr::null_mut(), trigger.tg_trigslot),
                Operation::Update => (trigger.tg_trigslot, trigger.tg_newslot),
                Operation::Delete => (trigger.tg_trigslot, std::ptr::null_mut()),
                Operation::Truncate => (std::ptr::null_mut(), std::ptr::null_mut()),
            };
            Ok(Change {
                operation,
                relation: (*trigger.tg_relation).rd_id,
                descriptor,
                old: Row::of(old, count),
                new: Row::of(new, count),
                is_late: match operation {
                    Operation::Insert => is_superseded(trigger.tg_trigtuple),
                    Operation::Update => is_superseded(trigger.tg_newtuple),
                    Operation::Delete | Operation::Truncate => false,
                },
            })
        }
    }

    pub fn old(&self) -> Row {
        self.old
    }

    pub fn new(&self) -> Row {
        self.new
    }

    pub fn columns(&self) -> Vec<Column> {
        // SAFETY: the relation is open while the trigger runs.
        unsafe { columns::of(self.descriptor) }
    }
}

/// # Safety
/// `tuple` is a stored tuple of a trigger event, or null.
unsafe fn is_superseded(tuple: pg_sys::HeapTuple) -> bool {
    if tuple.is_null() {
        return false;
    }
    // SAFETY: caller's promise. A lock alone, also one by other transactions besides, replaces nothing.
    unsafe {
        let header = (*tuple).t_data;
        let mask = u32::from((*header).t_infomask);
        if mask & pg_sys::HEAP_XMAX_INVALID != 0
            || mask & pg_sys::HEAP_XMAX_LOCK_ONLY != 0
            || mask & (pg_sys::HEAP_XMAX_IS_MULTI | pg_sys::HEAP_LOCK_MASK) == pg_sys::HEAP_XMAX_EXCL_LOCK
        {
            return false;
        }
        let replaced_by = if mask & pg_sys::HEAP_XMAX_IS_MULTI != 0 {
            pg_sys::HeapTupleGetUpdateXid(header)
        } else {
            (*header).t_choice.t_heap.t_xmax
        };
        pg_sys::TransactionIdIsCurrentTransactionId(replaced_by)
    }
}
