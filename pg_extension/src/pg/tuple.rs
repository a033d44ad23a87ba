//! Stored tuples: their columns, and what their headers say of what became of them.

use pgrx::pg_sys::{self, Datum};

/// The columns of the old or the new row, if the operation has one.
#[derive(Clone, Copy)]
pub struct TupleRow {
    pub(super) values: *const Datum,
    pub(super) nulls: *const bool,
    pub(super) count: usize,
}

impl TupleRow {
    pub(super) const NONE: TupleRow = TupleRow { values: std::ptr::null(), nulls: std::ptr::null(), count: 0 };

    pub fn get(&self, index: usize) -> Option<Datum> {
        if index >= self.count {
            return None;
        }
        // SAFETY: below count; the slot lives while the trigger runs.
        unsafe { (!*self.nulls.add(index)).then(|| *self.values.add(index)) }
    }

    /// # Safety
    /// `tuple` is of this descriptor; the result lives in the current memory context.
    pub(super) unsafe fn of_tuple(tuple: pg_sys::HeapTuple, descriptor: pg_sys::TupleDesc) -> TupleRow {
        // SAFETY: both arrays have room for every column.
        unsafe {
            let count = (*descriptor).natts as usize;
            let values: *mut Datum = pg_sys::palloc(count * size_of::<Datum>()).cast();
            let nulls: *mut bool = pg_sys::palloc(count).cast();
            pg_sys::heap_deform_tuple(tuple, descriptor, values, nulls);
            TupleRow { values, nulls, count }
        }
    }

    /// # Safety
    /// `slot` holds a row of this descriptor.
    pub(super) unsafe fn of(slot: *mut pg_sys::TupleTableSlot, count: usize) -> TupleRow {
        if slot.is_null() {
            return TupleRow::NONE;
        }
        // SAFETY: caller's promise.
        unsafe {
            if ((*slot).tts_nvalid as usize) < count {
                pg_sys::slot_getsomeattrs_int(slot, count as i32);
            }
            TupleRow { values: (*slot).tts_values, nulls: (*slot).tts_isnull, count }
        }
    }
}

/// Block and line of a tuple.
pub fn place(tid: &pg_sys::ItemPointerData) -> (u32, u16) {
    ((u32::from(tid.ip_blkid.bi_hi) << 16) | u32::from(tid.ip_blkid.bi_lo), tid.ip_posid)
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

/// # Safety
/// `tuple` is a stored tuple that was deleted.
pub unsafe fn is_leaving(tuple: pg_sys::HeapTuple) -> bool {
    const MOVED: u16 = 0xfffd;
    // SAFETY: caller's promise. An update that moves the row marks the old one so.
    unsafe {
        let next = (*(*tuple).t_data).t_ctid;
        next.ip_posid == MOVED && next.ip_blkid.bi_hi == 0xffff && next.ip_blkid.bi_lo == 0xffff
    }
}
