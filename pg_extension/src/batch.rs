//! Appending a batch, to one stream or to several, all or nothing.
//!
//! Stream by stream in sorted order, each held and written before the next one is locked: two calls over the same streams
//! queue behind each other whatever the order of their events, and nobody holds a later stream while waiting for an earlier.

use std::collections::BTreeMap;

use pgrx::pg_sys::Datum;

use crate::append::{self, NewEvent, check_event, check_expected, settle};
use crate::bytes;
use crate::context::{self, Context};
use crate::error::{Error, Result};
use crate::jsonb::{Document, Object, Value};
use crate::pg::call::Call;
use crate::pg::datum::{self, Text};
use crate::pg::lock::{Purpose, StreamLock};
use crate::pg::memory::CallMemory;
use crate::pg::store::{Found, Origin, Store, Stored};
use crate::pg::stream::Stream;
use crate::pg::{input, json, reserve, rows};

const EVENTS_HINT: &str = "For example [{\"event_type\": \"UserUpdated\", \"event_data\": {}}].";
const EXPECTED_HINT: &str = "For example [{\"aggregate_type\": \"User\", \"aggregate_id\": \"1\", \"version\": 4}].";
const KEYS: [&[u8]; 12] = [
    b"aggregate_type",
    b"aggregate_id",
    b"event_type",
    b"event_data",
    b"event_name",
    b"metadata",
    b"event_id",
    b"caused_by",
    b"correlation_id",
    b"causation_id",
    b"occurred_at",
    b"schema_version",
];

/// What is to be done to one stream.
struct Part<'a> {
    stream: Stream<'a>,
    /// Positions in the batch.
    events: Vec<usize>,
    expected: Option<i64>,
}

/// domain_events.append_events(aggregate_type text, aggregate_id text, events jsonb, expected_version bigint)
pub fn append_events(call: Call) -> Result<Datum> {
    let memory = CallMemory::enter();
    let stream = append::stream(call.text(&memory, 0), call.text(&memory, 1))?;
    let store = Store::open(&memory)?;
    store.check_caller(&call)?;
    let expected = check_expected(call.i64(3))?;
    let batch = parse(&memory, call.text(&memory, 2), Some(stream))?;
    let only = Part { stream, events: bytes::collect(0..batch.len()), expected };
    let stored = run(&store, &batch, vec![only])?;
    rows::return_set(&call, &memory, &store, &stored)
}

/// domain_events.append_events(events jsonb, expected jsonb)
pub fn append_to_several(call: Call) -> Result<Datum> {
    let memory = CallMemory::enter();
    let store = Store::open(&memory)?;
    store.check_caller(&call)?;
    let expected = expectations(&memory, call.text(&memory, 1))?;
    let batch = parse(&memory, call.text(&memory, 0), None)?;
    let mut parts: BTreeMap<(&[u8], &[u8]), Part> = BTreeMap::new();
    for (position, event) in batch.iter().enumerate() {
        reserve::check()?;
        bytes::push(&mut part_of(&mut parts, event.stream).events, position);
    }
    for (stream, version) in expected {
        reserve::check()?;
        let part = part_of(&mut parts, stream);
        part.expected = part.expected.max(version);
    }
    let stored = run(&store, &batch, bytes::collect(parts.into_values()))?;
    rows::return_set(&call, &memory, &store, &stored)
}

fn part_of<'p, 'a>(parts: &'p mut BTreeMap<(&'a [u8], &'a [u8]), Part<'a>>, stream: Stream<'a>) -> &'p mut Part<'a> {
    parts.entry((stream.aggregate_type.bytes, stream.aggregate_id.bytes)).or_insert_with(|| Part {
        stream,
        events: Vec::new(),
        expected: None,
    })
}

/// Appends and returns the events in the batch's order; a batch that is stored already is returned as it is stored.
fn run(store: &Store, batch: &[NewEvent], parts: Vec<Part>) -> Result<Vec<Stored>> {
    let ids = given_ids(batch)?;
    if is_stored(store, batch, &ids)? {
        return repeated(store, batch);
    }
    let mut stored: Vec<Option<Stored>> = bytes::filled(None, batch.len());
    for part in parts {
        check_expected(part.expected)?;
        if !write_part(store, batch, &ids, &part, &mut stored)? {
            return repeated(store, batch);
        }
    }
    try_collect(stored.into_iter().map(|event| event.ok_or_else(|| Error::Internal("an event got lost".into()))))
}

