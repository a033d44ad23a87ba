//! Values as JSON and as text, by Postgres' own rules: what `to_jsonb` gives under the fixed settings (`pg::fixed`), but
//! for a leaf of a user's type, which is written as the text its output function gives. No cast or operator of a user is
//! called.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int};

use pgrx::pg_sys::{self, Datum, Oid};

use super::datum::{bytes_of, detoasted, packed};
use super::guard::protect;
use super::{compound, json, marker};
use crate::bytes::Bytes;
use crate::error::Result;
use crate::jsonb::{Document, Entry, Writer};
use crate::numeric;
use crate::size;

unsafe extern "C" {
    // Exported by every server, not bound by pgrx; raise no errors.
    fn double_to_shortest_decimal_buf(value: f64, result: *mut c_char) -> c_int;
    fn float_to_shortest_decimal_buf(value: f32, result: *mut c_char) -> c_int;
}

mod raw {
    use pgrx::pg_sys::{Datum, FmgrInfo};
    unsafe extern "C-unwind" {
        // For use inside `protect`: a user's output function may raise any error.
        pub fn OutputFunctionCall(function: *mut FmgrInfo, value: Datum) -> *mut std::ffi::c_char;
    }
}

/// The constant is named differently before 14.
const MONEY: u32 = 790;

/// How values of one type are written.
pub enum Render {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric(Output),
    /// text, varchar, bpchar
    Text(&'static str),
    Bytea,
    Uuid,
    Moment(Oid),
    Money,
    Json,
    Jsonb,
    Array(Box<Element>),
    Composite,
    Output(Output),
}

pub struct Element {
    pub render: Render,
    pub length: i16,
    pub by_value: bool,
    pub align: c_char,
}

/// A type's output function, looked up.
pub struct Output(UnsafeCell<pg_sys::FmgrInfo>);

impl Output {
    /// What the look-up allocates goes to `context`, which must live as long as the result.
    pub fn of(type_oid: Oid, context: pg_sys::MemoryContext) -> Self {
        let mut function = Oid::INVALID;
        let mut varlena = false;
        // SAFETY: raises an error for an unknown type; the info record is filled completely.
        unsafe {
            pg_sys::getTypeOutputInfo(type_oid, &mut function, &mut varlena);
            let mut info: pg_sys::FmgrInfo = std::mem::zeroed();
            pg_sys::fmgr_info_cxt(function, &mut info, context);
            Output(UnsafeCell::new(info))
        }
    }

    /// The text of a value, for `read`.
    fn call<T>(&self, value: Datum, read: impl FnOnce(&[u8]) -> T) -> T {
        let function = self.0.get();
        // SAFETY: the function belongs to the value's type; its result is a C string in the current memory context, which
        // `read` does not empty.
        unsafe { read(CStr::from_ptr(protect(|| raw::OutputFunctionCall(function, value))).to_bytes()) }
    }
}

impl Render {
    pub fn of(type_oid: Oid, context: pg_sys::MemoryContext) -> Self {
        // SAFETY: a catalogue look-up.
        let base = unsafe { pg_sys::getBaseType(type_oid) };
        match base {
            pg_sys::BOOLOID => Render::Bool,
            pg_sys::INT2OID => Render::Int2,
            pg_sys::INT4OID => Render::Int4,
            pg_sys::INT8OID => Render::Int8,
            pg_sys::FLOAT4OID => Render::Float4,
            pg_sys::FLOAT8OID => Render::Float8,
            pg_sys::NUMERICOID => Render::Numeric(Output::of(base, context)),
            pg_sys::TEXTOID => Render::Text("text"),
            pg_sys::VARCHAROID => Render::Text("character varying"),
            pg_sys::BPCHAROID => Render::Text("character"),
            pg_sys::BYTEAOID => Render::Bytea,
            pg_sys::UUIDOID => Render::Uuid,
            pg_sys::DATEOID | pg_sys::TIMESTAMPOID | pg_sys::TIMESTAMPTZOID => Render::Moment(base),
            _ if base.to_u32() == MONEY => Render::Money,
            pg_sys::JSONOID => Render::Json,
            pg_sys::JSONBOID => Render::Jsonb,
            _ => Render::of_compound(base, context),
        }
    }

