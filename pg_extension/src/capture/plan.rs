//! What is captured of one relation: the rules of its capture, resolved against the relation's columns.

use std::cell::Cell;

use pgrx::pg_sys::Oid;

use super::prefetch::Prefetch;
use super::rules::{Rule, Rules, Types, broken, items, optional, text};
use crate::error::{Error, Result};
use crate::jsonb::{Document, Value, key_order};
use crate::pg::cache::{EntryMemory, Watches};
use crate::pg::compound::{Composites, names_objects};
use crate::pg::image::Layout;
use crate::pg::render::{IdentityText, Render};
use crate::pg::store::Head;
use crate::pg::stream::Stream;
use crate::pg::trigger::{Change, Operation, Storage};
use crate::pg::{columns, delegate};

pub struct Plan {
    pub capture_id: i32,
    /// The function of its triggers.
    function: Option<Oid>,
    pub paused: bool,
    pub dead_letter: bool,
    pub full: bool,
    pub aggregate_type: Vec<u8>,
    /// The qualified name, where events have to say it: of a partition, or of one of several tables that share the type.
    pub in_table: Option<Vec<u8>>,
    pub whole_row_after: i64,
    pub max_bytes: usize,
    pub types: Types,
    mapping: Vec<Mapping>,
    pub columns: Vec<Column>,
    /// Positions in `columns`.
    pub identity: Vec<usize>,
    /// Captured columns in the order of JSON keys.
    pub row: Vec<usize>,
    /// Identity columns in the order of JSON keys.
    pub key: Vec<usize>,
    composites: Composites,
    /// Rendering needs a search_path of its own.
    pub names_objects: bool,
    /// A stream is one row.
    pub is_unique: bool,
    pub guess: Guess,
    pub prefetch: Prefetch,
    /// See `ahead`.
    pub is_tracked: bool,
    pub storage: Storage,
    /// Goes after everything that points into it.
    _memory: EntryMemory,
}

/// Whether a row that is inserted begins a stream. Looking for the stream's newest event is a fifth of a bulk INSERT, and
/// mostly finds none; the unique key finds out, at the price of a dead tuple, where the key has been used before.
pub struct Guess {
    is_unique: bool,
    /// So many rows are looked up before it is tried again.
    pause: Cell<u32>,
}

impl Guess {
    const PAUSE: u32 = 200;

    fn of(is_unique: bool) -> Guess {
        Guess { is_unique, pause: Cell::new(0) }
    }

    pub fn is_new(&self) -> bool {
        let pause = self.pause.get();
        self.pause.set(pause.saturating_sub(1));
        self.is_unique && pause == 0
    }

    pub fn was_wrong(&self) {
        self.pause.set(Guess::PAUSE);
    }
}

pub struct Column {
    /// Position in the relation's rows.
    pub index: usize,
    pub name: Vec<u8>,
    pub captured: bool,
    pub redacted: bool,
    pub layout: Layout,
    pub render: Render,
    /// The type's name, where what `render` writes may be too large.
    pub bounded_type: Option<Vec<u8>>,
    pub identity: Option<IdentityText>,
}

struct Mapping {
    operation: Operation,
    when_changed: Option<Vec<usize>>,
    event_type: Vec<u8>,
    event_name: Option<Vec<u8>>,
}

impl Plan {
    /// False for the trigger of another capture: a captured table that has become a partition of a captured one may have two.
    pub fn tells(&self, change: &Change) -> bool {
        change.operation == Operation::Truncate || self.function.is_none_or(|function| function == change.function)
    }

    /// `None` when the relation is not captured.
    pub fn load(change: &Change, previous: Option<&Plan>) -> Result<Option<Plan>> {
        let Some(plan) = Plan::read(change)? else { return Ok(None) };
        let is_same = previous.is_none_or(|previous| previous.composites.agrees_with(&plan.composites));
        if is_same || plan.paused {
            return Ok(Some(plan));
        }
        // A composite type has got other columns: what the streams hold of it is out of date.
        delegate::sync_columns(plan.capture_id)?;
        Plan::read(change)
    }

    fn read(change: &Change) -> Result<Option<Plan>> {
        let mut known = change.columns();
        let mut composites = Composites::default();
        known.iter().for_each(|column| composites.add(column.type_oid));
        let Some(rules) = Rules::of(change.relation, composites.is_empty())? else { return Ok(None) };
        let memory = EntryMemory::new();
        let names_objects = known.iter().any(|column| names_objects(column.type_oid));
        let mut identity = Vec::new();
        let mut columns = Vec::new();
        for rule in rules.columns {
            let place = known.iter().position(|column| column.name == rule.name).ok_or_else(changed)?;
            let found = known.swap_remove(place);
            if let Some(position) = rule.identity {
                identity.push((position, columns.len()));
            }
            columns.push(Plan::column(&rule, found, rules.fail_closed, &memory));
        }
        if !known.is_empty() {
            return Err(changed());
        }
        // A key column that was dropped leaves no id at all, rather than one of what is left.
        if rules.identity_missing {
            identity.clear();
        }
        identity.sort_unstable();
        let identity: Vec<usize> = identity.into_iter().map(|(_, column)| column).collect();
        let in_key_order = |mut chosen: Vec<usize>| {
            chosen.sort_by(|a, b| key_order(&columns[*a].name, &columns[*b].name));
            chosen
        };
        let row = in_key_order((0..columns.len()).filter(|column| columns[*column].captured).collect());
        let key = in_key_order(identity.clone());
        let mapping = items(Document(&rules.event_types).as_value(), "event_types")?
            .map(|entry| Mapping::read(entry, &columns))
            .collect::<Result<_>>()?;
        Ok(Some(Plan {
            capture_id: rules.capture_id,
            function: rules.function,
            paused: rules.paused,
            dead_letter: rules.dead_letter,
            full: rules.full,
            aggregate_type: rules.aggregate_type,
            in_table: rules.in_table,
            whole_row_after: rules.whole_row_after,
            max_bytes: rules.max_bytes,
            types: rules.types,
            mapping,
            columns,
            identity,
            row,
            key,
            composites,
            names_objects,
            is_unique: rules.is_unique,
            guess: Guess::of(rules.is_unique),
            prefetch: Prefetch::none(),
            is_tracked: change.has_other_triggers(),
            storage: change.storage,
            _memory: memory,
        }))
    }

