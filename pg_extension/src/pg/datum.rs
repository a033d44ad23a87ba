//! Datums of variable length, to and from bytes.
//!
//! Every call into Postgres through pgrx costs 20 ns for the guard around it, and a row makes dozens of these: what is plain
//! already is not handed over, and memory is asked for in the one way that raises no error.

use pgrx::pg_sys::{self, Datum};

/// A text value: the datum, not toasted, and its bytes. Lives as long as the memory it was made in, see [`super::memory::CallMemory::text`].
#[derive(Clone, Copy)]
pub struct Text<'a> {
    pub datum: Datum,
    pub bytes: &'a [u8],
}

impl Text<'_> {
    /// For messages only: the server's encoding may not be UTF-8.
    pub fn lossy(&self) -> String {
        crate::bytes::message(self.bytes)
    }

    /// # Safety
    /// `datum` is a live varlena; the result is used no longer than it and the current memory context.
    pub unsafe fn from_datum<'a>(datum: Datum) -> Text<'a> {
        // SAFETY: caller's promise.
        unsafe {
            let plain = packed(datum);
            Text { datum: Datum::from(plain), bytes: bytes_of(plain) }
        }
    }
}

/// # Safety
/// `value` is a live varlena in plain (4-byte or short) form.
pub unsafe fn bytes_of<'a>(value: *const pg_sys::varlena) -> &'a [u8] {
    // SAFETY: caller's promise.
    unsafe {
        std::slice::from_raw_parts(pgrx::varlena::vardata_any(value).cast(), pgrx::varlena::varsize_any_exhdr(value))
    }
}

/// The bytes of a text that is plain as it is stored; `None` when it would have to be detoasted.
///
/// # Safety
/// As `detoasted`.
pub unsafe fn plain_text<'a>(datum: Datum) -> Option<&'a [u8]> {
    // SAFETY: caller's promise.
    unsafe {
        let value: *mut pg_sys::varlena = datum.cast_mut_ptr();
        is_plain(value).then(|| bytes_of(value))
    }
}

/// With a header of 4 bytes or 1, neither compressed nor stored elsewhere.
///
/// # Safety
/// `value` is a live varlena.
unsafe fn is_plain(value: *const pg_sys::varlena) -> bool {
    use pgrx::varlena::{varatt_is_1b, varatt_is_1b_e, varatt_is_4b_u};
    // SAFETY: caller's promise.
    unsafe { varatt_is_4b_u(value) || (varatt_is_1b(value) && !varatt_is_1b_e(value)) }
}

/// The whole image of a plain varlena with a 4-byte header, detoasted if need be.
///
/// # Safety
/// `datum` is a live varlena; the result lives no longer than it and the current memory context.
pub unsafe fn detoasted<'a>(datum: Datum) -> &'a [u8] {
    // SAFETY: caller's promise; pg_detoast_datum returns the 4-byte form.
    unsafe {
        let value: *mut pg_sys::varlena = datum.cast_mut_ptr();
        bytes_of(if pgrx::varlena::varatt_is_4b_u(value) { value } else { pg_sys::pg_detoast_datum(value) })
    }
}

/// The value itself where it is plain, with a header of 4 bytes or 1; else detoasted.
///
/// # Safety
/// As `detoasted`.
pub unsafe fn packed(datum: Datum) -> *mut pg_sys::varlena {
    // SAFETY: caller's promise.
    unsafe {
        let value: *mut pg_sys::varlena = datum.cast_mut_ptr();
        if is_plain(value) { value } else { pg_sys::pg_detoast_datum_packed(value) }
    }
}

unsafe extern "C-unwind" {
    // Not through pgrx: without memory it returns null.
    fn MemoryContextAllocExtended(
        context: pg_sys::MemoryContext,
        size: usize,
        flags: std::ffi::c_int,
    ) -> *mut std::ffi::c_void;
}

/// Memory of the current context; `size` is below 1 GB.
fn allocate<T>(size: usize) -> *mut T {
    // SAFETY: with this flag no error is raised; palloc raises the proper one.
    unsafe {
        let memory = MemoryContextAllocExtended(pg_sys::CurrentMemoryContext, size, pg_sys::MCXT_ALLOC_NO_OOM as i32);
        if memory.is_null() { pg_sys::palloc(size).cast() } else { memory.cast() }
    }
}

/// Copies bytes into a varlena in the current memory context.
pub fn varlena(bytes: &[u8]) -> Datum {
    // SAFETY: the allocation has room for the header and the bytes.
    unsafe {
        let size = bytes.len() + pg_sys::VARHDRSZ;
        let value: *mut pg_sys::varlena = if size >= 0x3fff_ffff {
            crate::error::Error::TooLarge { message: format!("a value of {size} bytes is too large") }.raise()
        } else {
            allocate(size)
        };
        pgrx::varlena::set_varsize_4b(value, size as i32);
        let data: *mut u8 = value.cast::<u8>().add(pg_sys::VARHDRSZ);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
        Datum::from(value)
    }
}

/// A C string in the current memory context; `None` when the text holds a zero byte.
pub fn c_string(text: &[u8]) -> Option<*mut std::ffi::c_char> {
    if text.contains(&0) {
        return None;
    }
    // SAFETY: the allocation has room for the text and its end; texts are smaller than 1 GB.
    unsafe {
        let copy: *mut u8 = allocate(text.len() + 1);
        std::ptr::copy_nonoverlapping(text.as_ptr(), copy, text.len());
        *copy.add(text.len()) = 0;
        Some(copy.cast())
    }
}

/// A UUID as a datum in the current memory context.
pub fn uuid(bytes: &[u8; 16]) -> Datum {
    // SAFETY: 16 bytes are allocated and written.
    unsafe {
        let value: *mut u8 = allocate(16);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), value, 16);
        Datum::from(value)
    }
}
