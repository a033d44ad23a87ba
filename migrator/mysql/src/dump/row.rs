//! One row of values, whose memory is used again.

use super::charset::Charset;

/// Memory that is kept for the next row.
const KEPT: usize = 32 * 1024 * 1024;

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// `NULL`
    Null,
    /// `DEFAULT`
    Default,
    /// A string, its escapes undone, in the character set given.
    Text(&'a [u8], Charset),
    /// `_binary '..'`, `0x..`, `x'..'`, `b'..'`
    Binary(&'a [u8]),
    /// A number, or TRUE and FALSE as 1 and 0.
    Number(&'a str),
    /// Anything else, as written: `now()`.
    Expression(&'a [u8]),
}

/// What a value is, beside its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum ValueKind {
    Null,
    Default,
    Text(Charset),
    Binary,
    Number,
    Expression,
}

/// A row; its memory is used again for the next one.
#[derive(Debug, Default)]
pub struct DumpRow {
    line: u64,
    pub(super) data: Vec<u8>,
    pub(super) fields: Vec<(ValueKind, usize, usize)>,
}

impl DumpRow {
    /// An empty row, to be filled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Line of its opening parenthesis.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether it has no value.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// A value by its place.
    pub fn get(&self, index: usize) -> Option<Value<'_>> {
        let (kind, start, end) = *self.fields.get(index)?;
        let bytes = self.data.get(start..end)?;
        Some(match kind {
            ValueKind::Null => Value::Null,
            ValueKind::Default => Value::Default,
            ValueKind::Text(charset) => Value::Text(bytes, charset),
            ValueKind::Binary => Value::Binary(bytes),
            ValueKind::Number => Value::Number(std::str::from_utf8(bytes).unwrap_or_default()),
            ValueKind::Expression => Value::Expression(bytes),
        })
    }

    /// Bytes of all its values.
    pub fn size(&self) -> usize {
        self.data.len()
    }

    /// Gives its memory away, with the place that a value has in it; the row has no values then.
    pub fn take(&mut self, index: usize) -> Option<(Vec<u8>, std::ops::Range<usize>)> {
        let (_, start, end) = *self.fields.get(index)?;
        self.fields.clear();
        Some((std::mem::take(&mut self.data), start..end))
    }

    /// All values in order.
    pub fn values(&self) -> impl Iterator<Item = Value<'_>> {
        (0..self.fields.len()).filter_map(|i| self.get(i))
    }

    /// Empties it, for values that come from elsewhere than a script.
    pub fn reset(&mut self, line: u64) {
        self.clear(line);
    }

    /// Adds a value.
    pub fn push(&mut self, value: Value<'_>) {
        let start = self.data.len();
        let (kind, bytes) = match value {
            Value::Null => (ValueKind::Null, &b""[..]),
            Value::Default => (ValueKind::Default, &b""[..]),
            Value::Text(bytes, charset) => (ValueKind::Text(charset), bytes),
            Value::Binary(bytes) => (ValueKind::Binary, bytes),
            Value::Number(text) => (ValueKind::Number, text.as_bytes()),
            Value::Expression(bytes) => (ValueKind::Expression, bytes),
        };
        self.data.extend_from_slice(bytes);
        self.fields.push((kind, start, self.data.len()));
    }

    /// Memory it holds.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.data.capacity()
    }

    pub(super) fn clear(&mut self, line: u64) {
        self.line = line;
        self.data.clear();
        self.data.shrink_to(KEPT);
        self.fields.clear();
    }
}
