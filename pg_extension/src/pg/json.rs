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

/// Parses text as jsonb; `None` when it is no JSON or holds what jsonb cannot. The parser allocates memory and nothing
/// else, so an error can be dropped without a subtransaction.
pub fn parse<'a>(text: &[u8]) -> Option<&'a [u8]> {
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
        Ok(bytes) => Some(bytes),
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

/// What the store says of an event itself: `{"late": true, "complete": true, "in_table": "s.t",
/// "after_version": n, "before_failure": n}`, as far as it applies. `place`: see domain_events._late_marks().
pub fn marks(complete: bool, place: Option<i64>, in_table: Option<&[u8]>) -> Result<Option<Datum>> {
    let letter = place.filter(|place| *place < 0).map(|place| -place);
    let after_version = match letter {
        Some(letter) => super::delegate::failed_after(letter)?,
        None => place,
    };
    // In the order of JSONB's keys.
    let marks = [
        after_version.map(|_| (b"late".as_slice(), Mark::True)),
        complete.then_some((b"complete".as_slice(), Mark::True)),
        in_table.map(|name| (b"in_table".as_slice(), Mark::Text(name))),
        after_version.map(|version| (b"after_version".as_slice(), Mark::Number(version))),
        letter.map(|letter| (b"before_failure".as_slice(), Mark::Number(letter))),
    ];
    let marks: Vec<_> = marks.into_iter().flatten().collect();
    Ok((!marks.is_empty()).then(|| object(&marks)))
}

enum Mark<'a> {
    True,
    Number(i64),
    Text(&'a [u8]),
}

fn object(marks: &[(&[u8], Mark)]) -> Datum {
    let build = |writer: &mut crate::jsonb::Writer| {
        let mut object = writer.object(marks.iter().map(|(key, _)| *key))?;
        for (_, mark) in marks {
            let entry = match mark {
                Mark::True => writer.bool(true),
                Mark::Text(text) => writer.string(text)?,
                Mark::Number(number) => {
                    let mut image = crate::bytes::Bytes::new();
                    crate::numeric::from_i64(*number, &mut image);
                    writer.numeric(&image)?
                }
            };
            writer.add(&mut object, entry)?;
        }
        writer.end(object)
    };
    let mut writer = crate::jsonb::Writer::default();
    match build(&mut writer) {
        Ok(_) => datum::varlena(writer.bytes()),
        Err(error) => error.raise(),
    }
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

/// The text of a document.
pub fn to_text<'a>(document: &[u8]) -> super::datum::Text<'a> {
    // SAFETY: jsonb_out takes a jsonb and returns a C string in the current memory context.
    unsafe {
        let text =
            pg_sys::DirectFunctionCall1Coll(Some(sql::jsonb_out), pg_sys::Oid::INVALID, datum::varlena(document));
        super::datum::Text::new(std::ffi::CStr::from_ptr(text.cast_mut_ptr()).to_bytes())
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

/// The text in UTF-8, whatever the server's encoding is. Without one, nobody knows what the bytes say: they stay.
pub fn to_utf8(bytes: &[u8]) -> &[u8] {
    // SAFETY: returns its argument where there is nothing to convert, otherwise a C string in the current context.
    unsafe {
        if pg_sys::GetDatabaseEncoding() == pg_sys::pg_enc::PG_SQL_ASCII as i32 {
            return bytes;
        }
        let converted =
            pg_sys::pg_server_to_any(bytes.as_ptr().cast(), bytes.len() as i32, pg_sys::pg_enc::PG_UTF8 as i32);
        if std::ptr::eq(converted.cast_const().cast(), bytes.as_ptr()) {
            return bytes;
        }
        std::ffi::CStr::from_ptr(converted).to_bytes()
    }
}
