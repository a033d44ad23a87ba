//! What is known of the store's table and its indexes, looked up once and again after any change to them.

use std::cell::RefCell;
use std::ffi::CStr;
use std::rc::Rc;

use pgrx::pg_sys::{self, Oid};

use super::relation::Open;
use super::shape::{self, EVENT_IDS, VERSIONS, altered};
use crate::contract::column;
use crate::error::{Error, Result};

pub struct Index {
    pub oid: Oid,
    pub unique: bool,
    pub columns: Vec<i16>,
    /// Somebody else's, with columns whose values may be too large for an index.
    pub has_open_size: bool,
}

/// The sequence of positions.
pub struct Sequence {
    pub oid: Oid,
    pub increment: i64,
    /// Beyond it there is none.
    pub last: i64,
}

pub struct Info {
    pub events: Oid,
    pub row_type: Oid,
    pub owner: Oid,
    pub sequence: Sequence,
    /// events_pkey
    pub positions: Oid,
    /// uk_aggregate_version: what arbitrates.
    pub version_index: Oid,
    pub event_ids: Oid,
    /// In the order they are written: uk_aggregate_version first, because only that one may meet another writer.
    pub indexes: Vec<Index>,
    /// True when writing the tuple and its index entries is all that an INSERT would do: no trigger, rule, row security,
    /// foreign check, constraint or unusual index. Otherwise an INSERT is what is run.
    pub plain: bool,
    /// Some index has an open size.
    pub has_open_sizes: bool,
    /// Functions that are known to be declared with this table's row type.
    pub callers: RefCell<Vec<Oid>>,
}

/// Constraints that `append` and `capture` enforce themselves.
const KNOWN_CHECKS: [&CStr; 1] = [c"events_aggregate_version_check"];
pub const COLUMNS: usize = shape::EVENTS.len();
const KEY: [i16; 3] = numbers([column::AGGREGATE_TYPE, column::AGGREGATE_ID, column::AGGREGATE_VERSION]);
/// Null where nothing is known.
const NULLABLE: [i16; 4] =
    numbers([column::EVENT_NAME, column::CORRELATION_ID, column::CAUSATION_ID, column::CAUSED_BY]);
/// What an index refuses for its size, which the store itself does not limit.
const OPEN_SIZES: [i16; 6] = numbers([
    column::EVENT_NAME,
    column::EVENT_DATA,
    column::METADATA,
    column::CORRELATION_ID,
    column::CAUSATION_ID,
    column::CAUSED_BY,
]);

/// As PostgreSQL's catalogue has them.
const fn numbers<const N: usize>(columns: [usize; N]) -> [i16; N] {
    let mut numbers = [0; N];
    let mut position = 0;
    while position < N {
        numbers[position] = columns[position] as i16;
        position += 1;
    }
    numbers
}

thread_local! {
    static INFO: RefCell<Option<Rc<Info>>> = const { RefCell::new(None) };
}

impl Info {
    pub fn get() -> Result<Rc<Info>> {
        if let Some(info) = INFO.with_borrow(Clone::clone) {
            return Ok(info);
        }
        let info = Rc::new(Info::load()?);
        INFO.with_borrow_mut(|slot| *slot = Some(info.clone()));
        Ok(info)
    }

    /// False when the table has changed since.
    pub fn is_current(self: &Rc<Self>) -> bool {
        INFO.with_borrow(|slot| slot.as_ref().is_some_and(|info| Rc::ptr_eq(info, self)))
    }

    /// A relation has changed; zero stands for all of them.
    pub fn forget(relation: Oid) {
        INFO.with_borrow_mut(|slot| {
            let concerned = slot.as_ref().is_some_and(|info| {
                relation == Oid::INVALID
                    || relation == info.events
                    || relation == info.sequence.oid
                    || info.indexes.iter().any(|index| index.oid == relation)
            });
            if concerned {
                *slot = None;
            }
        });
    }