    fn of_compound(base: Oid, context: pg_sys::MemoryContext) -> Self {
        // SAFETY: catalogue look-ups; outputs are plain variables.
        unsafe {
            let element = pg_sys::get_element_type(base);
            if element != Oid::INVALID {
                let (mut length, mut by_value, mut align) = (0, false, 0);
                pg_sys::get_typlenbyvalalign(element, &mut length, &mut by_value, &mut align);
                let render = Render::of(element, context);
                return Render::Array(Box::new(Element { render, length, by_value, align }));
            }
            if pg_sys::get_typtype(base) as u8 == pg_sys::TYPTYPE_COMPOSITE {
                return Render::Composite;
            }
        }
        Render::Output(Output::of(base, context))
    }

    /// The name of the base type, as domain_events writes it, where values may be large and `write` replaces none by itself.
    pub fn large_type(&self, type_oid: Oid) -> Option<Vec<u8>> {
        if !matches!(self, Render::Array(_) | Render::Composite | Render::Output(_)) {
            return None;
        }
        // SAFETY: catalogue look-ups; both give a C string.
        let name = unsafe {
            let base = pg_sys::getBaseType(type_oid);
            let is_system = base.to_u32() < pg_sys::FirstNormalObjectId;
            CStr::from_ptr(if is_system {
                pg_sys::format_type_be(base)
            } else {
                pg_sys::format_type_be_qualified(base)
            })
        };
        Some(name.to_bytes().to_vec())
    }

    /// Writes a value of this type. `limit`: a whole column, whose jsonb null, `$value` objects and values of more bytes
    /// become markers; without one the value is part of another.
    pub fn write(&self, writer: &mut Writer, value: Datum, limit: Option<usize>) -> Result<Entry> {
        // SAFETY: the value is of the type this was made for and lives while the trigger runs.
        unsafe {
            match self {
                Render::Bool => Ok(writer.bool(value.value() & 0xff != 0)),
                Render::Int2 => integer(writer, i64::from(value.value() as i16)),
                Render::Int4 => integer(writer, i64::from(value.value() as i32)),
                Render::Int8 => integer(writer, value.value() as i64),
                Render::Float4 | Render::Float8 => {
                    let mut buffer = [0u8; 64];
                    decimal(writer, self.float(value, &mut buffer))
                }
                Render::Numeric(output) => {
                    let image = detoasted(value);
                    if numeric::is_plain(image) {
                        writer.numeric(image)
                    } else {
                        output.call(value, |text| decimal(writer, text))
                    }
                }
                Render::Text(name) => {
                    let text = bytes_of(packed(value));
                    if limit.is_some_and(|limit| size::is_too_large_text(text, limit)) {
                        return marker::unrepresentable(writer, name, text.len(), &json::text_sha256(text));
                    }
                    writer.string(text)
                }
                Render::Bytea => {
                    let bytes = bytes_of(packed(value));
                    if limit.is_some_and(|limit| bytes.len() > (limit / 2).saturating_sub(1)) {
                        return marker::unrepresentable(writer, "bytea", bytes.len(), &json::sha256(bytes));
                    }
                    let mut text = Bytes::new();
                    hex(bytes, &mut text);
                    writer.string(&text)
                }
                Render::Uuid => {
                    let mut text = Bytes::with_capacity(36);
                    self.text(value, &mut text);
                    writer.string(&text)
                }
                Render::Moment(type_oid) => {
                    let mut buffer: [c_char; 160] = [0; 160];
                    let text = pg_sys::JsonEncodeDateTime(buffer.as_mut_ptr(), value, *type_oid, std::ptr::null());
                    writer.string(CStr::from_ptr(text).to_bytes())
                }
                Render::Money => {
                    let mut text = Bytes::new();
                    money(value.value() as i64, &mut text);
                    writer.string(&text)
                }
                Render::Json => {
                    let text = bytes_of(packed(value));
                    let written = json::parse(text, |parsed| {
                        let document = Document(parsed);
                        (!is_too_large(document, limit)).then(|| marker::document(writer, document, limit.is_some()))
                    });
                    written.flatten().unwrap_or_else(|| {
                        marker::unrepresentable(writer, "json", text.len(), &json::text_sha256(text))
                    })
                }
                Render::Jsonb => {
                    let document = Document(detoasted(value));
                    if is_too_large(document, limit) {
                        return marker::too_large(writer, b"jsonb", document.as_value());
                    }
                    marker::document(writer, document, limit.is_some())
                }
                Render::Array(element) => compound::array(writer, element, value),
                Render::Composite => compound::composite(writer, value),
                Render::Output(output) => output.call(value, |text| writer.string(text)),
            }
        }
    }

