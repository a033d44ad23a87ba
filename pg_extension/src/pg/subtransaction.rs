//! A subtransaction around work that may fail and leave something behind.

use pgrx::pg_sys;

use super::guard::{Caught, attempt};
use crate::error::Result;

/// Runs `work`; if it fails, everything it did is rolled back.
pub fn run<T>(work: impl FnOnce() -> Result<T>) -> std::result::Result<T, Caught> {
    // SAFETY: the protocol of every procedural language: memory context and resource owner are put back on both ways out.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::CurrentMemoryContext = context;
        let result = attempt(work);
        if result.is_ok() {
            pg_sys::ReleaseCurrentSubTransaction();
        } else {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::CurrentMemoryContext = context;
        pg_sys::CurrentResourceOwner = owner;
        result
    }
}

/// Numbers rise within a transaction.
pub fn current_subtransaction() -> u32 {
    // SAFETY: reads the transaction's state.
    unsafe { pg_sys::GetCurrentSubTransactionId() }
}
