//! Calls to the portable engine's functions, for what gains nothing by being written twice. They run as the store's owner, but
//! for what reads a user's table, and an error inside keeps all its fields.

use std::ffi::CStr;

use pgrx::pg_sys::{self, Datum, Oid};

use super::call::Call;
use super::datum;
use super::guard::protect;
use super::info::Info;
use super::snapshot::ActiveSnapshot;
use super::spi::{self, Identity, PinnedPath};
use super::stream::Stream;
use crate::bytes::Bytes;
use crate::error::{Error, Result};

mod raw {
    use pgrx::pg_sys::{Datum, FunctionCallInfo, Oid};
    unsafe extern "C-unwind" {
        // Unguarded twins of pgrx's bindings, for use inside `protect`.
        pub fn OidFunctionCall1Coll(function: Oid, collation: Oid, a: Datum) -> Datum;
        pub fn OidFunctionCall3Coll(function: Oid, collation: Oid, a: Datum, b: Datum, c: Datum) -> Datum;
        pub fn regprocedurein(fcinfo: FunctionCallInfo) -> Datum;
    }
}

/// The function of this signature, which must return one value of this type: what it gives is read as such.
fn function(signature: &CStr, result: Oid) -> Result<Oid> {
    // SAFETY: regprocedurein takes a C string and raises an error for an unknown function; the others look in the catalogue.
    unsafe {
        let datum =
            pg_sys::DirectFunctionCall1Coll(Some(raw::regprocedurein), Oid::INVALID, Datum::from(signature.as_ptr()));
        let function = Oid::from(datum.value() as u32);
        if pg_sys::get_func_rettype(function) != result
            || pg_sys::get_func_retset(function)
            || pg_sys::get_func_prokind(function) as u8 != pg_sys::PROKIND_FUNCTION
        {
            let object = signature.to_string_lossy().into_owned();
            return Err(Error::StoreAltered { object, detail: "It returns something else.".into() });
        }
        Ok(function)
    }
}

/// The next version in a registered legacy table. With the rights of whoever asks: what reads the table is a function of the
/// table's owner, and nothing of theirs may run with the store's rights.
pub fn next_legacy_version(call: &Call) -> Result<Datum> {
    // By names that no search_path can lead elsewhere.
    let signature = c"domain_events._next_legacy_version(pg_catalog.text,pg_catalog.text,pg_catalog.regclass)";
    let function = function(signature, pg_sys::INT8OID)?;
    let argument = |index| call.datum(index).unwrap_or(Datum::from(0));
    let (a, b, c) = (argument(0), argument(1), argument(2));
    // SAFETY: three arguments that are not null, as the function declares; it runs SQL on a user's table.
    Ok(unsafe { protect(|| raw::OidFunctionCall3Coll(function, Oid::INVALID, a, b, c)) })
}

/// Runs one statement as the store's owner; `Some` is the first column of the first row, if it is a jsonb.
fn execute(query: &'static CStr, arguments: &[(Oid, Option<Datum>)]) -> Result<Option<Bytes>> {
    let document = spi::first_row(Info::get()?.owner, query, arguments, |row| {
        let mut null = false;
        // SAFETY: one column at least; the bytes are copied before SPI's memory goes.
        unsafe {
            let value = pg_sys::SPI_getbinval(row.tuple, row.descriptor, 1, &mut null);
            let is_document = !null && pg_sys::SPI_gettypeid(row.descriptor, 1) == pg_sys::JSONBOID;
            is_document.then(|| Bytes::of(datum::detoasted(value)))
        }
    })?;
    Ok(document.flatten())
}

/// The plan of a relation's capture as a JSONB document; `None` when it is not captured.
///
/// A transaction whose snapshot is fixed sees the capture as it was then. If it is another by now, the plan is of no use:
/// neither for this transaction's changes, which happen after it, nor for later ones of the session.
pub fn capture_plan(relation: Oid) -> Result<Option<Bytes>> {
    let plan = execute(c"select domain_events._capture_plan($1)", &[(pg_sys::OIDOID, Some(Datum::from(relation)))])?;
    if super::rules::snapshot_is_fixed()
        && plan_basis(relation, ActiveSnapshot::of_transaction())? != plan_basis(relation, ActiveSnapshot::newest())?
    {
        return Err(Error::StaleSnapshot { object: "the capture of the table" });
    }
    Ok(plan)
}

