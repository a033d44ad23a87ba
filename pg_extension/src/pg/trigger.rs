//! The change a trigger was fired for.

mod leaving;
mod tuple_version;

use std::ffi::CStr;

use pgrx::pg_sys::{self, Datum, Oid};

pub use self::leaving::{ArrivedRow, Leaving};
pub use self::tuple_version::{Outdated, Storage, TupleVersion};
use super::call::Call;
use super::columns::{self, Column};
use super::store::Head;
pub use super::tuple::TupleRow;
use super::tuple::is_leaving;
use super::tuple_chain;
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
    /// The trigger's function: of the relation's own capture, or of the capture of a table above it.
    pub function: Oid,
    /// Where the relation's rows are.
    pub storage: Storage,
    descriptor: pg_sys::TupleDesc,
    old: TupleRow,
    new: TupleRow,
    table: pg_sys::Relation,
    /// The row version that was replaced, and where it is stored: a moved row comes from another partition.
    replaced: pg_sys::HeapTuple,
    replaced_in: Storage,
    /// The row version that was made.
    made: pg_sys::HeapTuple,
    /// A DELETE that is half of an update: the row goes to another partition, its INSERT follows.
    pub is_leaving: bool,
    /// Version of the old row's stream when it left its partition: what is told of the stream since is about other rows.
    pub left_after: Option<i64>,
}

mod raw {
    use pgrx::pg_sys::{Datum, FunctionCallInfo};
    unsafe extern "C-unwind" {
        pub fn pg_trigger_depth(fcinfo: FunctionCallInfo) -> Datum;
    }
}

/// How many triggers are running, each within a statement of the one before.
pub fn depth() -> usize {
    // SAFETY: the function looks at no argument.
    unsafe { pg_sys::DirectFunctionCall1Coll(Some(raw::pg_trigger_depth), Oid::INVALID, Datum::from(0)) }.value()
}

/// True inside a statement that another trigger runs: only then can changes of an outer statement still be queued.
pub fn is_nested() -> bool {
    depth() > 1
}

/// True where code of a user may be running around this statement, whose own changes may still be queued: SPI and every
/// language leave their mark in what an error would say. Also true where nothing is queued.
pub fn is_surrounded() -> bool {
    // SAFETY: a plain global.
    unsafe { !pg_sys::error_context_stack.is_null() }
}

/// Numbers rise within a transaction.
pub fn current_command() -> pg_sys::CommandId {
    // SAFETY: reads the transaction's state.
    unsafe { pg_sys::GetCurrentCommandId(false) }
}

/// A command of a subtransaction. Another one follows before anything else of the transaction becomes visible, or is undone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    transaction: u64,
    subtransaction: u32,
    command: pg_sys::CommandId,
}

impl Moment {
    pub fn now() -> Moment {
        Moment {
            // SAFETY: reads the transaction's state.
            transaction: unsafe { super::raw::GetTopFullTransactionIdIfAny() }.value,
            subtransaction: super::subtransaction::current_subtransaction(),
            command: current_command(),
        }
    }
}

/// When the statement began that a client sent. What it has queued has fired when the next one begins.
pub fn statement_start() -> i64 {
    // SAFETY: reads the backend's state.
    unsafe { pg_sys::GetCurrentStatementStartTimestamp() }
}

impl Change {
    /// The row version that an INSERT or UPDATE made.
    pub fn made(&self) -> Option<TupleVersion> {
        // SAFETY: the trigger's own tuple.
        unsafe { TupleVersion::of(self.storage, self.made) }
    }

    /// The row version that an UPDATE or DELETE replaced, if this transaction had made it.
    pub fn replaced(&self) -> Option<TupleVersion> {
        // SAFETY: the trigger's own tuple, or that of a row that has arrived here.
        unsafe { TupleVersion::of(self.replaced_in, self.replaced) }
    }

    /// True when the row version that an UPDATE replaced was made after this event was written: the event does not tell of it.
    pub fn is_of_row_after(&self, head: &Head) -> bool {
        if self.replaced.is_null() {
            return false;
        }
        // SAFETY: the trigger's own tuple, or that of a row that has arrived here.
        unsafe {
            let header = (*self.replaced).t_data;
            let made_by = (*header).t_choice.t_heap.t_xmin;
            if made_by.into_inner() != head.made_by {
                return (made_by.into_inner().wrapping_sub(head.made_by) as i32) > 0;
            }
            let is_frozen = u32::from((*header).t_infomask) & pg_sys::HEAP_XMIN_FROZEN == pg_sys::HEAP_XMIN_FROZEN;
            !is_frozen
                && pg_sys::TransactionIdIsCurrentTransactionId(made_by)
                && pg_sys::HeapTupleHeaderGetCmin(header) > head.made_in
        }
    }

