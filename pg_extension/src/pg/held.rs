//! The locks on the store's table and indexes: taken once in a transaction, not looked for again with every row.

use std::cell::RefCell;
use std::rc::Rc;

use pgrx::pg_sys;

use super::info::Info;
use super::relation::Open;
use super::subtransaction::current_subtransaction;

thread_local! {
    /// The relations that this transaction has locked, whether the sequence is one of them, and the subtransaction that did it:
    /// locks last until it ends.
    static LOCKED: RefCell<Option<(Rc<Info>, bool, u32)>> = const { RefCell::new(None) };
}

/// Locks the table and its indexes as an INSERT does. False when it has changed while somebody else held it: what is known
/// of it is out of date. The sequence is locked only for who draws positions.
pub fn lock(info: &Rc<Info>, draws: bool) -> bool {
    let is_held =
        |(known, with_sequence, _): &(Rc<Info>, bool, u32)| Rc::ptr_eq(known, info) && (*with_sequence || !draws);
    if LOCKED.with_borrow(|locked| locked.as_ref().is_some_and(is_held)) {
        return true;
    }
    drop(Open::table(info.events, pg_sys::RowExclusiveLock));
    if !info.is_current() {
        return false;
    }
    for index in &info.indexes {
        drop(Open::index(index.oid, pg_sys::RowExclusiveLock));
    }
    if draws {
        // SAFETY: as nextval() does, which finds it held. No other lock of ours keeps its definition as it is.
        unsafe { pg_sys::LockRelationOid(info.sequence.oid, pg_sys::RowExclusiveLock as i32) };
    }
    LOCKED.with_borrow_mut(|locked| *locked = Some((info.clone(), draws, current_subtransaction())));
    info.is_current()
}

/// A transaction has ended.
pub fn forget() {
    LOCKED.with_borrow_mut(|locked| *locked = None);
}

/// A subtransaction is rolled back, and with it those that began after it.
pub fn roll_back(subtransaction: u32) {
    LOCKED.with_borrow_mut(|locked| {
        if locked.as_ref().is_some_and(|(_, _, taken_in)| *taken_in >= subtransaction) {
            *locked = None;
        }
    });
}
