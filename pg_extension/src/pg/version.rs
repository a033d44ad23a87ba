//! Whether this library is as new as the store's SQL objects. Where it is not, because its file was replaced by an older one or
//! because the session had loaded it before an upgrade, it does not know what it writes.

use pgrx::pg_sys::{self, Datum, Oid};

use super::datum::Text;
use super::relation::Open;
use crate::error::{Error, Result};

const OWN: &str = env!("CARGO_PKG_VERSION");

pub fn check() -> Result<()> {
    match installed() {
        Some(version) if is_newer(&version, OWN) => Err(Error::OldLibrary { version }),
        _ => Ok(()),
    }
}

/// The extension's version; `None` where it is not installed.
fn installed() -> Option<String> {
    let extensions = Open::table(pg_sys::ExtensionRelationId, pg_sys::AccessShareLock);
    let mut key = pg_sys::ScanKeyData::default();
    // SAFETY: a look-up in the catalogue by its key; the row is read before the scan ends, and has a value for every column.
    unsafe {
        pg_sys::ScanKeyInit(
            &mut key,
            pg_sys::Anum_pg_extension_extname as i16,
            pg_sys::BTEqualStrategyNumber as u16,
            Oid::from(pg_sys::F_NAMEEQ),
            Datum::from(c"pg_domain_events".as_ptr()),
        );
        let index = Oid::from(pg_sys::ExtensionNameIndexId);
        let scan = pg_sys::systable_beginscan(extensions.raw(), index, true, std::ptr::null_mut(), 1, &mut key);
        let tuple = pg_sys::systable_getnext(scan);
        let version = (!tuple.is_null()).then(|| {
            let columns = (*extensions.tuple_desc()).natts as usize;
            let (mut values, mut nulls) = (vec![Datum::null(); columns], vec![false; columns]);
            pg_sys::heap_deform_tuple(tuple, extensions.tuple_desc(), values.as_mut_ptr(), nulls.as_mut_ptr());
            Text::from_datum(values[pg_sys::Anum_pg_extension_extversion as usize - 1]).lossy()
        });
        pg_sys::systable_endscan(scan);
        version
    }
}

/// Versions are numbers and dots. Another one is a step between two engines, and none to compare with.
fn is_newer(version: &str, than: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(|part| part.parse::<u32>().ok()).collect::<Option<Vec<_>>>();
    match (numbers(version), numbers(than)) {
        (Some(version), Some(than)) => version > than,
        _ => false,
    }
}
