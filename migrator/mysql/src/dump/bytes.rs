//! Bytes of a reader, with lookahead, the line of the next one, and memory that does not grow.

use std::io::{ErrorKind, Read, Result};

use domain_events_sql::limits;

/// A single statement above this size is left out; INSERT .. VALUES is never held whole.
pub(super) const LARGEST: usize = limits::STATEMENT;
/// Size of the window; lookahead is far smaller.
const WINDOW: usize = 128 * 1024;

/// A window over a reader.
#[derive(Debug)]
pub struct Bytes<R> {
    reader: R,
    window: Vec<u8>,
    next: usize,
    end: usize,
    /// Bytes of the reader before the window.
    before: u64,
    line: u64,
    /// Offset of the first byte of the line.
    line_began: u64,
    ended: bool,
}

impl<R: Read> Bytes<R> {
    /// Nothing is read yet.
    pub fn new(reader: R) -> Self {
        Self { reader, window: vec![0; WINDOW], next: 0, end: 0, before: 0, line: 1, line_began: 0, ended: false }
    }

    /// Line of the next byte, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Column of the next byte, from 1.
    pub fn column(&self) -> u64 {
        self.offset() - self.line_began + 1
    }

    /// How many bytes were taken.
    pub fn offset(&self) -> u64 {
        self.before + self.next as u64
    }

    /// The byte `ahead` of the next one.
    #[inline]
    pub fn peek(&mut self, ahead: usize) -> Result<Option<u8>> {
        if self.next + ahead >= self.end {
            self.fill(ahead + 1)?;
        }
        Ok(self.window[..self.end].get(self.next + ahead).copied())
    }

    /// Whether these bytes come next.
    pub fn starts_with(&mut self, text: &[u8]) -> Result<bool> {
        if self.next + text.len() > self.end {
            self.fill(text.len())?;
        }
        Ok(self.window[self.next..self.end].starts_with(text))
    }

    /// What of the window is not taken; empty at the end alone.
    #[inline]
    pub fn rest(&mut self) -> Result<&[u8]> {
        if self.next == self.end {
            self.fill(1)?;
        }
        Ok(&self.window[self.next..self.end])
    }

    /// Takes one byte that was seen by `peek`.
    #[inline]
    pub fn bump(&mut self) {
        self.next += 1;
        if self.window[self.next - 1] == b'\n' {
            self.line += 1;
            self.line_began = self.offset();
        }
    }

    /// Takes bytes that were seen.
    pub fn take(&mut self, count: usize) {
        let taken = &self.window[self.next..self.next + count];
        if let Some(last) = taken.iter().rposition(|b| *b == b'\n') {
            self.line += taken.iter().filter(|b| **b == b'\n').count() as u64;
            self.line_began = self.offset() + last as u64 + 1;
        }
        self.next += count;
    }

    // Reads until `want` bytes are in the window or the reader ends.
    fn fill(&mut self, want: usize) -> Result<()> {
        if self.next > 0 {
            self.window.copy_within(self.next..self.end, 0);
            self.before += self.next as u64;
            self.end -= self.next;
            self.next = 0;
        }
        if self.window.len() < want {
            self.window.resize(want, 0);
        }
        while self.end < want && !self.ended {
            match self.reader.read(&mut self.window[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl<R> Bytes<R> {
    /// Size of the window.
    pub fn window(&self) -> usize {
        self.window.len()
    }
}

/// Part of a word.
pub(super) fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$') || b >= 0x80
}
