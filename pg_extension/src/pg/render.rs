//! Values as JSON and as text, by Postgres' own rules: what `to_jsonb` gives under the fixed settings (`pg::fixed`), but
//! for a leaf of a user's type, which is written as the text its output function gives. No cast or operator of a user is
//! called.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int};

use pgrx::pg_sys::{self, Datum, Oid};

use super::datum::{bytes_of, detoasted};
use super::guard::protect;
use super::json;
use crate::error::Result;
use crate::jsonb::{Document, Entry, Value, Writer, key_order};
use crate::numeric;

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

/// The composite types that a value of this type is made of: their relations, and a number that changes with their columns.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Composites {
    pub relations: Vec<Oid>,
    pub signature: u64,
}

impl Composites {
    pub fn add(&mut self, type_oid: Oid) {
        use std::hash::{Hash, Hasher};
        // SAFETY: catalogue look-ups; the descriptor is a copy.
        unsafe {
            let base = pg_sys::getBaseType(type_oid);
            let element = pg_sys::get_element_type(base);
            if element != Oid::INVALID {
                return self.add(element);
            }
            let relation = pg_sys::get_typ_typrelid(base);
            if relation == Oid::INVALID || self.relations.contains(&relation) {
                return;
            }
            self.relations.push(relation);
            for column in super::columns::of(pg_sys::lookup_rowtype_tupdesc_copy(base, -1)) {
                let mut hasher = std::hash::DefaultHasher::new();
                (column.index, &column.name, column.type_oid.to_u32()).hash(&mut hasher);
                self.signature = self.signature.wrapping_mul(31).wrapping_add(hasher.finish());
                self.add(column.type_oid);
            }
        }
    }
}

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
    render: Render,
    length: i16,
    by_value: bool,
    align: c_char,
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

    fn call<'a>(&self, value: Datum) -> &'a [u8] {
        let function = self.0.get();
        // SAFETY: the function belongs to the value's type; its result is a C string in the call's memory.
        unsafe { CStr::from_ptr(protect(|| raw::OutputFunctionCall(function, value))).to_bytes() }
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
            pg_sys::MONEYOID => Render::Money,
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
                    if numeric::is_plain(image) { writer.numeric(image) } else { decimal(writer, output.call(value)) }
                }
                Render::Text(name) => {
                    let text = bytes_of(pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr()));
                    if limit.is_some_and(|limit| text.len() > limit) {
                        return unrepresentable(writer, name, text.len(), &json::to_utf8(text));
                    }
                    writer.string(text)
                }
                Render::Bytea => {
                    let bytes = bytes_of(pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr()));
                    if limit.is_some_and(|limit| bytes.len() > (limit / 2).saturating_sub(1)) {
                        return unrepresentable(writer, "bytea", bytes.len(), bytes);
                    }
                    let mut text = Vec::new();
                    hex(bytes, &mut text);
                    writer.string(&text)
                }
                Render::Uuid => {
                    let mut text = Vec::with_capacity(36);
                    self.text(value, &mut text);
                    writer.string(&text)
                }
                Render::Moment(type_oid) => {
                    let mut buffer: [c_char; 160] = [0; 160];
                    let text = pg_sys::JsonEncodeDateTime(buffer.as_mut_ptr(), value, *type_oid, std::ptr::null());
                    writer.string(CStr::from_ptr(text).to_bytes())
                }
                Render::Money => {
                    let mut text = Vec::new();
                    money(value.value() as i64, &mut text);
                    writer.string(&text)
                }
                Render::Json => {
                    let text = bytes_of(pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr()));
                    match json::parse(text) {
                        Some(parsed) => document(writer, Document(parsed), limit.is_some()),
                        None => unrepresentable(writer, "json", text.len(), &json::to_utf8(text)),
                    }
                }
                Render::Jsonb => document(writer, Document(detoasted(value)), limit.is_some()),
                Render::Array(element) => array(writer, element, value),
                Render::Composite => composite(writer, value),
                Render::Output(output) => writer.string(output.call(value)),
            }
        }
    }

    /// Appends the text that the type's output function gives.
    pub fn text(&self, value: Datum, out: &mut Vec<u8>) {
        // SAFETY: as in `write`.
        unsafe {
            match self {
                Render::Bool => out.push(if value.value() & 0xff != 0 { b't' } else { b'f' }),
                Render::Int2 => out.extend_from_slice((value.value() as i16).to_string().as_bytes()),
                Render::Int4 => out.extend_from_slice((value.value() as i32).to_string().as_bytes()),
                Render::Int8 => out.extend_from_slice((value.value() as i64).to_string().as_bytes()),
                Render::Float4 | Render::Float8 => {
                    let mut buffer = [0u8; 64];
                    out.extend_from_slice(self.float(value, &mut buffer));
                }
                Render::Numeric(output) => out.extend_from_slice(output.call(value)),
                Render::Text(_) => {
                    out.extend_from_slice(bytes_of(pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr())))
                }
                Render::Bytea => {
                    hex(bytes_of(pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr())), out);
                }
                Render::Uuid => {
                    let id = crate::pg::call::uuid_column(value);
                    out.extend_from_slice(crate::uuid::to_text(&id).as_bytes());
                }
                Render::Money => money(value.value() as i64, out),
                Render::Output(output) => out.extend_from_slice(output.call(value)),
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

    pub fn append(&self, render: &Render, value: Datum, out: &mut Vec<u8>) {
        match &self.output {
            Some(output) => out.extend_from_slice(output.call(value)),
            None => render.text(value, out),
        }
    }
}

