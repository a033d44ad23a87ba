//! Text of files in whatever encoding they are. What is asked of them is ASCII; what is not has to keep its place, and a byte of
//! a longer character must not be taken for a quote or a backslash.

use std::borrow::Cow;
use std::io::{self, Read};

/// So much of a file in UTF-16 is read.
const WIDE: u64 = 64 * 1024 * 1024;

/// The text of bytes.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
        return utf16(rest, u16::from_le_bytes).into();
    }
    if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
        return utf16(rest, u16::from_be_bytes).into();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) if is_double_byte(bytes) => of_pairs(bytes).into(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect::<String>().into(),
    }
}

/// Whether the bytes are no text at all.
pub fn is_binary(head: &[u8]) -> bool {
    let wide = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
    !wide && head.iter().take(8 * 1024).any(|b| *b == 0)
}

/// What a file is that is no text, as its first bytes tell.
pub fn what(head: &[u8]) -> &'static str {
    if head.starts_with(b"PGDMP") {
        "an archive of pg_dump: make SQL of it with pg_restore --schema-only -f FILE.sql"
    } else if head.starts_with(b"\x1f\x8b")
        || head.starts_with(b"BZh")
        || head.starts_with(b"\x28\xb5\x2f\xfd")
        || head.starts_with(b"PK\x03\x04")
    {
        "compressed: unpack it first"
    } else {
        "no text"
    }
}

/// A source of bytes that gives UTF-8 where it holds UTF-16; such a file is small, and is held whole.
pub struct Reader<R> {
    head: std::io::Cursor<Vec<u8>>,
    rest: R,
}

impl<R: Read> Reader<R> {
    /// Looks at the first bytes.
    pub fn new(mut rest: R) -> io::Result<Self> {
        let mut head = vec![];
        rest.by_ref().take(2).read_to_end(&mut head)?;
        if head == b"\xff\xfe" || head == b"\xfe\xff" {
            rest.by_ref().take(WIDE).read_to_end(&mut head)?;
            head = text(&head).into_owned().into_bytes();
        }
        Ok(Self { head: io::Cursor::new(head), rest })
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.head.read(into)? {
            0 => self.rest.read(into),
            read => Ok(read),
        }
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect()
}

/// GBK, Big5, Shift JIS and their like write a character in two bytes, so that high bytes come in pairs; in Latin 1 one comes
/// alone, among letters.
fn is_double_byte(bytes: &[u8]) -> bool {
    let (mut alone, mut paired) = (0usize, 0usize);
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..].iter().take_while(|b| **b >= 0x80).count();
        match run {
            0 => {}
            1 => alone += 1,
            _ => paired += 1,
        }
        at += run.max(1);
    }
    paired > alone
}

/// One sign for each pair: the second byte may look like a backslash.
fn of_pairs(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let second = bytes.get(at + 1).is_some_and(|b| *b >= 0x40 && *b != 0x7f);
        if byte < 0x80 {
            text.push(char::from(byte));
        } else {
            text.push('\u{3013}');
            at += usize::from(byte > 0x80 && second);
        }
        at += 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_within_a_character_is_none() {
        // GBK: the second byte of the last character is 0x5c
        let gbk = b"-- \xd6\xd0\xce\xc4\ncomment '\xd7\xd6\xb6\xce\x81\x5c', `b`";
        assert_eq!(text(gbk), "-- \u{3013}\u{3013}\ncomment '\u{3013}\u{3013}\u{3013}', `b`");
        assert_eq!(text(b"comment 'caf\xe9', 'na\xefve'"), "comment 'caf\u{e9}', 'na\u{ef}ve'");
        assert_eq!(text(b"\xff\xfea\x00;\x00"), "a;");
        assert_eq!(text("\u{fc}ber".as_bytes()), "\u{fc}ber");
        assert!(is_binary(b"PK\x03\x04\x00") && !is_binary(b"\xff\xfea\x00") && !is_binary(b"abc"));
    }
}
