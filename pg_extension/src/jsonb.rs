//! Writing and reading JSONB in its stored form.
//!
//! The form is fixed by pg_upgrade and the same in every supported version. Writing it directly costs about a third of
//! `pushJsonbValue` and `JsonbValueToJsonb`, which allocate every key and value, sort the keys of every row, and copy the
//! whole twice; here a plan's keys are sorted once. `to_jsonb` of the same values gives the same bytes.

use crate::bytes::Bytes;
use crate::error::{Error, Result};

const COUNT: u32 = 0x0FFF_FFFF;
const SCALAR: u32 = 0x1000_0000;
const OBJECT: u32 = 0x2000_0000;
const ARRAY: u32 = 0x4000_0000;

const LENGTH: u32 = 0x0FFF_FFFF;
const TYPE: u32 = 0x7000_0000;
const IS_STRING: u32 = 0x0000_0000;
const IS_NUMERIC: u32 = 0x1000_0000;
const IS_FALSE: u32 = 0x2000_0000;
const IS_TRUE: u32 = 0x3000_0000;
const IS_NULL: u32 = 0x4000_0000;
const IS_CONTAINER: u32 = 0x5000_0000;
const HAS_OFFSET: u32 = 0x8000_0000;
/// Every 32nd entry holds an offset instead of a length.
const STRIDE: usize = 32;

/// An entry: type and length of a value just written.
#[derive(Clone, Copy)]
#[must_use]
pub struct Entry(u32);

/// Builds one document. The bytes are those after the varlena header.
#[derive(Default)]
pub struct Writer {
    bytes: Bytes,
}

/// An object or array being written. Values have to be added in the order of the keys.
pub struct Container {
    start: usize,
    entries: usize,
    next: usize,
    total: usize,
}

impl Writer {
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What was written from `start` on, as `entry`.
    pub fn written(&self, start: usize, Entry(entry): Entry) -> Value<'_> {
        match entry & TYPE {
            IS_STRING => Value::String(&self.bytes[start..]),
            IS_CONTAINER => Value::Container(&self.bytes[start.next_multiple_of(4)..]),
            _ => Value::Null,
        }
    }

    /// Takes back what was written from `start` on.
    pub fn take_back(&mut self, start: usize) {
        self.bytes.truncate(start);
    }

    /// `keys` have to be unique and in order: shorter first, then by bytes.
    pub fn object<'k>(&mut self, keys: impl ExactSizeIterator<Item = &'k [u8]>) -> Result<Container> {
        let count = keys.len();
        let mut container = self.container(OBJECT | count as u32, count * 2);
        for key in keys {
            let entry = self.string(key)?;
            self.add(&mut container, entry)?;
        }
        Ok(container)
    }

    pub fn array(&mut self, count: usize) -> Container {
        self.container(ARRAY | count as u32, count)
    }

    fn container(&mut self, header: u32, entries: usize) -> Container {
        let start = self.bytes.len();
        self.pad();
        self.bytes.extend(&header.to_ne_bytes());
        let first = self.bytes.len();
        self.bytes.pad_to(first + entries * 4);
        Container { start, entries: first, next: 0, total: 0 }
    }

    pub fn add(&mut self, container: &mut Container, entry: Entry) -> Result<()> {
        let Entry(mut entry) = entry;
        container.total += (entry & LENGTH) as usize;
        check(container.total)?;
        if container.next.is_multiple_of(STRIDE) {
            entry = (entry & TYPE) | container.total as u32 | HAS_OFFSET;
        }
        let at = container.entries + container.next * 4;
        self.bytes[at..at + 4].copy_from_slice(&entry.to_ne_bytes());
        container.next += 1;
        Ok(())
    }

    pub fn end(&mut self, container: Container) -> Result<Entry> {
        let length = self.bytes.len() - container.start;
        check(length)?;
        Ok(Entry(IS_CONTAINER | length as u32))
    }

    pub fn null(&mut self) -> Entry {
        Entry(IS_NULL)
    }

    pub fn bool(&mut self, value: bool) -> Entry {
        Entry(if value { IS_TRUE } else { IS_FALSE })
    }

    pub fn string(&mut self, value: &[u8]) -> Result<Entry> {
        check(value.len())?;
        self.bytes.extend(value);
        Ok(Entry(IS_STRING | value.len() as u32))
    }

    /// `image` is a numeric without its varlena header.
    pub fn numeric(&mut self, image: &[u8]) -> Result<Entry> {
        let start = self.bytes.len();
        self.pad();
        let size = image.len() as u32 + 4;
        #[cfg(target_endian = "little")]
        let header = size << 2;
        #[cfg(target_endian = "big")]
        let header = size;
        self.bytes.extend(&header.to_ne_bytes());
        self.bytes.extend(image);
        let length = self.bytes.len() - start;
        check(length)?;
        Ok(Entry(IS_NUMERIC | length as u32))
    }

    /// Embeds another document.
    pub fn document(&mut self, document: &Document) -> Result<Entry> {
        self.value(&document.as_value())
    }

    /// Embeds a part of another document.
    pub fn value(&mut self, value: &Value) -> Result<Entry> {
        match value {
            Value::Null => Ok(self.null()),
            Value::Bool(value) => Ok(self.bool(*value)),
            Value::String(value) => self.string(value),
            Value::Numeric(value) => self.numeric(&value[4..]),
            Value::Container(container) => self.copy(container),
        }
    }

    fn copy(&mut self, container: &[u8]) -> Result<Entry> {
        let start = self.bytes.len();
        self.pad();
        self.bytes.extend(container);
        let length = self.bytes.len() - start;
        check(length)?;
        Ok(Entry(IS_CONTAINER | length as u32))
    }

    fn pad(&mut self) {
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.pad_to(length);
    }
}

