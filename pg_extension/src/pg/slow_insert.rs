//! The insert for a store that somebody has added triggers, constraints, row security or partitions to: an ordinary
//! INSERT under the owner's identity, so that every one of them counts.

use std::cell::Cell;

use pgrx::pg_sys::{self, Datum, Oid};

use super::datum;
use super::guard::protect;
use super::store::{Row, Stored};
use crate::error::{Error, Result};

unsafe extern "C-unwind" {
    // The unguarded twin of pgrx's binding, for use inside `protect`.
    fn SPI_execute_plan(
        plan: pg_sys::SPIPlanPtr,
        values: *mut Datum,
        nulls: *const std::ffi::c_char,
        read_only: bool,
        limit: std::ffi::c_long,
    ) -> std::ffi::c_int;
}

const INSERT: &std::ffi::CStr = c"insert into domain_events.events (event_id, aggregate_type, aggregate_id, \
aggregate_version, event_type, event_name, event_data, metadata, correlation_id, causation_id, caused_by, schema_version, \
occurred_at, recorded_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
on conflict on constraint uk_aggregate_version do nothing returning *";

thread_local! {
    static PLAN: Cell<pg_sys::SPIPlanPtr> = const { Cell::new(std::ptr::null_mut()) };
}

/// Another user's identity until dropped.
pub struct Identity {
    user: Oid,
    context: i32,
}

impl Identity {
    pub fn assume(user: Oid) -> Self {
        let mut identity = Identity { user: Oid::INVALID, context: 0 };
        // SAFETY: plain getters and setters of the backend's identity.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut identity.user, &mut identity.context);
            pg_sys::SetUserIdAndSecContext(user, identity.context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32);
        }
        identity
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        // Raises no error, so it is safe while unwinding too; the transaction's abort would restore it as well.
        // SAFETY: the identity that was current before.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) };
    }
}

/// SPI from connect to finish; an error in between is cleaned up by the transaction's abort.
pub fn with_spi<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: connect and finish pair up; SPI cleans up itself after an error.
    unsafe {
        pg_sys::SPI_connect();
        let result = work();
        pg_sys::SPI_finish();
        result
    }
}

pub fn insert(owner: Oid, row: &Row) -> Result<Option<Stored>> {
    let _identity = Identity::assume(owner);
    // SAFETY: the current context outlives the call; SPI switches away from it.
    let outer = unsafe { pg_sys::CurrentMemoryContext };
    with_spi(|| {
        let texts = [&row.event_name, &row.correlation_id, &row.causation_id, &row.caused_by];
        let text = |which: usize| texts[which].as_ref().map_or(Datum::from(0), |text| text.datum);
        let null = |which: usize| if texts[which].is_some() { b' ' } else { b'n' };
        let mut values = [
            datum::uuid(&row.event_id),
            row.stream.aggregate_type.datum,
            row.stream.aggregate_id.datum,
            Datum::from(row.version),
            row.event_type.datum,
            text(0),
            row.event_data,
            row.metadata,
            text(1),
            text(2),
            text(3),
            Datum::from(row.schema_version),
            Datum::from(row.occurred_at.unwrap_or(row.recorded_at)),
            Datum::from(row.recorded_at),
        ];
        let nulls = [b' ', b' ', b' ', b' ', b' ', null(0), b' ', b' ', null(1), null(2), null(3), b' ', b' ', b' '];
        let plan = plan()?;
        let (values, nulls) = (values.as_mut_ptr(), nulls.as_ptr());
        // SAFETY: 14 values and nulls, as the plan has parameters; users' triggers may run, hence `protect`.
        let (code, rows) = unsafe {
            let code = protect(|| SPI_execute_plan(plan, values, nulls.cast(), false, 1));
            (code, pg_sys::SPI_processed)
        };
        if code != pg_sys::SPI_OK_INSERT_RETURNING as i32 {
            return Err(Error::Internal(format!("SPI_execute_plan gave {code}")));
        }
        if rows == 0 {
            return Ok(None);
        }
        // SAFETY: one row was returned; it is copied out of SPI's memory.
        let tuple = unsafe {
            let own = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = outer;
            let tuple = pg_sys::heap_copytuple(*(*pg_sys::SPI_tuptable).vals);
            pg_sys::CurrentMemoryContext = own;
            tuple
        };
        Ok(Some(Stored { tuple }))
    })
}

fn plan() -> Result<pg_sys::SPIPlanPtr> {
    let kept = PLAN.get();
    if !kept.is_null() {
        return Ok(kept);
    }
    let mut types = [
        pg_sys::UUIDOID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::INT8OID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::JSONBOID,
        pg_sys::JSONBOID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::INT4OID,
        pg_sys::TIMESTAMPTZOID,
        pg_sys::TIMESTAMPTZOID,
    ];
    let types = types.as_mut_ptr();
    // SAFETY: inside SPI; the plan is kept for the life of the backend and follows changes of the table by itself.
    unsafe {
        let plan = pg_sys::SPI_prepare(INSERT.as_ptr(), 14, types);
        if plan.is_null() {
            return Err(Error::Internal("the store's insert could not be prepared".into()));
        }
        pg_sys::SPI_keepplan(plan);
        PLAN.set(plan);
        Ok(plan)
    }
}
