//! How large a document is as text. 1e131071 takes 16 bytes of jsonb and 131,072 of text, and COPY writes seven for a control
//! character: what no line of COPY could hold could be dumped by nobody. Counted, never built; the limits are those of
//! sql/capture/51_expressions.sql and of domain_events._check_size().

use crate::bytes;
use crate::error::{Error, Result};
use crate::jsonb::{Document, Value};
use crate::numeric;

/// How much text of a value is read as a whole.
pub const LONGEST_FORM: u64 = 1 << 28;
/// How large an event may be in the output of COPY.
const LARGEST_EVENT: u64 = 1 << 28;
/// Bytes of an event that are never too large as text.
const SMALL_EVENT: usize = 20_000;

/// Bytes that jsonb_out() gives.
pub fn text(value: Value) -> u64 {
    total(value, |string| escaped(string, [1, 2, 2, 6]))
}

/// Bytes that COPY writes, which doubles each backslash.
pub fn copied(value: Value) -> u64 {
    total(value, copied_string)
}

fn copied_string(string: &[u8]) -> u64 {
    escaped(string, [1, 3, 4, 7])
}

/// As domain_events._small(), for a document with the header of a datum.
pub fn is_small(bytes: usize, max_bytes: usize) -> bool {
    bytes <= max_bytes / 5000
}

/// As domain_events._too_large(), for a document of so many bytes with the header of a datum.
pub fn is_too_large(value: Value, bytes: usize, max_bytes: usize) -> bool {
    if is_small(bytes, max_bytes) {
        return false;
    }
    // Strings are not looked into where it does not matter.
    let at_most = || total(value, |string| string.len() as u64 * 7 + 2);
    let limit = 2 * max_bytes as u64;
    bytes > max_bytes || at_most() > limit && copied(value) > limit
}

/// As domain_events._bounded_text()
pub fn is_too_large_text(text: &[u8], max_bytes: usize) -> bool {
    text.len() > max_bytes
        || text.len() as u64 * 7 + 2 > 2 * max_bytes as u64 && copied_string(text) > 2 * max_bytes as u64
}

/// As domain_events._check_size(), for documents without header.
pub fn check_event(event_data: &[u8], metadata: Option<&[u8]>, texts: usize) -> Result<()> {
    let bytes = event_data.len() + 4 + metadata.map_or(0, |metadata| metadata.len() + 4) + texts;
    if bytes <= SMALL_EVENT {
        return Ok(());
    }
    let of = |document: &[u8]| copied(Document(document).as_value());
    if of(event_data) + metadata.map_or(0, of) + 2 * texts as u64 > LARGEST_EVENT {
        return Err(Error::bad(
            "the event is too large: more than 256 MB as text",
            "Keep large values elsewhere and refer to them. A number such as 1e100000 has 100,001 digits.",
        ));
    }
    Ok(())
}

/// A document may be as deep as somebody likes: no recursion.
fn total(value: Value, of_string: impl Fn(&[u8]) -> u64) -> u64 {
    let mut total = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        total += match value {
            Value::Null | Value::Bool(true) => 4,
            Value::Bool(false) => 5,
            Value::String(string) => of_string(string),
            Value::Numeric(image) => numeric::text_length(image.get(4..).unwrap_or_default()),
            Value::Container(_) => {
                let (parts, signs) = value.parts();
                parts.for_each(|part| bytes::push(&mut open, part));
                signs
            }
        };
    }
    total
}

/// A string of JSON: bytes for a plain character, one with an escape of one letter, the backslash, other control characters.
fn escaped(string: &[u8], [plain, letter, backslash, control]: [u64; 4]) -> u64 {
    let bytes = string.iter().map(|byte| match byte {
        b'"' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => letter,
        b'\\' => backslash,
        0..=0x1f => control,
        _ => plain,
    });
    bytes.sum::<u64>() + 2
}
