//! Unguarded twins of pgrx's bindings, for use inside `guard::protect`: one guard around many calls.

#![allow(non_snake_case, reason = "as Postgres names them")]

use pgrx::pg_sys::*;
unsafe extern "C-unwind" {
    // The function behind nextval(); exported, not bound by pgrx.
    pub fn nextval_internal(relid: Oid, check_permissions: bool) -> i64;
    pub fn GetCurrentTimestamp() -> TimestampTz;
    pub fn GetCurrentCommandId(used: bool) -> CommandId;
    pub fn GetTopFullTransactionId() -> FullTransactionId;
    pub fn GetTopFullTransactionIdIfAny() -> FullTransactionId;
    pub fn TransactionIdIsCurrentTransactionId(xid: TransactionId) -> bool;
    pub fn DirectFunctionCall1Coll(function: PGFunction, collation: Oid, a: Datum) -> Datum;
    pub fn DirectFunctionCall3Coll(function: PGFunction, collation: Oid, a: Datum, b: Datum, c: Datum) -> Datum;
    pub fn relation_open(oid: Oid, lock: std::ffi::c_int) -> Relation;
    pub fn relation_close(relation: Relation, lock: std::ffi::c_int);
    pub fn ReadBuffer(relation: Relation, block: BlockNumber) -> Buffer;
    pub fn LockBuffer(buffer: Buffer, mode: std::ffi::c_int);
    pub fn UnlockReleaseBuffer(buffer: Buffer);
    pub fn index_open(oid: Oid, lock: std::ffi::c_int) -> Relation;
    pub fn index_close(relation: Relation, lock: std::ffi::c_int);
    pub fn heap_form_tuple(descriptor: TupleDesc, values: *mut Datum, nulls: *mut bool) -> HeapTuple;
    pub fn heap_insert(
        relation: Relation,
        tuple: HeapTuple,
        command: CommandId,
        options: std::ffi::c_int,
        state: BulkInsertState,
    );
    pub fn heap_copytuple(tuple: HeapTuple) -> HeapTuple;
    pub fn index_insert(
        index: Relation,
        values: *mut Datum,
        nulls: *mut bool,
        tid: ItemPointer,
        table: Relation,
        check: IndexUniqueCheck::Type,
        unchanged: bool,
        info: *mut IndexInfo,
    ) -> bool;
    pub fn index_beginscan(
        table: Relation,
        index: Relation,
        snapshot: Snapshot,
        #[cfg(feature = "pg18")] instrument: *mut IndexScanInstrumentation,
        keys: std::ffi::c_int,
        order_bys: std::ffi::c_int,
    ) -> IndexScanDesc;
    pub fn index_rescan(
        scan: IndexScanDesc,
        keys: ScanKey,
        count: std::ffi::c_int,
        order_bys: ScanKey,
        order_by_count: std::ffi::c_int,
    );
    pub fn index_getnext_slot(scan: IndexScanDesc, direction: ScanDirection::Type, slot: *mut TupleTableSlot) -> bool;
    pub fn index_getnext_tid(scan: IndexScanDesc, direction: ScanDirection::Type) -> ItemPointer;
    pub fn index_fetch_heap(scan: IndexScanDesc, slot: *mut TupleTableSlot) -> bool;
    pub fn index_deform_tuple(tuple: IndexTuple, descriptor: TupleDesc, values: *mut Datum, nulls: *mut bool);
    pub fn index_endscan(scan: IndexScanDesc);
    pub fn MakeSingleTupleTableSlot(descriptor: TupleDesc, kind: *const TupleTableSlotOps) -> *mut TupleTableSlot;
    pub fn ExecDropSingleTupleTableSlot(slot: *mut TupleTableSlot);
    pub fn ExecFetchSlotHeapTuple(slot: *mut TupleTableSlot, copy: bool, free: *mut bool) -> HeapTuple;
    pub fn slot_getsomeattrs_int(slot: *mut TupleTableSlot, count: std::ffi::c_int);
}
