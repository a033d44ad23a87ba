//! Cutting a file into statements, whatever state it is in: what psql alone understands is passed over, and after a broken
//! statement reading goes on at the next one that begins a line.

use super::psql::{Command, Psql, takes_rows};
use super::strings::{comment_end, dollar_end, is_plain, is_word, string_end};

/// A statement with its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece<'t> {
    /// Where it begins.
    pub start: usize,
    /// Behind it, where the next would begin if no rows followed.
    pub end: usize,
    /// Without its semicolon.
    pub text: &'t str,
    /// Why it has no end.
    pub open: Option<&'static str>,
    /// What psql is told with it.
    pub psql: Psql,
}

/// Why a statement has no end whose quote has none.
pub const OPEN_QUOTE: &str = "a quote without end";

/// Words at the beginning of a line with which reading goes on after something broken.
const STARTS: [&str; 4] = ["create ", "alter ", "comment ", "drop "];

/// Comments of migration tools after which a file takes back what it did.
const DOWN: [&str; 6] =
    ["-- +goose down", "-- +migrate down", "-- migrate:down", "-- +micrate down", "--//@undo", "-- //@undo"];

/// Bytes of the longest word that is asked for.
const LONGEST: usize = 10;

/// Words that end a statement on a line of their own: SQL Server's and Oracle's scripts have them.
const SEPARATORS: [&str; 2] = ["go", "/"];

/// Reads statements one by one.
pub struct Statements<'t> {
    text: &'t str,
    at: usize,
    /// Nothing of what follows counts.
    stopped: bool,
    /// The text ended within the rows of a COPY.
    in_rows: bool,
    /// Commands of psql are given too.
    commands: bool,
    /// Whether a backslash in a plain string escapes what follows it.
    escapes: bool,
}

impl<'t> Statements<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, at: 0, stopped: false, in_rows: false, commands: false, escapes: false }
    }

    /// With the commands of psql that matter to what is read.
    pub fn and_commands(text: &'t str) -> Self {
        Self { commands: true, ..Self::new(text) }
    }

    /// With `standard_conforming_strings` off.
    pub fn escapes(&mut self, escapes: bool) {
        self.escapes = escapes;
    }

    /// Behind a statement that was not run: no rows follow it.
    pub fn without_rows(&mut self, piece: &Piece<'_>) {
        self.at = piece.end;
        self.in_rows = false;
    }

    /// Where the next statement is looked for.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Whether a file was ended by a comment of a migration tool.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Whether the rows of a COPY go on behind the text.
    pub fn in_rows(&self) -> bool {
        self.in_rows
    }

    /// Goes on inside a statement that turned out to be broken, where another seems to begin in it.
    pub fn resume_in(&mut self, piece: &Piece<'_>) {
        let (start, end) = (piece.start, piece.start + piece.text.len());
        let first = self.text[start..].find('\n').map_or(end, |n| start + n + 1);
        let mut at = first;
        while at < end {
            let line = self.text[at..].lines().next().unwrap_or_default();
            if STARTS.iter().any(|s| line.get(..s.len()).is_some_and(|l| l.eq_ignore_ascii_case(s))) {
                self.at = at;
                return;
            }
            at += line.len() + 1;
        }
    }

    /// Behind a word that stands alone on its line and separates statements.
    fn separator(&self, at: usize) -> Option<usize> {
        let begin = self.text[..at].rfind('\n').map_or(0, |n| n + 1);
        if !self.text[begin..at].trim().is_empty() {
            return None;
        }
        let end = self.line_end(at);
        let line = self.text[at..end].trim();
        SEPARATORS.iter().any(|s| line.eq_ignore_ascii_case(s)).then_some(end)
    }

    /// Whether the next line that is not empty begins a statement, or nothing follows.
    fn begins_another(&self, at: usize) -> bool {
        let rest = self.text[at..].trim_start();
        let begins = |word: &str| rest.get(..word.len()).is_some_and(|r| r.eq_ignore_ascii_case(word));
        let line = self.text[at..].find('\n').is_some_and(|n| self.text[at..at + n].trim().is_empty());
        rest.is_empty() || line && STARTS.iter().any(|s| begins(s))
    }

    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |n| at + n + 1)
    }

    /// Behind the rows that follow COPY .. FROM stdin.
    fn after_rows(&mut self, mut at: usize) -> usize {
        while at < self.text.len() {
            let end = self.line_end(at);
            if self.text[at..end].trim_end() == "\\." {
                return end;
            }
            at = end;
        }
        self.in_rows = true;
        at
    }
}

impl<'t> Iterator for Statements<'t> {
    type Item = Piece<'t>;

