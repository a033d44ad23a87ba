//! What the change of a row becomes: one event, two where its key has changed, or none.

use super::ahead;
use super::draft::Draft;
use super::failure::{self, Failure};
use super::marks::marks;
use super::payload::{self, Part};
use super::plan::Plan;
use crate::append::{self, NewEvent};
use crate::bytes::Bytes;
use crate::context::{self, Context};
use crate::error::{Error, Result};
use crate::jsonb::Writer;
use crate::pg::datum;
use crate::pg::delegate;
use crate::pg::fixed::FixedSettings;
use crate::pg::guard;
use crate::pg::lock::{Purpose, StreamLock};
use crate::pg::memory::CallMemory;
use crate::pg::store::{EventRow, Found, Head, Origin, Store, Stored, Tried};
use crate::pg::stream::Stream;
use crate::pg::trigger::{Change, Operation};

pub fn capture(plan: &Plan, change: &Change, draft: &mut Draft) -> std::result::Result<(), Failure> {
    match change.operation {
        Operation::Truncate => {
            let record = || delegate::capture_truncate(change.function, change.relation);
            if plan.dead_letter {
                crate::pg::subtransaction::run(record)?;
            } else {
                record()?;
            }
            Ok(())
        }
        Operation::Insert => insert_row(plan, change, draft),
        Operation::Delete => {
            catch_up(draft.memory, plan, change);
            prepare(plan, change, draft, &[], (Part::Row, Part::None))?;
            delete(plan, change, draft)
        }
        Operation::Update => update(plan, change, draft),
    }
}

/// What fails here is no failure of this change.
fn catch_up(memory: &CallMemory, plan: &Plan, change: &Change) {
    ahead::catch_up(memory, plan, change).unwrap_or_else(|error| error.raise());
}

/// Chooses the event's type, its id, and renders its data.
fn prepare(
    plan: &Plan,
    change: &Change,
    draft: &mut Draft,
    changed: &[bool],
    (old, new): (Part, Part),
) -> std::result::Result<(), Failure> {
    let (event_type, event_name) = plan.event_type(change.operation, changed);
    draft.event_type = event_type.to_vec();
    draft.event_name = event_name.map(<[u8]>::to_vec);
    guard::attempt(|| {
        let _fixed = FixedSettings::enter();
        let row = if change.operation == Operation::Delete { change.old_row() } else { change.new_row() };
        draft.id = payload::identity(plan, row);
        payload::event_data(&mut draft.writer, plan, change, old, new, None)
    })?;
    draft.has_data = true;
    Ok(())
}

fn update(plan: &Plan, change: &Change, draft: &mut Draft) -> std::result::Result<(), Failure> {
    let (changed, ids) = guard::attempt(|| {
        let changed = payload::changed(plan, change);
        let mut ids = None;
        if plan.identity.iter().any(|column| changed[*column]) {
            let _fixed = FixedSettings::enter();
            ids = Some((payload::identity(plan, change.old_row()), payload::identity(plan, change.new_row())));
        }
        Ok((changed, ids))
    })?;
    if let Some((old, new)) = ids
        && old != new
    {
        catch_up(draft.memory, plan, change);
        return rekey(plan, change, draft, old, new);
    }
    if !plan.row.iter().any(|column| changed[*column]) {
        return Ok(());
    }
    catch_up(draft.memory, plan, change);
    let (event_type, event_name) = plan.event_type(change.operation, &changed);
    draft.event_type = event_type.to_vec();
    draft.event_name = event_name.map(<[u8]>::to_vec);
    guard::attempt(|| {
        let _fixed = FixedSettings::enter();
        draft.id = payload::identity(plan, change.new_row());
        Ok(())
    })?;
    let shown = if plan.full { (Part::Row, Part::Row) } else { (Part::Changed(&changed), Part::Changed(&changed)) };
    let Some(id) = draft.id.clone() else {
        prepare(plan, change, draft, &changed, shown)?;
        return Err(Error::NullIdentity.into());
    };
    // What the event shows depends on where the stream is, so the stream comes first.
    let store = Store::open(draft.memory)?;
    let stream = stream(draft.memory, plan, &id);
    let mut lock = StreamLock::acquire(&stream, Purpose::Write);
    for attempt in 0..append::ATTEMPTS {
        let head = settle(plan, &store, &stream, &mut lock, attempt)?;
        draft.complete = plan.told(&stream, head)? <= plan.whole_row_after
            || plan.may_be_untold(change, head) && !is_told(plan, change, draft, &stream)?;
        let new = if draft.complete { Part::Row } else { shown.1 };
        guard::attempt(|| {
            let _fixed = FixedSettings::enter();
            payload::event_data(&mut draft.writer, plan, change, shown.0, new, None)
        })?;
        draft.has_data = true;
        let event = event(plan, draft, stream)?;
        if insert(plan, &store, &append::row(&event, head))? {
            draft.told_after = Some(draft.late.unwrap_or(head.version));
            return Ok(());
        }
    }
    Err(append::contended(&stream).into())
}

