//! Appending: the next version of a stream, one event, and the arguments of both.
//!
//! Proof sketch of "gapless and unique at any isolation level": a writer holds the stream's lock from looking at the newest
//! row to inserting the next (`pg::lock`), and looks with a dirty snapshot, so it either sees a committed (or its own)
//! newest version n and inserts n+1 before anybody else looks, or sees another transaction's uncommitted row and waits for
//! its end without the lock. A rolled-back row is no row: its version is given out again. The unique key stays the last
//! word; should a writer without our lock come between, the insert finds out, takes its row back and looks again.

use pgrx::pg_sys::Datum;

use crate::context::{self, Context};
use crate::contract::{self, column};
use crate::error::{Error, Result};
use crate::jsonb::Document;
use crate::pg::call::Call;
use crate::pg::datum::Text;
use crate::pg::lock::{Purpose, StreamLock};
use crate::pg::memory::CallMemory;
use crate::pg::store::{self, EventRow, Found, Head, Origin, Store, Stored};
use crate::pg::stream::Stream;
use crate::pg::{delegate, json, uuid};
use crate::size;

const STREAM_HINT: &str = "A stream is named by an aggregate type and an aggregate id.";
/// How often the unique key may turn out to be taken before we give up.
pub const ATTEMPTS: u32 = 100;

/// An event but for what the store decides: version, position, times.
pub struct NewEvent<'a> {
    pub event_id: Option<[u8; 16]>,
    pub stream: Stream<'a>,
    pub event_type: Text<'a>,
    pub event_name: Option<Text<'a>>,
    pub event_data: Datum,
    pub metadata: Datum,
    pub correlation_id: Option<Text<'a>>,
    pub causation_id: Option<Text<'a>>,
    pub caused_by: Option<Text<'a>>,
    pub schema_version: i32,
    pub occurred_at: Option<i64>,
    pub origin: Origin,
}

/// Checks what may name a stream that others than the store write.
pub fn stream<'a>(aggregate_type: Option<Text<'a>>, aggregate_id: Option<Text<'a>>) -> Result<Stream<'a>> {
    let needed = |name| Error::NullArgument { name, hint: STREAM_HINT };
    let aggregate_type = aggregate_type.ok_or(needed("aggregate_type"))?;
    let aggregate_id = aggregate_id.ok_or(needed("aggregate_id"))?;
    for (name, text) in [("aggregate_type", aggregate_type), ("aggregate_id", aggregate_id)] {
        if text.bytes.is_empty() {
            return Err(Error::bad(format!("{name} must not be empty"), STREAM_HINT));
        }
    }
    if aggregate_type.bytes.len() > contract::AGGREGATE_TYPE_BYTES {
        return Err(Error::bad(
            format!("aggregate_type is too long: {} bytes", aggregate_type.bytes.len()),
            "An aggregate type has at most 255 bytes.",
        ));
    }
    if aggregate_id.bytes.len() > contract::AGGREGATE_ID_BYTES {
        return Err(Error::bad(
            format!("aggregate_id is too long: {} bytes", aggregate_id.bytes.len()),
            "An aggregate id has at most 1,024 bytes; use a hash of the longer key.",
        ));
    }
    if aggregate_type.bytes.starts_with(b"domain_events.") {
        return Err(Error::bad(
            format!("aggregate type \"{}\" is reserved", aggregate_type.lossy()),
            "Types that start with \"domain_events.\" are the store's own.",
        ));
    }
    Ok(Stream { aggregate_type, aggregate_id })
}

pub fn check_expected(expected: Option<i64>) -> Result<Option<i64>> {
    match expected {
        Some(version) if version < 0 => Err(Error::bad(
            format!("expected_version must not be negative: {version}"),
            "null means any version, 0 that the stream must not exist, n exactly n.",
        )),
        _ => Ok(expected),
    }
}

/// As [`StreamLock::queue`], for the row that holds the stream.
pub fn queue(lock: &mut StreamLock, stream: &Stream, is_ours: bool) -> Result<bool> {
    lock.queue(is_ours, || delegate::lock_row(stream))
}

