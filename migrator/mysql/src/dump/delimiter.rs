//! Delimiters and the other commands of the `mysql` client.

use std::io::{Read, Result};

use super::{ANOTHER_FILE, Dump, Piece, Problem};

impl<R: Read> Dump<R> {
    /// Takes `DELIMITER x`, `\d x`, `source x` and the like, at the beginning of a statement.
    pub(super) fn client_command(&mut self) -> Result<bool> {
        let line = self.bytes.line();
        for name in [&b"delimiter"[..], b"\\d", b"source", b"\\."] {
            if !self.command(name)? {
                continue;
            }
            self.bytes.take(name.len());
            let rest = self.rest_of_line()?;
            let argument = rest.trim();
            if name == b"source" || name == b"\\." {
                let reason = format!("{argument}{ANOTHER_FILE}");
                self.waiting.push_back(Piece::Problem(Problem { line, reason }));
                return Ok(true);
            }
            let quote = argument.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'));
            let delimiter = match quote {
                Some(quote) => argument[1..].split(quote).next().unwrap_or_default(),
                None => argument.split_ascii_whitespace().next().unwrap_or_default(),
            };
            if delimiter.is_empty() || delimiter.contains('\\') {
                let reason = format!("DELIMITER needs a delimiter, not \"{argument}\": it is ignored");
                self.waiting.push_back(Piece::Problem(Problem { line, reason }));
            } else {
                self.delimiter = delimiter.as_bytes().to_vec();
            }
            self.versioned = false;
            return Ok(true);
        }
        Ok(false)
    }

    /// A comment may set the delimiter too: `/* DELIMITER GO */`, `-- @DELIMITER %%`, Liquibase's
    /// `--changeset a:1 endDelimiter:GO`. A block of Liquibase that does not split ends where the file or the next begins.
    pub(super) fn delimiter_in_comment(&mut self, comment: &[u8]) {
        let comment = String::from_utf8_lossy(comment);
        let inner = comment.trim_start_matches(['-', '/', '*', '#', ' ', '@']).trim_end_matches(['*', '/', ' ']);
        let mut words = inner.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        let given = if first.eq_ignore_ascii_case("delimiter") && inner.split_ascii_whitespace().count() == 2 {
            words.next()
        } else if first.eq_ignore_ascii_case("changeset") || first.eq_ignore_ascii_case("liquibase") {
            let key = "enddelimiter:";
            let own = inner.split_ascii_whitespace().find(|w| w.to_ascii_lowercase().starts_with(key));
            own.map(|w| w[key.len()..].trim_matches('"').trim_start_matches("\\n").trim_end_matches("\\n"))
                .or(Some(";"))
        } else {
            None
        };
        if let Some(given) = given.filter(|g| !g.is_empty() && !g.contains('\\')) {
            self.delimiter = given.as_bytes().to_vec();
        }
    }

    /// Whether a line `DELIMITER $$` follows, within a statement that should have ended before it. A column may be called
    /// so: only a delimiter that is no name counts.
    pub(super) fn resets_delimiter(&mut self) -> Result<bool> {
        if !self.command(b"delimiter")? {
            return Ok(false);
        }
        let mut ahead = "delimiter".len();
        let mut signs = 0;
        loop {
            match self.bytes.peek(ahead)? {
                None | Some(b'\n' | b'\r') => return Ok(signs > 0),
                Some(b' ' | b'\t') => {}
                Some(b) if b.is_ascii_punctuation() && !matches!(b, b',' | b'(' | b')' | b'`' | b'\'' | b'"') => {
                    signs += 1
                }
                Some(_) => return Ok(false),
            }
            ahead += 1;
        }
    }

    // A word of the client, followed by a blank.
    fn command(&mut self, name: &[u8]) -> Result<bool> {
        for (i, expected) in name.iter().enumerate() {
            if !self.bytes.peek(i)?.is_some_and(|b| b.eq_ignore_ascii_case(expected)) {
                return Ok(false);
            }
        }
        Ok(matches!(self.bytes.peek(name.len())?, None | Some(b' ' | b'\t' | b'\n' | b'\r')))
    }

    fn rest_of_line(&mut self) -> Result<String> {
        let mut line = vec![];
        while let Some(byte) = self.bytes.peek(0)? {
            if byte == b'\n' {
                break;
            }
            line.push(byte);
            self.bytes.bump();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Whether the delimiter is `ahead` of the next byte.
    pub(super) fn delimiter_at(&mut self, ahead: usize) -> Result<bool> {
        for i in 0..self.delimiter.len() {
            if self.bytes.peek(ahead + i)? != Some(self.delimiter[i]) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the delimiter if it is next: the one that was set (`;` is left to the caller, which counts blocks), or `$$` or
    /// `//` at the end of a line, which nothing else can be.
    pub(super) fn takes_delimiter(&mut self) -> Result<bool> {
        // a word ends a statement on a line of its own alone: SQL Server's and Oracle's habit
        if self.fresh {
            let word = self.delimiter.iter().all(u8::is_ascii_alphabetic).then(|| self.delimiter.clone());
            for alone in [&b"GO"[..], b"/"].into_iter().map(<[u8]>::to_vec).chain(word) {
                if self.ends_line(&alone, 0)? {
                    self.bytes.take(alone.len());
                    return Ok(true);
                }
            }
        }
        let sign = !self.delimiter.iter().all(u8::is_ascii_alphabetic);
        if self.delimiter != b";" && sign && self.delimiter_at(0)? {
            self.bytes.take(self.delimiter.len());
            return Ok(true);
        }
        for common in [b"$$", b"//"] {
            if self.ends_line(common, 0)? {
                self.bytes.take(common.len());
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether these bytes are `ahead` and nothing follows them on the line.
    pub(super) fn ends_line(&mut self, text: &[u8], mut ahead: usize) -> Result<bool> {
        for expected in text {
            if !self.bytes.peek(ahead)?.is_some_and(|b| b.eq_ignore_ascii_case(expected)) {
                return Ok(false);
            }
            ahead += 1;
        }
        loop {
            match self.bytes.peek(ahead)? {
                None | Some(b'\n' | b'\r') => return Ok(true),
                Some(b' ' | b'\t') => ahead += 1,
                Some(_) => return Ok(false),
            }
        }
    }
}
