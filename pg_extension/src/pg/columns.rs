//! The columns of a row type.

use pgrx::pg_sys::{self, Oid};

use super::image::Layout;

pub struct Column {
    /// Position in the row, from 0.
    pub index: usize,
    pub name: Vec<u8>,
    pub type_oid: Oid,
    pub layout: Layout,
}

/// # Safety
/// `descriptor` is a live tuple descriptor.
pub unsafe fn of(descriptor: pg_sys::TupleDesc) -> Vec<Column> {
    // SAFETY: caller's promise; the index stays below natts.
    unsafe {
        (0..(*descriptor).natts as usize)
            .filter_map(|index| {
                let attribute = attribute(descriptor, index);
                if attribute.attisdropped {
                    return None;
                }
                let name = std::ffi::CStr::from_ptr(attribute.attname.data.as_ptr());
                Some(Column {
                    index,
                    name: name.to_bytes().to_vec(),
                    type_oid: attribute.atttypid,
                    layout: Layout { length: attribute.attlen, by_value: attribute.attbyval },
                })
            })
            .collect()
    }
}

/// # Safety
/// `index` is below the descriptor's natts.
pub(super) unsafe fn attribute<'a>(descriptor: pg_sys::TupleDesc, index: usize) -> &'a pg_sys::FormData_pg_attribute {
    // SAFETY: caller's promise.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        {
            &*(*descriptor).attrs.as_ptr().add(index)
        }
        #[cfg(feature = "pg18")]
        {
            &*pg_sys::TupleDescAttr(descriptor, index as i32)
        }
    }
}
