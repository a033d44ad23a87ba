//! What is known of the store's table and its indexes, looked up once and again after any change to them.

use std::cell::RefCell;
use std::ffi::CStr;
use std::rc::Rc;

use pgrx::pg_sys::{self, Oid};

use super::relation::Open;
use super::shape::{self, EVENT_IDS, VERSIONS, altered};
use crate::error::{Error, Result};

pub struct Index {
    pub oid: Oid,
    pub unique: bool,
    pub columns: Vec<i16>,
}

pub struct Info {
    pub events: Oid,
    pub row_type: Oid,
    pub owner: Oid,
    pub sequence: Oid,
    /// uk_aggregate_version: what arbitrates.
    pub versions: Oid,
    pub event_ids: Oid,
    /// In the order they are written: uk_aggregate_version first, because only that one may meet another writer.
    pub indexes: Vec<Index>,
    /// True when writing the tuple and its index entries is all that an INSERT would do: no trigger, rule, row security,
    /// foreign check or unusual index. Otherwise an INSERT is what is run.
    pub plain: bool,
    /// Functions that are known to be declared with this table's row type.
    pub callers: RefCell<Vec<Oid>>,
}

/// Constraints that `append` and `capture` enforce themselves.
const KNOWN_CHECKS: [&CStr; 2] = [c"events_aggregate_version_check", c"events_origin_check"];
pub const COLUMNS: usize = shape::EVENTS.len();

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
                    || relation == info.sequence
                    || info.indexes.iter().any(|index| index.oid == relation)
            });
            if concerned {
                *slot = None;
            }
        });
    }

    fn load() -> Result<Info> {
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
            let versions = find(VERSIONS.name)?;
            let event_ids = find(EVENT_IDS.name)?;
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
                && only_known_checks(relation.rd_att);

            let mut indexes = Vec::new();
            let list = pg_sys::RelationGetIndexList(table.raw());
            let length = if list.is_null() { 0 } else { (*list).length };
            for position in 0..length {
                let oid = (*(*list).elements.add(position as usize)).oid_value;
                let index = Open::index(oid, pg_sys::AccessShareLock);
                let form = &*(*index.raw()).rd_index;
                for key in [(versions, &VERSIONS), (event_ids, &EVENT_IDS)] {
                    if key.0 == oid {
                        shape::check_key(key.1, &index)?;
                    }
                }
                if !form.indisready {
                    continue;
                }
                let info = &*pg_sys::BuildIndexInfo(index.raw());
                plain &= (*(*index.raw()).rd_rel).relam == pg_sys::BTREE_AM_OID
                    && info.ii_Expressions.is_null()
                    && info.ii_Predicate.is_null()
                    && info.ii_ExclusionOps.is_null()
                    && form.indimmediate;
                let columns = info.ii_IndexAttrNumbers[..info.ii_NumIndexAttrs as usize].to_vec();
                indexes.push(Index { oid, unique: form.indisunique, columns });
            }
            // One of that name may belong to another table.
            for key in [(versions, &VERSIONS), (event_ids, &EVENT_IDS)] {
                if !indexes.iter().any(|index: &Index| index.oid == key.0) {
                    return Err(altered(key.1.name, "It is no key of domain_events.events."));
                }
            }
            indexes.sort_by_key(|index| index.oid != versions);
            let callers = RefCell::default();
            let (row_type, owner) = (class.reltype, class.relowner);
            Ok(Info { events, row_type, owner, sequence, versions, event_ids, indexes, plain, callers })
        }
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
