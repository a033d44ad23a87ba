//! The scanner: one piece after the other.

use std::io::{Read, Result};
use std::sync::Arc;

use super::block::{Block, Flow};
use super::bytes::LARGEST;
use super::bytes::is_word;
use super::comment::Comment;
use super::{Dump, Insert, Piece, Problem, Rows, Session, Statement};

/// A longer word is read in parts.
const WORD: usize = 16 * 1024;
/// Enough for any keyword that matters here.
const LONGEST_WORD: usize = 24;

/// The statement that is being read.
struct Open {
    text: Vec<u8>,
    line: u64,
    column: u64,
    block: Block,
    lead: Lead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lead {
    None,
    Insert,
    Use,
    Other,
}

impl<R: Read> Dump<R> {
    /// The next statement, or none at the end of the file. Rows of an INSERT that were not asked for are skipped.
    pub fn piece(&mut self) -> Result<Option<Piece>> {
        if let Some(piece) = self.waiting.pop_front() {
            return Ok(Some(piece));
        }
        if !std::mem::replace(&mut self.begun, true)
            && let Some(problem) = self.beginning()?
        {
            return Ok(Some(problem));
        }
        self.skip_rows()?;
        loop {
            if let Some(piece) = self.statement()? {
                return Ok(Some(piece));
            }
            if self.bytes.peek(0)?.is_none() {
                return Ok(self.waiting.pop_front());
            }
        }
    }

    // Byte order marks and files that are no text.
    fn beginning(&mut self) -> Result<Option<Piece>> {
        let reason = if self.bytes.starts_with(b"\xef\xbb\xbf")? {
            self.bytes.take(3);
            return Ok(None);
        } else if self.bytes.starts_with(b"\xff\xfe")? || self.bytes.starts_with(b"\xfe\xff")? {
            "the file is UTF-16: convert it first, for example with iconv -f utf-16 -t utf-8"
        } else if self.bytes.starts_with(b"\x1f\x8b")? {
            "the file is compressed: unpack it first, with gunzip"
        } else if self.bytes.starts_with(b"BZh")? || self.bytes.starts_with(b"\x28\xb5\x2f\xfd")? {
            "the file is compressed: unpack it first"
        } else {
            return Ok(None);
        };
        loop {
            let length = self.bytes.rest()?.len();
            if length == 0 {
                return Ok(Some(Piece::Problem(Problem { line: 1, reason: reason.into() })));
            }
            self.bytes.take(length);
        }
    }

    fn statement(&mut self) -> Result<Option<Piece>> {
        let mut open = Open { text: vec![], line: 0, column: 0, block: Block::default(), lead: Lead::None };
        loop {
            let Some(byte) = self.bytes.peek(0)? else { return Ok(self.finish(open)) };
            if open.text.is_empty() {
                if byte.is_ascii_whitespace() {
                    self.newline(byte);
                    self.bytes.bump();
                    continue;
                }
                if self.client_command()? {
                    match self.waiting.pop_front() {
                        None => continue,
                        problem => return Ok(problem),
                    }
                }
                open.line = self.bytes.line();
                open.column = self.bytes.column();
            } else if self.fresh && byte.eq_ignore_ascii_case(&b'D') && self.resets_delimiter()? {
                return Ok(self.finish(open));
            }
            if self.takes_delimiter()? {
                return Ok(self.finish(open));
            }
            if open.text.len() > LARGEST {
                self.skip_statement()?;
                let reason = format!("a statement is larger than {LARGEST} bytes: it is left out");
                return Ok(Some(Piece::Problem(Problem { line: open.line, reason })));
            }
            if let Some(piece) = self.token(byte, &mut open)? {
                return Ok(piece);
            }
        }
    }

