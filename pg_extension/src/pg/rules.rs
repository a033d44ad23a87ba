//! What the store says of a relation's capture, read as the server reads its own catalogue: a new session has to know it before its
//! first change, and SQL that nobody has run yet is parsed and planned first, which took ten times as long.

use std::ffi::CStr;

use pgrx::pg_sys::{self, Datum, Oid};

use super::datum::{self, Text};
use super::relation::Open;
use super::snapshot::ActiveSnapshot;

mod raw {
    unsafe extern "C-unwind" {
        // Not bound by pgrx; pg_proc and pg_inherits are all that it reads.
        pub fn get_partition_ancestors(relation: pgrx::pg_sys::Oid) -> *mut pgrx::pg_sys::List;
    }
}

/// A value of the store's tables.
#[derive(PartialEq, Default)]
pub enum Field {
    #[default]
    Null,
    /// Of any integer or OID.
    Number(i64),
    Flag(bool),
    /// Of a text, a name, or the image of a jsonb.
    Bytes(Vec<u8>),
    Texts(Vec<Vec<u8>>),
}

/// A table of the store with an index, and the columns that are wanted: the first is the index's.
pub struct Source {
    pub table: &'static CStr,
    pub index: &'static CStr,
    pub columns: &'static [(&'static CStr, Oid)],
}

pub type ConfigRow = Vec<Field>;

impl Source {
    /// The rows whose first column is this, as a statement that begins now sees them, or one of the transaction's fixed
    /// snapshot. `None` where the table or the index is not as it was installed: SQL says what is wrong.
    pub fn rows(&self, key: i64, is_fixed: bool) -> Option<Vec<ConfigRow>> {
        // SAFETY: look-ups in the catalogue; a scan of an open table by an index that was looked at, with an active snapshot.
        unsafe {
            let schema = pg_sys::get_namespace_oid(c"domain_events".as_ptr(), true);
            let table = pg_sys::get_relname_relid(self.table.as_ptr(), schema);
            let index = pg_sys::get_relname_relid(self.index.as_ptr(), schema);
            let is = |relation, kind| pg_sys::get_rel_relkind(relation) as u8 == kind;
            if !is(table, pg_sys::RELKIND_RELATION) || !is(index, pg_sys::RELKIND_INDEX) {
                return None;
            }
            let table = Open::table(table, pg_sys::AccessShareLock);
            let (descriptor, class) = (table.tuple_desc(), &*(*table.raw()).rd_rel);
            if class.relam != pg_sys::HEAP_TABLE_AM_OID || class.relrowsecurity {
                return None;
            }
            let found = super::columns::of(descriptor);
            let columns = self.columns.iter().map(|(name, type_oid)| {
                let column = found.iter().find(|column| column.name == name.to_bytes())?;
                (column.type_oid == *type_oid).then_some(column.index)
            });
            let columns = columns.collect::<Option<Vec<usize>>>()?;
            let number = columns[0] as i16 + 1;
            let (index, equal) = (Open::index(index, pg_sys::AccessShareLock), equality(self.columns[0].1)?);
            if !is_led_by(&index, &table, number, self.columns[0].1) {
                return None;
            }
            let mut key_data = pg_sys::ScanKeyData::default();
            let strategy = pg_sys::BTEqualStrategyNumber as u16;
            pg_sys::ScanKeyInit(&mut key_data, number, strategy, Oid::from(equal), Datum::from(key));
            // What this transaction has done so far is seen, as by any statement.
            pg_sys::CommandCounterIncrement();
            let _snapshot = if is_fixed { ActiveSnapshot::of_transaction() } else { ActiveSnapshot::newest() };
            let snapshot = pg_sys::GetActiveSnapshot();
            let oid = (*index.raw()).rd_id;
            let scan = pg_sys::systable_beginscan(table.raw(), oid, true, snapshot, 1, &mut key_data);
            let mut rows = Vec::new();
            loop {
                let tuple = pg_sys::systable_getnext(scan);
                if tuple.is_null() {
                    break;
                }
                let value = |(index, (_, type_oid)): (&usize, &(&CStr, Oid))| {
                    let mut null = false;
                    let datum = pg_sys::heap_getattr(tuple, *index as i32 + 1, descriptor, &mut null);
                    if null { Field::Null } else { field(datum, *type_oid) }
                };
                rows.push(columns.iter().zip(self.columns).map(value).collect());
            }
            pg_sys::systable_endscan(scan);
            Some(rows)
        }
    }
}