/// All that the plan of a relation is made of, as the snapshot shows it.
fn plan_basis(relation: Oid, _snapshot: ActiveSnapshot) -> Result<Bytes> {
    let _identity = Identity::assume(Info::get()?.owner);
    let _path = PinnedPath::enter();
    let function = function(c"domain_events._plan_basis(oid)", pg_sys::TEXTOID)?;
    let relation = Datum::from(relation);
    // SAFETY: a stable function, which reads with the active snapshot; it never returns null.
    unsafe {
        let basis = protect(|| raw::OidFunctionCall1Coll(function, Oid::INVALID, relation));
        Ok(Bytes::of(datum::bytes_of(datum::packed(basis))))
    }
}

/// Holds a stream by its row of domain_events.stream_locks.
pub fn lock_row(stream: &Stream) -> Result<()> {
    execute(
        c"select domain_events._lock_row($1, $2, $3)",
        &[
            (pg_sys::OIDOID, Some(Datum::from(Info::get()?.events))),
            (pg_sys::TEXTOID, Some(stream.aggregate_type.datum)),
            (pg_sys::TEXTOID, Some(stream.aggregate_id.datum)),
        ],
    )
    .map(|_| ())
}

/// Moves the newest old event of a stream into the store, if a legacy table that is being moved has one.
pub fn adopt_head(stream: &Stream) -> Result<bool> {
    let moved = execute(
        c"select to_jsonb(true) where domain_events._adopt_head($1, $2)",
        &[(pg_sys::TEXTOID, Some(stream.aggregate_type.datum)), (pg_sys::TEXTOID, Some(stream.aggregate_id.datum))],
    )?;
    Ok(moved.is_some())
}

/// The place of the end of a row whose key has been taken again before that fired; `None` when it is in order.
pub fn place_end(stream: &Stream, whole_row_after: i64, is_older: bool) -> Result<Option<i64>> {
    let place = execute(
        c"select to_jsonb(domain_events._place_end($1, $2, $3, $4))",
        &[
            (pg_sys::TEXTOID, Some(stream.aggregate_type.datum)),
            (pg_sys::TEXTOID, Some(stream.aggregate_id.datum)),
            (pg_sys::INT8OID, Some(Datum::from(whole_row_after))),
            (pg_sys::BOOLOID, Some(Datum::from(is_older))),
        ],
    )?;
    number(place)
}

/// The position of the stream's newest captured event; 0 when there is none.
pub fn captured_position(stream: &Stream) -> Result<i64> {
    let position = execute(
        c"select to_jsonb(domain_events._captured_position($1, $2))",
        &[(pg_sys::TEXTOID, Some(stream.aggregate_type.datum)), (pg_sys::TEXTOID, Some(stream.aggregate_id.datum))],
    )?;
    Ok(number(position)?.unwrap_or(0))
}

/// Whether the stream has a row, by what was told.
pub fn is_live(stream: &Stream) -> Result<bool> {
    let live = execute(
        c"select to_jsonb(domain_events._is_live($1, $2))",
        &[(pg_sys::TEXTOID, Some(stream.aggregate_type.datum)), (pg_sys::TEXTOID, Some(stream.aggregate_id.datum))],
    )?;
    Ok(is_true(live))
}

/// Whether the stream says of a row what `event_data` has as its old values.
pub fn is_told(stream: &Stream, event_data: &[u8], whole_row_after: i64, is_one_row: bool) -> Result<bool> {
    let told = execute(
        c"select to_jsonb(domain_events._is_told($1, $2, $3 -> 'old_values', $4, $5))",
        &[
            (pg_sys::TEXTOID, Some(stream.aggregate_type.datum)),
            (pg_sys::TEXTOID, Some(stream.aggregate_id.datum)),
            (pg_sys::JSONBOID, Some(datum::varlena(event_data))),
            (pg_sys::INT8OID, Some(Datum::from(whole_row_after))),
            (pg_sys::BOOLOID, Some(Datum::from(is_one_row))),
        ],
    )?;
    Ok(is_true(told))
}

fn is_true(document: Option<Bytes>) -> bool {
    let value = document.as_deref().map(|document| crate::jsonb::Document(document).as_value());
    matches!(value, Some(crate::jsonb::Value::Bool(true)))
}

fn number(document: Option<Bytes>) -> Result<Option<i64>> {
    match document.as_deref().map(|document| crate::jsonb::Document(document).as_value()) {
        Some(crate::jsonb::Value::Numeric(image)) => super::json::to_i64(image).map(Some),
        _ => Ok(None),
    }
}

/// Makes every stream's next event carry the whole row, as after a change of the table's columns.
pub fn sync_columns(capture_id: i32) -> Result<()> {
    execute(c"select domain_events._sync_columns($1)", &[(pg_sys::INT4OID, Some(Datum::from(capture_id)))]).map(|_| ())
}