/// Whether the stream says of the row what it was before the update.
fn is_told(plan: &Plan, change: &Change, draft: &mut Draft, stream: &Stream) -> std::result::Result<bool, Failure> {
    guard::attempt(|| {
        let _fixed = FixedSettings::enter();
        payload::event_data(&mut draft.writer, plan, change, Part::Row, Part::None, None)
    })?;
    Ok(delegate::is_told(stream, draft.writer.bytes(), plan.whole_row_after, plan.is_unique)?)
}

fn insert_row(plan: &Plan, change: &Change, draft: &mut Draft) -> std::result::Result<(), Failure> {
    prepare(plan, change, draft, &[], (Part::None, Part::Row))?;
    let Some(id) = draft.id.clone() else { return Err(Error::NullIdentity.into()) };
    let store = Store::open(draft.memory)?;
    let stream = stream(draft.memory, plan, &id);
    let mut lock = StreamLock::acquire(&stream, Purpose::Write);
    let mut is_new = store.may_guess() && plan.guess.is_new() && !append::queue(&mut lock, &stream, false)?;
    for _ in 0..append::ATTEMPTS {
        let head = if is_new { Head::default() } else { append::settle(&store, &stream, &mut lock)? };
        draft.complete = plan.replaces(&stream, head, draft.late.is_some())?;
        if insert(plan, &store, &append::row(&event(plan, draft, stream)?, head))? {
            return Ok(());
        }
        if is_new {
            plan.guess.was_wrong();
            is_new = false;
        }
    }
    Err(append::contended(&stream).into())
}

/// Two events: one ends the old stream, one starts or continues the new.
fn rekey(
    plan: &Plan,
    change: &Change,
    draft: &mut Draft,
    old: Option<Bytes>,
    new: Option<Bytes>,
) -> std::result::Result<(), Failure> {
    draft.event_type = plan.types.rekeyed.clone();
    draft.id = new;
    // Both are finished before the first is stored, so that what fails, fails before.
    let mut left = Writer::default();
    guard::attempt(|| {
        let _fixed = FixedSettings::enter();
        let goes_to = Some(("new_aggregate_id", draft.id.as_deref()));
        payload::event_data(&mut left, plan, change, Part::Key, Part::Key, goes_to)?;
        payload::event_data(
            &mut draft.writer,
            plan,
            change,
            Part::None,
            Part::Row,
            Some(("old_aggregate_id", old.as_deref())),
        )
    })?;
    draft.has_data = true;
    draft.left = Some((old.clone(), left));
    let (Some(old), Some(new)) = (old, draft.id.clone()) else {
        return Err(Error::NullIdentity.into());
    };
    let store = Store::open(draft.memory)?;
    draft.told_after = Some(store_events(plan, |way| {
        let mut ended = event(plan, draft, stream(draft.memory, plan, &old))?;
        ended.event_data = draft.left.as_ref().map_or(ended.event_data, |(_, left)| datum::varlena(left.bytes()));
        ended.metadata = context::metadata_with(None)?;
        let mut late = None;
        let written = write_end(plan, change, &store, &mut ended, &mut late, way);
        draft.left_late = late.or(draft.left_late);
        let Some((place, end)) = written? else { return Ok(None) };
        if begin(plan, &store, draft, stream(draft.memory, plan, &new), way)? {
            return Ok(Some(place));
        }
        store.take_back(end);
        Ok(None)
    })?);
    Ok(())
}

fn delete(plan: &Plan, change: &Change, draft: &mut Draft) -> std::result::Result<(), Failure> {
    let Some(id) = &draft.id else { return Err(Error::NullIdentity.into()) };
    let store = Store::open(draft.memory)?;
    let mut event = event(plan, draft, stream(draft.memory, plan, id))?;
    let mut late = None;
    let written = store_events(plan, |way| write_end(plan, change, &store, &mut event, &mut late, way));
    draft.late = late;
    draft.told_after = Some(written?.0);
    Ok(())
}

/// Stores the event that ends a row's stream, and returns the version it follows. Its key may have been taken again by a
/// row whose events are told already.
fn write_end(
    plan: &Plan,
    change: &Change,
    store: &Store,
    event: &mut NewEvent,
    late: &mut Option<i64>,
    way: Way,
) -> Result<Option<(i64, Stored)>> {
    let mut lock = StreamLock::acquire(&event.stream, Purpose::Write);
    for attempt in 0..append::ATTEMPTS {
        let head = settle(plan, store, &event.stream, &mut lock, attempt)?;
        *late = match change.left_after {
            Some(place) => (place < head.version).then_some(place),
            None => late_end(plan, change, &event.stream, head)?,
        };
        if late.is_some() {
            event.metadata = context::metadata_with(marks(false, *late, None)?)?;
        }
        match way.insert(store, &append::row(event, head))? {
            Tried::Stored(stored) => return Ok(Some((late.unwrap_or(head.version), stored))),
            Tried::Taken => {}
            Tried::Uncertain => return Ok(None),
        }
    }
    Err(append::contended(&event.stream))
}

