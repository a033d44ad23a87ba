//! Has a value changed? By binary image, before anything is detoasted.

use pgrx::pg_sys::{self, Datum};

use super::datum::bytes_of;

/// How values of a column are stored.
#[derive(Clone, Copy)]
pub struct Layout {
    pub length: i16,
    pub by_value: bool,
}

/// True when both values have the same image. An unchanged TOAST value has the same pointer in both rows: equal, free.
pub fn same(a: Option<Datum>, b: Option<Datum>, layout: Layout) -> bool {
    let (a, b) = match (a, b) {
        (None, None) => return true,
        (Some(a), Some(b)) => (a, b),
        _ => return false,
    };
    if layout.by_value {
        return a.value() == b.value();
    }
    // SAFETY: datums of this layout that live in the two rows of the running trigger.
    unsafe {
        match layout.length {
            -1 => same_varlena(a, b),
            -2 => std::ffi::CStr::from_ptr(a.cast_mut_ptr()) == std::ffi::CStr::from_ptr(b.cast_mut_ptr()),
            length => slice(a, length as usize) == slice(b, length as usize),
        }
    }
}

/// # Safety
/// `datum` points at that many bytes.
unsafe fn slice<'a>(datum: Datum, length: usize) -> &'a [u8] {
    // SAFETY: caller's promise.
    unsafe { std::slice::from_raw_parts(datum.cast_mut_ptr::<u8>(), length) }
}

/// # Safety
/// Both are varlenas.
unsafe fn same_varlena(a: Datum, b: Datum) -> bool {
    // SAFETY: caller's promise; detoasting allocates in the call's memory.
    unsafe {
        let (first, second) = (a.cast_mut_ptr::<pg_sys::varlena>(), b.cast_mut_ptr::<pg_sys::varlena>());
        let (size, other) = (pgrx::varlena::varsize_any(first), pgrx::varlena::varsize_any(second));
        if size == other && slice(a, size) == slice(b, other) {
            // For values stored outside of the row these are the pointers. An expanded value has one of its own, which
            // cannot be told from another's, but a row that was stored has none.
            return true;
        }
        if pg_sys::toast_raw_datum_size(a) != pg_sys::toast_raw_datum_size(b) {
            return false;
        }
        bytes_of(pg_sys::pg_detoast_datum_packed(first)) == bytes_of(pg_sys::pg_detoast_datum_packed(second))
    }
}