    /// Appends the text that the type's output function gives.
    pub fn text(&self, value: Datum, out: &mut Bytes) {
        // SAFETY: as in `write`.
        unsafe {
            match self {
                Render::Bool => out.push(if value.value() & 0xff != 0 { b't' } else { b'f' }),
                Render::Int2 => out.extend((value.value() as i16).to_string().as_bytes()),
                Render::Int4 => out.extend((value.value() as i32).to_string().as_bytes()),
                Render::Int8 => out.extend((value.value() as i64).to_string().as_bytes()),
                Render::Float4 | Render::Float8 => {
                    let mut buffer = [0u8; 64];
                    out.extend(self.float(value, &mut buffer));
                }
                Render::Numeric(output) => output.call(value, |text| out.extend(text)),
                Render::Text(_) => out.extend(bytes_of(packed(value))),
                Render::Bytea => {
                    hex(bytes_of(packed(value)), out);
                }
                Render::Uuid => {
                    let id = crate::pg::call::uuid_column(value);
                    out.extend(super::uuid::to_text(&id).as_bytes());
                }
                Render::Money => money(value.value() as i64, out),
                Render::Output(output) => output.call(value, |text| out.extend(text)),
                // Left to `Identity`, which knows their output functions.
                Render::Moment(_) | Render::Json | Render::Jsonb | Render::Array(_) | Render::Composite => {}
            }
        }
    }

    fn float<'b>(&self, value: Datum, buffer: &'b mut [u8; 64]) -> &'b [u8] {
        let special = |is_nan: bool, is_positive: bool| match (is_nan, is_positive) {
            (true, _) => &b"NaN"[..],
            (_, true) => b"Infinity",
            _ => b"-Infinity",
        };
        // SAFETY: the buffer is larger than any result (25 bytes).
        let length = unsafe {
            if matches!(self, Render::Float4) {
                let number = f32::from_bits(value.value() as u32);
                if !number.is_finite() {
                    return special(number.is_nan(), number > 0.0);
                }
                float_to_shortest_decimal_buf(number, buffer.as_mut_ptr().cast())
            } else {
                let number = f64::from_bits(value.value() as u64);
                if !number.is_finite() {
                    return special(number.is_nan(), number > 0.0);
                }
                double_to_shortest_decimal_buf(number, buffer.as_mut_ptr().cast())
            }
        };
        &buffer[..length as usize]
    }

    /// True when `text` gives what the output function gives.
    pub fn has_text(&self) -> bool {
        !matches!(self, Render::Moment(_) | Render::Json | Render::Jsonb | Render::Array(_) | Render::Composite)
    }
}

/// The text of a column within an aggregate id.
pub struct IdentityText {
    output: Option<Output>,
}

impl IdentityText {
    pub fn of(type_oid: Oid, render: &Render, context: pg_sys::MemoryContext) -> Self {
        IdentityText { output: (!render.has_text()).then(|| Output::of(type_oid, context)) }
    }

    pub fn append(&self, render: &Render, value: Datum, out: &mut Bytes) {
        match &self.output {
            Some(output) => output.call(value, |text| out.extend(text)),
            None => render.text(value, out),
        }
    }
}

fn is_too_large(document: Document, limit: Option<usize>) -> bool {
    limit.is_some_and(|limit| size::is_too_large(document.as_value(), document.0.len() + 4, limit))
}

fn integer(writer: &mut Writer, value: i64) -> Result<Entry> {
    let mut image = Bytes::with_capacity(16);
    numeric::from_i64(value, &mut image);
    writer.numeric(&image)
}

/// A number where the text is one, otherwise (NaN, Infinity) a string.
fn decimal(writer: &mut Writer, text: &[u8]) -> Result<Entry> {
    let mut image = Bytes::with_capacity(32);
    if numeric::from_decimal(text, &mut image) { writer.numeric(&image) } else { writer.string(text) }
}

fn hex(bytes: &[u8], out: &mut Bytes) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2 + 2);
    out.extend(b"\\x");
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// As cash_out() writes under lc_monetary C.
fn money(value: i64, out: &mut Bytes) {
    let cents = value.unsigned_abs();
    if value < 0 {
        out.push(b'-');
    }
    out.push(b'$');
    let whole = (cents / 100).to_string();
    for (position, digit) in whole.bytes().enumerate() {
        if position > 0 && (whole.len() - position).is_multiple_of(3) {
            out.push(b',');
        }
        out.push(digit);
    }
    out.extend(format!(".{:02}", cents % 100).as_bytes());
}