/// The newest event of the stream once nobody else is in the middle of writing one or holds the stream.
pub fn settle(store: &Store, stream: &Stream, lock: &mut StreamLock) -> Result<Head> {
    let mut adopted = 0;
    loop {
        match store.newest(stream) {
            // A stream that is being adopted is not empty: see sql/migration/75_adoptions.sql.
            Found::Settled(head) if head.version == 0 && !store.is_plain() && delegate::adopt_head(stream)? => {
                adopted += 1;
                if adopted == ATTEMPTS {
                    return Err(contended(stream));
                }
            }
            Found::Settled(head) => {
                if !queue(lock, stream, head.is_ours)? {
                    return Ok(head);
                }
            }
            Found::Pending(wait) => lock.yield_to(|| wait.wait()),
        }
    }
}

/// Stores the event as the next version of its stream, or returns the stored one of the same event id.
pub fn append(store: &Store, event: &NewEvent, expected: Option<i64>) -> Result<Stored> {
    let mut lock = StreamLock::acquire(&event.stream, Purpose::Write);
    for _ in 0..ATTEMPTS {
        // First of all: from here on nobody else writes to the stream, so what is found below stays true.
        let head = settle(store, &event.stream, &mut lock)?;
        if let Some(event_id) = &event.event_id {
            match store.by_event_id(event_id) {
                Found::Settled(None) => {}
                Found::Settled(Some(stored)) => {
                    same_content(store, event, event_id, stored)?;
                    return Ok(stored);
                }
                Found::Pending(wait) => {
                    lock.yield_to(|| wait.wait());
                    continue;
                }
            }
        }
        if let Some(expected) = expected
            && expected != head.version
        {
            return Err(wrong_version(&event.stream, expected, head.version));
        }
        if let Some(stored) = store.insert(&row(event, head))? {
            return Ok(stored);
        }
    }
    Err(contended(&event.stream))
}

pub fn wrong_version(stream: &Stream, expected: i64, actual: i64) -> Error {
    Error::WrongVersion {
        aggregate_type: stream.aggregate_type.lossy(),
        aggregate_id: stream.aggregate_id.lossy(),
        expected,
        actual,
    }
}

pub fn contended(stream: &Stream) -> Error {
    Error::StoreContended { aggregate_type: stream.aggregate_type.lossy(), aggregate_id: stream.aggregate_id.lossy() }
}

pub fn row<'a>(event: &NewEvent<'a>, head: Head) -> EventRow<'a> {
    let clock = store::now();
    EventRow {
        event_id: event.event_id.unwrap_or_else(|| uuid::v7(clock)),
        has_own_id: event.event_id.is_some(),
        stream: event.stream,
        // Beyond the last one there is none: the store refuses it.
        after_position: head.position,
        version: head.version.wrapping_add(1),
        is_guess: head.is_read_ahead,
        event_type: event.event_type,
        event_name: event.event_name,
        event_data: event.event_data,
        metadata: event.metadata,
        correlation_id: event.correlation_id,
        causation_id: event.causation_id,
        caused_by: event.caused_by,
        schema_version: event.schema_version,
        occurred_at: event.occurred_at,
        recorded_at: if head.version == 0 { clock } else { clock.max(head.recorded_at + 1) },
        origin: event.origin,
    }
}

pub fn same_content(store: &Store, event: &NewEvent, id: &[u8; 16], stored: Stored) -> Result<()> {
    let text = |number| store.text(stored, number).map(|text| text.bytes);
    let version = store.column(stored, column::AGGREGATE_VERSION).map_or(0, |datum| datum.value() as i64);
    let schema_version = store.column(stored, column::SCHEMA_VERSION).map(|datum| datum.value() as i32);
    let same = text(column::AGGREGATE_TYPE) == Some(event.stream.aggregate_type.bytes)
        && text(column::AGGREGATE_ID) == Some(event.stream.aggregate_id.bytes)
        && text(column::EVENT_TYPE) == Some(event.event_type.bytes)
        && schema_version == Some(event.schema_version)
        && store.column(stored, column::EVENT_DATA).is_some_and(|data| json::equal(data, event.event_data));
    if same {
        return Ok(());
    }
    let lossy = |number| crate::bytes::message(text(number).unwrap_or_default());
    Err(Error::OtherContent {
        event_id: uuid::to_text(id),
        detail: format!(
            "Stored as version {version} of stream ({}, {}), type {}.",
            lossy(column::AGGREGATE_TYPE),
            lossy(column::AGGREGATE_ID),
            lossy(column::EVENT_TYPE)
        ),
    })
}

