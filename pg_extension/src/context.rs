//! Who acts, and why: what every event picks up from the session's settings. Nothing in here fails: a bad setting must
//! not break the user's own statement.

use std::borrow::Cow;

use crate::bytes::Bytes;
use crate::error::Result;
use crate::jsonb::{Document, Entry, Value, Writer, key_order};
use crate::pg::datum::Text;
use crate::pg::memory::CallMemory;
use crate::pg::{json, settings};
use crate::size;
use pgrx::pg_sys::Datum;

const LIMIT: usize = 8192;
/// Where the context's metadata is kept as far as it is no object, or its keys are the store's own.
const CONTEXT: &[u8] = b"$context";

pub struct Context<'m> {
    pub caused_by: Text<'m>,
    pub correlation_id: Option<Text<'m>>,
    pub causation_id: Option<Text<'m>>,
}

impl<'m> Context<'m> {
    pub fn current(memory: &'m CallMemory) -> Self {
        let text = |value: &[u8]| memory.text(&cut(value));
        Context {
            caused_by: settings::actor().map_or_else(|| settings::session_user(|user| memory.text(user)), text),
            correlation_id: settings::correlation_id().map(text),
            causation_id: settings::causation_id().map(text),
        }
    }
}

/// Keys that are the store's own marks on captured events.
fn is_mark(key: &[u8]) -> bool {
    matches!(
        key,
        b"complete"
            | b"baseline"
            | b"late"
            | b"after_version"
            | b"before_failure"
            | b"after_position"
            | b"failure_id"
            | b"queued"
            | b"in_table"
            | CONTEXT
    )
}

/// The text that an event can carry.
fn cut(value: &[u8]) -> Cow<'_, [u8]> {
    if let Some(marked) = settings::marked(value) {
        return marked.into();
    }
    if value.len() <= LIMIT {
        return value.into();
    }
    let mut short = settings::left(value, 2000).to_vec();
    short.extend_from_slice(format!("... [cut, {} bytes]", value.len()).as_bytes());
    short.into()
}

/// The metadata of the context as an object; `None` when there is none.
pub fn metadata() -> Result<Option<Bytes>> {
    let Some(text) = settings::metadata() else { return Ok(None) };
    let mut writer = Writer::default();
    let wrap = |writer: &mut Writer, value: &dyn Fn(&mut Writer) -> Result<Entry>| {
        let mut object = writer.object([CONTEXT].into_iter())?;
        let entry = value(writer)?;
        writer.add(&mut object, entry)?;
        writer.end(object).map(|_| ())
    };
    if text.len() > LIMIT || settings::marked(text).is_some() {
        wrap(&mut writer, &|writer| writer.string(&cut(text)))?;
        return Ok(Some(Bytes::of(writer.bytes())));
    }
    let Some(parsed) = json::parse(text, Bytes::of) else {
        wrap(&mut writer, &|writer| writer.string(text))?;
        return Ok(Some(Bytes::of(writer.bytes())));
    };
    let document = Document(&parsed);
    // 1e131071 is 131,072 bytes in every event. White space, which is all else that is put in, does not double a text.
    if size::text(document.as_value()) > 2 * LIMIT as u64 {
        let cut = [settings::left(text, 2000), b"... [cut, more than 8 kB as jsonb]"].concat();
        wrap(&mut writer, &|writer| writer.string(&cut))?;
        return Ok(Some(Bytes::of(writer.bytes())));
    }
    if let Some(object) = document.as_value().as_object() {
        if !object.iter().any(|(key, _)| is_mark(key)) {
            return Ok(Some(parsed));
        }
        let (marks, kept): (Vec<_>, Vec<_>) = object.iter().partition(|(key, _)| is_mark(key));
        let mut parts: Vec<(&[u8], Option<Value>)> = kept.into_iter().map(|(key, value)| (key, Some(value))).collect();
        parts.push((CONTEXT, None));
        parts.sort_by(|(a, _), (b, _)| key_order(a, b));
        let mut object = writer.object(parts.iter().map(|(key, _)| *key))?;
        for (_, value) in &parts {
            let entry = match value {
                Some(value) => writer.value(value)?,
                None => {
                    let mut below = writer.object(marks.iter().map(|(key, _)| *key))?;
                    for (_, value) in &marks {
                        let entry = writer.value(value)?;
                        writer.add(&mut below, entry)?;
                    }
                    writer.end(below)?
                }
            };
            writer.add(&mut object, entry)?;
        }
        let _ = writer.end(object)?;
        return Ok(Some(Bytes::of(writer.bytes())));
    }
    wrap(&mut writer, &|writer| writer.document(&document))?;
    Ok(Some(Bytes::of(writer.bytes())))
}

/// The context's metadata with `own` on top, as a datum.
pub fn metadata_with(own: Option<Datum>) -> Result<Datum> {
    Ok(match (metadata()?, own) {
        (None, Some(own)) => own,
        (None, None) => json::empty_object(),
        (Some(context), None) => crate::pg::datum::varlena(&context),
        (Some(context), Some(own)) => json::concat(crate::pg::datum::varlena(&context), own),
    })
}
