//! The tuples of `INSERT .. VALUES`, decoded one by one.

use std::io::{Read, Result};

use super::Dump;
use super::bytes::Bytes;
use super::bytes::LARGEST;
use super::bytes::is_word;
use super::charset::Charset;
use super::row::{DumpRow, ValueKind};

/// A row that cannot be read; the rest of its statement is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Line where reading stopped.
    pub line: u64,
    /// What was expected there.
    pub reason: String,
}

/// What `Dump::row` found.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The row was filled.
    Row,
    /// There are no more rows in this statement.
    End,
    /// The text is no row.
    Bad(BadRow),
}

impl<R: Read> Dump<R> {
    /// The next row of the INSERT that `piece` has given last.
    pub fn row(&mut self, row: &mut DumpRow) -> Result<Next> {
        if !self.rows.open {
            return Ok(Next::End);
        }
        self.blanks()?;
        if self.at_end_of_rows()? {
            return Ok(Next::End);
        }
        if self.rows.seen > 0 {
            match self.bytes.peek(0)? {
                Some(b',') => self.bytes.bump(),
                Some(b) if b.is_ascii_alphabetic() => {
                    self.skip_statement()?;
                    return Ok(Next::End);
                }
                _ => return self.bad("a comma or the end of the statement is expected after a row"),
            }
            self.blanks()?;
        }
        if self.keyword(b"ROW")? {
            self.bytes.take(3);
            self.blanks()?;
        }
        row.clear(self.bytes.line());
        if self.bytes.peek(0)? != Some(b'(') {
            return self.bad("( is expected at the beginning of a row");
        }
        self.bytes.bump();
        self.rows.seen += 1;
        self.blanks()?;
        if self.bytes.peek(0)? == Some(b')') {
            self.bytes.bump();
            return Ok(Next::Row);
        }
        loop {
            self.blanks()?;
            if let Some(reason) = self.value(row)? {
                return self.bad(reason);
            }
            self.blanks()?;
            match self.bytes.peek(0)? {
                Some(b',') => self.bytes.bump(),
                Some(b')') => {
                    self.bytes.bump();
                    return Ok(Next::Row);
                }
                None => return self.bad("the file ends within a row: it is cut off"),
                Some(_) => return self.bad("a comma or ) is expected after a value"),
            }
        }
    }

    fn bad(&mut self, reason: &str) -> Result<Next> {
        let line = self.bytes.line();
        self.skip_statement()?;
        Ok(Next::Bad(BadRow { line, reason: reason.into() }))
    }

    /// Leaves the rows that were not asked for: quotes and the delimiter are all that is looked at.
    pub fn skip_rows(&mut self) -> Result<()> {
        if self.rows.open { self.skip_statement() } else { Ok(()) }
    }

    pub(super) fn skip_statement(&mut self) -> Result<()> {
        self.rows.open = false;
        let first = self.delimiter.first().copied().unwrap_or(b';');
        loop {
            let rest = self.bytes.rest()?;
            if rest.is_empty() {
                return Ok(());
            }
            let special = |b: &u8| matches!(*b, b'\'' | b'"' | b'`' | b';' | b'/' | b'-' | b'#' | b'*') || *b == first;
            let plain = rest.iter().position(special).unwrap_or(rest.len());
            self.bytes.take(plain);
            let Some(byte) = self.bytes.peek(0)? else { return Ok(()) };
            if byte == b';' || self.bytes.starts_with(&self.delimiter)? {
                return Ok(());
            }
            match byte {
                b'\'' | b'"' | b'`' => {
                    self.bytes.bump();
                    self.skip_quoted(byte)?;
                }
                _ if self.comment()? => {}
                _ => self.bytes.bump(),
            }
        }
    }

    fn skip_quoted(&mut self, quote: u8) -> Result<()> {
        let escapes = quote != b'`' && !self.no_escapes;
        loop {
            let rest = self.bytes.rest()?;
            if rest.is_empty() {
                return Ok(());
            }
            let plain = rest.iter().position(|b| *b == quote || *b == b'\\').unwrap_or(rest.len());
            self.bytes.take(plain);
            match self.bytes.peek(0)? {
                Some(b) if b == quote => {
                    self.bytes.bump();
                    return Ok(());
                }
                Some(b'\\') => {
                    self.bytes.bump();
                    if escapes && self.bytes.peek(0)?.is_some() {
                        self.bytes.bump();
                    }
                }
                // the window ended before this byte
                _ => {}
            }
        }
    }

