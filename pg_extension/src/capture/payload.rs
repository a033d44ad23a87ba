//! The JSON of an event, and its aggregate id.

use super::plan::{Column, Plan};
use crate::bytes::Bytes;
use crate::contract::AGGREGATE_ID_BYTES;
use crate::error::{Error, Result};
use crate::jsonb::{Document, Entry, Value, Writer};
use crate::pg::image;
use crate::pg::json;
use crate::pg::marker;
use crate::pg::trigger::{Change, TupleRow};
use crate::size;

/// Which columns have another image, by position in the plan. Redacted ones count; excluded ones are not looked at unless
/// they identify the aggregate.
pub fn changed(plan: &Plan, change: &Change) -> Vec<bool> {
    plan.columns
        .iter()
        .map(|column| {
            (column.captured || column.identity.is_some())
                && !image::same(change.old_row().get(column.index), change.new_row().get(column.index), column.layout)
        })
        .collect()
}

/// The aggregate id; `None` when a part of it is null.
pub fn identity(plan: &Plan, row: TupleRow) -> Option<Bytes> {
    let mut id = Bytes::with_capacity(40);
    match plan.identity.as_slice() {
        [] => return None,
        [only] => append_text(&plan.columns[*only], row, &mut id)?,
        several => {
            let mut part = Bytes::new();
            for (position, column) in several.iter().enumerate() {
                id.extend(if position == 0 { b"[" } else { b", " });
                part.clear();
                append_text(&plan.columns[*column], row, &mut part)?;
                escape(&part, &mut id);
            }
            id.push(b']');
        }
    }
    if id.len() > AGGREGATE_ID_BYTES {
        return Some(Bytes::of(format!("sha256:{}", json::text_sha256(&id)).as_bytes()));
    }
    Some(id)
}

fn append_text(column: &Column, row: TupleRow, out: &mut Bytes) -> Option<()> {
    let value = row.get(column.index)?;
    column.identity.as_ref()?.append(&column.render, value, out);
    Some(())
}

/// A JSON string as jsonb shows it.
fn escape(text: &[u8], out: &mut Bytes) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend(b"\\\""),
            b'\\' => out.extend(b"\\\\"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x08 => out.extend(b"\\b"),
            0x0c => out.extend(b"\\f"),
            0..=0x1f => out.extend(format!("\\u{byte:04x}").as_bytes()),
            other => out.push(*other),
        }
    }
    out.push(b'"');
}

fn write_value(writer: &mut Writer, plan: &Plan, column: &Column, row: TupleRow) -> Result<Entry> {
    if column.redacted {
        return marker::redacted(writer);
    }
    match row.get(column.index) {
        None => Ok(writer.null()),
        Some(value) => {
            let start = writer.len();
            let entry = column.render.write(writer, value, Some(plan.max_bytes))?;
            match &column.bounded_type {
                Some(name) => bounded(writer, start, entry, plan.max_bytes, name),
                None => Ok(entry),
            }
        }
    }
}

/// What was just written, or the marker in its place when it is too large. As domain_events._bounded().
fn bounded(writer: &mut Writer, start: usize, entry: Entry, max_bytes: usize, type_name: &[u8]) -> Result<Entry> {
    /// What a string is larger by as a document of its own.
    const SCALAR: usize = 12;
    if size::is_small(writer.len() - start + SCALAR, max_bytes) {
        return Ok(entry);
    }
    let value = writer.written(start, entry);
    let bytes = match value {
        Value::String(text) => text.len() + SCALAR,
        Value::Container(container) => container.len() + 4,
        _ => 0,
    };
    if !size::is_too_large(value, bytes, max_bytes) {
        return Ok(entry);
    }
    let mut marker = Writer::default();
    let _ = marker::too_large(&mut marker, type_name, value)?;
    writer.take_back(start);
    writer.document(&Document(marker.bytes()))
}

fn write_columns(
    writer: &mut Writer,
    plan: &Plan,
    columns: impl Iterator<Item = usize> + Clone,
    row: TupleRow,
) -> Result<Entry> {
    let names: Vec<&[u8]> = columns.clone().map(|column| plan.columns[column].name.as_slice()).collect();
    let mut object = writer.object(names.into_iter())?;
    for column in columns {
        let entry = write_value(writer, plan, &plan.columns[column], row)?;
        writer.add(&mut object, entry)?;
    }
    writer.end(object)
}

/// What an event shows of the row before and after.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    None,
    Row,
    Changed(&'a [bool]),
    Key,
}

/// `{"new_values": .., "old_values": .., "<other_id>": ".."}`, as far as given.
pub fn event_data(
    writer: &mut Writer,
    plan: &Plan,
    change: &Change,
    old: Part,
    new: Part,
    other_id: Option<(&str, Option<&[u8]>)>,
) -> Result<()> {
    writer.clear();
    let parts: [(&[u8], Part, TupleRow); 2] =
        [(b"new_values", new, change.new_row()), (b"old_values", old, change.old_row())];
    let shown = parts.iter().filter(|(_, part, _)| !matches!(part, Part::None));
    // "new_values" and "old_values" sort before the longer names of the ids.
    let keys: Vec<&[u8]> =
        shown.clone().map(|(key, ..)| *key).chain(other_id.as_ref().map(|(key, _)| key.as_bytes())).collect();
    let mut object = writer.object(keys.into_iter())?;
    for (_, part, row) in shown {
        let entry = match part {
            Part::None => continue,
            Part::Row => write_columns(writer, plan, plan.row.iter().copied(), *row)?,
            Part::Key => write_columns(writer, plan, plan.key.iter().copied(), *row)?,
            Part::Changed(changed) => {
                let columns = plan.row.iter().copied().filter(|column| changed[*column]);
                write_columns(writer, plan, columns, *row)?
            }
        };
        writer.add(&mut object, entry)?;
    }
    if let Some((_, id)) = other_id {
        let entry = match id {
            Some(id) => writer.string(id)?,
            None => writer.null(),
        };
        writer.add(&mut object, entry)?;
    }
    let _ = writer.end(object)?;
    check(writer)
}

/// What a jsonb value can hold in all; `Writer` checks the parts.
fn check(writer: &Writer) -> Result<()> {
    if writer.len() > 0x0FFF_FFFF {
        return Err(Error::TooLarge {
            message: format!("the event's data has {} bytes, more than jsonb can hold", writer.len()),
        });
    }
    Ok(())
}
