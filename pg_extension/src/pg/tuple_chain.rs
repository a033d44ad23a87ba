//! Earlier versions of a row, as far as the running transaction has replaced them.

use pgrx::pg_sys::{self, Datum};

use super::relation::Open;
use super::tuple::{TupleRow, is_leaving, is_superseded, place};

/// The row that `tuple` replaced, found by the table's unique keys; `None` when they have changed or there is none.
///
/// # Safety
/// `tuple` is a stored tuple of the open table `relation`, made by an update of the running transaction, and `row` holds
/// its columns.
pub unsafe fn before(
    relation: pg_sys::Relation,
    tuple: pg_sys::HeapTuple,
    row: &TupleRow,
) -> Option<pg_sys::HeapTuple> {
    // SAFETY: caller's promise; after an error the resource owner releases what the scan holds.
    unsafe {
        let list = pg_sys::RelationGetIndexList(relation);
        let count = if list.is_null() { 0 } else { (*list).length as usize };
        (0..count).find_map(|position| {
            let index = Open::index((*(*list).elements.add(position)).oid_value, pg_sys::AccessShareLock);
            let form = &*(*index.raw()).rd_index;
            if !form.indisunique || !form.indisvalid { None } else { before_in(&index, relation, tuple, row) }
        })
    }
}

/// # Safety
/// As `before`; `index` is one of the table's.
unsafe fn before_in(
    index: &Open,
    relation: pg_sys::Relation,
    tuple: pg_sys::HeapTuple,
    row: &TupleRow,
) -> Option<pg_sys::HeapTuple> {
    // SAFETY: caller's promise.
    unsafe {
        let mut keys = keys(index, row)?;
        let slot = pg_sys::MakeSingleTupleTableSlot((*relation).rd_att, &raw const pg_sys::TTSOpsBufferHeapTuple);
        let scan = begin_scan(relation, index.raw(), &raw mut pg_sys::SnapshotAnyData, keys.len());
        pg_sys::index_rescan(scan, keys.as_mut_ptr(), keys.len() as i32, std::ptr::null_mut(), 0);
        let mut found = None;
        while found.is_none() && pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) {
            let candidate = pg_sys::ExecFetchSlotHeapTuple(slot, false, std::ptr::null_mut());
            if leads_to(candidate, tuple) {
                found = Some(pg_sys::heap_copytuple(candidate));
            }
        }
        pg_sys::index_endscan(scan);
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        found
    }
}

/// # Safety
/// `index` is an index of the table that `row` is of.
unsafe fn keys(index: &Open, row: &TupleRow) -> Option<Vec<pg_sys::ScanKeyData>> {
    // SAFETY: caller's promise; the arrays have one element per key column.
    unsafe {
        let relation = &*index.raw();
        let form = &*relation.rd_index;
        if (*relation.rd_rel).relam != pg_sys::BTREE_AM_OID {
            return None;
        }
        (0..form.indnkeyatts as usize)
            .map(|position| {
                let column = *form.indkey.values.as_ptr().add(position);
                let value: Datum = row.get(usize::try_from(column - 1).ok()?)?;
                let input = *relation.rd_opcintype.add(position);
                let family = *relation.rd_opfamily.add(position);
                let operator = pg_sys::get_opfamily_member(family, input, input, pg_sys::BTEqualStrategyNumber as i16);
                let mut key: pg_sys::ScanKeyData = std::mem::zeroed();
                pg_sys::ScanKeyEntryInitialize(
                    &mut key,
                    0,
                    position as i16 + 1,
                    pg_sys::BTEqualStrategyNumber as u16,
                    pg_sys::Oid::INVALID,
                    *relation.rd_indcollation.add(position),
                    pg_sys::get_opcode(operator),
                    value,
                );
                Some(key)
            })
            .collect()
    }
}

/// # Safety
/// As index_beginscan.
unsafe fn begin_scan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    keys: usize,
) -> pg_sys::IndexScanDesc {
    // SAFETY: caller's promise.
    unsafe {
        pg_sys::index_beginscan(
            table,
            index,
            snapshot,
            #[cfg(feature = "pg18")]
            std::ptr::null_mut(),
            keys as i32,
            0,
        )
    }
}

/// The version that replaced `tuple`; `None` when it was deleted or moved to another partition.
///
/// # Safety
/// `tuple` is a stored tuple of the open table `relation`, replaced by the running transaction.
pub unsafe fn after(relation: pg_sys::Relation, tuple: pg_sys::HeapTuple) -> Option<pg_sys::HeapTuple> {
    // SAFETY: caller's promise. What this transaction has made is not removed before it ends.
    unsafe {
        let mut next = (*(*tuple).t_data).t_ctid;
        if place(&next) == place(&(*tuple).t_self) || is_leaving(tuple) {
            return None;
        }
        let fetch = (*(*relation).rd_tableam).tuple_fetch_row_version?;
        let slot = pg_sys::MakeSingleTupleTableSlot((*relation).rd_att, &raw const pg_sys::TTSOpsBufferHeapTuple);
        let found = super::guard::protect(|| fetch(relation, &mut next, &raw mut pg_sys::SnapshotAnyData, slot))
            .then(|| pg_sys::heap_copytuple(pg_sys::ExecFetchSlotHeapTuple(slot, false, std::ptr::null_mut())));
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        found
    }
}

/// # Safety
/// Both are stored tuples of one table.
unsafe fn leads_to(candidate: pg_sys::HeapTuple, tuple: pg_sys::HeapTuple) -> bool {
    // SAFETY: caller's promise.
    unsafe {
        let next = (*(*candidate).t_data).t_ctid;
        place(&next) == place(&(*tuple).t_self)
            && place(&(*candidate).t_self) != place(&(*tuple).t_self)
            && is_superseded(candidate)
    }
}
