//! Text to values, by the types' own input functions.

use pgrx::pg_sys::{Datum, Oid};

use super::datum::{self, Text};
use super::guard::{attempt, protect};
use super::raw;

mod sql {
    use pgrx::pg_sys::{Datum, FunctionCallInfo};
    unsafe extern "C-unwind" {
        pub fn uuid_in(fcinfo: FunctionCallInfo) -> Datum;
        pub fn int4in(fcinfo: FunctionCallInfo) -> Datum;
        pub fn timestamptz_in(fcinfo: FunctionCallInfo) -> Datum;
    }
}

#[derive(Clone, Copy)]
pub enum InputType {
    Uuid,
    Integer,
    Moment,
}

/// The value, or the complaint about a text that is none.
pub fn parse(kind: InputType, text: Text) -> Result<Datum, String> {
    let Some(text) = datum::c_string(text.bytes) else { return Err("a text holds a zero byte".into()) };
    let parsed = attempt(|| {
        let text = Datum::from(text);
        let function = match kind {
            InputType::Uuid => sql::uuid_in,
            InputType::Integer => sql::int4in,
            InputType::Moment => sql::timestamptz_in,
        };
        // SAFETY: input functions take a C string, an element type and a modifier; they only allocate.
        Ok(unsafe {
            protect(|| {
                let (element, modifier) = (Datum::from(Oid::INVALID), Datum::from(-1i32));
                raw::DirectFunctionCall3Coll(Some(function), Oid::INVALID, text, element, modifier)
            })
        })
    });
    parsed.or_else(|error| {
        let (state, message) = error.describe();
        if state.starts_with("22") { Err(message) } else { error.resume() }
    })
}
