//! Postgres' own functions for JSON, where they are needed.

use pgrx::pg_sys::{self, Datum};

use super::datum;
use super::guard::{attempt, protect};
use super::raw;
use crate::error::Result;

/// Functions as SQL calls them: pgrx binds them as Rust functions, which cannot be handed to Postgres.
mod sql {
    use pgrx::pg_sys::{Datum, FunctionCallInfo};
    unsafe extern "C-unwind" {
        pub fn jsonb_in(fcinfo: FunctionCallInfo) -> Datum;
        pub fn jsonb_out(fcinfo: FunctionCallInfo) -> Datum;
        pub fn jsonb_concat(fcinfo: FunctionCallInfo) -> Datum;
        pub fn jsonb_eq(fcinfo: FunctionCallInfo) -> Datum;
        pub fn sha256_bytea(fcinfo: FunctionCallInfo) -> Datum;
    }
}

/// Parses text as jsonb, for `read`; `None` when it is no JSON or holds what jsonb cannot. The parser allocates memory and
/// nothing else, so an error can be dropped without a subtransaction.
pub fn parse<T>(text: &[u8], read: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let text = Datum::from(datum::c_string(text)?);
    let parsed = attempt(|| {
        // SAFETY: jsonb_in takes a C string and returns a jsonb in the current memory context. What it complains about may be
        // in its message, as large as that is.
        unsafe {
            let value = protect(|| raw::DirectFunctionCall1Coll(Some(sql::jsonb_in), pg_sys::Oid::INVALID, text));
            Ok(datum::detoasted(value))
        }
    });
    match parsed {
        Ok(bytes) => Some(read(bytes)),
        Err(error) => {
            // Only complaints about the data, which a database without an encoding words as a lack of conversion; a cancelled
            // statement or a lack of memory is passed on.
            let (state, _) = error.describe();
            if matches!(&state[..2], "22" | "54") || state == "0A000" { None } else { error.resume() }
        }
    }
}

pub fn empty_object() -> Datum {
    datum::varlena(&0x2000_0000u32.to_ne_bytes())
}

/// A number within a document, with its varlena header.
pub fn to_i64(image: &[u8]) -> Result<i64> {
    image
        .get(4..)
        .and_then(crate::numeric::to_i64)
        .ok_or_else(|| crate::error::Error::Internal("a number is out of range".into()))
}

/// `a || b`
pub fn concat(a: Datum, b: Datum) -> Datum {
    // SAFETY: both are jsonb.
    unsafe { pg_sys::DirectFunctionCall2Coll(Some(sql::jsonb_concat), pg_sys::Oid::INVALID, a, b) }
}

/// `a = b`, as SQL compares jsonb.
pub fn equal(a: Datum, b: Datum) -> bool {
    // SAFETY: both are jsonb.
    unsafe { pg_sys::DirectFunctionCall2Coll(Some(sql::jsonb_eq), pg_sys::Oid::INVALID, a, b).value() != 0 }
}

/// The text of a document, for `read`.
pub fn to_text<T>(document: &[u8], read: impl FnOnce(&[u8]) -> T) -> T {
    // SAFETY: jsonb_out takes a jsonb and returns a C string in the current memory context, which `read` does not empty.
    unsafe {
        let text =
            pg_sys::DirectFunctionCall1Coll(Some(sql::jsonb_out), pg_sys::Oid::INVALID, datum::varlena(document));
        read(std::ffi::CStr::from_ptr(text.cast_mut_ptr()).to_bytes())
    }
}

/// Lower-case hexadecimal SHA-256.
pub fn sha256(bytes: &[u8]) -> String {
    // SAFETY: sha256_bytea takes and returns a bytea.
    let digest = unsafe {
        datum::detoasted(pg_sys::DirectFunctionCall1Coll(
            Some(sql::sha256_bytea),
            pg_sys::Oid::INVALID,
            datum::varlena(bytes),
        ))
    };
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of the text in UTF-8, whatever the server's encoding is. Without one, nobody knows what the bytes say: they stay.
pub fn text_sha256(text: &[u8]) -> String {
    // SAFETY: returns its argument where there is nothing to convert, otherwise a C string in the current context.
    unsafe {
        if pg_sys::GetDatabaseEncoding() == pg_sys::pg_enc::PG_SQL_ASCII as i32 {
            return sha256(text);
        }
        let converted =
            pg_sys::pg_server_to_any(text.as_ptr().cast(), text.len() as i32, pg_sys::pg_enc::PG_UTF8 as i32);
        if std::ptr::eq(converted.cast_const().cast(), text.as_ptr()) {
            return sha256(text);
        }
        sha256(std::ffi::CStr::from_ptr(converted).to_bytes())
    }
}