    // One token into the statement; a piece, or nothing within Some, when the statement ended with it.
    #[allow(clippy::option_option)]
    fn token(&mut self, byte: u8, open: &mut Open) -> Result<Option<Option<Piece>>> {
        let fresh = std::mem::take(&mut self.fresh);
        match byte {
            b'\n' | b'\r' | b' ' | b'\t' | 0x0b | 0x0c => {
                self.fresh = fresh;
                self.newline(byte);
                if byte == b'\n' && open.lead == Lead::Use {
                    return Ok(Some(self.finish(std::mem::replace(open, Open::new()))));
                }
                self.push(byte, open);
            }
            b'\'' | b'"' | b'`' => {
                if !self.quoted(byte, &mut open.text)? {
                    let reason = format!("the statement that begins here is cut off within {} quotes", byte as char);
                    self.waiting.push_back(Piece::Problem(Problem { line: open.line, reason }));
                }
                open.block.quoted();
            }
            b'-' | b'#' | b'/' if self.comment_into(open, fresh)? => {}
            b'*' if self.versioned && self.bytes.peek(1)? == Some(b'/') => {
                self.versioned = false;
                self.bytes.take(2);
                self.fresh = fresh;
                if !open.text.is_empty() {
                    open.text.extend_from_slice(b"  ");
                }
            }
            b';' => {
                self.bytes.bump();
                if open.block.semicolon() {
                    if !open.block.is_program() || self.delimiter == b";" {
                        return Ok(Some(self.finish(std::mem::replace(open, Open::new()))));
                    }
                    open.block.maybe_complete();
                }
                open.text.push(byte);
            }
            b if is_word(b) => return self.word(open, fresh),
            _ => {
                match byte {
                    b'(' => open.block.opens(),
                    b')' => open.block.closes(),
                    b':' if self.bytes.peek(1)? != Some(b'=') => open.block.colon(),
                    _ => open.block.other(),
                }
                self.push(byte, open);
            }
        }
        Ok(None)
    }

    #[allow(clippy::option_option)]
    fn word(&mut self, open: &mut Open, fresh: bool) -> Result<Option<Option<Piece>>> {
        let mut length = 0;
        let own = self.delimiter != b";" && !self.delimiter.iter().all(u8::is_ascii_alphabetic);
        while length < WORD && self.bytes.peek(length)?.is_some_and(is_word) {
            if length > 0 && (own && self.delimiter_at(length)? || self.ends_line(b"$$", length)?) {
                break;
            }
            length += 1;
        }
        let mut upper = [0; LONGEST_WORD];
        let known = length.min(LONGEST_WORD);
        upper[..known].copy_from_slice(&self.bytes.rest()?[..known]);
        upper.make_ascii_uppercase();
        let word = if length > LONGEST_WORD { &b"?"[..] } else { &upper[..known] };
        let dotted = matches!(open.text.last(), Some(b'.' | b'@'));
        if open.block.word(word, dotted, fresh) == Flow::Begins {
            self.fresh = fresh;
            return Ok(Some(self.finish(std::mem::replace(open, Open::new()))));
        }
        if open.lead == Lead::None {
            open.lead = match word {
                b"INSERT" | b"REPLACE" => Lead::Insert,
                b"USE" => Lead::Use,
                _ => Lead::Other,
            };
        } else if open.lead == Lead::Insert && open.block.parens() == 0 && !dotted {
            match word {
                b"VALUES" | b"VALUE" => {
                    self.bytes.take(length);
                    return self.rows_follow(open).map(Some);
                }
                b"SELECT" | b"SET" | b"WITH" | b"TABLE" => open.lead = Lead::Other,
                _ => {}
            }
        }
        open.text.extend_from_slice(&self.bytes.rest()?[..length]);
        self.bytes.take(length);
        Ok(None)
    }

    fn rows_follow(&mut self, open: &mut Open) -> Result<Option<Piece>> {
        self.rows = Rows { open: true, seen: 0 };
        let head = self.decode(&open.text);
        // where each row has an INSERT of its own, their heads are one text a million times
        let known = self.last_insert.take().filter(|(text, insert)| *text == head && insert.session == self.session);
        let insert = match known {
            Some((_, insert)) => Some(Insert { line: open.line, ..insert }),
            None => Insert::parse(&head, open.line, &self.session),
        };
        if let Some(insert) = insert {
            self.last_insert = Some((head, insert.clone()));
            return Ok(Some(Piece::Insert(insert)));
        }
        self.skip_statement()?;
        let reason = format!("this INSERT is not understood and left out: {}", head.trim());
        Ok(Some(Piece::Problem(Problem { line: open.line, reason })))
    }

