//! The store's table: finding the newest event of a stream, and writing one.
//!
//! Measured against the alternatives (ns per call, one core, a table of this shape): newest version by a kept SPI plan
//! 3,700, by an index scan of our own 1,900; an insert by a kept SPI plan 2,500, by `heap_insert` and `index_insert` 1,700.
//!
//! What a row of a bulk statement does not need (us per row of 100,000, of about 11): a guard around each call instead of
//! one around all of an insert 0.4; locks that are held already, looked for again 0.2; the look-up before an INSERT, which
//! nearly always begins its stream (`capture::plan::Guess`), 1.3. Not done: relations kept open from row to row would save
//! another 0.2, but then the store could not be altered in a transaction that has written to it.

mod event_row;
mod find;
mod following;
mod sequence;
mod slow_insert;

use std::cell::Cell;
use std::rc::Rc;

use pgrx::pg_sys::{self, Datum, Oid};

use super::call::Call;
use super::datum::{self, Text};
use super::guard::protect;
use super::info::{COLUMNS, Index, Info};
use super::memory::CallMemory;
use super::raw;
use super::relation::Open;
use super::shape::altered;
use crate::contract::column;
use crate::error::{Error, Result};

pub use self::event_row::{EventRow, Origin, Stored};
pub use self::find::{Found, Head};

thread_local! {
    /// The last position that this session has drawn, and how often somebody else had drawn one since the one before.
    static DRAWN: Cell<(i64, u64)> = const { Cell::new((0, 0)) };
}

/// Changes when this session finds that others have drawn positions between two of its own: that they write to the store.
pub fn interruptions() -> u64 {
    DRAWN.get().1
}

pub struct Store<'m> {
    info: Rc<Info>,
    table: Open,
    memory: &'m CallMemory,
}

/// What came of an insert that must not fail.
pub enum Tried {
    Stored(Stored),
    /// Another writer has stored this version or this event id first, or may have.
    Taken,
    /// Nothing was stored: `Store::insert` has to be asked, and may fail.
    Uncertain,
}

/// What came of an insert without an INSERT.
enum Plain {
    Stored(Stored),
    Taken,
    /// This unique index has the value.
    Refused {
        by: Oid,
        position: i64,
    },
}