/// `function`: that of the trigger.
pub fn capture_truncate(function: Oid, relation: Oid) -> Result<()> {
    execute(
        c"select domain_events._capture_truncate(pg_catalog.substr(p.proname, 9)::int, $2) from pg_catalog.pg_proc p where p.oid = $1",
        &[(pg_sys::OIDOID, Some(Datum::from(function))), (pg_sys::OIDOID, Some(Datum::from(relation)))],
    )
    .map(|_| ())
}

/// What domain_events._keep_failure() is told.
pub struct KeptFailure<'a> {
    pub capture_id: i32,
    pub operation: &'a str,
    pub aggregate_id: Option<&'a [u8]>,
    pub event_type: Option<&'a [u8]>,
    pub event_name: Option<&'a [u8]>,
    pub event_data: Option<&'a [u8]>,
    pub metadata: Option<Datum>,
    /// Its place, if it fired late.
    pub place: Option<i64>,
    pub code: &'a str,
    pub message: &'a str,
}

/// Returns the place of what happened right before, see domain_events._late_marks(); `None` when the stream is not known.
pub fn keep_failure(failure: &KeptFailure) -> Result<Option<i64>> {
    let text = |value: Option<&[u8]>| (pg_sys::TEXTOID, value.map(datum::varlena));
    let metadata = failure.metadata.unwrap_or_else(super::json::empty_object);
    let place = execute(
        c"select to_jsonb(domain_events._keep_failure($1, $2, $3, $4, $5, $6, $7, $8, $9, $10))",
        &[
            (pg_sys::INT4OID, Some(Datum::from(failure.capture_id))),
            text(Some(failure.operation.as_bytes())),
            text(failure.aggregate_id),
            text(failure.event_type),
            text(failure.event_name),
            (pg_sys::JSONBOID, failure.event_data.map(datum::varlena)),
            (pg_sys::JSONBOID, Some(metadata)),
            text(Some(failure.code.as_bytes())),
            text(Some(failure.message.as_bytes())),
            (pg_sys::INT8OID, failure.place.map(Datum::from)),
        ],
    )?;
    number(place)
}

/// The version of its stream when an event became a dead letter.
pub fn failed_after(letter: i64) -> Result<Option<i64>> {
    let version = execute(
        c"select to_jsonb(f.after_version) from domain_events.capture_failures f where f.failure_id = $1",
        &[(pg_sys::INT8OID, Some(Datum::from(letter)))],
    )?;
    number(version)
}

/// domain_events._guard_drop(): refuses to drop the extension or its schema while events exist.
pub fn guard_drop(call: Call) -> Result<Datum> {
    // SAFETY: the context of a function called by an event trigger is its data; looked at before it is used.
    let (object, names) = unsafe {
        let context = (*call.raw()).context;
        if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_EventTriggerData {
            return Err(Error::NotATrigger { message: "_guard_drop() was not called by an event trigger".into() });
        }
        let statement = (*context.cast::<pg_sys::EventTriggerData>()).parsetree;
        if statement.is_null() || (*statement).type_ != pg_sys::NodeTag::T_DropStmt {
            return Ok(Datum::from(0));
        }
        let statement = &*statement.cast::<pg_sys::DropStmt>();
        let object = match statement.removeType {
            pg_sys::ObjectType::OBJECT_SCHEMA => c"domain_events",
            pg_sys::ObjectType::OBJECT_EXTENSION => c"pg_domain_events",
            _ => return Ok(Datum::from(0)),
        };
        (object, statement.objects)
    };
    // SAFETY: schemas and extensions are named by a list of plain strings.
    let is_ours = unsafe {
        !names.is_null()
            && (0..(*names).length as usize)
                .any(|position| CStr::from_ptr(string((*(*names).elements.add(position)).ptr_value)) == object)
    };
    if is_ours && holds_events(object)? {
        return Err(Error::HasEvents);
    }
    Ok(Datum::from(0))
}

/// # Safety
/// `node` is a string node.
unsafe fn string(node: *mut std::ffi::c_void) -> *const std::ffi::c_char {
    // SAFETY: caller's promise.
    unsafe { (*node.cast::<pg_sys::String>()).sval }
}

/// Once its objects are detached, which is how the way back to the portable engine goes, dropping the extension loses
/// nothing.
fn holds_events(object: &CStr) -> Result<bool> {
    let query = if object == c"domain_events" {
        c"select to_jsonb(true) where exists (select from domain_events.events) and not domain_events._is_restoring()"
    } else {
        c"select to_jsonb(true) where exists (select from domain_events.events) and not domain_events._is_restoring() and exists (
            select from pg_catalog.pg_depend d
              join pg_catalog.pg_extension x on d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.refobjid = x.oid
             where x.extname = 'pg_domain_events' and d.deptype = 'e')"
    };
    Ok(execute(query, &[])?.is_some())
}
