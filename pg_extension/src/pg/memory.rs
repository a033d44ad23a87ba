//! Memory for the length of one call, so that a statement over a million rows stays flat.

use std::cell::Cell;

use pgrx::pg_sys::{self, Datum};

use super::datum::{self, Text};

thread_local! {
    static CONTEXT: Cell<pg_sys::MemoryContext> = const { Cell::new(std::ptr::null_mut()) };
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// While it lives, Postgres allocates in a context of our own that is emptied by the next outermost call.
pub struct CallMemory {
    previous: pg_sys::MemoryContext,
}

impl CallMemory {
    pub fn enter() -> Self {
        let depth = DEPTH.get();
        // SAFETY: the context is made once per backend below the top context and is never deleted. It is reset only by
        // the outermost call, when nothing of an earlier call is in use any more.
        unsafe {
            let mut context = CONTEXT.get();
            if context.is_null() {
                context = pg_sys::AllocSetContextCreateInternal(
                    pg_sys::TopMemoryContext,
                    c"pg_domain_events call".as_ptr(),
                    pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
                );
                CONTEXT.set(context);
            }
            let previous = pg_sys::CurrentMemoryContext;
            if depth == 0 {
                pg_sys::MemoryContextReset(context);
            }
            DEPTH.set(depth + 1);
            pg_sys::CurrentMemoryContext = context;
            CallMemory { previous }
        }
    }

    /// A copy of the bytes.
    pub fn text(&self, bytes: &[u8]) -> Text<'_> {
        let datum = datum::varlena(bytes);
        // SAFETY: `varlena` has just made a plain varlena with this content.
        unsafe { Text { datum, bytes: datum::bytes_of(datum.cast_mut_ptr()) } }
    }

    /// A column of a tuple, declared text or jsonb. Whatever a tuple is made of while the call runs lives as long as this.
    pub fn column(&self, datum: Datum) -> Text<'_> {
        // SAFETY: the column's type is a varlena; the tuple, and what is detoasted of it, lives in the memory of the call.
        unsafe { Text::from_datum(datum) }
    }

    /// The caller's context, for what must outlive the call.
    pub fn outer<T>(&self, work: impl FnOnce() -> T) -> T {
        // SAFETY: `previous` was current when the call began and outlives it.
        unsafe {
            let own = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = self.previous;
            let result = work();
            pg_sys::CurrentMemoryContext = own;
            result
        }
    }
}

impl Drop for CallMemory {
    fn drop(&mut self) {
        // Plain stores: safe while unwinding too, when calling into Postgres is not.
        DEPTH.set(DEPTH.get().saturating_sub(1));
        // SAFETY: as above.
        unsafe { pg_sys::CurrentMemoryContext = self.previous };
    }
}
