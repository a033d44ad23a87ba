//! Memory whose size comes from data: when there is none, that is an ordinary error (53200) and not the end of the process,
//! which for Postgres is the end of every session. Small pieces of fixed size are `pg::reserve`'s.

use std::collections::HashMap;
use std::hash::Hash;

use crate::error::Error;

/// Bytes that grow. Must not grow inside of `pg::guard::protect`.
#[derive(Default, Clone)]
pub struct Bytes(Vec<u8>);

impl Bytes {
    pub const fn new() -> Bytes {
        Bytes(Vec::new())
    }

    pub fn with_capacity(capacity: usize) -> Bytes {
        let mut bytes = Bytes::new();
        bytes.reserve(capacity);
        bytes
    }

    pub fn of(content: &[u8]) -> Bytes {
        let mut bytes = Bytes::with_capacity(content.len());
        bytes.extend(content);
        bytes
    }

    #[inline]
    pub fn reserve(&mut self, more: usize) {
        if self.0.capacity() - self.0.len() < more {
            grow(&mut self.0, more);
        }
    }

    #[inline]
    pub fn extend(&mut self, more: &[u8]) {
        self.reserve(more.len());
        self.0.extend_from_slice(more);
    }

    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.reserve(1);
        self.0.push(byte);
    }

    /// Appends zeros up to this length.
    #[inline]
    pub fn pad_to(&mut self, length: usize) {
        self.reserve(length - self.0.len());
        self.0.resize(length, 0);
    }

    pub fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::ops::DerefMut for Bytes {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        self.0 == other.0
    }
}

#[cold]
fn grow<T>(list: &mut Vec<T>, more: usize) {
    /// Of what is larger, no half stays unused.
    const LARGE: usize = 1 << 24;
    let (length, size) = (list.len(), size_of::<T>().max(1));
    let is_large = (length + more).saturating_mul(size) > LARGE;
    let reserved = if is_large { list.try_reserve_exact(more + length / 8) } else { list.try_reserve(more) };
    if reserved.is_err() && list.try_reserve_exact(more).is_err() {
        Error::OutOfMemory { bytes: (length + more).saturating_mul(size) }.raise();
    }
}

/// As `Vec::push`.
#[inline]
pub fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        grow(list, 1);
    }
    list.push(item);
}

/// As `collect()`.
pub fn collect<T>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut list = Vec::new();
    items.for_each(|item| push(&mut list, item));
    list
}

/// As `vec![item; count]`.
pub fn filled<T: Clone>(item: T, count: usize) -> Vec<T> {
    let mut list = Vec::new();
    grow(&mut list, count);
    list.resize(count, item);
    list
}

/// Before one more entry.
#[inline]
pub fn make_room<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.len() == map.capacity() && map.try_reserve(1).is_err() {
        Error::OutOfMemory { bytes: map.len().saturating_mul(2 * size_of::<(K, V)>()) }.raise();
    }
}

/// A text for a message, whatever its encoding is: at most 8 kB of it.
pub fn message(text: &[u8]) -> String {
    const LIMIT: usize = 8192;
    if text.len() <= LIMIT {
        return String::from_utf8_lossy(text).into_owned();
    }
    let mut end = LIMIT;
    while end > LIMIT - 4 && text[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    format!("{}... [cut, {} bytes]", String::from_utf8_lossy(&text[..end]), text.len())
}
