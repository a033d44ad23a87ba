//! Arguments and results of SQL-callable functions.

use pgrx::pg_sys::{self, Datum};

use super::datum::Text;
use super::memory::CallMemory;

/// One call of a C-language function.
#[derive(Clone, Copy)]
pub struct Call {
    fcinfo: pg_sys::FunctionCallInfo,
}

impl Call {
    /// # Safety
    /// `fcinfo` is what Postgres passed to the running function.
    pub unsafe fn new(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        Call { fcinfo }
    }

    pub fn raw(&self) -> pg_sys::FunctionCallInfo {
        self.fcinfo
    }

    /// The function that was called.
    pub fn function(&self) -> pg_sys::Oid {
        // SAFETY: fcinfo is valid; Postgres calls no function of ours without saying which.
        unsafe { (*(*self.fcinfo).flinfo).fn_oid }
    }

    pub fn datum(&self, index: usize) -> Option<Datum> {
        // SAFETY: fcinfo is valid and the function declares that many arguments in SQL; checked all the same.
        unsafe {
            if index >= (*self.fcinfo).nargs as usize {
                return None;
            }
            let argument = (*self.fcinfo).args.as_slice((*self.fcinfo).nargs as usize)[index];
            (!argument.isnull).then_some(argument.value)
        }
    }

    /// An argument declared text or jsonb.
    pub fn text<'m>(&self, memory: &'m CallMemory, index: usize) -> Option<Text<'m>> {
        self.datum(index).map(|datum| memory.column(datum))
    }

    pub fn i64(&self, index: usize) -> Option<i64> {
        self.datum(index).map(|datum| datum.value() as i64)
    }

    pub fn i32(&self, index: usize) -> Option<i32> {
        self.datum(index).map(|datum| datum.value() as i32)
    }

    pub fn oid(&self, index: usize) -> Option<pg_sys::Oid> {
        self.datum(index).map(|datum| pg_sys::Oid::from(datum.value() as u32))
    }

    pub fn uuid(&self, index: usize) -> Option<[u8; 16]> {
        self.datum(index).map(|datum| {
            let mut id = [0u8; 16];
            // SAFETY: a uuid datum points at 16 bytes.
            unsafe { std::ptr::copy_nonoverlapping(datum.cast_mut_ptr::<u8>(), id.as_mut_ptr(), 16) };
            id
        })
    }

    pub fn set_null(&self) {
        // SAFETY: fcinfo is valid.
        unsafe { (*self.fcinfo).isnull = true };
    }
}

/// A column of a tuple, declared uuid.
pub fn uuid_column(datum: Datum) -> [u8; 16] {
    let mut id = [0u8; 16];
    // SAFETY: a uuid datum points at 16 bytes.
    unsafe { std::ptr::copy_nonoverlapping(datum.cast_mut_ptr::<u8>(), id.as_mut_ptr(), 16) };
    id
}
