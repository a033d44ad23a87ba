//! SQL run on behalf of the store's owner, with plans that are kept for the session.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CStr;

use pgrx::pg_sys::{self, Datum, Oid};

use super::guard::protect;
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

thread_local! {
    /// By the address of the statement's text. A plan follows changes of its tables by itself.
    static PLANS: RefCell<HashMap<*const i8, pg_sys::SPIPlanPtr>> = RefCell::default();
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

/// search_path pinned until dropped: the store's functions count on it, and the session's may name a user's schema first.
pub struct PinnedPath {
    level: i32,
}

impl PinnedPath {
    pub fn enter() -> Self {
        // SAFETY: what a function's SET clause does; after an error the transaction's abort puts the setting back.
        unsafe {
            let level = pg_sys::NewGUCNestLevel();
            pg_sys::set_config_option(
                c"search_path".as_ptr(),
                c"pg_catalog, pg_temp".as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
            PinnedPath { level }
        }
    }
}

impl Drop for PinnedPath {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: the level entered above.
            unsafe { pg_sys::AtEOXact_GUC(true, self.level) };
        }
    }
}

/// The first row of a result; valid until the statement is finished.
pub struct ResultRow {
    pub tuple: pg_sys::HeapTuple,
    pub descriptor: pg_sys::TupleDesc,
}

/// Runs one statement as `owner` and reads the first row it returns, if any. An error inside keeps all its fields.
pub fn first_row<T>(
    owner: Oid,
    query: &'static CStr,
    arguments: &[(Oid, Option<Datum>)],
    read: impl FnOnce(ResultRow) -> T,
) -> Result<Option<T>> {
    let _identity = Identity::assume(owner);
    let _path = PinnedPath::enter();
    let mut types: Vec<Oid> = arguments.iter().map(|(type_oid, _)| *type_oid).collect();
    let mut values: Vec<Datum> = arguments.iter().map(|(_, value)| value.unwrap_or(Datum::from(0))).collect();
    let nulls: Vec<u8> = arguments.iter().map(|(_, value)| if value.is_some() { b' ' } else { b'n' }).collect();
    // SAFETY: connect and finish pair up, and SPI cleans up itself after an error; as many types, values and nulls as the
    // statement has parameters; code of users may run, hence `protect`.
    unsafe {
        pg_sys::SPI_connect();
        let plan = kept_plan(query, &mut types)?;
        let (values, nulls) = (values.as_mut_ptr(), nulls.as_ptr().cast());
        let code = protect(|| SPI_execute_plan(plan, values, nulls, false, 1));
        if code < 0 {
            return Err(Error::Internal(format!("SPI_execute_plan gave {code}")));
        }
        let result = (pg_sys::SPI_processed > 0 && !pg_sys::SPI_tuptable.is_null()).then(|| {
            let table = &*pg_sys::SPI_tuptable;
            read(ResultRow { tuple: *table.vals, descriptor: table.tupdesc })
        });
        pg_sys::SPI_finish();
        Ok(result)
    }
}

/// # Safety
/// Between SPI_connect and SPI_finish.
unsafe fn kept_plan(query: &'static CStr, types: &mut [Oid]) -> Result<pg_sys::SPIPlanPtr> {
    let key = query.as_ptr().cast();
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(&key).copied()) {
        return Ok(plan);
    }
    // SAFETY: caller's promise; the plan is kept for the life of the backend.
    let plan = unsafe {
        let plan = pg_sys::SPI_prepare(query.as_ptr(), types.len() as i32, types.as_mut_ptr());
        if plan.is_null() {
            return Err(Error::Internal(format!("could not prepare: {}", query.to_string_lossy())));
        }
        pg_sys::SPI_keepplan(plan);
        plan
    };
    PLANS.with_borrow_mut(|plans| plans.insert(key, plan));
    Ok(plan)
}