    /// The number of the command that makes the change.
    pub fn command(&self) -> pg_sys::CommandId {
        // SAFETY: the running transaction has made the one, or replaced the other.
        unsafe {
            if !self.made.is_null() {
                pg_sys::HeapTupleHeaderGetCmin((*self.made).t_data)
            } else if !self.replaced.is_null() {
                pg_sys::HeapTupleHeaderGetCmax((*self.replaced).t_data)
            } else {
                current_command()
            }
        }
    }

    /// True when this transaction has rewritten or emptied the table: all its rows may look as if it had made them.
    pub fn is_rewritten(&self) -> bool {
        if self.table.is_null() {
            return false;
        }
        // SAFETY: the table is open while the trigger runs.
        unsafe {
            #[cfg(feature = "pg15")]
            let since = (*self.table).rd_firstRelfilenodeSubid;
            #[cfg(not(feature = "pg15"))]
            let since = (*self.table).rd_firstRelfilelocatorSubid;
            since != 0
        }
    }

    /// True when a command from `command` on made the change.
    pub fn is_since(&self, command: pg_sys::CommandId) -> bool {
        self.command() >= command
    }

    /// The row versions that this change has led to, the one it made first, as far as they were replaced in their turn by
    /// this transaction; none when the change fired in order. A version that left for another partition is the last.
    pub fn outdated(&self) -> Outdated {
        Outdated::of(self.table, self.made)
    }

    /// The change that made the old row of this one; `None` when it cannot be found.
    pub fn earlier(&self) -> Option<Change> {
        if self.table.is_null() || self.replaced.is_null() {
            return None;
        }
        // SAFETY: the table is open while the trigger runs; the replaced tuple is its own.
        unsafe {
            let was_update = u32::from((*(*self.replaced).t_data).t_infomask) & pg_sys::HEAP_UPDATED != 0;
            let mut earlier = Change {
                operation: Operation::Insert,
                relation: self.relation,
                function: self.function,
                storage: self.storage,
                descriptor: self.descriptor,
                old: TupleRow::NONE,
                new: self.old,
                table: self.table,
                replaced: std::ptr::null_mut(),
                replaced_in: self.storage,
                made: self.replaced,
                is_leaving: false,
                left_after: None,
            };
            if was_update {
                earlier.operation = Operation::Update;
                earlier.replaced = tuple_chain::before(self.table, self.replaced, &self.old)?;
                earlier.old = TupleRow::of_tuple(earlier.replaced, self.descriptor);
            } else if (*(*self.table).rd_rel).relispartition {
                // It may have been inserted by an update that moved it here.
                return None;
            }
            Some(earlier)
        }
    }

    /// Further AFTER ROW triggers on the table: a user's code can run between two rows of a statement.
    pub fn has_other_triggers(&self) -> bool {
        if self.table.is_null() {
            return false;
        }
        // SAFETY: the relation is open while the trigger runs.
        unsafe {
            let triggers = (*self.table).trigdesc;
            if triggers.is_null() {
                return false;
            }
            let after_row = (0..(*triggers).numtriggers as usize)
                .filter(|position| {
                    let kind = (*(*triggers).triggers.add(*position)).tgtype as u32;
                    kind & pg_sys::TRIGGER_TYPE_ROW != 0
                        && kind & (pg_sys::TRIGGER_TYPE_BEFORE | pg_sys::TRIGGER_TYPE_INSTEAD) == 0
                })
                .count();
            after_row > 1
        }
    }
}

/// How the function was fired.
pub enum Fired {
    /// Before the change: the row goes on as it is.
    Before(Datum),
    After(Change),
    /// By a trigger that somebody made by hand, beside the capture's own.
    Twice,
}