    fn next(&mut self) -> Option<Piece<'t>> {
        let bytes = self.text.as_bytes();
        let (mut at, mut start) = (self.at, None);
        let (mut depth, mut atomic, mut word, mut before) = (0_i32, 0_i32, String::new(), String::new());
        let text = self.text;
        let piece = |start: usize, end: usize, open| {
            let text = text[start..end].trim_end();
            Piece { start, end, text, open, psql: Psql::No }
        };
        let mut program = Program::default();
        while at < bytes.len() {
            let rest = &self.text[at..];
            let here = bytes[at];
            if depth <= 0
                && atomic <= 0
                && matches!(here, b'g' | b'G' | b'/')
                && let Some(end) = self.separator(at)
            {
                self.at = end;
                if let Some(start) = start {
                    return Some(Piece { end, ..piece(start, at, None) });
                }
                at = end;
                continue;
            }
            if is_word(here) {
                let length = rest.bytes().position(|b| !is_word(b)).unwrap_or(rest.len());
                // those that are asked for are short
                word = if length <= LONGEST { rest[..length].to_lowercase() } else { "a longer one".into() };
                start.get_or_insert(at);
                program.word(&word);
                at += length;
                continue;
            }
            let mut open = None;
            let mut next = at + rest.chars().next().map_or(1, char::len_utf8);
            match here {
                b'-' if rest.starts_with("--") => {
                    // the server ends it at a carriage return too
                    next = self.text[at..].find(['\n', '\r']).map_or(self.text.len(), |n| at + n + 1);
                    let comment = rest[..next - at].trim().to_ascii_lowercase();
                    if start.is_none() && DOWN.iter().any(|d| comment.starts_with(d)) {
                        self.stopped = true;
                        break;
                    }
                    at = next;
                    continue;
                }
                b'/' if rest.starts_with("/*") => match comment_end(rest) {
                    Some(length) => {
                        at += length;
                        continue;
                    }
                    None => open = Some("a comment without end"),
                },
                b'\\' => {
                    let command = Command::at(text, at);
                    if let Some(start) = start {
                        // \g and its like end the statement before it
                        self.at = if command.is_read_again() { at } else { command.end };
                        return Some(Piece { psql: command.ends(), end: self.at, ..piece(start, at, None) });
                    }
                    self.at = command.end;
                    if command.takes_rows() {
                        self.at = self.after_rows(command.end);
                    }
                    if self.commands && command.matters() {
                        return Some(Piece { psql: Psql::Command, ..piece(at, command.end, None) });
                    }
                    at = self.at;
                    continue;
                }
                b'\'' | b'"' => match string_end(rest, word == "e" || self.escapes && is_plain(&word)) {
                    Some(length) => next = at + length,
                    None => open = Some(OPEN_QUOTE),
                },
                b'$' => match dollar_end(rest) {
                    Some(Some(length)) if word.is_empty() => {
                        next = at + length;
                        program.quoted();
                    }
                    Some(None) if word.is_empty() => open = Some("a dollar quote without end"),
                    _ => {}
                },
                b'(' => depth += 1,
                b')' => depth -= 1,
                // another server's program: the semicolons within it end none of ours
                b';' if depth <= 0 && atomic <= 0 && program.goes_on() && !self.begins_another(next) => {}
                b';' if depth <= 0 && atomic <= 0 => {
                    self.at = next;
                    if let Some(start) = start {
                        let found = Piece { end: next, ..piece(start, at, None) };
                        let rows = takes_rows(found.text).then(|| self.line_end(next));
                        if let Some(rows) = rows {
                            self.at = self.after_rows(rows);
                        }
                        return Some(found);
                    }
                    at = next;
                    continue;
                }
                _ => {}
            }
            // BEGIN ATOMIC .. END holds semicolons
            match word.as_str() {
                "atomic" if before == "begin" => atomic = 1,
                "case" if atomic > 0 => atomic += 1,
                "end" if atomic > 0 => atomic -= 1,
                _ => {}
            }
            if !word.is_empty() {
                before = std::mem::take(&mut word);
            }
            // `end;`: the semicolon was looked at before its word was
            if here == b';' && depth <= 0 && atomic <= 0 && (!program.goes_on() || self.begins_another(next)) {
                continue;
            }
            if !here.is_ascii_whitespace() {
                start.get_or_insert(at);
            }
            if let (Some(why), Some(start)) = (open, start) {
                self.at = bytes.len();
                let broken = piece(start, bytes.len(), Some(why));
                self.resume_in(&broken);
                return Some(broken);
            }
            at = next;
        }
        self.at = bytes.len();
        start.map(|start| piece(start, bytes.len().min(at), None))
    }
}

/// Whether a statement is a program whose body is not quoted, as those of Oracle and MySQL are.
#[derive(Default)]
struct Program {
    words: usize,
    creates: bool,
    is_program: bool,
    begun: bool,
    ours: bool,
}

impl Program {
    fn word(&mut self, word: &str) {
        self.words += 1;
        match word {
            "create" if self.words == 1 => self.creates = true,
            "trigger" | "procedure" | "function" if self.creates && self.words <= 6 => self.is_program = true,
            "package" if self.creates && self.words <= 6 => (self.is_program, self.begun) = (true, true),
            "atomic" | "execute" if !self.begun => self.ours = true,
            "atomic" => self.ours = true,
            "begin" | "declare" if self.is_program => self.begun = true,
            _ => {}
        }
    }

    fn quoted(&mut self) {
        self.ours = true;
    }

    fn goes_on(&self) -> bool {
        self.is_program && self.begun && !self.ours
    }
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