/// The function that compares keys of this type.
fn equality(type_oid: Oid) -> Option<u32> {
    match type_oid {
        pg_sys::INT4OID => Some(pg_sys::F_INT4EQ),
        pg_sys::OIDOID | pg_sys::REGCLASSOID => Some(pg_sys::F_OIDEQ),
        _ => None,
    }
}

/// The index has every row of the table, in the order of this column.
///
/// # Safety
/// Both are open.
unsafe fn is_led_by(index: &Open, table: &Open, column: i16, type_oid: Oid) -> bool {
    // SAFETY: caller's promise; the arrays have an element for every key column, of which there is one at least.
    unsafe {
        let relation = &*index.raw();
        let form = &*relation.rd_index;
        let family =
            if type_oid == pg_sys::INT4OID { pg_sys::INTEGER_BTREE_FAM_OID } else { pg_sys::OID_BTREE_FAM_OID };
        form.indrelid == (*table.raw()).rd_id
            && form.indisvalid
            && form.indisready
            && (*relation.rd_rel).relam == pg_sys::BTREE_AM_OID
            && *form.indkey.values.as_ptr() == column
            && *relation.rd_opfamily == family
            && pg_sys::RelationGetIndexPredicate(index.raw()).is_null()
    }
}

/// # Safety
/// `value` is not null, and of this type.
unsafe fn field(value: Datum, type_oid: Oid) -> Field {
    // SAFETY: caller's promise; what is kept is a copy.
    unsafe {
        match type_oid {
            pg_sys::BOOLOID => Field::Flag(value.value() != 0),
            pg_sys::INT2OID => Field::Number(value.value() as i16 as i64),
            pg_sys::INT4OID => Field::Number(value.value() as i32 as i64),
            pg_sys::INT8OID => Field::Number(value.value() as i64),
            pg_sys::OIDOID | pg_sys::REGCLASSOID => Field::Number(value.value() as u32 as i64),
            pg_sys::NAMEOID => Field::Bytes(CStr::from_ptr(value.cast_mut_ptr()).to_bytes().to_vec()),
            pg_sys::TEXTOID => Field::Bytes(Text::from_datum(value).bytes.to_vec()),
            pg_sys::JSONBOID => Field::Bytes(datum::detoasted(value).to_vec()),
            pg_sys::TEXTARRAYOID => Field::Texts(texts(value)),
            _ => Field::Null,
        }
    }
}

/// # Safety
/// `value` is an array of text.
unsafe fn texts(value: Datum) -> Vec<Vec<u8>> {
    // SAFETY: caller's promise; the elements live in the call's memory.
    unsafe {
        let array: *mut pg_sys::ArrayType = pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast();
        let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        let align = pg_sys::TYPALIGN_INT as std::ffi::c_char;
        pg_sys::deconstruct_array(array, pg_sys::TEXTOID, -1, false, align, &mut values, &mut nulls, &mut count);
        (0..count as usize)
            .filter(|position| !*nulls.add(*position))
            .map(|position| Text::from_datum(*values.add(position)).bytes.to_vec())
            .collect()
    }
}

/// The tables that a partition is one of, the outermost first.
pub fn ancestors(relation: Oid) -> Vec<Oid> {
    // SAFETY: look-ups in the catalogue; the list is of OIDs.
    unsafe {
        if !pg_sys::get_rel_relispartition(relation) {
            return Vec::new();
        }
        let list = super::guard::protect(|| raw::get_partition_ancestors(relation));
        let count = if list.is_null() { 0 } else { (*list).length as usize };
        (0..count).rev().map(|position| (*(*list).elements.add(position)).oid_value).collect()
    }
}

/// The definition of a relation, as the server keeps it. No lock is taken: who writes a partition has heard of the changes of
/// the tables above, which reach it too.
pub struct Definition(pg_sys::Relation);

impl Definition {
    pub fn of(relation: Oid) -> Option<Definition> {
        // SAFETY: gives null where there is no such relation.
        let relation = unsafe { pg_sys::RelationIdGetRelation(relation) };
        (!relation.is_null()).then_some(Definition(relation))
    }