/// # Safety
/// `trigger` is that of the running function.
unsafe fn is_second(trigger: &pg_sys::TriggerData, operation: Operation) -> bool {
    const ROW: &[u8] = b" domain_events_capture";
    const TRUNCATE: &[u8] = b" domain_events_truncate";
    let own = if operation == Operation::Truncate { TRUNCATE } else { ROW };
    // SAFETY: caller's promise; names are C strings.
    unsafe {
        // On partitions with the number of the capture.
        let is_own = |trigger: &pg_sys::Trigger| {
            CStr::from_ptr(trigger.tgname).to_bytes().strip_prefix(own).is_some_and(|number| {
                number.is_empty() || number[0] == b'_' && number[1..].iter().all(u8::is_ascii_digit)
            })
        };
        let fired = &*trigger.tg_trigger;
        if is_own(fired) {
            return false;
        }
        // Renamed, or not the only one.
        let triggers = (*trigger.tg_relation).trigdesc;
        !triggers.is_null()
            && (0..(*triggers).numtriggers as usize).map(|position| &*(*triggers).triggers.add(position)).any(|other| {
                is_own(other) && other.tgfoid == fired.tgfoid && other.tgenabled as u8 != pg_sys::TRIGGER_DISABLED
            })
    }
}

impl Change {
    pub fn of(call: &Call) -> Result<Fired> {
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
            const NOT_FOR_EACH_ROW: &str = "must be fired for each row, or for a truncate";
            let timing = event & pg_sys::TRIGGER_EVENT_TIMINGMASK;
            if timing == pg_sys::TRIGGER_EVENT_INSTEAD {
                return Err(wrong(NOT_FOR_EACH_ROW));
            }
            if timing != pg_sys::TRIGGER_EVENT_AFTER {
                // The portable engine notes rows that change their partition before they do; here that is seen afterwards.
                return Ok(Fired::Before(Datum::from(match operation {
                    Operation::Update => trigger.tg_newtuple,
                    _ => trigger.tg_trigtuple,
                })));
            }
            let for_each_row = event & pg_sys::TRIGGER_EVENT_ROW != 0;
            if for_each_row != (operation != Operation::Truncate) {
                return Err(wrong(NOT_FOR_EACH_ROW));
            }
            if is_second(trigger, operation) {
                return Ok(Fired::Twice);
            }
            let descriptor = (*trigger.tg_relation).rd_att;
            let count = (*descriptor).natts as usize;
            let (old, new) = match operation {
                Operation::Insert => (std::ptr::null_mut(), trigger.tg_trigslot),
                Operation::Update => (trigger.tg_trigslot, trigger.tg_newslot),
                Operation::Delete => (trigger.tg_trigslot, std::ptr::null_mut()),
                Operation::Truncate => (std::ptr::null_mut(), std::ptr::null_mut()),
            };
            let none = std::ptr::null_mut();
            let (replaced, made) = match operation {
                Operation::Insert => (none, trigger.tg_trigtuple),
                Operation::Update => (trigger.tg_trigtuple, trigger.tg_newtuple),
                Operation::Delete => (trigger.tg_trigtuple, none),
                Operation::Truncate => (none, none),
            };
            // What another server stores has no versions here.
            let is_foreign = (*(*trigger.tg_relation).rd_rel).relkind as u8 == pg_sys::RELKIND_FOREIGN_TABLE;
            let (replaced, made) = if is_foreign { (none, none) } else { (replaced, made) };
            let storage = Storage::of(trigger.tg_relation);
            Ok(Fired::After(Change {
                operation,
                relation: (*trigger.tg_relation).rd_id,
                function: (*trigger.tg_trigger).tgfoid,
                storage,
                descriptor,
                old: TupleRow::of(old, count),
                new: TupleRow::of(new, count),
                table: trigger.tg_relation,
                replaced,
                replaced_in: storage,
                made,
                is_leaving: operation == Operation::Delete && !is_foreign && is_leaving(trigger.tg_trigtuple),
                left_after: None,
            }))
        }
    }

    pub fn old_row(&self) -> TupleRow {
        self.old
    }

    pub fn new_row(&self) -> TupleRow {
        self.new
    }

    /// The columns that rows store: not the virtual generated ones.
    pub fn columns(&self) -> Vec<Column> {
        // SAFETY: the relation is open while the trigger runs.
        unsafe { columns::of(self.descriptor) }.into_iter().filter(|column| !column.is_virtual).collect()
    }
}