fn new_event<'m>(call: &Call, memory: &'m CallMemory) -> Result<NewEvent<'m>> {
    let text = |index| call.text(memory, index);
    let stream = stream(text(0), text(1))?;
    let defaults = "Leave event_data and schema_version out to get their defaults.";
    let event_type = text(2).ok_or(Error::NullArgument { name: "event_type", hint: defaults })?;
    let event_data = text(3).ok_or(Error::NullArgument { name: "event_data", hint: defaults })?;
    let schema_version = call.i32(12).ok_or(Error::NullArgument { name: "schema_version", hint: defaults })?;
    let metadata = text(5);
    check_event(event_type, schema_version, metadata)?;
    check_size(event_data, metadata, [text(4), text(8), text(9), text(10)])?;
    let context = Context::current(memory);
    Ok(NewEvent {
        event_id: call.uuid(7),
        stream,
        event_type,
        event_name: text(4),
        event_data: event_data.datum,
        metadata: context::metadata_with(metadata.map(|text| text.datum))?,
        correlation_id: text(9).or(context.correlation_id),
        causation_id: text(10).or(context.causation_id),
        caused_by: text(8).or(Some(context.caused_by)),
        schema_version,
        occurred_at: call.i64(11),
        origin: Origin::Appended,
    })
}

pub fn check_event(event_type: Text, schema_version: i32, metadata: Option<Text>) -> Result<()> {
    if event_type.bytes.is_empty() || event_type.bytes.len() > contract::EVENT_TYPE_BYTES {
        return Err(Error::bad(
            format!("event_type must have 1 to 255 bytes, not {}", event_type.bytes.len()),
            "Name what happened in the past tense, for example UserUpdated.",
        ));
    }
    if schema_version < 1 {
        return Err(Error::bad(
            format!("schema_version must be positive, not {schema_version}"),
            "Count the shapes of a payload from 1.",
        ));
    }
    if let Some(metadata) = metadata {
        let value = Document(metadata.bytes).as_value();
        if value.as_object().is_none() {
            return Err(Error::bad(
                format!("metadata must be a JSON object, not {}", value.kind()),
                "For example {\"source\": \"import\"}.",
            ));
        }
    }
    Ok(())
}

/// The rest of the texts are short.
pub fn check_size(event_data: Text, metadata: Option<Text>, texts: [Option<Text>; 4]) -> Result<()> {
    let texts = texts.into_iter().flatten().map(|text| text.bytes.len()).sum();
    size::check_event(event_data.bytes, metadata.map(|metadata| metadata.bytes), texts)
}

/// domain_events.append_event(..)
pub fn append_event(call: Call) -> Result<Datum> {
    let memory = CallMemory::enter();
    let expected = check_expected(call.i64(6))?;
    stream(call.text(&memory, 0), call.text(&memory, 1))?;
    let store = Store::open(&memory)?;
    store.check_caller(&call)?;
    let stored = append(&store, &new_event(&call, &memory)?, expected)?;
    Ok(memory.outer(|| store.to_composite(stored)))
}

/// domain_events._append(event domain_events.events, expected_version bigint)
pub fn append_row(call: Call) -> Result<Datum> {
    let memory = CallMemory::enter();
    let store = Store::open(&memory)?;
    store.check_caller(&call)?;
    let row = call.datum(0).ok_or(Error::NullArgument { name: "event", hint: "Give a whole event." })?;
    let columns = store.columns_of(row);
    let value = |number: usize| columns[number - 1];
    let text = |number| value(number).map(|value| memory.column(value));
    let needed = |name, number| text(number).ok_or(Error::NullArgument { name, hint: "Every event has one." });
    let stream = stream(text(column::AGGREGATE_TYPE), text(column::AGGREGATE_ID))?;
    let event_type = needed("event_type", column::EVENT_TYPE)?;
    let event_data = needed("event_data", column::EVENT_DATA)?;
    let metadata = needed("metadata", column::METADATA)?;
    let event = NewEvent {
        event_id: value(column::EVENT_ID).map(crate::pg::call::uuid_column),
        stream,
        event_type,
        event_name: text(column::EVENT_NAME),
        event_data: event_data.datum,
        metadata: metadata.datum,
        correlation_id: text(column::CORRELATION_ID),
        causation_id: text(column::CAUSATION_ID),
        caused_by: text(column::CAUSED_BY),
        schema_version: value(column::SCHEMA_VERSION).map_or(1, |datum| datum.value() as i32),
        occurred_at: value(column::OCCURRED_AT).map(|datum| datum.value() as i64),
        origin: Origin::Appended,
    };
    check_size(
        event_data,
        Some(metadata),
        [event.event_name, event.correlation_id, event.causation_id, event.caused_by],
    )?;
    let stored = append(&store, &event, call.i64(1))?;
    Ok(memory.outer(|| store.to_composite(stored)))
}

