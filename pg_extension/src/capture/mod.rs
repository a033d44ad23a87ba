//! Capture: a row's change becomes an event of its stream.
//!
//! The plan of a relation is kept until the relation changes. Columns are compared by image before anything is detoasted,
//! only what the event shows is rendered, and the event goes straight into the store's table. No code of a user runs, and
//! no identity is assumed, unless somebody has added triggers or constraints to the store (`pg::slow_insert`).
//!
//! on_failure => 'dead_letter': rendering takes no locks and writes nothing, so what fails there is caught as it is; the
//! plain insert fails only in ways that have to fail the statement; the slow one runs in a subtransaction.

mod ahead;
mod failure;
mod moves;
mod payload;
mod plan;

use std::cell::RefCell;

use pgrx::pg_sys::Datum;

use self::failure::{Failure, keep};
use self::payload::Part;
use self::plan::Plan;
use crate::append::{self, NewEvent};
use crate::context::{self, Context};
use crate::error::{Error, Result};
use crate::jsonb::Writer;
use crate::pg::cache::{Cache, Kept};
use crate::pg::call::Call;
use crate::pg::datum::{self, Text};
use crate::pg::fixed::FixedSettings;
use crate::pg::guard;
use crate::pg::lock::{Purpose, Stream, StreamLock};
use crate::pg::memory::CallMemory;
use crate::pg::store::Store;
use crate::pg::trigger::{ArrivedRow, Change, Fired, Operation};
use crate::pg::{delegate, json};

thread_local! {
    static PLANS: Cache<Option<Plan>> = Cache::new();
    /// The buffer of the last event, for the next.
    static BUFFER: RefCell<Writer> = RefCell::default();
}

/// Called before a transaction commits.
pub fn before_commit() -> Result<()> {
    moves::flush()
}

/// Called when a transaction has ended.
pub fn at_transaction_end() {
    moves::forget();
    ahead::forget();
}

/// Called when a subtransaction is rolled back.
pub fn roll_back(subtransaction: u32) {
    ahead::roll_back(subtransaction);
    moves::roll_back(subtransaction);
}

/// A relation has changed; zero stands for all.
pub fn forget(relation: pgrx::pg_sys::Oid) {
    PLANS.with(|plans| plans.forget(relation));
}

/// The event as far as it has got: what a dead letter keeps.
struct Draft {
    operation: Operation,
    id: Option<Vec<u8>>,
    event_type: Vec<u8>,
    event_name: Option<Vec<u8>>,
    writer: Writer,
    has_data: bool,
    complete: bool,
    /// Its place, if it fired after a later change of the same row.
    after_version: Option<i64>,
    /// Id and data of the event that ends the old stream, when the key has changed.
    left: Option<(Option<Vec<u8>>, Vec<u8>)>,
}

/// domain_events.capture_<id>()
pub fn trigger(call: Call) -> Result<Datum> {
    let mut change = match Change::of(&call)? {
        Fired::Before(row) => return Ok(row),
        Fired::After(change) => change,
    };
    let memory = CallMemory::enter();
    let plan = plan_of(&change)?;
    let Some(plan) = plan.as_ref().filter(|plan| !plan.paused) else {
        return Ok(Datum::from(0));
    };
    // Where nothing leaves, and it leaves only in partitioned tables, this costs a look at an empty list.
    let mut arrived = ArrivedRow::default();
    let leaving = moves::take(plan, &change)?;
    if change.is_leaving {
        moves::keep(plan, &change);
        return Ok(Datum::from(0));
    }
    if let Some(leaving) = &leaving {
        let old_plan = plan_of(&leaving.as_delete())?;
        let place = |old| old_plan.as_ref().and_then(|old_plan| plan.place(old_plan, old));
        change.arrive(leaving, place, &mut arrived);
    }
    if !ahead::is_done(plan, &change) {
        ahead::catch_up(plan, &change)?;
        record(plan, &change)?;
        ahead::mark(plan, &change);
    }
    if let Some(leaving) = leaving {
        leaving.free();
    }
    drop(memory);
    Ok(Datum::from(0))
}