    /// As domain_events._columns_signature().
    pub fn signature(&self) -> Vec<Vec<u8>> {
        // SAFETY: held while self lives; the index stays below natts.
        unsafe {
            let descriptor = (*self.0).rd_att;
            let text = |index| {
                let attribute = super::columns::attribute(descriptor, index);
                let name = CStr::from_ptr(attribute.attname.data.as_ptr()).to_bytes();
                [name, attribute.atttypid.to_u32().to_string().as_bytes()].concat()
            };
            (0..(*descriptor).natts as usize).map(text).collect()
        }
    }

    /// As domain_events._is_wide(): a column of a type whose values may be large.
    pub fn is_wide(&self, column: i64) -> bool {
        const SMALL: [Oid; 9] = [
            pg_sys::NUMERICOID,
            pg_sys::INETOID,
            pg_sys::CIDROID,
            pg_sys::INT4RANGEOID,
            pg_sys::INT8RANGEOID,
            pg_sys::NUMRANGEOID,
            pg_sys::TSRANGEOID,
            pg_sys::TSTZRANGEOID,
            pg_sys::DATERANGEOID,
        ];
        // SAFETY: held while self lives; the index is looked at before it is used.
        unsafe {
            let descriptor = (*self.0).rd_att;
            (1..=i64::from((*descriptor).natts)).contains(&column) && {
                let base = pg_sys::getBaseType(super::columns::attribute(descriptor, column as usize - 1).atttypid);
                pg_sys::get_typlen(base) < 0 && !SMALL.contains(&base)
            }
        }
    }

    /// As domain_events._is_unique(): these columns hold a unique key over columns that are not null.
    pub fn is_unique(&self, columns: &[i64]) -> bool {
        // SAFETY: held while self lives; a row of the catalogue is read before it is released.
        unsafe {
            let list = pg_sys::RelationGetIndexList(self.0);
            let count = if list.is_null() { 0 } else { (*list).length as usize };
            (0..count).any(|position| {
                let index = (*(*list).elements.add(position)).oid_value;
                let id = pg_sys::SysCacheIdentifier::INDEXRELID as i32;
                let tuple = pg_sys::SearchSysCache1(id, Datum::from(index));
                if tuple.is_null() {
                    return false;
                }
                let form: *const pg_sys::FormData_pg_index = pg_sys::GETSTRUCT(tuple).cast();
                let is_empty = |attribute: u32| pg_sys::heap_attisnull(tuple, attribute as i32, std::ptr::null_mut());
                let is_key = |key: usize| {
                    let column = *(*form).indkey.values.as_ptr().add(key);
                    column > 0
                        && i32::from(column) <= (*(*self.0).rd_att).natts
                        && columns.contains(&i64::from(column))
                        && super::columns::attribute((*self.0).rd_att, column as usize - 1).attnotnull
                };
                let is_unique = (*form).indisunique
                    && (*form).indisvalid
                    && is_empty(pg_sys::Anum_pg_index_indpred)
                    && is_empty(pg_sys::Anum_pg_index_indexprs)
                    && (0..(*form).indnkeyatts as usize).all(is_key);
                pg_sys::ReleaseSysCache(tuple);
                is_unique
            })
        }
    }
}

impl Drop for Definition {
    fn drop(&mut self) {
        // After an error the resource owner gives it back.
        if !std::thread::panicking() {
            // SAFETY: got by the constructor, given back once.
            unsafe { pg_sys::RelationClose(self.0) };
        }
    }
}

/// A function of the store without arguments.
pub fn function(name: &str) -> Option<Oid> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: a look-up in the catalogue by name, arguments and schema.
    let found = unsafe {
        pg_sys::GetSysCacheOid(
            pg_sys::SysCacheIdentifier::PROCNAMEARGSNSP as i32,
            pg_sys::Anum_pg_proc_oid as pg_sys::AttrNumber,
            Datum::from(name.as_ptr()),
            Datum::from(pg_sys::buildoidvector(std::ptr::null(), 0)),
            Datum::from(pg_sys::get_namespace_oid(c"domain_events".as_ptr(), true)),
            Datum::from(0),
        )
    };
    (found != Oid::INVALID).then_some(found)
}

/// Whether the transaction sees all as it was at one moment.
pub fn snapshot_is_fixed() -> bool {
    // SAFETY: a plain global.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as i32 }
}
