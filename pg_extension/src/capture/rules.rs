//! How a relation is captured: what domain_events._capture_plan() says. In the usual case that is read from the store's tables as
//! they are; where something has to be followed, noted or refused first, or is not simple, the function is asked.

use pgrx::pg_sys::{self, Oid};

use crate::error::{Error, Result};
use crate::jsonb::{Document, Object, Value};
use crate::pg::delegate;
use crate::pg::info::Info;
use crate::pg::rules::{self, ConfigRow, Definition, Field, Source};

pub struct Rules {
    pub capture_id: i32,
    /// That of the capture's triggers.
    pub function: Option<Oid>,
    pub paused: bool,
    pub dead_letter: bool,
    pub full: bool,
    pub aggregate_type: Vec<u8>,
    pub in_table: Option<Vec<u8>>,
    pub whole_row_after: i64,
    pub max_bytes: usize,
    pub fail_closed: bool,
    pub identity_missing: bool,
    pub is_unique: bool,
    pub types: Types,
    /// The mapping of changes to types, a JSON array.
    pub event_types: Vec<u8>,
    pub columns: Vec<Rule>,
}

pub struct Types {
    pub created: Vec<u8>,
    pub updated: Vec<u8>,
    pub deleted: Vec<u8>,
    pub rekeyed: Vec<u8>,
}

pub struct Rule {
    pub name: Vec<u8>,
    pub identity: Option<i64>,
    pub captured: bool,
    pub redacted: bool,
}

const CONFIG: Source = Source {
    table: c"capture_config",
    index: c"capture_config_relation_key",
    columns: &[
        (c"relation", pg_sys::REGCLASSOID),
        (c"relation_oid", pg_sys::OIDOID),
        (c"store_oid", pg_sys::OIDOID),
        (c"capture_id", pg_sys::INT4OID),
        (c"whole_row_after", pg_sys::INT8OID),
        (c"state", pg_sys::TEXTOID),
        (c"on_failure", pg_sys::TEXTOID),
        (c"payload", pg_sys::TEXTOID),
        (c"event_name_style", pg_sys::TEXTOID),
        (c"shares_type", pg_sys::BOOLOID),
        (c"fail_closed", pg_sys::BOOLOID),
        (c"aggregate_type", pg_sys::TEXTOID),
        (c"event_types", pg_sys::JSONBOID),
        (c"columns_seen", pg_sys::TEXTARRAYOID),
    ],
};

const COLUMNS: Source = Source {
    table: c"capture_columns",
    index: c"capture_columns_key",
    columns: &[
        (c"capture_id", pg_sys::INT4OID),
        (c"attnum", pg_sys::INT2OID),
        (c"column_name", pg_sys::NAMEOID),
        (c"identity_position", pg_sys::INT4OID),
        (c"captured", pg_sys::BOOLOID),
        (c"redacted", pg_sys::BOOLOID),
    ],
};

const PLACES: Source = Source {
    table: c"capture_places",
    index: c"capture_places_relation",
    columns: &[
        (c"relation", pg_sys::REGCLASSOID),
        (c"place_id", pg_sys::INT4OID),
        (c"aggregate_type", pg_sys::TEXTOID),
        (c"mark", pg_sys::TEXTOID),
    ],
};

/// What the tables say, as one snapshot shows it.
#[derive(PartialEq)]
struct Stored {
    relation: i64,
    config: ConfigRow,
    columns: Vec<ConfigRow>,
    mark: Option<Vec<u8>>,
}

impl Rules {
    /// `None` when the relation is not captured. `is_simple`: no column is of a composite type, whose columns count too.
    pub fn of(relation: Oid, is_simple: bool) -> Result<Option<Rules>> {
        if is_simple && let Some(rules) = Rules::stored(relation)? {
            return Ok(Some(rules));
        }
        delegate::capture_plan(relation)?.map(|plan| Rules::parse(&plan)).transpose()
    }

