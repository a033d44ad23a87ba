//! Calls to the portable engine's functions, for what gains nothing by being written twice.

use std::ffi::CStr;

use pgrx::pg_sys::{self, Datum, Oid};

use super::call::Call;
use super::guard::protect;
use super::slow_insert::Identity;
use super::store::Store;
use crate::error::Result;

unsafe extern "C-unwind" {
    // Unguarded twins of pgrx's bindings, for use inside `protect`, which keeps a user's own error whole.
    fn OidFunctionCall3Coll(function: Oid, collation: Oid, a: Datum, b: Datum, c: Datum) -> Datum;
    fn regprocedurein(fcinfo: pg_sys::FunctionCallInfo) -> Datum;
}

fn function(signature: &CStr) -> Oid {
    // SAFETY: regprocedurein takes a C string and raises an error for an unknown function.
    let datum =
        unsafe { pg_sys::DirectFunctionCall1Coll(Some(regprocedurein), Oid::INVALID, Datum::from(signature.as_ptr())) };
    Oid::from(datum.value() as u32)
}

/// The next version in a registered legacy table, read with the store owner's rights.
pub fn next_legacy_version(store: &Store, call: &Call) -> Result<Datum> {
    let _identity = Identity::assume(store.owner());
    let function = function(c"domain_events._next_legacy_version(text,text,regclass)");
    let argument = |index| call.datum(index).unwrap_or(Datum::from(0));
    let (a, b, c) = (argument(0), argument(1), argument(2));
    // SAFETY: three arguments that are not null, as the function declares; it runs SQL on a user's table.
    Ok(unsafe { protect(|| OidFunctionCall3Coll(function, Oid::INVALID, a, b, c)) })
}
