//! The columns of a row type.

use pgrx::pg_sys::{self, Oid};

use super::image::Layout;

pub struct Column {
    /// Position in the row, from 0.
    pub index: usize,
    pub name: Vec<u8>,
    pub type_oid: Oid,
    pub layout: Layout,
    /// Computed when it is read (18): null in every stored row.
    pub is_virtual: bool,
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
                    is_virtual: attribute.attgenerated as u8 == b'v',
                })
            })
            .collect()
    }
}

/// # Safety
/// The descriptor is live, `index` below its natts.
pub(super) unsafe fn attribute<'a>(descriptor: pg_sys::TupleDesc, index: usize) -> &'a pg_sys::FormData_pg_attribute {
    // SAFETY: caller's promise; each version of the server lays the attributes out as its own branch reads them.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        {
            &*(*descriptor).attrs.as_ptr().add(index)
        }
        #[cfg(feature = "pg18")]
        {
            // The server's TupleDescAttr() is an inline function; the attributes lie behind the compact ones.
            let compact = (*descriptor).compact_attrs.as_ptr().add((*descriptor).natts as usize);
            &*compact.cast::<pg_sys::FormData_pg_attribute>().add(index)
        }
    }
}