    fn at_end_of_rows(&mut self) -> Result<bool> {
        let end = match self.bytes.peek(0)? {
            None => true,
            Some(b';') => true,
            Some(_) => self.bytes.starts_with(&self.delimiter)?,
        };
        self.rows.open = !end;
        Ok(end)
    }

    fn keyword(&mut self, word: &[u8]) -> Result<bool> {
        for (i, expected) in word.iter().enumerate() {
            if !self.bytes.peek(i)?.is_some_and(|b| b.eq_ignore_ascii_case(expected)) {
                return Ok(false);
            }
        }
        Ok(!self.bytes.peek(word.len())?.is_some_and(is_word))
    }

    // What is wrong with it, if anything.
    fn value(&mut self, row: &mut DumpRow) -> Result<Option<&'static str>> {
        let start = row.data.len();
        let kind = match self.bytes.peek(0)? {
            Some(quote @ (b'\'' | b'"')) => {
                if !string(&mut self.bytes, quote, self.no_escapes, &mut row.data)? {
                    return Ok(Some("the file ends within a string: it is cut off"));
                }
                ValueKind::Text(self.charset)
            }
            Some(b'N' | b'n') if self.keyword(b"NULL")? => {
                self.bytes.take(4);
                ValueKind::Null
            }
            Some(b'0') if matches!(self.bytes.peek(1)?, Some(b'x')) => {
                self.bytes.take(2);
                self.hex(row)?;
                ValueKind::Binary
            }
            Some(b'0') if matches!(self.bytes.peek(1)?, Some(b'b')) => {
                self.bytes.take(2);
                self.bits(row)?;
                ValueKind::Binary
            }
            Some(b) if b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.') => {
                self.number(row)?;
                ValueKind::Number
            }
            Some(b) if b.is_ascii_alphabetic() || b == b'_' => match self.named(row)? {
                Ok(kind) => kind,
                Err(reason) => return Ok(Some(reason)),
            },
            Some(b'(' | b'@' | b'`' | b'!' | b'~') => ValueKind::Expression,
            _ => return Ok(Some("a value is expected")),
        };
        self.blanks()?;
        let kind = match self.bytes.peek(0)? {
            // 'a' 'b' is one string
            Some(quote @ (b'\'' | b'"')) if matches!(kind, ValueKind::Text(_)) => {
                if !string(&mut self.bytes, quote, self.no_escapes, &mut row.data)? {
                    return Ok(Some("the file ends within a string: it is cut off"));
                }
                kind
            }
            Some(b',' | b')') => kind,
            None => kind,
            Some(_) if matches!(kind, ValueKind::Text(_) | ValueKind::Binary) => kind,
            // an operator follows, or an argument list: what was read is its beginning
            Some(_) => match self.expression(row)? {
                None => ValueKind::Expression,
                Some(reason) => return Ok(Some(reason)),
            },
        };
        row.fields.push((kind, start, row.data.len()));
        Ok(None)
    }

    // TRUE, DEFAULT, _binary '..', x'..', or the name of a function.
    fn named(&mut self, row: &mut DumpRow) -> Result<std::result::Result<ValueKind, &'static str>> {
        let mut length = 0;
        while self.bytes.peek(length)?.is_some_and(is_word) {
            length += 1;
        }
        let word: Vec<u8> = self.bytes.rest()?[..length].to_ascii_lowercase();
        if matches!(self.bytes.peek(length)?, Some(b'\'' | b'"')) && matches!(word.as_slice(), b"x" | b"b") {
            self.bytes.take(length + 1);
            if word == b"x" {
                self.hex(row)?
            } else {
                self.bits(row)?
            }
            return Ok(match self.bytes.peek(0)? {
                Some(b'\'' | b'"') => {
                    self.bytes.bump();
                    Ok(ValueKind::Binary)
                }
                _ => Err("a hexadecimal or binary literal does not end"),
            });
        }
        let literal = match word.as_slice() {
            b"true" => Some(&b"1"[..]),
            b"false" => Some(&b"0"[..]),
            _ => None,
        };
        if let Some(number) = literal {
            self.bytes.take(length);
            row.data.extend_from_slice(number);
            return Ok(Ok(ValueKind::Number));
        }
        if word == b"default" {
            self.bytes.take(length);
            return Ok(Ok(ValueKind::Default));
        }
        if word[0] == b'_' || word == b"n" {
            self.bytes.take(length);
            self.blanks()?;
            let charset = if word == b"n" { Charset::Utf8 } else { introduced(&word[1..]) };
            let kind = if charset == Charset::Binary { ValueKind::Binary } else { ValueKind::Text(charset) };
            return match self.bytes.peek(0)? {
                Some(quote @ (b'\'' | b'"')) => {
                    let whole = string(&mut self.bytes, quote, self.no_escapes, &mut row.data)?;
                    Ok(if whole { Ok(kind) } else { Err("the file ends within a string: it is cut off") })
                }
                Some(b'0') if self.bytes.peek(1)? == Some(b'x') => {
                    self.bytes.take(2);
                    self.hex(row)?;
                    Ok(Ok(kind))
                }
                Some(b'x' | b'X') => Ok(self.named(row)?.map(|_| kind)),
                _ => Ok(Err("a string is expected after a character set")),
            };
        }
        row.data.extend_from_slice(&self.bytes.rest()?[..length]);
        self.bytes.take(length);
        Ok(Ok(ValueKind::Expression))
    }

    fn number(&mut self, row: &mut DumpRow) -> Result<()> {
        while let Some(b) = self.bytes.peek(0)? {
            if !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) {
                break;
            }
            row.data.push(b);
            self.bytes.bump();
        }
        Ok(())
    }

    fn hex(&mut self, row: &mut DumpRow) -> Result<()> {
        let digits = row.data.len();
        while let Some(digit) = self.bytes.peek(0)?.and_then(|b| (b as char).to_digit(16)) {
            row.data.push(digit as u8);
            self.bytes.bump();
        }
        // an odd number has a zero before it
        if (row.data.len() - digits) % 2 == 1 {
            row.data.insert(digits, 0);
        }
        let count = (row.data.len() - digits) / 2;
        for i in 0..count {
            row.data[digits + i] = row.data[digits + 2 * i] << 4 | row.data[digits + 2 * i + 1];
        }
        row.data.truncate(digits + count);
        Ok(())
    }

    fn bits(&mut self, row: &mut DumpRow) -> Result<()> {
        let mut bits = vec![];
        while let Some(b @ (b'0' | b'1')) = self.bytes.peek(0)? {
            bits.push(b - b'0');
            self.bytes.bump();
        }
        row.data.extend(bits.rchunks(8).rev().map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)));
        Ok(())
    }

    // As written, until the comma or parenthesis that ends it.
    fn expression(&mut self, row: &mut DumpRow) -> Result<Option<&'static str>> {
        let mut depth = 0;
        let start = row.data.len();
        loop {
            if row.data.len() - start > LARGEST {
                return Ok(Some("an expression is too long"));
            }
            match self.bytes.peek(0)? {
                None => return Ok(Some("the file ends within an expression: it is cut off")),
                Some(b',' | b')') if depth == 0 => return Ok(None),
                Some(b';') if depth == 0 => return Ok(Some("a comma or ) is expected after a value")),
                Some(quote @ (b'\'' | b'"' | b'`')) => {
                    if !self.quoted(quote, &mut row.data)? {
                        return Ok(Some("the file ends within a string: it is cut off"));
                    }
                }
                Some(b) => {
                    match b {
                        b'(' => depth += 1,
                        b')' => depth -= 1,
                        _ => {}
                    }
                    row.data.push(b);
                    self.bytes.bump();
                }
            }
        }
    }
}

