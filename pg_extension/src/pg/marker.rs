//! Objects that stand for values that JSON cannot show as they are.

use super::json;
use crate::bytes::Bytes;
use crate::error::Result;
use crate::jsonb::{Document, Entry, Value, Writer};
use crate::numeric;
use crate::size;

/// A column's jsonb, with markers for what could be taken for something else.
pub fn document(writer: &mut Writer, document: Document, top: bool) -> Result<Entry> {
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

/// For a value that jsonb cannot hold: its length and SHA-256.
pub fn unrepresentable(writer: &mut Writer, name: &str, length: usize, hash: &str) -> Result<Entry> {
    marker(
        writer,
        &[
            (b"type", Part::Text(name.as_bytes())),
            (b"bytes", Part::Integer(length as i64)),
            (b"$value", UNREPRESENTABLE),
            (b"sha256", Part::Text(hash.as_bytes())),
        ],
    )
}

/// For a value that is too large as text: as domain_events._too_large().
pub fn too_large(writer: &mut Writer, name: &[u8], value: Value) -> Result<Entry> {
    let is_whole = size::text(value) <= size::LONGEST_FORM;
    let hash;
    let (length, hash) = match value {
        // The text form of jsonb has the quotes.
        Value::String(text) if name != b"jsonb" && text.len() as u64 <= size::LONGEST_FORM => {
            hash = json::text_sha256(text);
            (Part::Integer(text.len() as i64), Part::Text(hash.as_bytes()))
        }
        _ if is_whole => {
            let length;
            (length, hash) = json::to_text(&value.to_document()?, |text| (text.len(), json::text_sha256(text)));
            (Part::Integer(length as i64), Part::Text(hash.as_bytes()))
        }
        _ => (Part::Null, Part::Null),
    };
    let marks =
        [(b"type".as_slice(), Part::Text(name)), (b"bytes", length), (b"$value", UNREPRESENTABLE), (b"sha256", hash)];
    marker(writer, &marks)
}

pub fn redacted(writer: &mut Writer) -> Result<Entry> {
    marker(writer, &[(b"$value", Part::Text(b"redacted"))])
}

const UNREPRESENTABLE: Part = Part::Text(b"unrepresentable");

enum Part<'a> {
    Null,
    Text(&'a [u8]),
    Integer(i64),
    Document(Document<'a>),
}

/// Keys have to come in the order of JSONB.
fn marker(writer: &mut Writer, parts: &[(&[u8], Part)]) -> Result<Entry> {
    let mut object = writer.object(parts.iter().map(|(key, _)| *key))?;
    for (_, part) in parts {
        let entry = match part {
            Part::Null => writer.null(),
            Part::Text(text) => writer.string(text)?,
            Part::Integer(value) => {
                let mut image = Bytes::new();
                numeric::from_i64(*value, &mut image);
                writer.numeric(&image)?
            }
            Part::Document(document) => writer.document(document)?,
        };
        writer.add(&mut object, entry)?;
    }
    writer.end(object)
}
