//! Where comments, strings and words end, and the marks of versioned comments taken away.

use std::borrow::Cow;

use super::SqlMode;

/// Blanks out `/*!50003`, `/*M!100301` and the `*/` that belongs to them, so that what they hold is read. What is meant for
/// no server at all (`/*M!999999\- enable the sandbox mode */`) stays a comment.
pub(super) fn unwrap_versioned_comments(text: &str, mode: SqlMode) -> Cow<'_, str> {
    if !text.contains("/*!") && !text.contains("/*M!") {
        return Cow::Borrowed(text);
    }
    let mut bytes = text.as_bytes().to_vec();
    let blank = |bytes: &mut Vec<u8>, from: usize, to: usize| bytes[from..to].fill(b' ');
    let (mut at, mut open) = (0, 0_usize);
    while at < bytes.len() {
        at = match bytes[at] {
            quote @ (b'\'' | b'"' | b'`') => end_of_quoted(&bytes, at, quote, mode).unwrap_or(bytes.len()),
            b'#' => end_of_line(&bytes, at),
            b'-' if is_dash_comment(&bytes, at) => end_of_line(&bytes, at),
            b'*' if open > 0 && bytes.get(at + 1) == Some(&b'/') => {
                blank(&mut bytes, at, at + 2);
                open -= 1;
                at + 2
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => match versioned(&bytes, at) {
                Some(inside) => {
                    blank(&mut bytes, at, inside);
                    open += 1;
                    inside
                }
                None => end_of_comment(&bytes, at).unwrap_or(bytes.len()),
            },
            _ => at + 1,
        };
    }
    // only whole ASCII characters were replaced, by blanks
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The first byte inside a versioned comment that opens at `at`.
fn versioned(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let mark = if rest.starts_with(b"/*!") {
        3
    } else if rest.starts_with(b"/*M!") {
        4
    } else {
        return None;
    };
    let digits = rest[mark..].iter().take(6).take_while(|b| b.is_ascii_digit()).count();
    let version = &rest[mark..mark + digits];
    (version != b"999999" && version != b"99999").then_some(at + mark + digits)
}

/// The byte after the line.
pub(super) fn end_of_line(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n + 1)
}

/// The byte after a comment that opens at `at`.
pub(super) fn end_of_comment(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at + 2..)?.windows(2).position(|pair| pair == b"*/").map(|n| at + 2 + n + 2)
}

/// `--` begins a comment only before a blank: `5--1` is 6.
pub(super) fn is_dash_comment(bytes: &[u8], at: usize) -> bool {
    bytes.get(at + 1) == Some(&b'-')
        && bytes.get(at + 2).is_none_or(|b| b.is_ascii_whitespace() || b.is_ascii_control())
}

/// The byte after a string or quoted identifier that opens at `at`.
pub(super) fn end_of_quoted(bytes: &[u8], at: usize, quote: u8, mode: SqlMode) -> Option<usize> {
    let escapes = backslash_escapes(quote, mode);
    let mut i = at + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' if escapes => i += 1,
            b if b == quote => match bytes.get(i + 1) {
                Some(next) if *next == quote => i += 1,
                _ => return Some(i + 1),
            },
            _ => {}
        }
        i += 1;
    }
    None
}

/// Whether a backslash escapes between these quotes.
pub(super) fn backslash_escapes(quote: u8, mode: SqlMode) -> bool {
    !mode.no_backslash_escapes && (quote == b'\'' || quote == b'"' && !mode.ansi_quotes)
}

/// Whether it may stand in a word.
pub(super) fn is_ident(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

/// The text between quotes with its escapes undone.
pub(super) fn unescape(text: &str, quote: u8, backslashes: bool) -> String {
    let quote = char::from(quote);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' if backslashes => match chars.next() {
                Some('0') => out.push('\0'),
                Some('b') => out.push('\u{8}'),
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('Z') => out.push('\u{1a}'),
                // of use to LIKE alone, which undoes them itself
                Some(wild @ ('%' | '_')) => out.extend(['\\', wild]),
                Some(other) => out.push(other),
                None => {}
            },
            c if c == quote => {
                out.push(c);
                chars.next();
            }
            c => out.push(c),
        }
    }
    out
}