fn introduced(name: &[u8]) -> Charset {
    Charset::named(&String::from_utf8_lossy(name))
}

/// A string literal, decoded; false when the file ends within it.
fn string<R: Read>(bytes: &mut Bytes<R>, quote: u8, no_escapes: bool, into: &mut Vec<u8>) -> Result<bool> {
    bytes.bump();
    loop {
        let rest = bytes.rest()?;
        if rest.is_empty() {
            return Ok(false);
        }
        let plain = rest.iter().position(|b| *b == quote || *b == b'\\').unwrap_or(rest.len());
        into.extend_from_slice(&rest[..plain]);
        bytes.take(plain);
        let Some(byte) = bytes.peek(0)? else { return Ok(false) };
        if byte == quote {
            bytes.bump();
            if bytes.peek(0)? != Some(quote) {
                return Ok(true);
            }
            into.push(quote);
            bytes.bump();
        } else if no_escapes || byte != b'\\' {
            // an ordinary byte, also where the window ended before it
            into.push(byte);
            bytes.bump();
        } else {
            bytes.bump();
            let Some(escaped) = bytes.peek(0)? else { return Ok(false) };
            bytes.bump();
            match escaped {
                b'0' => into.push(0),
                b'b' => into.push(8),
                b'n' => into.push(b'\n'),
                b'r' => into.push(b'\r'),
                b't' => into.push(b'\t'),
                b'Z' => into.push(0x1a),
                b'%' | b'_' => into.extend_from_slice(&[b'\\', escaped]),
                other => into.push(other),
            }
        }
    }
}
