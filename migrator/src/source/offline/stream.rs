//! A file of any size, statement by statement, in memory that does not grow with it: the text that is held ends at a
//! statement's end or goes on to be read, rows of COPY are passed over, and a statement that is too long is skipped.

use std::borrow::Cow;
use std::io::{self, Read};

use super::psql::Psql;
use super::skip::Skip;
use super::split::Statements;
use super::strings::with_escapes;
use domain_events_sql::limits;

/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;
/// Bytes of broken statements in which another beginning is looked for: each of them is read again from there.
const AGAIN: usize = 32 * 1024 * 1024;

/// Why a statement is not read within which psql is told something.
const WITHIN: &str = "a command of psql stands within it";

/// What is wrong with a statement, or what is to be done with one.
pub enum Found<'t> {
    /// A whole statement.
    Statement(&'t str),
    /// A whole one that is too long to be read, and why.
    TooLong(&'t str, String),
    /// One that has no end, and what may stand behind it is not read.
    Broken(&'t str, String),
    /// A command of psql.
    Command(&'t str),
    /// A query whose result is run as statements.
    Runs(&'t str),
}

/// A file that is being read.
pub struct Stream<R> {
    reader: R,
    ended: bool,
    /// Bytes that are no whole character, or a carriage return whose line feed may follow.
    pending: Vec<u8>,
    text: String,
    /// Line of the text's first character.
    line: usize,
    again: usize,
    /// Whether a backslash in a plain string escapes what follows it.
    escapes: bool,
}

impl<R: Read> Stream<R> {
    pub fn new(reader: R, escapes: bool) -> Self {
        Self { reader, ended: false, pending: vec![], text: String::new(), line: 1, again: 0, escapes }
    }

    /// Gives every statement, with its line, to `take`, which says what became of it, and whether a backslash in a plain string
    /// escapes what follows it from there on.
    pub fn each(&mut self, mut take: impl FnMut(Found<'_>, usize) -> (Taken, bool)) -> io::Result<()> {
        self.more(4)?;
        if self.text.starts_with('\u{feff}') {
            self.text.drain(..'\u{feff}'.len_utf8());
        }
        loop {
            let size = self.text.len();
            // twice as much each time: what goes on is looked at from its beginning again
            self.more(size + size.max(CHUNK))?;
            let mut statements = Statements::and_commands(&self.text);
            statements.escapes(self.escapes);
            let (mut counted, mut line) = (0, self.line);
            let mut kept = None;
            loop {
                let before = statements.at();
                let Some(piece) = statements.next() else {
                    // a comment that goes on is kept from its beginning
                    let whole = self.ended || statements.stopped() || self.text.ends_with('\n');
                    kept = (!whole).then_some(before);
                    break;
                };
                let goes_on = statements.at() >= self.text.len() && !statements.in_rows() || piece.open.is_some();
                if goes_on && !self.ended {
                    kept = Some(piece.start);
                    break;
                }
                line += newlines(&self.text[counted..piece.start]);
                counted = piece.start;
                let rewritten = if self.escapes && piece.psql != Psql::Command && piece.text.contains('\\') {
                    Cow::Owned(with_escapes(piece.text))
                } else {
                    Cow::Borrowed(piece.text)
                };
                let found = match piece.open {
                    None if piece.psql == Psql::Dropped => continue,
                    None if piece.psql == Psql::Within => Found::Broken(piece.text, WITHIN.into()),
                    None if piece.psql == Psql::Command => Found::Command(piece.text),
                    None if piece.psql == Psql::Runs => Found::Runs(piece.text),
                    Some(open) => Found::Broken(piece.text, open.to_owned()),
                    None if piece.text.len() > limits::STATEMENT => Found::TooLong(piece.text, too_long("")),
                    None => Found::Statement(&rewritten),
                };
                let (taken, escapes) = take(found, line);
                self.escapes = escapes;
                statements.escapes(escapes);
                match taken {
                    Taken::Read => {}
                    Taken::NotRun => statements.without_rows(&piece),
                    Taken::Unread if piece.open.is_some() => {}
                    Taken::Unread => {
                        self.again += piece.text.len();
                        if self.again < AGAIN {
                            statements.resume_in(&piece);
                        }
                    }
                    Taken::Enough => return Ok(()),
                }
                // what has no end was looked through for another beginning
                if piece.open.is_some() {
                    self.again += piece.text.len();
                    if self.again >= AGAIN {
                        break;
                    }
                }
            }
            let (in_rows, stopped) = (statements.in_rows(), statements.stopped());
            let from = kept.unwrap_or(self.text.len());
            line += newlines(&self.text[counted..from]);
            self.line = line;
            if in_rows && !self.ended {
                self.text = begun_line(self.text.rsplit('\n').next().unwrap_or_default());
                self.skip_rows()?;
                continue;
            }
            self.text.drain(..from);
            if stopped || self.ended {
                return Ok(());
            } else if self.text.len() > limits::STATEMENT {
                let head: String = self.text.chars().take(400).collect();
                let line = self.line;
                let whole = self.skip_statement()?;
                let why = too_long(if whole { "" } else { ", which does not end: nothing behind it is read" });
                let found = if whole { Found::TooLong(&head, why) } else { Found::Broken(&head, why) };
                if matches!(take(found, line).0, Taken::Enough) {
                    return Ok(());
                }
            }
        }
    }

    /// Reads until so many bytes are held, or the file ends.
    fn more(&mut self, wanted: usize) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        while !self.ended && self.text.len() < wanted {
            match self.reader.read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(read) => self.pending.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            self.decode();
        }
        Ok(())
    }

    /// Old dumps come in other encodings; what is asked of them is ASCII.
    fn decode(&mut self) {
        let mut bytes = std::mem::take(&mut self.pending);
        let held = if bytes.last() == Some(&b'\r') && !self.ended { bytes.pop() } else { None };
        let mut rest = bytes.as_slice();
        while let Err(error) = std::str::from_utf8(rest) {
            let (valid, after) = rest.split_at(error.valid_up_to());
            push(&mut self.text, &String::from_utf8_lossy(valid));
            match error.error_len() {
                Some(length) => {
                    self.text.push('\u{fffd}');
                    rest = &after[length..];
                }
                None if self.ended => {
                    self.text.push('\u{fffd}');
                    rest = &[];
                }
                None => {
                    self.pending.extend_from_slice(after);
                    rest = &[];
                }
            }
        }
        push(&mut self.text, &String::from_utf8_lossy(rest));
        self.pending.extend(held);
    }

    /// Takes the rows that go on; the text is what was read of the last line.
    fn skip_rows(&mut self) -> io::Result<()> {
        loop {
            let held = self.text.len();
            self.more(held + CHUNK)?;
            let mut at = 0;
            while let Some(end) = self.text[at..].find('\n').map(|n| at + n + 1) {
                self.line += 1;
                let last = self.text[at..end].trim_end() == "\\.";
                at = end;
                if last {
                    self.text.drain(..at);
                    return Ok(());
                }
            }
            if self.ended {
                self.text.clear();
                return Ok(());
            }
            self.text = begun_line(&self.text[at..]);
        }
    }

    /// Takes the statement that the text begins with, without holding it; whether it ends.
    fn skip_statement(&mut self) -> io::Result<bool> {
        let mut skip = Skip::new(self.escapes);
        loop {
            let (at, ends) = skip.over(&self.text, self.ended);
            let at = self.text.floor_char_boundary(at);
            self.line += newlines(&self.text[..at]);
            self.text.drain(..at);
            if ends {
                return Ok(true);
            }
            if self.ended {
                self.text.clear();
                return Ok(false);
            }
            let held = self.text.len();
            self.more(held + CHUNK)?;
        }
    }
}

/// What was read of a row, as far as it may be the line that ends the rows.
fn begun_line(text: &str) -> String {
    if text.len() > 16 { "x".into() } else { text.to_owned() }
}

fn too_long(more: &str) -> String {
    format!("a statement of more than {} bytes{more}", limits::STATEMENT)
}

/// What was done with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was read.
    Read,
    /// It could not be read: another may begin in it.
    Unread,
    /// It is not run.
    NotRun,
    /// Nothing more is wanted.
    Enough,
}

fn push(text: &mut String, part: &str) {
    if part.contains("\r\n") { text.push_str(&part.replace("\r\n", "\n")) } else { text.push_str(part) }
}

fn newlines(text: &str) -> usize {
    text.matches('\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives a few bytes at a time.
    struct Drops<'t>(&'t [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn read(text: &[u8], at_once: usize) -> Vec<(String, usize)> {
        let mut found = vec![];
        let take = |one: Found<'_>, line| {
            found.push(match one {
                Found::Statement(text) | Found::Command(text) | Found::Runs(text) => (text.to_owned(), line),
                Found::TooLong(_, why) | Found::Broken(_, why) => (why, line),
            });
            (Taken::Read, false)
        };
        Stream::new(Drops(text, at_once), false).each(take).expect("no error");
        found
    }

    #[test]
    fn a_stream_is_cut_as_a_text_is() {
        let text = "\u{feff}select 1;\r\n-- c ;\nselect 'é;', $x$ ; $x$;\ncopy t from stdin;\n1;'\n2\n\\.\nselect /* ; */ 3;\n\
                    create function f() returns int begin atomic select 1; end;\nselect 'open\ncreate table t (a int);\n";
        let whole = read(text.as_bytes(), usize::MAX);
        assert_eq!(
            whole.iter().map(|(t, l)| (t.as_str(), *l)).collect::<Vec<_>>(),
            [
                ("select 1", 1),
                ("select 'é;', $x$ ; $x$", 3),
                ("copy t from stdin", 4),
                ("select /* ; */ 3", 8),
                ("create function f() returns int begin atomic select 1; end", 9),
                ("a quote without end", 10),
                ("create table t (a int)", 11),
            ]
        );
        for at_once in [1, 2, 3, 7, 64] {
            assert_eq!(read(text.as_bytes(), at_once), whole, "{at_once}");
        }
    }

    #[test]
    fn bytes_of_another_encoding_cost_nothing_else() {
        for at_once in [1, 2, 5, 1000] {
            let found = read(b"select 'caf\xe9';\xff\nselect 2;\n\xe2\x82", at_once);
            assert_eq!(found[0].0, "select 'caf\u{fffd}'");
            assert!(found[1].0.ends_with("select 2"));
        }
    }

    #[test]
    fn a_statement_that_is_too_long_is_skipped_whole() {
        for filling in
            ["x".repeat(limits::STATEMENT), "it''s; ".repeat(limits::STATEMENT / 6), "\n;-- \"".repeat(3_000_000)]
        {
            for (open, close) in [("'", "'"), ("$q$", "$q$"), ("E'", "\\''"), ("/* /* */ ", "*/"), ("(\"", "\")")] {
                if filling.contains('"') && close.contains('"') {
                    continue;
                }
                let text = format!("select 1;\nselect {open}{filling}{close};\nselect 2;\n");
                let found = read(text.as_bytes(), usize::MAX);
                let told: Vec<_> = found.iter().map(|(t, _)| t.as_str()).collect();
                assert_eq!(told.len(), 3, "{open} {told:.200?}");
                assert!(told[1].contains("more than") && !told[1].contains("does not end"), "{open} {:.100}", told[1]);
                assert_eq!((told[0], told[2]), ("select 1", "select 2"), "{open}");
                assert_eq!(found[2].1, text.matches('\n').count(), "{open}");
            }
        }
        let open = format!("select 1;\nselect '{}", "x;".repeat(limits::STATEMENT));
        let found = read(open.as_bytes(), usize::MAX);
        assert!(found[1].0.contains("does not end"), "{:.100}", found[1].0);
    }

    #[test]
    fn rows_of_any_length_are_passed_over() {
        for row in ["x".repeat(3_000_000), "x\n".repeat(400_000), "\\\\.\n".repeat(200_000)] {
            let text = format!("copy t from stdin;\n{row}\n\\.\nselect 1;\n");
            let found = read(text.as_bytes(), usize::MAX);
            assert_eq!(found.iter().map(|(t, _)| t.as_str()).collect::<Vec<_>>(), ["copy t from stdin", "select 1"]);
            assert_eq!(found[1].1, text.matches('\n').count());
        }
    }
}