    fn load() -> Result<Info> {
        super::version::check()?;
        let missing = |name: &CStr| Error::NotInstalled { object: format!("domain_events.{}", name.to_string_lossy()) };
        // SAFETY: catalogue look-ups by name; the relations stay open only while they are read.
        unsafe {
            let schema = pg_sys::get_namespace_oid(c"domain_events".as_ptr(), true);
            let find = |name: &CStr| match pg_sys::get_relname_relid(name.as_ptr(), schema) {
                Oid::INVALID => Err(missing(name)),
                oid => Ok(oid),
            };
            let events = find(c"events")?;
            let sequence = find(c"events_global_position_seq")?;
            let positions = find(c"events_pkey")?;
            let version_index = find(VERSIONS.name)?;
            let event_ids = find(EVENT_IDS.name)?;
            if pg_sys::get_rel_relkind(events) as u8 != pg_sys::RELKIND_RELATION {
                return Err(altered(c"events", "It is no plain table."));
            }
            if pg_sys::get_rel_relkind(sequence) as u8 != pg_sys::RELKIND_SEQUENCE {
                return Err(altered(c"events_global_position_seq", "It is no sequence."));
            }

            let table = Open::table(events, pg_sys::AccessShareLock);
            shape::check_events(&table)?;
            let relation = &*table.raw();
            let class = &*relation.rd_rel;
            let mut plain = class.relam == pg_sys::HEAP_TABLE_AM_OID
                && class.relnatts as usize == COLUMNS
                && !class.relforcerowsecurity
                && !class.relhasrules
                && !class.relispartition
                && no_insert_triggers(relation.trigdesc)
                && only_known_checks(relation.rd_att)
                && takes_any_value(relation.rd_att);

            let mut indexes = Vec::new();
            let list = pg_sys::RelationGetIndexList(table.raw());
            let length = if list.is_null() { 0 } else { (*list).length };
            for position in 0..length {
                let oid = (*(*list).elements.add(position as usize)).oid_value;
                let index = Open::index(oid, pg_sys::AccessShareLock);
                let form = &*(*index.raw()).rd_index;
                for key in [(version_index, &VERSIONS), (event_ids, &EVENT_IDS)] {
                    if key.0 == oid {
                        shape::check_key(key.1, &index)?;
                    }
                }
                if !form.indisready {
                    continue;
                }
                let info = &*pg_sys::BuildIndexInfo(index.raw());
                let columns = info.ii_IndexAttrNumbers[..info.ii_NumIndexAttrs as usize].to_vec();
                let own = [positions, version_index, event_ids].contains(&oid);
                plain &= (*(*index.raw()).rd_rel).relam == pg_sys::BTREE_AM_OID
                    && (own || has_known_order(&index))
                    && columns.iter().all(|column| *column > 0)
                    && info.ii_Expressions.is_null()
                    && info.ii_Predicate.is_null()
                    && info.ii_ExclusionOps.is_null()
                    && form.indimmediate;
                let has_open_size = !own && columns.iter().any(|column| OPEN_SIZES.contains(column));
                indexes.push(Index { oid, unique: form.indisunique, columns, has_open_size });
            }
            // One of that name may belong to another table.
            for key in [(version_index, &VERSIONS), (event_ids, &EVENT_IDS)] {
                if !indexes.iter().any(|index: &Index| index.oid == key.0) {
                    return Err(altered(key.1.name, "It is no key of domain_events.events."));
                }
            }
            indexes.sort_by_key(|index| index.oid != version_index);
            plain &= indexes
                .first()
                .is_some_and(|index| index.oid == version_index && index.unique && index.columns.starts_with(&KEY));
            let has_open_sizes = indexes.iter().any(|index| index.has_open_size);
            let sequence = Sequence::of(sequence)?;
            let callers = RefCell::default();
            let (row_type, owner) = (class.reltype, class.relowner);
            Ok(Info {
                events,
                row_type,
                owner,
                sequence,
                positions,
                version_index,
                event_ids,
                indexes,
                plain,
                has_open_sizes,
                callers,
            })
        }
    }
}

impl Sequence {
    /// # Safety
    /// Within a transaction.
    unsafe fn of(oid: Oid) -> Result<Sequence> {
        // As pg_sequence has it; not bound by pgrx.
        #[repr(C)]
        struct Form {
            relation: Oid,
            type_oid: Oid,
            start: i64,
            increment: i64,
            max: i64,
            min: i64,
        }
        // SAFETY: a look-up in the catalogue; the row is read before it is released.
        unsafe {
            let id = pg_sys::SysCacheIdentifier::SEQRELID as i32;
            let tuple = pg_sys::SearchSysCache1(id, pg_sys::Datum::from(oid));
            if tuple.is_null() {
                let name = "domain_events.events_global_position_seq, as a sequence,";
                return Err(Error::NotInstalled { object: name.into() });
            }
            let form: *const Form = pg_sys::GETSTRUCT(tuple).cast();
            let increment = (*form).increment;
            let last = if increment > 0 { (*form).max } else { (*form).min };
            pg_sys::ReleaseSysCache(tuple);
            Ok(Sequence { oid, increment, last })
        }
    }
}

/// Values are compared by Postgres' own operators, whose functions raise no errors.
///
/// # Safety
/// `index` is open.
unsafe fn has_known_order(index: &Open) -> bool {
    // SAFETY: caller's promise; the arrays have one element per key column.
    unsafe {
        let relation = &*index.raw();
        let keys = (*relation.rd_index).indnkeyatts as usize;
        (0..keys).all(|key| (*relation.rd_opfamily.add(key)).to_u32() < pg_sys::FirstNormalObjectId)
    }
}

/// No column refuses what the store may write there: a null, or a value that has to be stored outside of the row.
///
/// # Safety
/// `columns` is a relation's tuple descriptor.
unsafe fn takes_any_value(columns: pg_sys::TupleDesc) -> bool {
    // SAFETY: caller's promise.
    unsafe {
        (0..(*columns).natts as usize).all(|index| {
            let column = super::columns::attribute(columns, index);
            let is_moved_out = column.attlen != -1 || column.attstorage as u8 != pg_sys::TYPSTORAGE_PLAIN;
            is_moved_out && !(column.attnotnull && NULLABLE.contains(&column.attnum))
        })
    }
}

/// # Safety
/// `triggers` is a relation's trigger descriptor or null.
unsafe fn no_insert_triggers(triggers: *const pg_sys::TriggerDesc) -> bool {
    // SAFETY: caller's promise.
    unsafe {
        triggers.is_null() || {
            let triggers = &*triggers;
            // The adoption of a legacy table leaves its trigger behind, disabled.
            (0..triggers.numtriggers as usize).all(|position| {
                let trigger = &*triggers.triggers.add(position);
                trigger.tgenabled as u8 == pg_sys::TRIGGER_DISABLED
                    || trigger.tgtype & pg_sys::TRIGGER_TYPE_INSERT as i16 == 0
            })
        }
    }
}

/// # Safety
/// `columns` is a relation's tuple descriptor.
unsafe fn only_known_checks(columns: pg_sys::TupleDesc) -> bool {
    // SAFETY: caller's promise.
    unsafe {
        let constraints = (*columns).constr;
        if constraints.is_null() {
            return true;
        }
        let constraints = &*constraints;
        !constraints.has_generated_stored
            && (0..constraints.num_check as usize).all(|position| {
                let name = CStr::from_ptr((*constraints.check.add(position)).ccname);
                KNOWN_CHECKS.contains(&name)
            })
    }
}
