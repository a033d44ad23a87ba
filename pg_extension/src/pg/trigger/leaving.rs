//! Rows that an update moves to another partition, between their DELETE and their INSERT.

use pgrx::pg_sys::{self, Datum, Oid};

use super::{Change, Operation, Storage, TupleRow};

/// A row on its way to another partition.
pub struct Leaving {
    relation: Oid,
    storage: Storage,
    command: pg_sys::CommandId,
    left_after: Option<i64>,
    tuple: pg_sys::HeapTuple,
    descriptor: pg_sys::TupleDesc,
    values: Vec<Datum>,
    nulls: Vec<bool>,
}

impl Change {
    /// Keeps a leaving row until it arrives. It lives in the transaction's memory.
    pub fn leave(&self, left_after: Option<i64>) -> Leaving {
        // SAFETY: the tuple was deleted by the running transaction; the copies are freed in `Leaving::free` or with the
        // transaction.
        unsafe {
            let context = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = pg_sys::TopTransactionContext;
            let tuple = pg_sys::heap_copytuple(self.replaced);
            let descriptor = pg_sys::CreateTupleDescCopy(self.descriptor);
            pg_sys::CurrentMemoryContext = context;
            let count = (*descriptor).natts as usize;
            let (mut values, mut nulls) = (vec![Datum::from(0); count], vec![true; count]);
            pg_sys::heap_deform_tuple(tuple, self.descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            Leaving {
                relation: self.relation,
                storage: self.storage,
                command: self.command(),
                left_after,
                tuple,
                descriptor,
                values,
                nulls,
            }
        }
    }

    /// True when this INSERT is where the row arrives: made by the same command.
    pub fn is_arrival_of(&self, leaving: &Leaving) -> bool {
        self.operation == Operation::Insert && self.command() == leaving.command
    }

    /// The update that the two halves are. `place` says for each of the old row's columns where it is in the new row.
    pub fn arrive(&mut self, leaving: &Leaving, place: impl Fn(usize) -> Option<usize>, row: &mut ArrivedRow) {
        row.values = vec![Datum::from(0); self.new.count];
        row.nulls = vec![true; self.new.count];
        for old in 0..leaving.values.len() {
            if let Some(new) = place(old) {
                row.values[new] = leaving.values[old];
                row.nulls[new] = leaving.nulls[old];
            }
        }
        self.operation = Operation::Update;
        self.left_after = leaving.left_after;
        self.replaced = leaving.tuple;
        self.replaced_in = leaving.storage;
        self.old = TupleRow { values: row.values.as_ptr(), nulls: row.nulls.as_ptr(), count: self.new.count };
    }
}

/// The old row's values in the order of the new row's columns; outlives the `Change` it was given to.
#[derive(Default)]
pub struct ArrivedRow {
    values: Vec<Datum>,
    nulls: Vec<bool>,
}

impl Leaving {
    /// The change as the DELETE it was fired as: nothing arrived.
    pub fn as_delete(&self) -> Change {
        Change {
            operation: Operation::Delete,
            relation: self.relation,
            function: pgrx::pg_sys::Oid::INVALID,
            storage: self.storage,
            descriptor: self.descriptor,
            old: TupleRow { values: self.values.as_ptr(), nulls: self.nulls.as_ptr(), count: self.values.len() },
            new: TupleRow::NONE,
            table: std::ptr::null_mut(),
            replaced: self.tuple,
            replaced_in: self.storage,
            made: std::ptr::null_mut(),
            is_leaving: false,
            left_after: self.left_after,
        }
    }

    pub fn free(self) {
        // SAFETY: both were copied by `leave`, in this transaction.
        unsafe {
            pg_sys::heap_freetuple(self.tuple);
            pg_sys::FreeTupleDesc(self.descriptor);
        }
    }
}
