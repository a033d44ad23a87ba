//! Row versions, told apart by where they are stored.

use pgrx::pg_sys;

use super::super::versions;

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
pub struct Version {
    pub storage: Storage,
    pub block: u32,
    pub line: u16,
    /// The subtransaction: a line that was rolled back can be used again.
    maker: u32,
}

impl Version {
    /// `None` when another transaction made it.
    ///
    /// # Safety
    /// `tuple` is a tuple stored there, or null.
    pub(super) unsafe fn of(storage: Storage, tuple: pg_sys::HeapTuple) -> Option<Version> {
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
            let (block, line) = versions::place(&(*tuple).t_self);
            Some(Version { storage, block, line, maker: maker.into_inner() })
        }
    }
}

/// # Safety
/// `tuple` is a stored tuple of a trigger event, or null.
pub unsafe fn is_superseded(tuple: pg_sys::HeapTuple) -> bool {
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
    type Item = Version;

    fn next(&mut self) -> Option<Version> {
        // SAFETY: stored tuples of the open table, each a copy but for the first, which is the trigger's own.
        unsafe {
            if self.table.is_null() || !is_superseded(self.tuple) {
                return None;
            }
            let version = Version::of(Storage::of(self.table), self.tuple);
            self.tuple = versions::after(self.table, self.tuple).unwrap_or(std::ptr::null_mut());
            version
        }
    }
}