fn plan_of(change: &Change) -> Result<Kept<Option<Plan>>> {
    PLANS.with(|plans| plans.get(change.relation, |previous| Plan::load(change, previous.and_then(Option::as_ref))))
}

/// Stores the change's event, or keeps what failed.
fn record(plan: &Plan, change: &Change) -> Result<()> {
    let mut draft = Draft {
        operation: change.operation,
        id: None,
        event_type: Vec::new(),
        event_name: None,
        writer: BUFFER.take(),
        has_data: false,
        complete: false,
        after_version: None,
        left: None,
    };
    let kept = match capture(plan, change, &mut draft) {
        Err(failure) if plan.dead_letter => keep(plan, &draft, failure),
        Err(failure) => failure.raise(),
        Ok(()) => Ok(()),
    };
    // A buffer that one huge row has blown up is not kept for the session.
    if draft.writer.capacity() <= 1 << 20 {
        BUFFER.replace(draft.writer);
    }
    kept
}

fn capture(plan: &Plan, change: &Change, draft: &mut Draft) -> std::result::Result<(), Failure> {
    match change.operation {
        Operation::Truncate => {
            let record = || delegate::capture_truncate(plan.capture_id, change.relation);
            if plan.dead_letter {
                crate::pg::subtransaction::run(record)?;
            } else {
                record()?;
            }
            Ok(())
        }
        Operation::Insert => insert_row(plan, change, draft),
        Operation::Delete => {
            prepare(plan, change, draft, &[], (Part::Row, Part::None))?;
            store(plan, draft)
        }
        Operation::Update => update(plan, change, draft),
    }
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
        return rekey(plan, change, draft, old, new);
    }
    if !plan.row.iter().any(|column| changed[*column]) {
        return Ok(());
    }
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
    let store = Store::open()?;
    let stream = stream(plan, &id);
    let mut lock = StreamLock::acquire(&stream, Purpose::Write);
    for _ in 0..append::ATTEMPTS {
        let head = append::settle(&store, &stream, &mut lock)?;
        draft.complete = head.position <= plan.whole_row_after;
        let new = if draft.complete { Part::Row } else { shown.1 };
        guard::attempt(|| {
            let _fixed = FixedSettings::enter();
            payload::event_data(&mut draft.writer, plan, change, shown.0, new, None)
        })?;
        draft.has_data = true;
        if change.is_late && !draft.complete {
            draft.after_version = place(plan, change, &stream, draft)?;
        }
        let event = event(draft, stream)?;
        if insert(plan, &store, &append::row(&event, head))? {
            return Ok(());
        }
    }
    Err(append::contended(&stream).into())
}

fn insert_row(plan: &Plan, change: &Change, draft: &mut Draft) -> std::result::Result<(), Failure> {
    prepare(plan, change, draft, &[], (Part::None, Part::Row))?;
    let Some(id) = draft.id.clone() else { return Err(Error::NullIdentity.into()) };
    let store = Store::open()?;
    let stream = stream(plan, &id);
    let mut lock = StreamLock::acquire(&stream, Purpose::Write);
    for _ in 0..append::ATTEMPTS {
        let head = append::settle(&store, &stream, &mut lock)?;
        // What happened to the stream's row before the pause ended is unknown: this one replaces it.
        draft.complete = head.version > 0 && head.position <= plan.whole_row_after;
        if change.is_late && !draft.complete {
            draft.after_version = place(plan, change, &stream, draft)?;
        }
        if insert(plan, &store, &append::row(&event(draft, stream)?, head))? {
            return Ok(());
        }
    }
    Err(append::contended(&stream).into())
}