    fn stored(relation: Oid) -> Result<Option<Rules>> {
        let Some(stored) = Stored::read(relation, false) else { return Ok(None) };
        if rules::snapshot_is_fixed() && Stored::read(relation, true).as_ref() != Some(&stored) {
            return Ok(None);
        }
        stored.resolve(Info::get()?.events)
    }

    fn parse(plan: &[u8]) -> Result<Rules> {
        let root = Document(plan).as_value().as_object().ok_or_else(|| broken("no object"))?;
        let types = value(root, "types")?.as_object().ok_or_else(|| broken("types"))?;
        let column = |entry: Value| {
            let entry = entry.as_object().ok_or_else(|| broken("columns"))?;
            Ok(Rule {
                name: text(entry, "name")?,
                identity: optional(entry, "identity").map(integer).transpose()?,
                captured: flag(entry, "captured")?,
                redacted: flag(entry, "redacted")?,
            })
        };
        Ok(Rules {
            capture_id: integer(value(root, "capture_id")?)? as i32,
            function: optional(root, "function").map(integer).transpose()?.map(|function| Oid::from(function as u32)),
            paused: text(root, "state")? != b"active",
            dead_letter: text(root, "on_failure")? == b"dead_letter",
            full: text(root, "payload")? == b"full",
            aggregate_type: text(root, "aggregate_type")?,
            in_table: optional(root, "in_table").map(|_| text(root, "in_table")).transpose()?,
            whole_row_after: integer(value(root, "whole_row_after")?)?,
            max_bytes: integer(value(root, "max_bytes")?)? as usize,
            fail_closed: flag(root, "fail_closed")?,
            identity_missing: matches!(root.get(b"identity_missing"), Some(Value::Bool(true))),
            is_unique: flag(root, "is_unique")?,
            types: Types {
                created: text(types, "insert")?,
                updated: text(types, "update")?,
                deleted: text(types, "delete")?,
                rekeyed: text(types, "rekey")?,
            },
            event_types: value(root, "event_types")?.to_document()?.to_vec(),
            columns: items(value(root, "columns")?, "columns")?.map(column).collect::<Result<_>>()?,
        })
    }
}

impl Stored {
    fn read(relation: Oid, is_fixed: bool) -> Option<Stored> {
        // Of a partition that is captured by itself and above, the outermost capture tells.
        let mut tables = rules::ancestors(relation);
        tables.push(relation);
        let mut found = None;
        for table in tables {
            if let Some(config) = CONFIG.rows(number_of(table), is_fixed)?.pop() {
                found = Some((number_of(table), config));
                break;
            }
        }
        let (captured, config) = found?;
        let Field::Number(capture) = config[3] else { return None };
        let columns = COLUMNS.rows(capture, is_fixed)?;
        let mut mark = None;
        if captured != number_of(relation) || config[9] == Field::Flag(true) {
            let mut marks = Vec::new();
            for place in PLACES.rows(number_of(relation), is_fixed)? {
                if let [_, Field::Number(place), aggregate_type, Field::Bytes(mark)] = place.as_slice()
                    && *aggregate_type == config[11]
                {
                    marks.push((*place, mark.clone()));
                }
            }
            mark = Some(marks.into_iter().min()?.1);
        }
        Some(Stored { relation: captured, config, columns, mark })
    }