/// False when the whole batch turns out to be stored: somebody's first attempt ended while we waited.
fn write_part(
    store: &Store,
    batch: &[NewEvent],
    ids: &[[u8; 16]],
    part: &Part,
    stored: &mut [Option<Stored>],
) -> Result<bool> {
    if part.events.is_empty() && part.expected.is_none() {
        return Ok(true);
    }
    let purpose = if part.events.is_empty() { Purpose::Hold } else { Purpose::Write };
    let mut lock = StreamLock::acquire(&part.stream, purpose);
    let mut head = settle(store, &part.stream, &mut lock)?;
    let has_written = stored.iter().any(Option::is_some);
    if !has_written && is_stored(store, batch, ids)? {
        return Ok(false);
    }
    if let Some(expected) = part.expected
        && expected != head.version
    {
        return Err(append::wrong_version(&part.stream, expected, head.version));
    }
    for position in &part.events {
        let event = &batch[*position];
        let mut attempts = 0;
        stored[*position] = loop {
            let row = append::row(event, head);
            if let Some(event) = store.insert(&row)? {
                (head.version, head.recorded_at) = (row.version, row.recorded_at);
                break Some(event);
            }
            // Somebody else may be writing an event of the same id to another stream.
            match event.event_id.map(|id| (id, store.by_event_id(&id))) {
                Some((id, Found::Settled(Some(stored)))) => {
                    append::same_content(store, event, &id, stored)?;
                    return Err(Error::PartOfBatch { stored: 1, given: batch.len() });
                }
                Some((_, Found::Pending(wait))) => lock.yield_to(|| wait.wait()),
                _ => {}
            }
            attempts += 1;
            if attempts == append::ATTEMPTS {
                return Err(append::contended(&part.stream));
            }
            head = settle(store, &part.stream, &mut lock)?;
        };
    }
    Ok(true)
}

fn repeated(store: &Store, batch: &[NewEvent]) -> Result<Vec<Stored>> {
    try_collect(batch.iter().map(|event| append::append(store, event, None)))
}

fn given_ids(batch: &[NewEvent]) -> Result<Vec<[u8; 16]>> {
    let mut ids = bytes::collect(batch.iter().filter_map(|event| event.event_id));
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::bad("an event_id appears twice in one batch", "Give each event an id of its own, or none."));
    }
    Ok(ids)
}

/// True when every event is there already; one that is there in part is an error.
fn is_stored(store: &Store, batch: &[NewEvent], ids: &[[u8; 16]]) -> Result<bool> {
    let mut stored = 0;
    for id in ids {
        // Of somebody who is still at it nothing is known yet; the look under the stream's lock comes later.
        if let Found::Settled(Some(_)) = store.by_event_id(id) {
            stored += 1;
        }
    }
    if stored > 0 && stored < batch.len() {
        return Err(Error::PartOfBatch { stored, given: batch.len() });
    }
    Ok(stored > 0)
}

fn parse<'m>(
    memory: &'m CallMemory,
    events: Option<Text<'m>>,
    default: Option<Stream<'m>>,
) -> Result<Vec<NewEvent<'m>>> {
    let events = events.ok_or(Error::NullArgument { name: "events", hint: "Give a JSON array of objects." })?;
    let root = Document(events.bytes).as_value();
    let elements = root
        .as_array()
        .ok_or_else(|| Error::bad(format!("events must be a JSON array, not {}", root.kind()), EVENTS_HINT))?;
    let context = Context::current(memory);
    let metadata = context::metadata()?;
    let shared = Shared { memory, default, context, metadata: metadata.map(|bytes| datum::varlena(&bytes)) };
    try_collect(elements.enumerate().map(|(position, element)| shared.event(element, position + 1)))
}

/// What all events of a batch have in common.
struct Shared<'m> {
    memory: &'m CallMemory,
    default: Option<Stream<'m>>,
    context: Context<'m>,
    metadata: Option<Datum>,
}