/// The place of a row's end, if its key was taken again before that fired.
fn late_end(plan: &Plan, change: &Change, stream: &Stream, head: Head) -> Result<Option<i64>> {
    if plan.is_unique && (head.is_ours && head.position > plan.whole_row_after || failure::has_kept()) {
        return delegate::place_end(stream, plan.whole_row_after, change.replaced().is_none());
    }
    Ok(None)
}

fn settle(plan: &Plan, store: &Store, stream: &Stream, lock: &mut StreamLock, attempt: u32) -> Result<Head> {
    if attempt == 0 { plan.prefetch.settle(store, stream, lock) } else { append::settle(store, stream, lock) }
}

/// The place of the end of a row that is leaving, in its stream: after the newest version, unless its key was taken again before
/// that fired. `None` when it is not known.
pub fn place_before(memory: &CallMemory, plan: &Plan, change: &Change) -> Result<Option<i64>> {
    let id = guard::attempt(|| {
        let _fixed = FixedSettings::enter();
        Ok(payload::identity(plan, change.old_row()))
    });
    // What fails here, fails again where the event is made.
    let Ok(Some(id)) = id else { return Ok(None) };
    let stream = stream(memory, plan, &id);
    let Found::Settled(head) = Store::open(memory)?.newest(&stream) else { return Ok(None) };
    Ok(late_end(plan, change, &stream, head)?.or(Some(head.version)))
}

/// Stores the event of a row that takes a key over; false when that is uncertain.
fn begin(plan: &Plan, store: &Store, draft: &mut Draft, stream: Stream, way: Way) -> Result<bool> {
    let mut lock = StreamLock::acquire(&stream, Purpose::Write);
    for _ in 0..append::ATTEMPTS {
        let head = append::settle(store, &stream, &mut lock)?;
        draft.complete = plan.replaces(&stream, head, draft.late.is_some())?;
        match way.insert(store, &append::row(&event(plan, draft, stream)?, head))? {
            Tried::Stored(_) => return Ok(true),
            Tried::Taken => {}
            Tried::Uncertain => return Ok(false),
        }
    }
    Err(append::contended(&stream))
}

/// How events are stored.
#[derive(Clone, Copy)]
enum Way {
    /// Only where no error can come of it.
    Certain,
    /// Whatever comes of it.
    Any,
}

impl Way {
    fn insert(self, store: &Store, row: &EventRow) -> Result<Tried> {
        match self {
            Way::Certain => store.try_insert(row),
            Way::Any => Ok(store.insert(row)?.map_or(Tried::Taken, Tried::Stored)),
        }
    }
}

/// Stores events such that an error leaves nothing of them behind if it is to become a dead letter. Only where an error can
/// come of it, this takes a subtransaction. `write` returns none, and leaves nothing, when it is uncertain.
fn store_events<T>(plan: &Plan, mut write: impl FnMut(Way) -> Result<Option<T>>) -> std::result::Result<T, Failure> {
    let lost = || Error::Internal("an insert came to no end".into());
    if !plan.dead_letter {
        return Ok(write(Way::Any)?.ok_or_else(lost)?);
    }
    if let Some(done) = write(Way::Certain)? {
        return Ok(done);
    }
    Ok(crate::pg::subtransaction::run(|| write(Way::Any)?.ok_or_else(lost))?)
}

fn insert(plan: &Plan, store: &Store, row: &EventRow) -> std::result::Result<bool, Failure> {
    store_events(plan, |way| {
        Ok(match way.insert(store, row)? {
            Tried::Stored(_) => Some(true),
            Tried::Taken => Some(false),
            Tried::Uncertain => None,
        })
    })
}

/// A row's key may be empty: no reason to lose its event.
fn stream<'m>(memory: &'m CallMemory, plan: &Plan, id: &[u8]) -> Stream<'m> {
    Stream { aggregate_type: memory.text(&plan.aggregate_type), aggregate_id: memory.text(id) }
}

fn event<'m>(plan: &Plan, draft: &Draft<'m>, stream: Stream<'m>) -> Result<NewEvent<'m>> {
    let context = Context::current(draft.memory);
    let own = marks(draft.complete, draft.late, draft.in_table(plan))?;
    Ok(NewEvent {
        event_id: None,
        stream,
        event_type: draft.memory.text(&draft.event_type),
        event_name: draft.event_name.as_deref().map(|name| draft.memory.text(name)),
        event_data: datum::varlena(draft.writer.bytes()),
        metadata: context::metadata_with(own)?,
        correlation_id: context.correlation_id,
        causation_id: context.causation_id,
        caused_by: Some(context.caused_by),
        schema_version: 1,
        occurred_at: None,
        origin: Origin::Captured,
    })
}
