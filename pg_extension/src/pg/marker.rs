//! Objects that stand for values that JSON cannot show as they are.

use super::json;
use crate::bytes::Bytes;
use crate::error::Result;
use crate::jsonb::{Document, Entry, Value, Writer};
use crate::numeric;

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
pub fn unrepresentable(writer: &mut Writer, name: &str, length: usize, content: &[u8]) -> Result<Entry> {
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