impl<'m> Shared<'m> {
    fn event(&self, element: Value, ordinal: usize) -> Result<NewEvent<'m>> {
        let object = element.as_object().ok_or_else(|| {
            Error::bad(
                format!("element {ordinal} of events must be a JSON object, not {}", element.kind()),
                "For example {\"event_type\": \"UserUpdated\", \"event_data\": {}}.",
            )
        })?;
        if let Some((unknown, _)) = object.iter().find(|(key, _)| !KEYS.contains(key)) {
            return Err(Error::bad(
                format!("element {ordinal} of events has the unknown key \"{}\"", bytes::message(unknown)),
                "The keys are the parameters of append_event(); expected_version goes with the call.",
            ));
        }
        let text = |name: &str| text(self.memory, object, name);
        let (own_type, own_id) = (text("aggregate_type")?, text("aggregate_id")?);
        let default_type = self.default.map(|stream| stream.aggregate_type);
        let default_id = self.default.map(|stream| stream.aggregate_id);
        let differs = |own: Option<Text>, default: Option<Text>| {
            own.zip(default).is_some_and(|(own, default)| own.bytes != default.bytes)
        };
        if differs(own_type, default_type) || differs(own_id, default_id) {
            return Err(Error::bad(
                format!("element {ordinal} of events names another stream than the call"),
                "Use append_events(events, expected) for several streams.",
            ));
        }
        let typed = |name: &str, kind: input::InputType| -> Result<Option<Datum>> {
            let Some(value) = text(name)? else { return Ok(None) };
            input::parse(kind, value).map(Some).map_err(|detail| Error::BadElement {
                message: format!("element {ordinal} of events has a value of the wrong type"),
                detail,
                hint: "event_id is a UUID, occurred_at a timestamp with time zone, schema_version an integer.",
            })
        };
        // Values of the wrong type are told before values that an event cannot have, as SQL does.
        let event_id = typed("event_id", input::InputType::Uuid)?.map(crate::pg::call::uuid_column);
        let occurred_at = typed("occurred_at", input::InputType::Moment)?.map(|datum| datum.value() as i64);
        let schema_version =
            typed("schema_version", input::InputType::Integer)?.map_or(1, |datum| datum.value() as i32);
        let stream = append::stream(own_type.or(default_type), own_id.or(default_id))?;
        let defaults = "Leave event_data and schema_version out to get their defaults.";
        let event_type = text("event_type")?.ok_or(Error::NullArgument { name: "event_type", hint: defaults })?;
        let metadata = match object.get(b"metadata") {
            None | Some(Value::Null) => None,
            Some(value) => Some(self.memory.text(&value.to_document()?)),
        };
        check_event(event_type, schema_version, metadata)?;
        let event_data = match object.get(b"event_data") {
            None => self.memory.text(&0x2000_0000u32.to_ne_bytes()),
            Some(value) => self.memory.text(&value.to_document()?),
        };
        let further = [text("event_name")?, text("caused_by")?, text("correlation_id")?, text("causation_id")?];
        append::check_size(event_data, metadata, further)?;
        let [event_name, caused_by, correlation_id, causation_id] = further;
        Ok(NewEvent {
            event_id,
            stream,
            event_type,
            event_name,
            event_data: event_data.datum,
            metadata: match (self.metadata, metadata) {
                (Some(context), Some(own)) => json::concat(context, own.datum),
                (Some(context), None) => context,
                (None, Some(own)) => own.datum,
                (None, None) => json::empty_object(),
            },
            correlation_id: correlation_id.or(self.context.correlation_id),
            causation_id: causation_id.or(self.context.causation_id),
            caused_by: caused_by.or(Some(self.context.caused_by)),
            schema_version,
            occurred_at,
            origin: Origin::Appended,
        })
    }
}

/// As `collect()`.
fn try_collect<T>(items: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
    let mut list = Vec::new();
    for item in items {
        reserve::check()?;
        bytes::push(&mut list, item?);
    }
    Ok(list)
}

/// As the operator ->> gives it.
fn text<'m>(memory: &'m CallMemory, object: Object, name: &str) -> Result<Option<Text<'m>>> {
    match object.get(name.as_bytes()) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(memory.text(text))),
        Some(other) => Ok(Some(json::to_text(&other.to_document()?, |text| memory.text(text)))),
    }
}

fn expectations<'m>(memory: &'m CallMemory, expected: Option<Text<'m>>) -> Result<Vec<(Stream<'m>, Option<i64>)>> {
    let expected = expected
        .ok_or(Error::NullArgument { name: "expected", hint: "Leave it out to append whatever the versions are." })?;
    let malformed =
        || Error::bad("expected must be a JSON array of {aggregate_type, aggregate_id, version}", EXPECTED_HINT);
    let elements = Document(expected.bytes).as_value();
    let elements = elements.as_array().ok_or_else(malformed)?;
    try_collect(elements.map(|element| {
        let object = element.as_object().ok_or_else(malformed)?;
        let (Some(aggregate_type), Some(aggregate_id)) =
            (text(memory, object, "aggregate_type")?, text(memory, object, "aggregate_id")?)
        else {
            return Err(malformed());
        };
        let version = match object.get(b"version") {
            None | Some(Value::Null) => None,
            Some(Value::Numeric(image)) => Some(json::to_i64(image).map_err(|_| malformed())?),
            Some(_) => return Err(malformed()),
        };
        Ok((append::stream(Some(aggregate_type), Some(aggregate_id))?, version))
    }))
}