impl<'m> Store<'m> {
    /// Refuses where nothing may be written, as any INSERT does.
    pub fn open(memory: &'m CallMemory) -> Result<Store<'m>> {
        Store::open_for(memory, true)
    }

    /// As `open`, for who stores nothing: no position is drawn.
    pub fn open_to_look(memory: &'m CallMemory) -> Result<Store<'m>> {
        Store::open_for(memory, false)
    }

    fn open_for(memory: &'m CallMemory, draws: bool) -> Result<Store<'m>> {
        // SAFETY: plain globals and checks of the backend.
        unsafe {
            if pg_sys::XactReadOnly || pg_sys::RecoveryInProgress() {
                return Err(Error::ReadOnly);
            }
            if pg_sys::IsInParallelMode() {
                return Err(Error::ParallelWorker);
            }
        }
        let mut info = Info::get()?;
        while !super::held::lock(&info, draws) {
            info = Info::get()?;
        }
        let table = Open::table(info.events, pg_sys::NoLock);
        Ok(Store { info, table, memory })
    }

    /// To be asked by functions that take or return events: after somebody has renamed tables or schemas, theirs may be
    /// another table.
    pub fn check_caller(&self, call: &Call) -> Result<()> {
        let function = call.function();
        if self.info.callers.borrow().contains(&function) {
            return Ok(());
        }
        // SAFETY: catalogue look-ups; the arrays of the function's arguments are allocated by Postgres.
        let is_ours = unsafe {
            let (mut types, mut count) = (std::ptr::null_mut(), 0);
            let result = pg_sys::get_func_signature(function, &mut types, &mut count);
            result == self.info.row_type
                && (0..count as usize).map(|index| *types.add(index)).all(|argument| {
                    argument == self.info.row_type || pg_sys::get_typtype(argument) as u8 != pg_sys::TYPTYPE_COMPOSITE
                })
        };
        if !is_ours {
            return Err(altered(c"events", "It is not the table whose rows the called function returns."));
        }
        self.info.callers.borrow_mut().push(function);
        Ok(())
    }

    pub fn oid(&self) -> Oid {
        self.info.events
    }

    /// False when an insert runs code other than ours.
    pub fn is_plain(&self) -> bool {
        self.info.plain
    }

    /// As `is_plain`, before the store is opened.
    pub fn is_plain_now() -> Result<bool> {
        Ok(Info::get()?.plain)
    }

    /// Whether a row may be inserted on a guess and taken back. What decodes the WAL would be told of it as of any other.
    pub fn may_guess(&self) -> bool {
        // SAFETY: a plain global, fixed at server start.
        self.info.plain && unsafe { pg_sys::wal_level } < pg_sys::WalLevel::WAL_LEVEL_LOGICAL as i32
    }

    pub fn tuple_desc(&self) -> pg_sys::TupleDesc {
        self.table.tuple_desc()
    }

    /// The columns of a composite value of type domain_events.events.
    pub fn columns_of(&self, composite: Datum) -> [Option<Datum>; COLUMNS] {
        // SAFETY: an open relation.
        let count = unsafe { (*self.table.tuple_desc()).natts } as usize;
        let (mut values, mut nulls) = (vec![Datum::from(0); count], vec![true; count]);
        // SAFETY: the SQL declaration gives a composite of this table's row type.
        unsafe {
            let header: pg_sys::HeapTupleHeader = pg_sys::pg_detoast_datum(composite.cast_mut_ptr()).cast();
            let mut tuple = pg_sys::HeapTupleData {
                t_len: pgrx::varlena::varsize_any(header.cast()) as u32,
                t_data: header,
                ..Default::default()
            };
            pg_sys::heap_deform_tuple(&mut tuple, self.table.tuple_desc(), values.as_mut_ptr(), nulls.as_mut_ptr());
        }
        std::array::from_fn(|column| (!nulls[column]).then_some(values[column]))
    }

    /// Writes the event; `None` when another writer has stored this version or this event id first, or may have.
    pub fn insert(&self, row: &EventRow) -> Result<Option<Stored>> {
        check_version(row)?;
        if self.info.plain {
            match self.insert_plain(row) {
                Plain::Stored(stored) => return Ok(Some(stored)),
                Plain::Taken => return Ok(None),
                Plain::Refused { by, position } if by == self.info.positions => {
                    return Err(Error::PositionTaken { position: Some(position) });
                }
                // Somebody else's unique index: the ordinary INSERT waits, and says what is wrong.
                Plain::Refused { .. } => {}
            }
        }
        match slow_insert::insert(self.info.owner, row)? {
            Some(stored) => Ok(Some(stored)),
            None => match self.newest(&row.stream) {
                Found::Settled(head) if head.version < row.version => Err(Error::NotStored),
                _ => Ok(None),
            },
        }
    }

    /// As `insert`, where no error can come of it that a caller might want to get over, and without running code of others.
    pub fn try_insert(&self, row: &EventRow) -> Result<Tried> {
        check_version(row)?;
        if !self.info.plain || !sequence::has_room(&self.info.sequence) || !self.fits_indexes(row) {
            return Ok(Tried::Uncertain);
        }
        Ok(match self.insert_plain(row) {
            Plain::Stored(stored) => Tried::Stored(stored),
            Plain::Taken => Tried::Taken,
            Plain::Refused { .. } => Tried::Uncertain,
        })
    }

    /// False where a value may be too large for an index that somebody has added.
    fn fits_indexes(&self, row: &EventRow) -> bool {
        /// A page has room for three entries: 2,704 bytes.
        const LIMIT: usize = 2000;
        if !self.info.has_open_sizes {
            return true;
        }
        let (values, nulls) = self.columns(row);
        let size = |column: &i16| {
            let column = *column as usize - 1;
            // SAFETY: these columns are varlenas.
            if nulls[column] { 0 } else { unsafe { pgrx::varlena::varsize_any(values[column].cast_mut_ptr()) } }
        };
        self.info
            .indexes
            .iter()
            .filter(|index| index.has_open_size)
            .all(|index| index.columns.iter().filter(|column| is_varlena(**column)).map(size).sum::<usize>() <= LIMIT)
    }

    fn insert_plain(&self, row: &EventRow) -> Plain {
        let (mut values, mut nulls) = self.columns(row);
        let (table, descriptor) = (self.table.raw(), self.table.tuple_desc());
        let (info, values, nulls) = (&*self.info, &mut values, &mut nulls);
        // SAFETY: values and nulls describe all columns of the table; every index is written; the relations are locked as
        // an INSERT locks them. `Info::plain` says that an INSERT would do no more. Nothing in here needs dropping.
        let inserted = unsafe {
            protect(|| {
                // Assigns the transaction its number, as any write does. Before the position is drawn: what readers of the
                // whole store are bounded by rests on it (sql/reading/74_ticks.sql).
                let transaction = raw::GetTopFullTransactionId().value;
                let position = raw::nextval_internal(info.sequence.oid, false);
                let (last, interruptions) = DRAWN.get();
                let is_interrupted = position != last + 1;
                DRAWN.set((position, interruptions + u64::from(is_interrupted)));
                if is_interrupted && row.is_guess {
                    return None;
                }
                if position <= row.after_position {
                    return Some((std::ptr::null_mut(), position, Some(info.positions)));
                }
                values[column::GLOBAL_POSITION - 1] = Datum::from(position);
                values[column::TRANSACTION_ID - 1] = Datum::from(transaction);
                let command = raw::GetCurrentCommandId(true);
                let tuple = raw::heap_form_tuple(descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
                (*tuple).t_tableOid = info.events;
                raw::heap_insert(table, tuple, command, 0, std::ptr::null_mut());
                // A unique index says what it has against the row instead of raising an error, or waiting.
                let refused_by = info.indexes.iter().find(|index| {
                    let check = if index.unique {
                        pg_sys::IndexUniqueCheck::UNIQUE_CHECK_PARTIAL
                    } else {
                        pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO
                    };
                    !insert_into(index, table, values, nulls, &raw mut (*tuple).t_self, check) && index.unique
                });
                Some((tuple, position, refused_by.map(|index| index.oid)))
            })
        };
        let Some((tuple, position, refused_by)) = inserted else { return Plain::Taken };
        let Some(by) = refused_by else { return Plain::Stored(Stored { tuple }) };
        // Of the version: a writer that took none of our locks, or that of a stream which was thought to be new or as it
        // was read ahead. Take the tuple back and look again.
        if !tuple.is_null() {
            self.take_back(Stored { tuple });
        }
        if by == info.version_index || by == info.event_ids { Plain::Taken } else { Plain::Refused { by, position } }
    }

    /// Of an event that this command has inserted.
    pub fn take_back(&self, stored: Stored) {
        // SAFETY: the tuple was inserted by the running transaction, into this table.
        unsafe {
            pg_sys::CommandCounterIncrement();
            pg_sys::simple_heap_delete(self.table.raw(), &raw mut (*stored.tuple).t_self);
        }
    }

    /// But for position and transaction.
    fn columns(&self, row: &EventRow) -> ([Datum; COLUMNS], [bool; COLUMNS]) {
        let mut nulls = [false; COLUMNS];
        let mut optional = |number: usize, text: &Option<Text>| match text {
            Some(text) => text.datum,
            None => {
                nulls[number - 1] = true;
                Datum::from(0)
            }
        };
        let values = [
            Datum::from(0),
            Datum::from(0),
            datum::uuid(&row.event_id),
            row.stream.aggregate_type.datum,
            row.stream.aggregate_id.datum,
            Datum::from(row.version),
            row.event_type.datum,
            optional(column::EVENT_NAME, &row.event_name),
            row.event_data,
            row.metadata,
            optional(column::CORRELATION_ID, &row.correlation_id),
            optional(column::CAUSATION_ID, &row.causation_id),
            optional(column::CAUSED_BY, &row.caused_by),
            Datum::from(row.schema_version),
            Datum::from(row.occurred_at.unwrap_or(row.recorded_at)),
            Datum::from(row.recorded_at),
            row.origin.datum(),
        ];
        (values, nulls)
    }

    /// The event as a composite value of type domain_events.events.
    pub fn to_composite(&self, stored: Stored) -> Datum {
        // SAFETY: the tuple was formed with, or read by, this table's descriptor.
        unsafe { pg_sys::heap_copy_tuple_as_datum(stored.tuple, self.table.tuple_desc()) }
    }

    /// One column of a stored event; null is `None`.
    pub fn column(&self, stored: Stored, number: usize) -> Option<Datum> {
        let mut null = false;
        // SAFETY: the tuple belongs to this table's descriptor and the number is one of its columns.
        let value = unsafe { pg_sys::heap_getattr(stored.tuple, number as i32, self.table.tuple_desc(), &mut null) };
        (!null).then_some(value)
    }

    /// As `column`, of one that is text or jsonb.
    pub fn text(&self, stored: Stored, number: usize) -> Option<Text<'m>> {
        self.column(stored, number).map(|value| self.memory.column(value))
    }
}

fn check_version(row: &EventRow) -> Result<()> {
    if row.version == i64::MIN {
        return Err(Error::NoVersionLeft);
    } else if row.version <= 0 {
        return Err(Error::Internal(format!("version {} is not positive", row.version)));
    }
    Ok(())
}

/// Texts and documents.
fn is_varlena(number: i16) -> bool {
    matches!(number as usize, column::AGGREGATE_TYPE | column::AGGREGATE_ID | column::EVENT_TYPE..=column::CAUSED_BY)
}

/// # Safety
/// Within `protect`: `tid` is the tuple just inserted into the table, `values` and `nulls` its columns.
unsafe fn insert_into(
    index: &Index,
    table: pg_sys::Relation,
    values: &[Datum; COLUMNS],
    nulls: &[bool; COLUMNS],
    tid: pg_sys::ItemPointer,
    check: pg_sys::IndexUniqueCheck::Type,
) -> bool {
    let mut keys = [Datum::from(0); pg_sys::INDEX_MAX_KEYS as usize];
    let mut empty = [false; pg_sys::INDEX_MAX_KEYS as usize];
    for (position, column) in index.columns.iter().enumerate() {
        keys[position] = values[*column as usize - 1];
        empty[position] = nulls[*column as usize - 1];
    }
    // SAFETY: caller's promise; the index is locked since `Store::open`. B-trees, the only kind here, do not look at the
    // IndexInfo.
    unsafe {
        let open = raw::index_open(index.oid, pg_sys::NoLock as i32);
        let fits = raw::index_insert(
            open,
            keys.as_mut_ptr(),
            empty.as_mut_ptr(),
            tid,
            table,
            check,
            false,
            std::ptr::null_mut(),
        );
        raw::index_close(open, pg_sys::NoLock as i32);
        fits
    }
}

/// Microseconds since 2000, the server's clock.
pub fn now() -> i64 {
    // SAFETY: reads the clock; raises no error.
    unsafe { raw::GetCurrentTimestamp() }
}