    fn column(rule: &Rule, found: columns::Column, fail_closed: bool, memory: &EntryMemory) -> Column {
        let render = Render::of(found.type_oid, memory.context());
        let identity = rule.identity.map(|_| IdentityText::of(found.type_oid, &render, memory.context()));
        Column {
            bounded_type: render.large_type(found.type_oid),
            index: found.index,
            name: found.name,
            captured: rule.captured,
            redacted: rule.redacted || fail_closed,
            layout: found.layout,
            render,
            identity,
        }
    }

    /// True where changes of this transaction may have gone unseen, that made rows which the table has now.
    pub fn begins(previous: Option<&Plan>, change: &Change) -> bool {
        previous.is_some_and(|previous| previous.paused || !previous.is_tracked)
            || change.is_rewritten() && previous.is_none_or(|previous| previous.storage != change.storage)
    }

    pub fn has_composites(&self) -> bool {
        !self.composites.is_empty()
    }

    /// Where in this relation's rows the column is that another partition has at `index`.
    pub fn place(&self, other: &Plan, index: usize) -> Option<usize> {
        let name = &other.columns.iter().find(|column| column.index == index)?.name;
        self.columns.iter().find(|column| column.name == *name).map(|column| column.index)
    }

    /// The position of the stream's newest captured event: no other says anything of its row. 0 when there is none.
    pub fn told(&self, stream: &Stream, head: Head) -> Result<i64> {
        if head.position <= self.whole_row_after || head.is_captured {
            return Ok(head.position);
        }
        delegate::captured_position(stream)
    }

    /// What has become of the stream's row since is unknown, or it has one whose end was not told: one that begins now replaces
    /// it. See sql/capture/59_write.sql.
    pub fn replaces(&self, stream: &Stream, head: Head, is_late: bool) -> Result<bool> {
        let position = self.told(stream, head)?;
        Ok(position > 0
            && (position <= self.whole_row_after || self.is_unique && !is_late && self.has_row(stream, head)?))
    }

    fn has_row(&self, stream: &Stream, head: Head) -> Result<bool> {
        head.is_end.map_or_else(|| delegate::is_live(stream), |is_end| Ok(!is_end))
    }

    /// True when the stream may say something else of the old row than what it was, or nothing.
    pub fn may_be_untold(&self, change: &Change, head: Head) -> bool {
        head.is_end == Some(true) || self.is_unique && change.is_of_row_after(&head)
    }

    /// Type and name of the event: the first entry of the mapping that fits, else the default.
    pub fn event_type(&self, operation: Operation, changed: &[bool]) -> (&[u8], Option<&[u8]>) {
        let fitting = self.mapping.iter().find(|entry| {
            entry.operation == operation
                && entry
                    .when_changed
                    .as_ref()
                    .is_none_or(|columns| columns.iter().any(|column| changed.get(*column).copied().unwrap_or(false)))
        });
        match (fitting, operation) {
            (Some(entry), _) => (&entry.event_type, entry.event_name.as_deref()),
            (None, Operation::Insert) => (&self.types.created, None),
            (None, Operation::Delete) => (&self.types.deleted, None),
            (None, _) => (&self.types.updated, None),
        }
    }
}

impl Watches for Option<Plan> {
    fn watches(&self, relation: Oid) -> bool {
        self.as_ref().is_some_and(|plan| plan.composites.contains(relation))
    }
}

impl Mapping {
    fn read(entry: Value, columns: &[Column]) -> Result<Mapping> {
        let entry = entry.as_object().ok_or_else(|| broken("event_types"))?;
        let operation = match text(entry, "on")?.as_slice() {
            b"insert" => Operation::Insert,
            b"update" => Operation::Update,
            b"delete" => Operation::Delete,
            _ => return Err(broken("on")),
        };
        let when_changed = match entry.get(b"when_changed") {
            None => None,
            Some(list) => Some(
                list.as_array()
                    .ok_or_else(|| broken("when_changed"))?
                    .filter_map(|name| match name {
                        Value::String(name) => columns.iter().position(|column| column.name == name),
                        _ => None,
                    })
                    .collect(),
            ),
        };
        let event_name = match optional(entry, "name") {
            Some(Value::String(name)) => Some(name.to_vec()),
            _ => None,
        };
        Ok(Mapping { operation, when_changed, event_type: text(entry, "type")?, event_name })
    }
}

/// The relation's columns are not those of the plan: the plan was read with a snapshot older than a change of the table.
fn changed() -> Error {
    Error::StaleSnapshot { object: "the columns of the captured table" }
}