    fn push(&mut self, byte: u8, open: &mut Open) {
        open.text.push(byte);
        self.bytes.bump();
    }

    pub(super) fn newline(&mut self, byte: u8) {
        if byte == b'\n' {
            self.fresh = true;
        }
    }

    /// A quoted name or string as it is written; false when the file ends within it.
    pub(super) fn quoted(&mut self, quote: u8, into: &mut Vec<u8>) -> Result<bool> {
        into.push(quote);
        self.bytes.bump();
        loop {
            let rest = self.bytes.rest()?;
            if rest.is_empty() {
                return Ok(false);
            }
            let plain = rest.iter().position(|b| matches!(*b, b'\\' | b'\n') || *b == quote).unwrap_or(rest.len());
            // the caller leaves out what is larger; its end has to be found all the same
            if into.len() <= LARGEST {
                into.extend_from_slice(&rest[..plain]);
            }
            self.bytes.take(plain);
            let Some(byte) = self.bytes.peek(0)? else { return Ok(false) };
            into.push(byte);
            self.bytes.bump();
            // a doubled quote opens at once what it has closed
            if byte == quote {
                return Ok(true);
            }
            if byte == b'\\'
                && quote != b'`'
                && !self.no_escapes
                && let Some(escaped) = self.bytes.peek(0)?
            {
                into.push(escaped);
                self.bytes.bump();
            }
        }
    }

    // A comment that stays in the text, or the opening of one that runs.
    fn comment_into(&mut self, open: &mut Open, fresh: bool) -> Result<bool> {
        if let Some(length) = self.versioned_opens()? {
            self.versioned = true;
            self.bytes.take(length);
            self.fresh = fresh;
            if !open.text.is_empty() {
                open.text.resize(open.text.len() + length, b' ');
            }
            return Ok(true);
        }
        let Some(kind) = self.comment_opens()? else { return Ok(false) };
        let keep = !open.text.is_empty();
        self.fresh = fresh && kind == Comment::Block;
        let mut head = vec![];
        self.through_comment(kind, |byte| {
            if keep && open.text.len() <= LARGEST {
                open.text.push(byte);
            } else if head.len() < 200 {
                head.push(byte);
            }
        })?;
        if !keep {
            self.delimiter_in_comment(&head);
        }
        Ok(true)
    }

    fn decode(&self, bytes: &[u8]) -> String {
        self.charset.decode(bytes).unwrap_or_else(|| String::from_utf8_lossy(bytes)).into_owned()
    }

    // A statement from what was read, or nothing when that is empty.
    fn finish(&mut self, open: Open) -> Option<Piece> {
        let text = self.decode(&open.text);
        // Spring's separator is ^;
        let text = text.trim_end().trim_end_matches('^').trim_end();
        if text.is_empty() {
            return None;
        }
        let statement =
            Statement { text: text.into(), line: open.line, column: open.column, session: Arc::clone(&self.session) };
        let mut words = text.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        if first.eq_ignore_ascii_case("SET") {
            let mut session = Session::clone(&self.session);
            if self.saved.follow(text, &mut session) {
                self.settle(session);
            }
        } else if first.eq_ignore_ascii_case("USE")
            && let Some(name) = words.next()
        {
            let name = name.trim_matches(['`', '"', ';']).to_owned();
            self.settle(Session { database: Some(name), ..Session::clone(&self.session) });
        }
        Some(Piece::Statement(statement))
    }
}

impl Open {
    fn new() -> Self {
        Self { text: vec![], line: 0, column: 0, block: Block::default(), lead: Lead::None }
    }
}