    /// `None` where the table is not as it was when last looked at, or something is not in its usual state.
    fn resolve(self, store: Oid) -> Result<Option<Rules>> {
        let [
            _,
            Field::Number(relation_oid),
            Field::Number(store_oid),
            Field::Number(capture_id),
            Field::Number(whole_row_after),
            Field::Bytes(state),
            Field::Bytes(on_failure),
            Field::Bytes(payload),
            Field::Bytes(style),
            Field::Flag(_),
            Field::Flag(fail_closed),
            Field::Bytes(aggregate_type),
            Field::Bytes(event_types),
            Field::Texts(columns_seen),
        ] = self.config.as_slice()
        else {
            return Ok(None);
        };
        let Some(table) = Definition::of(Oid::from(self.relation as u32)) else { return Ok(None) };
        let is_usual = *relation_oid == self.relation
            && *store_oid == number_of(store)
            && style == b"pascal"
            && *columns_seen == table.signature();
        let Some(columns) = Stored::rules(&self.columns).filter(|_| is_usual) else { return Ok(None) };
        let keys: Vec<i64> =
            columns.iter().filter(|(_, rule)| rule.identity.is_some()).map(|(attnum, _)| *attnum).collect();
        let wide = columns.iter().filter(|(attnum, rule)| rule.captured && !rule.redacted && table.is_wide(*attnum));
        let named = |verb: &str| [aggregate_type.as_slice(), verb.as_bytes()].concat();
        Ok(Some(Rules {
            capture_id: *capture_id as i32,
            function: rules::function(&format!("capture_{capture_id}")),
            paused: state != b"active",
            dead_letter: on_failure == b"dead_letter",
            full: payload == b"full",
            in_table: self.mark,
            whole_row_after: *whole_row_after,
            // As domain_events._max_bytes().
            max_bytes: 268_000_000 / (2 * wide.count().max(1)),
            fail_closed: *fail_closed,
            identity_missing: false,
            is_unique: table.is_unique(&keys),
            types: Types {
                created: named("Created"),
                updated: named("Updated"),
                deleted: named("Deleted"),
                rekeyed: named("Rekeyed"),
            },
            event_types: event_types.clone(),
            columns: columns.into_iter().map(|(_, rule)| rule).collect(),
            aggregate_type: aggregate_type.clone(),
        }))
    }

    /// The columns in the order of their numbers; `None` when one of them is gone.
    fn rules(rows: &[ConfigRow]) -> Option<Vec<(i64, Rule)>> {
        let rule = |row: &ConfigRow| {
            let [_, Field::Number(attnum), Field::Bytes(name), identity, Field::Flag(captured), Field::Flag(redacted)] =
                row.as_slice()
            else {
                return None;
            };
            let identity = match identity {
                Field::Number(position) => Some(*position),
                _ => None,
            };
            Some((*attnum, Rule { name: name.clone(), identity, captured: *captured, redacted: *redacted }))
        };
        let mut rules = rows.iter().map(rule).collect::<Option<Vec<_>>>()?;
        rules.sort_by_key(|(attnum, _)| *attnum);
        Some(rules)
    }
}

fn number_of(oid: Oid) -> i64 {
    i64::from(oid.to_u32())
}

/// Somebody has replaced the function that gives the plan, or the tables that it reads.
pub fn broken(part: &str) -> Error {
    Error::StoreAltered {
        object: "domain_events._capture_plan(oid)".into(),
        detail: format!("Its plan is malformed: {part}."),
    }
}

pub fn value<'a>(object: Object<'a>, name: &str) -> Result<Value<'a>> {
    object.get(name.as_bytes()).ok_or_else(|| broken(name))
}

pub fn optional<'a>(object: Object<'a>, name: &str) -> Option<Value<'a>> {
    object.get(name.as_bytes()).filter(|value| !matches!(value, Value::Null))
}

pub fn text(object: Object, name: &str) -> Result<Vec<u8>> {
    match value(object, name)? {
        Value::String(text) => Ok(text.to_vec()),
        _ => Err(broken(name)),
    }
}

pub fn items<'a>(list: Value<'a>, name: &str) -> Result<impl Iterator<Item = Value<'a>> + use<'a>> {
    list.as_array().ok_or_else(|| broken(name))
}

fn flag(object: Object, name: &str) -> Result<bool> {
    match value(object, name)? {
        Value::Bool(flag) => Ok(flag),
        _ => Err(broken(name)),
    }
}

fn integer(value: Value) -> Result<i64> {
    match value {
        Value::Numeric(image) => crate::pg::json::to_i64(image),
        _ => Err(broken("a number")),
    }
}
