//! Finding stored events by the table's unique keys.
//!
//! The scan uses a dirty snapshot, so it also sees what other transactions have not committed yet: that is how writers
//! find each other beyond the locks, and why REPEATABLE READ and SERIALIZABLE go on instead of failing.

use pgrx::pg_sys::{self, Datum, Oid};

use super::Store;
use super::event_row::{Origin, Stored};
use crate::contract::column;
use crate::jsonb::Document;
use crate::pg::datum::{self, Text};
use crate::pg::guard::protect;
use crate::pg::raw;
use crate::pg::stream::Stream;

/// Strategy and function of an operator of text.
pub(super) const EQUAL: (u32, u32) = (pg_sys::BTEqualStrategyNumber, pg_sys::F_TEXTEQ);
pub(super) const FROM: (u32, u32) = (pg_sys::BTGreaterEqualStrategyNumber, pg_sys::F_TEXT_GE);

#[derive(Clone, Copy, Default)]
pub struct Head {
    /// 0: the stream has no event.
    pub version: i64,
    pub recorded_at: i64,
    pub position: i64,
    /// Written by the running transaction.
    pub is_ours: bool,
    /// By a capture, so that it tells of a row.
    pub is_captured: bool,
    /// Whether the stream has no row after it, if that can be told at a glance: of a captured event that is in its place.
    pub is_end: Option<bool>,
    /// The transaction, or subtransaction, that wrote it, as its row says; and its command.
    pub made_by: u32,
    pub made_in: u32,
    /// Found by `Store::following`, before its stream was held.
    pub is_read_ahead: bool,
}

#[derive(Clone, Copy)]
pub enum Found<T> {
    Settled(T),
    /// Depends on another transaction that is still running.
    Pending(Wait),
}

#[derive(Clone, Copy)]
pub struct Wait {
    xid: pg_sys::TransactionId,
    token: u32,
}

impl Wait {
    /// Waits until the other transaction has ended, or, for a speculative insertion, has made up its mind.
    pub fn wait(self) {
        // SAFETY: lock manager calls without further conditions.
        unsafe {
            if self.token != 0 {
                pg_sys::SpeculativeInsertionWait(self.xid, self.token);
            } else {
                pg_sys::XactLockTableWait(
                    self.xid,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                    pg_sys::XLTW_Oper::XLTW_None,
                );
            }
        }
    }
}

impl<T> Found<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Found::Settled(value) => Found::Settled(f(value)),
            Found::Pending(wait) => Found::Pending(wait),
        }
    }
}

impl Store<'_> {
    pub fn newest(&self, stream: &Stream) -> Found<Head> {
        let mut keys = stream_keys(stream, EQUAL);
        // SAFETY: reads the transaction's state.
        let ours = unsafe { raw::GetTopFullTransactionIdIfAny() }.value;
        // SAFETY: the scan gives rows of the events table.
        let read = |slot: *mut pg_sys::TupleTableSlot| unsafe { read_head(slot, ours) };
        // Two rows of one version: the pending one is about to be taken back, or has been. Where the other is ours, its writer
        // is about to wait for us, and waiting for it would be a deadlock.
        let is_taken_back = |pending: &Head, settled: &Head| pending.version == settled.version;
        // SAFETY: both call nothing but `raw`.
        unsafe { self.first(self.info.version_index, &mut keys, read, is_taken_back) }.map(Option::unwrap_or_default)
    }

    pub fn by_event_id(&self, event_id: &[u8; 16]) -> Found<Option<Stored>> {
        // SAFETY: an empty key to be filled.
        let mut key: pg_sys::ScanKeyData = unsafe { std::mem::zeroed() };
        let id = datum::uuid(event_id);
        // SAFETY: the index's only column is of type uuid.
        unsafe {
            pg_sys::ScanKeyInit(&mut key, 1, pg_sys::BTEqualStrategyNumber as u16, Oid::from(pg_sys::F_UUID_EQ), id);
        }
        let read = |slot: *mut pg_sys::TupleTableSlot| {
            // SAFETY: the slot holds a row; the copy lives in the current memory context.
            let tuple = unsafe { raw::heap_copytuple(raw::ExecFetchSlotHeapTuple(slot, false, std::ptr::null_mut())) };
            Stored { tuple }
        };
        // Of two rows with one id the pending one is about to be taken back.
        // SAFETY: both call nothing but `raw`.
        unsafe { self.first(self.info.event_ids, &mut [key], read, |_, _| true) }
    }

    /// The last row of an index scan that is not rolled back. `is_moot`: a pending row means nothing beside this settled one.
    ///
    /// # Safety
    /// `read` and `is_moot` keep the rules of `protect`.
    unsafe fn first<T: Copy>(
        &self,
        index: Oid,
        keys: &mut [pg_sys::ScanKeyData],
        read: impl Fn(*mut pg_sys::TupleTableSlot) -> T,
        is_moot: impl Fn(&T, &T) -> bool,
    ) -> Found<Option<T>> {
        let nobody = pg_sys::TransactionId::from(0);
        let search = |scan, slot, snapshot: *const pg_sys::SnapshotData| {
            let mut pending: Option<(T, Wait)> = None;
            // SAFETY: within the scan, whose snapshot tells of the row that was found last.
            unsafe {
                while raw::index_getnext_slot(scan, pg_sys::ScanDirection::BackwardScanDirection, slot) {
                    let row = read(slot);
                    // Only an insertion in progress sets xmin. A deletion in progress does not matter: the version was used.
                    if (*snapshot).xmin == nobody {
                        if pending.is_none_or(|(pending, _)| is_moot(&pending, &row)) {
                            return Found::Settled(Some(row));
                        }
                        break;
                    }
                    let wait = Wait { xid: (*snapshot).xmin, token: (*snapshot).speculativeToken };
                    pending.get_or_insert((row, wait));
                }
            }
            pending.map_or(Found::Settled(None), |(_, wait)| Found::Pending(wait))
        };
        // SAFETY: `search` calls nothing but `raw`, and what keeps its rules.
        unsafe { self.scan(index, keys, false, search) }
    }

    /// Runs `body` on an index scan with a dirty snapshot, a slot for its rows, and that snapshot. `with_entries`: the scan gives
    /// the index's entries, too.
    ///
    /// # Safety
    /// `body` keeps the rules of `protect`.
    pub(super) unsafe fn scan<T>(
        &self,
        index: Oid,
        keys: &mut [pg_sys::ScanKeyData],
        with_entries: bool,
        body: impl FnOnce(pg_sys::IndexScanDesc, *mut pg_sys::TupleTableSlot, *const pg_sys::SnapshotData) -> T,
    ) -> T {
        let mut snapshot =
            pg_sys::SnapshotData { snapshot_type: pg_sys::SnapshotType::SNAPSHOT_DIRTY, ..Default::default() };
        let snapshot = &raw mut snapshot;
        let (table, descriptor) = (self.table.raw(), self.table.tuple_desc());
        // SAFETY: the scan ends before the snapshot and the index go; after an error the resource owner releases what the
        // scan holds. The index is locked since `open`.
        unsafe {
            protect(|| {
                let index = raw::index_open(index, pg_sys::NoLock as i32);
                let slot = raw::MakeSingleTupleTableSlot(descriptor, &raw const pg_sys::TTSOpsBufferHeapTuple);
                let scan = raw::index_beginscan(
                    table,
                    index,
                    snapshot,
                    #[cfg(feature = "pg18")]
                    std::ptr::null_mut(),
                    keys.len() as i32,
                    0,
                );
                // Has to be known before the scan starts.
                (*scan).xs_want_itup = with_entries;
                raw::index_rescan(scan, keys.as_mut_ptr(), keys.len() as i32, std::ptr::null_mut(), 0);
                let result = body(scan, slot, snapshot);
                raw::index_endscan(scan);
                raw::ExecDropSingleTupleTableSlot(slot);
                raw::index_close(index, pg_sys::NoLock as i32);
                result
            })
        }
    }
}

