//! Row versions, told apart by where they are stored.

use pgrx::pg_sys;

use crate::pg::tuple::{is_superseded, place};
use crate::pg::tuple_chain;

/// The rows of a relation between two rewrites: each gives the rows new places, and what was known of a place is void.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Storage {
    relation: u32,
    file: u32,
}

impl Storage {
    /// # Safety
    /// `relation` is an open relation.
    pub(super) unsafe fn of(relation: pg_sys::Relation) -> Storage {
        // SAFETY: caller's promise.
        unsafe {
            let file = (*(*relation).rd_rel).relfilenode;
            Storage { relation: (*relation).rd_id.to_u32(), file: file.to_u32() }
        }
    }
}

/// A row version that the running transaction made.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TupleVersion {
    pub storage: Storage,
    pub block: u32,
    pub line: u16,
    /// The subtransaction: a line that was rolled back can be used again.
    maker: u32,
}

impl TupleVersion {
    /// `None` when another transaction made it.
    ///
    /// # Safety
    /// `tuple` is a tuple stored there, or null.
    pub(super) unsafe fn of(storage: Storage, tuple: pg_sys::HeapTuple) -> Option<TupleVersion> {
        // SAFETY: caller's promise.
        unsafe {
            if tuple.is_null() {
                return None;
            }
            // Also of a row that COPY FREEZE made: it says who made it all the same. That of an old one may come round to us
            // after 2^32 transactions; then its place is remembered and never asked for.
            let maker = (*(*tuple).t_data).t_choice.t_heap.t_xmin;
            if !pg_sys::TransactionIdIsCurrentTransactionId(maker) {
                return None;
            }
            let (block, line) = place(&(*tuple).t_self);
            Some(TupleVersion { storage, block, line, maker: maker.into_inner() })
        }
    }
}

/// See [`Change::outdated`].
pub struct Outdated {
    table: pg_sys::Relation,
    tuple: pg_sys::HeapTuple,
}

impl Outdated {
    pub(super) fn of(table: pg_sys::Relation, tuple: pg_sys::HeapTuple) -> Outdated {
        Outdated { table, tuple }
    }
}

impl Iterator for Outdated {
    type Item = TupleVersion;

    fn next(&mut self) -> Option<TupleVersion> {
        // SAFETY: stored tuples of the open table, each a copy but for the first, which is the trigger's own.
        unsafe {
            if self.table.is_null() || !is_superseded(self.tuple) {
                return None;
            }
            let version = TupleVersion::of(Storage::of(self.table), self.tuple);
            self.tuple = tuple_chain::after(self.table, self.tuple).unwrap_or(std::ptr::null_mut());
            version
        }
    }
}
