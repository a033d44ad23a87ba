//! What is kept per relation until Postgres says the relation has changed.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use pgrx::pg_sys::{self, Oid};

use super::guard::protect;

/// A memory context for what Postgres allocates on behalf of an entry; goes with it.
pub struct EntryMemory(pg_sys::MemoryContext);

impl EntryMemory {
    pub fn new() -> Self {
        // SAFETY: a child of the top context, deleted below.
        EntryMemory(unsafe {
            pg_sys::AllocSetContextCreateInternal(
                pg_sys::TopMemoryContext,
                c"pg_domain_events plan".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
            )
        })
    }

    pub fn context(&self) -> pg_sys::MemoryContext {
        self.0
    }
}

impl Drop for EntryMemory {
    fn drop(&mut self) {
        // A few kilobytes are left behind rather than calling into Postgres while unwinding.
        if !std::thread::panicking() {
            // SAFETY: made by `new`, deleted once; its entry goes with it.
            unsafe { pg_sys::MemoryContextDelete(self.0) };
        }
    }
}

struct Entry<T> {
    relation: Oid,
    valid: Cell<bool>,
    content: T,
}

pub struct Cache<T> {
    entries: RefCell<HashMap<u32, Rc<Entry<T>>>>,
    last: RefCell<Option<Rc<Entry<T>>>>,
    /// Counts changes, so that one that arrives while an entry is being made is not missed.
    changes: Cell<u64>,
}

/// An entry in use; stays whole even if the relation changes meanwhile.
pub struct Kept<T>(Rc<Entry<T>>);

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Kept(self.0.clone())
    }
}

impl<T> std::ops::Deref for Kept<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.content
    }
}

/// Takes note of what other sessions have committed, as the first lock on a relation does.
pub fn hear_of_changes() {
    // SAFETY: allowed wherever a relation may be locked.
    unsafe { pg_sys::AcceptInvalidationMessages() };
}

/// What else an entry depends on.
pub trait Watches {
    /// Must not call into Postgres.
    fn watches(&self, relation: Oid) -> bool;
}

impl<T: Watches> Cache<T> {
    pub fn new() -> Self {
        Cache { entries: RefCell::default(), last: RefCell::new(None), changes: Cell::new(0) }
    }

    /// `make` is given what was kept before and is out of date.
    pub fn get<E>(&self, relation: Oid, make: impl FnOnce(Option<&T>) -> Result<T, E>) -> Result<Kept<T>, E> {
        if let Some(entry) = self.last.borrow().as_ref()
            && entry.relation == relation
            && entry.valid.get()
        {
            return Ok(Kept(entry.clone()));
        }
        let known = self.entries.borrow().get(&relation.to_u32()).cloned();
        if let Some(entry) = &known
            && entry.valid.get()
        {
            let last = self.last.borrow_mut().replace(entry.clone());
            drop(last);
            return Ok(Kept(entry.clone()));
        }
        let before = self.changes.get();
        let content = make(known.as_ref().map(|entry| &entry.content))?;
        let valid = Cell::new(self.changes.get() == before);
        let entry = Rc::new(Entry { relation, valid, content });
        let old = self.entries.borrow_mut().insert(relation.to_u32(), entry.clone());
        let last = self.last.borrow_mut().replace(entry.clone());
        // Dropping an entry calls into Postgres: not while the cells are borrowed.
        drop((old, last));
        Ok(Kept(entry))
    }

    /// Called at any time, even inside a catalogue look-up: only marks. Zero stands for every relation.
    pub fn forget(&self, relation: Oid) {
        self.changes.set(self.changes.get() + 1);
        let Ok(entries) = self.entries.try_borrow() else { return };
        if relation == Oid::INVALID {
            entries.values().for_each(|entry| entry.valid.set(false));
            return;
        }
        if let Some(entry) = entries.get(&relation.to_u32()) {
            entry.valid.set(false);
        }
        entries.values().filter(|entry| entry.content.watches(relation)).for_each(|entry| entry.valid.set(false));
    }
}

mod raw {
    unsafe extern "C-unwind" {
        // The unguarded twin of pgrx's binding, for use inside `protect`.
        pub fn find_all_inheritors(
            parent: pgrx::pg_sys::Oid,
            lock: std::ffi::c_int,
            parents: *mut *mut pgrx::pg_sys::List,
        ) -> *mut pgrx::pg_sys::List;
    }
}

/// Makes every session forget what it keeps of a table and its partitions, once this transaction commits.
pub fn invalidate(relation: Oid) {
    // SAFETY: catalogue look-ups; the invalidation is sent when the transaction commits.
    unsafe {
        let exists = |oid| !pg_sys::get_rel_name(oid).is_null();
        if !exists(relation) {
            return;
        }
        let members = protect(|| raw::find_all_inheritors(relation, pg_sys::NoLock as i32, std::ptr::null_mut()));
        for position in 0..(*members).length {
            let member = (*(*members).elements.add(position as usize)).oid_value;
            if exists(member) {
                pg_sys::CacheInvalidateRelcacheByRelid(member);
            }
        }
    }
}