/// Where among the stream's events a change belongs that fired late.
fn place(
    plan: &Plan,
    change: &Change,
    stream: &Stream,
    draft: &mut Draft,
) -> std::result::Result<Option<i64>, Failure> {
    let (mut old, mut new) = (Writer::default(), Writer::default());
    let is_update = draft.operation == Operation::Update;
    guard::attempt(|| {
        let _fixed = FixedSettings::enter();
        if is_update {
            payload::whole_row(&mut old, plan, change.old_row())?;
        }
        payload::whole_row(&mut new, plan, change.new_row())
    })?;
    Ok(delegate::place(stream, draft.operation.name(), is_update.then(|| old.bytes()), new.bytes())?)
}

/// Two events: one ends the old stream, one starts or continues the new.
fn rekey(
    plan: &Plan,
    change: &Change,
    draft: &mut Draft,
    old: Option<Vec<u8>>,
    new: Option<Vec<u8>>,
) -> std::result::Result<(), Failure> {
    draft.event_type = plan.rekeyed.clone();
    draft.complete = true;
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
    draft.left = Some((old.clone(), left.bytes().to_vec()));
    let (Some(old), Some(new)) = (old, draft.id.clone()) else {
        return Err(Error::NullIdentity.into());
    };
    let both = || -> Result<()> {
        let store = Store::open()?;
        let mut ended = event(draft, stream(plan, &old))?;
        ended.event_data = datum::varlena(left.bytes());
        ended.metadata = context::metadata_with(None)?;
        write(&store, &ended)?;
        write(&store, &event(draft, stream(plan, &new))?)
    };
    if plan.dead_letter && !Store::open()?.is_plain() {
        return Ok(crate::pg::subtransaction::run(both)?);
    }
    Ok(both()?)
}

/// Stores the finished draft as its stream's next version.
fn store(plan: &Plan, draft: &Draft) -> std::result::Result<(), Failure> {
    let Some(id) = &draft.id else { return Err(Error::NullIdentity.into()) };
    let store = Store::open()?;
    let event = event(draft, stream(plan, id))?;
    if plan.dead_letter && !store.is_plain() {
        return Ok(crate::pg::subtransaction::run(|| write(&store, &event))?);
    }
    Ok(write(&store, &event)?)
}

fn write(store: &Store, event: &NewEvent) -> Result<()> {
    let mut lock = StreamLock::acquire(&event.stream, Purpose::Write);
    for _ in 0..append::ATTEMPTS {
        let head = append::settle(store, &event.stream, &mut lock)?;
        if store.insert(&append::row(event, head))?.is_some() {
            return Ok(());
        }
    }
    Err(append::contended(&event.stream))
}

fn insert(plan: &Plan, store: &Store, row: &crate::pg::store::Row) -> std::result::Result<bool, Failure> {
    if plan.dead_letter && !store.is_plain() {
        return Ok(crate::pg::subtransaction::run(|| store.insert(row))?.is_some());
    }
    Ok(store.insert(row)?.is_some())
}

/// A row's key may be empty: no reason to lose its event.
fn stream<'a>(plan: &Plan, id: &[u8]) -> Stream<'a> {
    Stream { aggregate_type: Text::new(&plan.aggregate_type), aggregate_id: Text::new(id) }
}

fn event<'a>(draft: &Draft, stream: Stream<'a>) -> Result<NewEvent<'a>> {
    let context = Context::current();
    let own = match (draft.complete, draft.after_version) {
        (true, _) => Some(json::complete()),
        (false, Some(version)) => Some(json::late(version)),
        (false, None) => None,
    };
    Ok(NewEvent {
        event_id: None,
        stream,
        event_type: Text::new(&draft.event_type),
        event_name: draft.event_name.as_deref().map(Text::new),
        event_data: datum::varlena(draft.writer.bytes()),
        metadata: context::metadata_with(own)?,
        correlation_id: context.correlation_id,
        causation_id: context.causation_id,
        caused_by: Some(context.caused_by),
        schema_version: 1,
        occurred_at: None,
    })
}
