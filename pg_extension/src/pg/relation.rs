//! Open relations that close themselves.

use pgrx::pg_sys;

pub struct Open {
    relation: pg_sys::Relation,
}

impl Open {
    /// Opens a table; the lock stays until the transaction ends, as for any statement.
    pub fn table(oid: pg_sys::Oid, mode: u32) -> Self {
        // SAFETY: raises an error unless the table exists.
        Open { relation: unsafe { pg_sys::table_open(oid, mode as i32) } }
    }

    pub fn index(oid: pg_sys::Oid, mode: u32) -> Self {
        // SAFETY: raises an error unless the index exists.
        Open { relation: unsafe { pg_sys::index_open(oid, mode as i32) } }
    }

    pub fn raw(&self) -> pg_sys::Relation {
        self.relation
    }

    pub fn tuple_desc(&self) -> pg_sys::TupleDesc {
        // SAFETY: open while self lives.
        unsafe { (*self.relation).rd_att }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // After an error the resource owner closes it.
        if !std::thread::panicking() {
            // SAFETY: opened by the constructor, closed once. The lock stays.
            unsafe { pg_sys::relation_close(self.relation, pg_sys::NoLock as i32) };
        }
    }
}