fn integer(writer: &mut Writer, value: i64) -> Result<Entry> {
    let mut image = Vec::with_capacity(16);
    numeric::from_i64(value, &mut image);
    writer.numeric(&image)
}

/// A number where the text is one, otherwise (NaN, Infinity) a string.
fn decimal(writer: &mut Writer, text: &[u8]) -> Result<Entry> {
    let mut image = Vec::with_capacity(32);
    if numeric::from_decimal(text, &mut image) { writer.numeric(&image) } else { writer.string(text) }
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2 + 2);
    out.extend_from_slice(b"\\x");
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// As cash_out() writes under lc_monetary C.
fn money(value: i64, out: &mut Vec<u8>) {
    let cents = value.unsigned_abs();
    if value < 0 {
        out.push(b'-');
    }
    out.push(b'$');
    let whole = (cents / 100).to_string();
    for (position, digit) in whole.bytes().enumerate() {
        if position > 0 && (whole.len() - position) % 3 == 0 {
            out.push(b',');
        }
        out.push(digit);
    }
    out.extend_from_slice(format!(".{:02}", cents % 100).as_bytes());
}

fn document(writer: &mut Writer, document: Document, top: bool) -> Result<Entry> {
    if top {
        let value = document.as_value();
        if matches!(value, Value::Null) {
            return marker(writer, &[(b"$value", Part::Text(b"jsonb null"))]);
        }
        if value.as_object().is_some_and(|object| object.get(b"$value").is_some()) {
            return marker(writer, &[(b"of", Part::Document(document)), (b"$value", Part::Text(b"literal"))]);
        }
    }
    writer.document(&document)
}

fn unrepresentable(writer: &mut Writer, name: &str, length: usize, content: &[u8]) -> Result<Entry> {
    let hash = json::sha256(content);
    marker(
        writer,
        &[
            (b"type", Part::Text(name.as_bytes())),
            (b"bytes", Part::Integer(length as i64)),
            (b"$value", Part::Text(b"unrepresentable")),
            (b"sha256", Part::Text(hash.as_bytes())),
        ],
    )
}

pub fn redacted(writer: &mut Writer) -> Result<Entry> {
    marker(writer, &[(b"$value", Part::Text(b"redacted"))])
}