/// # Safety
/// The slot holds a row of the events table; within `protect`.
pub(super) unsafe fn read_head(slot: *mut pg_sys::TupleTableSlot, ours: u64) -> Head {
    // SAFETY: caller's promise; none of these columns is null.
    unsafe {
        raw::slot_getsomeattrs_int(slot, column::ORIGIN as i32);
        let values = (*slot).tts_values;
        let header = (*raw::ExecFetchSlotHeapTuple(slot, false, std::ptr::null_mut())).t_data;
        let is_captured = datum::plain_text(*values.add(column::ORIGIN - 1)) == Some(Origin::Captured.name());
        Head {
            version: (*values.add(column::AGGREGATE_VERSION - 1)).value() as i64,
            recorded_at: (*values.add(column::RECORDED_AT - 1)).value() as i64,
            position: (*values).value() as i64,
            is_ours: (*values.add(column::TRANSACTION_ID - 1)).value() as u64 == ours
                // An event that was restored from another cluster may have the number of the running transaction. Its row tells.
                && raw::TransactionIdIsCurrentTransactionId((*header).t_choice.t_heap.t_xmin),
            is_captured,
            is_end: if is_captured {
                is_end(*values.add(column::EVENT_DATA - 1), *values.add(column::METADATA - 1))
            } else {
                None
            },
            made_by: (*header).t_choice.t_heap.t_xmin.into_inner(),
            made_in: (*header).t_choice.t_heap.t_field3.t_cid,
            is_read_ahead: false,
        }
    }
}

/// # Safety
/// Two jsonb columns of a live row.
unsafe fn is_end(event_data: Datum, metadata: Datum) -> Option<bool> {
    // SAFETY: caller's promise.
    let (data, metadata) = unsafe { (datum::plain_text(event_data)?, datum::plain_text(metadata)?) };
    // What was told late is in another place than its version says.
    if Document(metadata).as_value().as_object()?.get(b"late").is_some() {
        return None;
    }
    let data = Document(data).as_value().as_object()?;
    Some(data.get(b"new_values").is_none() || data.get(b"new_aggregate_id").is_some())
}

/// The keys of a scan over the events of one stream (`EQUAL`), or of this one and those that follow (`FROM`). The columns
/// are text collate "C".
pub(super) fn stream_keys(stream: &Stream, id: (u32, u32)) -> [pg_sys::ScanKeyData; 2] {
    let key = |column: i16, (strategy, operator): (u32, u32), value: Text| {
        // SAFETY: the key is filled completely.
        unsafe {
            let mut key: pg_sys::ScanKeyData = std::mem::zeroed();
            pg_sys::ScanKeyEntryInitialize(
                &mut key,
                0,
                column,
                strategy as u16,
                Oid::INVALID,
                pg_sys::C_COLLATION_OID,
                Oid::from(operator),
                value.datum,
            );
            key
        }
    };
    [key(1, EQUAL, stream.aggregate_type), key(2, id, stream.aggregate_id)]
}
