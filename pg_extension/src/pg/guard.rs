//! Errors across the border between Postgres and Rust.
//!
//! pgrx turns every Postgres error into a panic of its own type, which keeps neither a SQLSTATE it does not know nor the
//! context and constraint fields. Where code of users may run below us, `protect` keeps the whole `ErrorData` instead, and
//! `entry` throws it on unchanged after the last Rust frame is gone.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};

use cee_scape::call_with_sigsetjmp;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};

use crate::error::{Error, Result};

unsafe extern "C-unwind" {
    // Not pgrx's binding: that one would catch the error again.
    fn ReThrowError(edata: *mut pg_sys::ErrorData) -> !;
}

/// A complete Postgres error, in memory of its own below the transaction's. That goes with it: a statement that refuses
/// 100,000 rows would keep 1.5 kB for each until it ends, and FreeErrorData() leaves 200 bytes of them.
pub struct PgError {
    data: *mut pg_sys::ErrorData,
    memory: pg_sys::MemoryContext,
}

impl PgError {
    /// # Safety
    /// Postgres has just jumped here with an error.
    unsafe fn take() -> PgError {
        // SAFETY: caller's promise. The memory outlives SPI's and a subtransaction's.
        unsafe {
            let current = pg_sys::CurrentMemoryContext;
            let memory = pg_sys::AllocSetContextCreateInternal(
                pg_sys::TopTransactionContext,
                c"pg_domain_events error".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
            );
            pg_sys::CurrentMemoryContext = memory;
            let data = pg_sys::CopyErrorData();
            pg_sys::CurrentMemoryContext = current;
            pg_sys::FlushErrorState();
            PgError { data, memory }
        }
    }
}

impl Drop for PgError {
    fn drop(&mut self) {
        // SAFETY: made by `take`, deleted once, within its transaction.
        unsafe { pg_sys::MemoryContextDelete(self.memory) };
    }
}

// SAFETY: a panic payload must be Send; a backend has one thread, so it never leaves it.
unsafe impl Send for PgError {}

/// Whatever environment the server was started in: pgrx puts the backtrace of an error into its DETAIL, which people read, where
/// RUST_BACKTRACE is set. Rust looks at the environment once, when it first makes one; it is left as it was for other libraries.
pub fn keep_backtraces_out() {
    const NAME: &str = "RUST_LIB_BACKTRACE";
    let before = std::env::var_os(NAME);
    // SAFETY: a backend has one thread.
    unsafe { std::env::set_var(NAME, "0") };
    drop(std::backtrace::Backtrace::capture());
    // SAFETY: as above.
    unsafe {
        match before {
            Some(value) => std::env::set_var(NAME, value),
            None => std::env::remove_var(NAME),
        }
    }
}

/// Runs a call into Postgres; an error becomes a panic that carries it whole.
///
/// # Safety
/// `call` must own nothing that needs dropping and must not panic: Postgres jumps over its frame. So it calls functions
/// declared here, never pgrx's bindings, which turn an error into a panic themselves.
pub unsafe fn protect<T>(call: impl FnOnce() -> T) -> T {
    // SAFETY: this is the protocol of PG_TRY: the saved stacks are put back on both ways out, and the closure's frame
    // has nothing to drop (caller's promise).
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let exception_stack = pg_sys::PG_exception_stack;
        let error_context_stack = pg_sys::error_context_stack;
        let mut result = std::mem::MaybeUninit::<T>::uninit();
        let jumped = call_with_sigsetjmp(false, |buffer| {
            pg_sys::PG_exception_stack = std::ptr::from_ref(buffer).cast_mut().cast();
            result.write(call());
            0
        });
        pg_sys::PG_exception_stack = exception_stack;
        pg_sys::error_context_stack = error_context_stack;
        if jumped == 0 {
            return result.assume_init();
        }
        pg_sys::CurrentMemoryContext = context;
        panic_any(PgError::take())
    }
}