enum Part<'a> {
    Text(&'a [u8]),
    Integer(i64),
    Document(Document<'a>),
}

/// Keys have to come in the order of JSONB.
fn marker(writer: &mut Writer, parts: &[(&[u8], Part)]) -> Result<Entry> {
    let mut object = writer.object(parts.iter().map(|(key, _)| *key))?;
    for (_, part) in parts {
        let entry = match part {
            Part::Text(text) => writer.string(text)?,
            Part::Integer(value) => integer(writer, *value)?,
            Part::Document(document) => writer.document(document)?,
        };
        writer.add(&mut object, entry)?;
    }
    writer.end(object)
}

/// # Safety
/// `value` is an array of this element type.
unsafe fn array(writer: &mut Writer, element: &Element, value: Datum) -> Result<Entry> {
    // SAFETY: caller's promise; the elements live in the call's memory.
    unsafe {
        let array: *mut pg_sys::ArrayType = pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast();
        let dimensions = (*array).ndim as usize;
        if dimensions == 0 {
            let empty = writer.array(0);
            return writer.end(empty);
        }
        let sizes = std::slice::from_raw_parts(
            array.cast::<u8>().add(size_of::<pg_sys::ArrayType>()).cast::<i32>(),
            dimensions,
        );
        let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        pg_sys::deconstruct_array(
            array,
            (*array).elemtype,
            c_int::from(element.length),
            element.by_value,
            element.align,
            &mut values,
            &mut nulls,
            &mut count,
        );
        let values = std::slice::from_raw_parts(values, count as usize);
        let nulls = std::slice::from_raw_parts(nulls, count as usize);
        let mut next = 0;
        level(writer, &element.render, sizes, values, nulls, &mut next)
    }
}

fn level(
    writer: &mut Writer,
    render: &Render,
    sizes: &[i32],
    values: &[Datum],
    nulls: &[bool],
    next: &mut usize,
) -> Result<Entry> {
    let size = sizes[0] as usize;
    let mut array = writer.array(size);
    for _ in 0..size {
        let entry = if sizes.len() > 1 {
            level(writer, render, &sizes[1..], values, nulls, next)?
        } else {
            let position = *next;
            *next += 1;
            if nulls[position] { writer.null() } else { render.write(writer, values[position], None)? }
        };
        writer.add(&mut array, entry)?;
    }
    writer.end(array)
}

/// # Safety
/// `value` is of a composite type.
unsafe fn composite(writer: &mut Writer, value: Datum) -> Result<Entry> {
    // SAFETY: caller's promise; the row type is looked up from the value itself, so it is the one it was stored with.
    unsafe {
        let header: pg_sys::HeapTupleHeader = pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast();
        let descriptor = pg_sys::lookup_rowtype_tupdesc_copy(
            pgrx::heap_tuple_header_get_type_id(header),
            pgrx::heap_tuple_header_get_typmod(header),
        );
        let count = (*descriptor).natts as usize;
        let mut tuple = pg_sys::HeapTupleData {
            t_len: pgrx::varlena::varsize_any(header.cast()) as u32,
            t_data: header,
            ..Default::default()
        };
        let mut values = vec![Datum::from(0); count];
        let mut nulls = vec![true; count];
        pg_sys::heap_deform_tuple(&mut tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        let mut columns = super::columns::of(descriptor);
        columns.sort_by(|a, b| key_order(&a.name, &b.name));
        let mut object =
            writer.object(columns.iter().map(|column| column.name.as_slice()).collect::<Vec<_>>().into_iter())?;
        for column in &columns {
            let entry = if nulls[column.index] {
                writer.null()
            } else {
                Render::of(column.type_oid, pg_sys::CurrentMemoryContext).write(writer, values[column.index], None)?
            };
            writer.add(&mut object, entry)?;
        }
        writer.end(object)
    }
}
