//! Holding a stream.
//!
//! What decides between two writers is the row itself: a writer looks for the newest version with a dirty snapshot, sees
//! another writer's uncommitted row, and waits for that transaction. The lock only has to cover the step from looking to
//! inserting, so it can be given back at once and the lock table never fills, however many streams a transaction touches.
//! The first streams of a transaction are held to its end all the same: waiters then queue in order instead of racing
//! after each commit, and `next_aggregate_version` holds what it returned. How many: the lock table has room for
//! max_locks_per_transaction locks per connection, and a transaction keeps no more than a share of its own part of it.
//!
//! `next_aggregate_version` inserts no row that others would meet. Once the share is used up it holds a row of
//! domain_events.stream_locks instead (row locks need no room) and says so by one lock on `GATE`; writers look whether
//! anybody holds that (100 ns), and only then queue for the row too.
//!
//! Nobody waits for a transaction while holding a lock taken in the same step (`StreamLock::yield_to` gives it back
//! first), so the locks add no deadlock to those the rows have. A rollback to a savepoint gives back what was taken since,
//! as it does with row locks: a lock that outlived its row could deadlock with another session's row lock.
//!
//! The tag is an advisory one with a class (fourth field) that no SQL function uses (they use 1 and 2), so an
//! application's own advisory locks never meet ours, and they survive PREPARE TRANSACTION as any advisory lock does.

use std::cell::{Cell, RefCell};

use pgrx::pg_sys;

use super::stream::Stream;
use crate::error::Result;

/// The lock classes: "DE" for streams, "DF" for the gate.
const CLASS: u16 = 0x4445;
const GATE: u16 = 0x4446;

/// What a lock is taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A row follows that others will meet.
    Write,
    /// Nothing follows: the lock itself has to last.
    Hold,
}

impl Purpose {
    /// How many locks a transaction keeps.
    fn limit(self) -> u32 {
        // SAFETY: a plain global, fixed at server start.
        let share = unsafe { pg_sys::max_locks_per_xact } as u32;
        match self {
            Purpose::Write => share / 2,
            Purpose::Hold => share * 3 / 4,
        }
    }
}

thread_local! {
    static HELD: Cell<u32> = const { Cell::new(0) };
    /// What was held when each open subtransaction began.
    static SAVEPOINTS: RefCell<Vec<(pg_sys::SubTransactionId, u32)>> = const { RefCell::new(Vec::new()) };
}

unsafe extern "C-unwind" {
    // Exported by every server since 13 but not bound by pgrx. Raises no error.
    fn hash_bytes_extended(k: *const u8, keylen: i32, seed: u64) -> u64;
}

fn hash(bytes: &[u8], seed: u64) -> u64 {
    // SAFETY: reads just the bytes of the slice.
    unsafe { hash_bytes_extended(bytes.as_ptr(), bytes.len() as i32, seed) }
}

pub struct StreamLock {
    tag: pg_sys::LOCKTAG,
    /// Given back when dropped.
    brief: bool,
    /// Taken by this call, not before.
    fresh: bool,
    /// Its row in stream_locks is locked, too.
    has_row: bool,
}

impl StreamLock {
    pub fn acquire(stream: &Stream, purpose: Purpose) -> Self {
        let key = hash(stream.aggregate_id.bytes, hash(stream.aggregate_type.bytes, 0));
        let tag = pg_sys::LOCKTAG {
            // SAFETY: a plain global of the backend.
            locktag_field1: unsafe { pg_sys::MyDatabaseId }.into(),
            locktag_field2: (key >> 32) as u32,
            locktag_field3: key as u32,
            locktag_field4: CLASS,
            locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
            locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
        };
        let mut lock = StreamLock { tag, brief: HELD.get() >= purpose.limit(), fresh: false, has_row: false };
        if lock.brief && purpose == Purpose::Hold {
            let gate = gate();
            // SAFETY: a complete tag. The mode is compatible with itself; it is never waited for.
            unsafe { pg_sys::LockAcquire(&gate, pg_sys::RowExclusiveLock as i32, false, false) };
        }
        lock.take();
        lock
    }

    /// To be asked before the version is relied upon: queues for the stream's row, by `lock_row`, if somebody holds streams
    /// that way, and then returns true, for what was read before may be out of date. `is_ours`: this transaction has written the
    /// stream's newest event, which holds the stream as well.
    pub fn queue(&mut self, is_ours: bool, lock_row: impl FnOnce() -> Result<()>) -> Result<bool> {
        if !self.fresh || is_ours || self.has_row || !is_anybody_at_the_gate() {
            return Ok(false);
        }
        self.yield_to(lock_row)?;
        self.has_row = true;
        Ok(true)
    }

    fn take(&mut self) {
        // SAFETY: the tag is complete; waits and errors are the lock manager's own.
        let result = unsafe { pg_sys::LockAcquire(&self.tag, pg_sys::ExclusiveLock as i32, false, false) };
        self.fresh = result != pg_sys::LockAcquireResult::LOCKACQUIRE_ALREADY_HELD;
        if self.fresh && !self.brief {
            HELD.set(HELD.get() + 1);
        }
    }

    fn release(&mut self) {
        // SAFETY: taken by `take` in the same subtransaction.
        unsafe { pg_sys::LockRelease(&self.tag, pg_sys::ExclusiveLock as i32, false) };
    }

    /// Runs `wait`, without the lock if this call is what took it.
    pub fn yield_to<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        if !self.fresh {
            return wait();
        }
        self.release();
        if !self.brief {
            HELD.set(HELD.get() - 1);
        }
        // Nothing to give back if the wait fails.
        let brief = std::mem::replace(&mut self.brief, false);
        let result = wait();
        self.brief = brief;
        self.take();
        result
    }
}

fn gate() -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        // SAFETY: a plain global of the backend.
        locktag_field1: unsafe { pg_sys::MyDatabaseId }.into(),
        locktag_field2: 0,
        locktag_field3: 0,
        locktag_field4: GATE,
        locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    }
}

fn is_anybody_at_the_gate() -> bool {
    let gate = gate();
    // SAFETY: counts holders and waiters in shared memory; a complete tag.
    unsafe { pg_sys::LockWaiterCount(&gate) > 0 }
}

impl Drop for StreamLock {
    fn drop(&mut self) {
        // After an error the transaction's abort gives it back, and calling into Postgres is not safe.
        if self.brief && !std::thread::panicking() {
            self.release();
        }
    }
}

/// Called at the end of every transaction, whichever way it ends.
pub fn forget_all() {
    HELD.set(0);
    SAVEPOINTS.with_borrow_mut(Vec::clear);
}

pub fn begin_subtransaction(id: pg_sys::SubTransactionId) {
    SAVEPOINTS.with_borrow_mut(|savepoints| savepoints.push((id, HELD.get())));
}

pub fn end_subtransaction(id: pg_sys::SubTransactionId, is_abort: bool) {
    SAVEPOINTS.with_borrow_mut(|savepoints| {
        // One that began before the library was loaded is not known, and nothing was held then.
        if let Some(at) = savepoints.iter().rposition(|(known, _)| *known == id) {
            if is_abort {
                HELD.set(savepoints[at].1);
            }
            savepoints.truncate(at);
        }
    });
}
