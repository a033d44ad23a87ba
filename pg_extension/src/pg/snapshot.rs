//! What statements of ours see.

use pgrx::pg_sys;

/// The active snapshot until dropped; after an error the transaction's abort takes it away.
pub struct ActiveSnapshot;

impl ActiveSnapshot {
    /// That of the transaction, which a REPEATABLE READ transaction keeps.
    pub fn of_transaction() -> Self {
        // SAFETY: called within a transaction; popped below. What is pushed is a copy.
        unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
        ActiveSnapshot
    }

    /// All that is committed by now, whatever the transaction's snapshot shows.
    pub fn newest() -> Self {
        // SAFETY: as above.
        unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot()) };
        ActiveSnapshot
    }
}

impl Drop for ActiveSnapshot {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: pushed by the constructor.
            unsafe { pg_sys::PopActiveSnapshot() };
        }
    }
}