/// The frame of every function that Postgres calls: whatever goes wrong inside becomes an ordinary ERROR.
///
/// # Safety
/// Only as the outermost call of an `extern "C-unwind"` function whose frame owns nothing.
pub unsafe fn entry<T: Copy>(body: impl FnOnce() -> Result<T>) -> T {
    enum Outcome<T> {
        Done(T),
        Rethrow(*mut pg_sys::ErrorData),
    }
    // SAFETY: the caller's frame has nothing to drop.
    let outcome = unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            match catch_unwind(AssertUnwindSafe(|| super::reserve::check().and_then(|()| body()))) {
                Ok(Ok(value)) => Outcome::Done(value),
                Ok(Err(error)) => error.raise(),
                Err(payload) => match payload.downcast::<PgError>() {
                    Ok(error) => Outcome::Rethrow(std::mem::ManuallyDrop::new(error).data),
                    Err(payload) => resume_unwind(payload),
                },
            }
        })
    };
    match outcome {
        Outcome::Done(value) => value,
        // SAFETY: the error was copied by `protect`; no Rust frame with destructors is left below this one.
        Outcome::Rethrow(error) => unsafe { ReThrowError(error) },
    }
}

/// An error that was caught; `resume` throws it on.
pub struct Caught(Box<dyn Any + Send>);

impl Caught {
    pub fn resume(self) -> ! {
        resume_unwind(self.0)
    }

    /// The key of the store's table that is violated, if that is what is wrong.
    pub fn unique_key(&self) -> Option<String> {
        let error = self.0.downcast_ref::<PgError>()?;
        // SAFETY: `protect` copied the error; its names are C strings or null.
        unsafe {
            let data = &*error.data;
            let text = |name: *const std::ffi::c_char| {
                (!name.is_null()).then(|| std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned())
            };
            let is_ours = sqlstate(data.sqlerrcode) == "23505"
                && text(data.schema_name).as_deref() == Some("domain_events")
                && text(data.table_name).as_deref() == Some("events");
            text(data.constraint_name).filter(|_| is_ours)
        }
    }

    /// SQLSTATE and message.
    pub fn describe(&self) -> (String, String) {
        if let Some(error) = self.0.downcast_ref::<PgError>() {
            // SAFETY: `protect` copied the error and nobody frees it.
            let data = unsafe { &*error.data };
            let message = if data.message.is_null() {
                String::new()
            } else {
                // SAFETY: a non-null message is a C string.
                crate::bytes::message(unsafe { std::ffi::CStr::from_ptr(data.message) }.to_bytes())
            };
            return (sqlstate(data.sqlerrcode), message);
        }
        let report =
            |report: &ErrorReportWithLevel| (sqlstate(report.sql_error_code() as i32), report.message().to_owned());
        if let Some(caught) = self.0.downcast_ref::<CaughtError>() {
            return match caught {
                CaughtError::PostgresError(error)
                | CaughtError::ErrorReport(error)
                | CaughtError::RustPanic { ereport: error, .. } => report(error),
            };
        }
        if let Some(error) = self.0.downcast_ref::<ErrorReportWithLevel>() {
            return report(error);
        }
        ("XX000".to_owned(), "panic in pg_domain_events".to_owned())
    }
}

/// Five characters of six bits each, as `unpack_sql_state` reads them.
fn sqlstate(code: i32) -> String {
    (0..5).map(|i| char::from((((code >> (6 * i)) & 0x3f) as u8) + b'0')).collect()
}

/// Runs `body`, returning what went wrong instead of passing it on.
///
/// Only for work that leaves nothing behind in the transaction (no locks, pins or writes): there is no subtransaction.
pub fn attempt<T>(body: impl FnOnce() -> Result<T>) -> std::result::Result<T, Caught> {
    match catch_unwind(AssertUnwindSafe(|| body().unwrap_or_else(|error: Error| error.raise()))) {
        Ok(value) => Ok(value),
        Err(payload) => Err(Caught(payload)),
    }
}
