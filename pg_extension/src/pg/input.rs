//! Text to values, by the types' own input functions.

use pgrx::pg_sys::{self, Datum, Oid};

use super::datum::Text;
use super::guard::attempt;

mod sql {
    use pgrx::pg_sys::{Datum, FunctionCallInfo};
    unsafe extern "C-unwind" {
        pub fn uuid_in(fcinfo: FunctionCallInfo) -> Datum;
        pub fn int4in(fcinfo: FunctionCallInfo) -> Datum;
        pub fn timestamptz_in(fcinfo: FunctionCallInfo) -> Datum;
    }
}

#[derive(Clone, Copy)]
pub enum Kind {
    Uuid,
    Integer,
    Moment,
}

/// The value, or the complaint about a text that is none.
pub fn parse(kind: Kind, text: Text) -> Result<Datum, String> {
    let Ok(text) = std::ffi::CString::new(text.bytes) else { return Err("a text holds a zero byte".into()) };
    let parsed = attempt(|| {
        let text = Datum::from(text.as_ptr());
        let function = match kind {
            Kind::Uuid => sql::uuid_in,
            Kind::Integer => sql::int4in,
            Kind::Moment => sql::timestamptz_in,
        };
        // SAFETY: input functions take a C string, an element type and a modifier; they only allocate.
        Ok(unsafe {
            pg_sys::DirectFunctionCall3Coll(
                Some(function),
                Oid::INVALID,
                text,
                Datum::from(Oid::INVALID),
                Datum::from(-1i32),
            )
        })
    });
    parsed.or_else(|error| {
        let (state, message) = error.describe();
        if state.starts_with("22") { Err(message) } else { error.resume() }
    })
}
