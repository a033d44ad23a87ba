//! What the native engine relies on in the store's table: it reads columns by their place and rows by their keys, and other
//! types there would be other memory. Looked at whenever the table has changed, never with a row.

use std::ffi::CStr;

use pgrx::pg_sys::{self, Oid};

use super::columns;
use super::relation::Open;
use crate::contract::column;
use crate::error::{Error, Result};

pub struct Expected {
    name: &'static CStr,
    /// The store's own type over `type_oid`.
    domain: Option<&'static CStr>,
    type_oid: Oid,
    /// collate "C"
    in_c: bool,
    required: bool,
}

// From sql/store/10_events.sql.
include!(concat!(env!("OUT_DIR"), "/events_columns.rs"));

/// A unique key that is scanned: the columns by number, and what they are compared by.
pub struct Key {
    pub name: &'static CStr,
    columns: &'static [(i16, Oid, Oid)],
}

// Operator families of B-trees, fixed in PostgreSQL's catalogue.
const TEXT: Oid = pg_sys::Oid::from_u32(1994);
const INTEGER: Oid = pg_sys::Oid::from_u32(1976);
const UUID: Oid = pg_sys::Oid::from_u32(2968);

/// aggregate_type, aggregate_id, aggregate_version
pub const VERSIONS: Key = Key {
    name: c"uk_aggregate_version",
    columns: &[
        (column::AGGREGATE_TYPE as i16, TEXT, pg_sys::TEXTOID),
        (column::AGGREGATE_ID as i16, TEXT, pg_sys::TEXTOID),
        (column::AGGREGATE_VERSION as i16, INTEGER, pg_sys::INT8OID),
    ],
};
pub const EVENT_IDS: Key =
    Key { name: c"events_event_id_key", columns: &[(column::EVENT_ID as i16, UUID, pg_sys::UUIDOID)] };

pub fn altered(object: &CStr, detail: impl Into<String>) -> Error {
    Error::StoreAltered { object: format!("domain_events.{}", object.to_string_lossy()), detail: detail.into() }
}

/// The table of events, but for columns that somebody has added behind ours.
pub fn check_events(table: &Open) -> Result<()> {
    let wrong = |detail: String| Err(altered(c"events", detail));
    // SAFETY: an open relation.
    let class = unsafe { &*(*table.raw()).rd_rel };
    for (index, expected) in EVENTS.iter().enumerate() {
        let name = expected.name.to_string_lossy();
        // SAFETY: below the number of columns.
        let found = (index < class.relnatts as usize).then(|| unsafe { columns::attribute(table.tuple_desc(), index) });
        let Some(found) = found.filter(|found| !found.attisdropped) else {
            return wrong(format!("Column {} is not {name}.", index + 1));
        };
        // SAFETY: a name ends with a zero byte.
        if unsafe { CStr::from_ptr(found.attname.data.as_ptr()) } != expected.name {
            return wrong(format!("Column {} is not {name}.", index + 1));
        }
        let type_oid = match expected.domain {
            None => expected.type_oid,
            Some(name) => domain(class.relnamespace, name, expected.type_oid)
                .ok_or_else(|| altered(name, format!("It is no domain over {}.", type_name(expected.type_oid))))?,
        };
        if found.atttypid != type_oid || found.atttypmod != -1 {
            return wrong(format!("Column {name} is not of type {}.", type_name(type_oid)));
        }
        if expected.required && !found.attnotnull {
            return wrong(format!("Column {name} may be null."));
        }
        if expected.in_c && found.attcollation != pg_sys::C_COLLATION_OID {
            return wrong(format!("Column {name} is not collated \"C\"."));
        }
    }
    Ok(())
}

/// The domain of this name, if it is one over this type.
fn domain(schema: Oid, name: &CStr, base: Oid) -> Option<Oid> {
    // SAFETY: look-ups in the catalogue, by a name that is a C string.
    unsafe {
        let found = pg_sys::GetSysCacheOid(
            pg_sys::SysCacheIdentifier::TYPENAMENSP as i32,
            pg_sys::Anum_pg_type_oid as pg_sys::AttrNumber,
            pg_sys::Datum::from(name.as_ptr()),
            pg_sys::Datum::from(schema),
            pg_sys::Datum::from(0),
            pg_sys::Datum::from(0),
        );
        (found != Oid::INVALID && pg_sys::getBaseType(found) == base).then_some(found)
    }
}

fn type_name(type_oid: Oid) -> String {
    // SAFETY: gives the name of any type as a C string.
    unsafe { CStr::from_ptr(pg_sys::format_type_be(type_oid)) }.to_string_lossy().into_owned()
}

/// An index of the table of events that has the key's name.
pub fn check_key(key: &Key, index: &Open) -> Result<()> {
    // SAFETY: an open index; its arrays have an element for every key column.
    let is_as_expected = unsafe {
        let relation = &*index.raw();
        let form = &*relation.rd_index;
        (*relation.rd_rel).relkind as u8 == pg_sys::RELKIND_INDEX
            && (*relation.rd_rel).relam == pg_sys::BTREE_AM_OID
            && form.indisunique
            && form.indisvalid
            && form.indisready
            && form.indimmediate
            && form.indnkeyatts as usize == key.columns.len()
            && pg_sys::RelationGetIndexPredicate(index.raw()).is_null()
            && key.columns.iter().enumerate().all(|(position, (column, family, type_oid))| {
                *form.indkey.values.as_ptr().add(position) == *column
                    && *relation.rd_opfamily.add(position) == *family
                    && *relation.rd_opcintype.add(position) == *type_oid
                    && (*type_oid != pg_sys::TEXTOID
                        || *relation.rd_indcollation.add(position) == pg_sys::C_COLLATION_OID)
                    // Neither descending nor with nulls first.
                    && *relation.rd_indoption.add(position) == 0
            })
    };
    if is_as_expected { Ok(()) } else { Err(altered(key.name, "It is not the unique key that was installed.")) }
}