/// domain_events._write_event(..), for finished events: of whole tables, of a baseline, retried ones. What its parameters
/// "operation" and "whole_row_after" ask for is done by `capture` itself.
pub fn write_event(call: Call) -> Result<Datum> {
    let memory = CallMemory::enter();
    let store = Store::open(&memory)?;
    let needed =
        |name, index| call.text(&memory, index).ok_or(Error::NullArgument { name, hint: "Every event has one." });
    // A captured row's key may be empty.
    let aggregate_id = call.text(&memory, 1).ok_or(Error::NullIdentity)?;
    let stream = Stream { aggregate_type: needed("aggregate_type", 0)?, aggregate_id };
    let metadata = needed("metadata", 5)?.datum;
    let mut event = NewEvent {
        event_id: None,
        stream,
        event_type: needed("event_type", 2)?,
        event_name: call.text(&memory, 3),
        event_data: needed("event_data", 4)?.datum,
        metadata,
        caused_by: call.text(&memory, 9),
        correlation_id: call.text(&memory, 10),
        causation_id: call.text(&memory, 11),
        schema_version: 1,
        occurred_at: call.i64(8),
        origin: Origin::Captured,
    };
    if event.caused_by.is_none() {
        let context = Context::current(&memory);
        event.metadata = context::metadata_with(Some(metadata))?;
        event.caused_by = Some(context.caused_by);
        event.correlation_id = context.correlation_id;
        event.causation_id = context.causation_id;
    }
    let mut lock = StreamLock::acquire(&event.stream, Purpose::Write);
    for _ in 0..ATTEMPTS {
        let head = settle(&store, &event.stream, &mut lock)?;
        if store.insert(&row(&event, head))?.is_some() {
            return Ok(Datum::from(head.version + 1));
        }
    }
    Err(contended(&event.stream))
}

/// domain_events._next_own_version(aggregate_type text, aggregate_id text)
pub fn next_own_version(call: Call) -> Result<Datum> {
    let memory = CallMemory::enter();
    next(&memory, &stream(call.text(&memory, 0), call.text(&memory, 1))?)
}

fn next(memory: &CallMemory, stream: &Stream) -> Result<Datum> {
    let store = Store::open_to_look(memory)?;
    let mut lock = StreamLock::acquire(stream, Purpose::Hold);
    let head = settle(&store, stream, &mut lock)?;
    head.version.checked_add(1).map(Datum::from).ok_or(Error::NoVersionLeft)
}

/// domain_events.next_aggregate_version(aggregate_type text, aggregate_id text, event_table regclass)
pub fn next_aggregate_version(call: Call) -> Result<Datum> {
    let memory = CallMemory::enter();
    let table = call
        .oid(2)
        .ok_or(Error::NullArgument { name: "event_table", hint: "Leave it out for the event store itself." })?;
    let store = Store::open_to_look(&memory)?;
    if table == store.oid() {
        return next(&memory, &stream(call.text(&memory, 0), call.text(&memory, 1))?);
    }
    // A legacy table may hold an empty type or id, or one that is reserved in the store, and its users' inserts go on.
    let given = |index| {
        call.text(&memory, index).map(|text| match text.bytes.strip_prefix(b"domain_events.") {
            Some(rest) => memory.text(&[b"domain-events.", rest].concat()),
            None if text.bytes.is_empty() => memory.text(b"-"),
            None => text,
        })
    };
    stream(given(0), given(1))?;
    memory.outer(|| delegate::next_legacy_version(&call))
}