fn check(length: usize) -> Result<()> {
    if length > LENGTH as usize {
        return Err(Error::TooLarge {
            message: format!("total size of jsonb elements exceeds the maximum of {LENGTH} bytes"),
        });
    }
    Ok(())
}

/// The order of keys within an object.
pub fn key_order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// A stored document, without its varlena header.
#[derive(Clone, Copy)]
pub struct Document<'a>(pub &'a [u8]);

#[derive(Clone, Copy)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    String(&'a [u8]),
    /// With its varlena header.
    Numeric(&'a [u8]),
    Container(&'a [u8]),
}

impl<'a> Document<'a> {
    pub fn as_value(&self) -> Value<'a> {
        // A scalar is stored as an array of one.
        if word(self.0, 0) & SCALAR != 0 { entry_at(self.0, 0, 1) } else { Value::Container(self.0) }
    }
}

impl<'a> Value<'a> {
    /// As jsonb_typeof() says it.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::String(_) => "string",
            Value::Numeric(_) => "number",
            Value::Container(container) if word(container, 0) & OBJECT != 0 => "object",
            Value::Container(_) => "array",
        }
    }

    pub fn as_object(&self) -> Option<Object<'a>> {
        match self {
            Value::Container(container) if word(container, 0) & OBJECT != 0 => {
                Some(Object { container, count: (word(container, 0) & COUNT) as usize })
            }
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<impl ExactSizeIterator<Item = Value<'a>> + use<'a>> {
        match *self {
            Value::Container(container) if word(container, 0) & ARRAY != 0 => {
                let count = (word(container, 0) & COUNT) as usize;
                Some((0..count).map(move |position| entry_at(container, position, count)))
            }
            _ => None,
        }
    }

    /// Keys and values of a container, and how many brackets, commas, colons and blanks its text has.
    pub fn parts(self) -> (impl Iterator<Item = Value<'a>>, u64) {
        let Value::Container(container) = self else {
            return (Parts { container: &[], entries: 0, next: 0, start: 0 }, 0);
        };
        let count = (word(container, 0) & COUNT) as usize;
        let is_object = word(container, 0) & OBJECT != 0;
        let signs = 2 + 2 * (count as u64).saturating_sub(1) + if is_object { 2 * count as u64 } else { 0 };
        let entries = if is_object { 2 * count } else { count };
        (Parts { container, entries, next: 0, start: 0 }, signs)
    }

    /// The value as a document of its own.
    pub fn to_document(self) -> Result<Bytes> {
        if let Value::Container(container) = self {
            return Ok(Bytes::of(container));
        }
        let mut writer = Writer::default();
        let mut root = writer.container(ARRAY | SCALAR | 1, 1);
        let entry = writer.value(&self)?;
        writer.add(&mut root, entry)?;
        let _ = writer.end(root)?;
        Ok(writer.bytes)
    }
}

#[derive(Clone, Copy)]
pub struct Object<'a> {
    container: &'a [u8],
    count: usize,
}

impl<'a> Object<'a> {
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        (0..self.count).filter_map(move |position| match entry_at(self.container, position, self.count * 2) {
            Value::String(key) => Some((key, entry_at(self.container, position + self.count, self.count * 2))),
            _ => None,
        })
    }

    pub fn get(self, name: &[u8]) -> Option<Value<'a>> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// The entries of a container one after the other, without looking back for an offset.
struct Parts<'a> {
    container: &'a [u8],
    entries: usize,
    next: usize,
    start: usize,
}

impl<'a> Iterator for Parts<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        (self.next < self.entries).then(|| {
            let start = self.start;
            let (value, end) = value_at(self.container, self.next, self.entries, start);
            (self.next, self.start) = (self.next + 1, end);
            value
        })
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn entry_at(container: &[u8], position: usize, entries: usize) -> Value<'_> {
    let entry = |index: usize| word(container, 4 + index * 4);
    // Lengths are summed back to the last stored offset.
    let mut start = 0;
    for index in (0..position).rev() {
        let entry = entry(index);
        start += (entry & LENGTH) as usize;
        if entry & HAS_OFFSET != 0 {
            break;
        }
    }
    value_at(container, position, entries, start).0
}

/// The value of an entry that starts there, and where it ends.
fn value_at(container: &[u8], position: usize, entries: usize, start: usize) -> (Value<'_>, usize) {
    let own = word(container, 4 + position * 4);
    let end = if own & HAS_OFFSET != 0 { (own & LENGTH) as usize } else { start + (own & LENGTH) as usize };
    let data = 4 + entries * 4;
    // Padding counts as part of the value; containers and numerics start at the next multiple of four.
    let padded = start.next_multiple_of(4);
    let slice = |from: usize| container.get(data + from..data + end).unwrap_or_default();
    let value = match own & TYPE {
        IS_STRING => Value::String(slice(start)),
        IS_NUMERIC => Value::Numeric(slice(padded)),
        IS_FALSE => Value::Bool(false),
        IS_TRUE => Value::Bool(true),
        IS_CONTAINER => Value::Container(slice(padded)),
        _ => Value::Null,
    };
    (value, end)
}
