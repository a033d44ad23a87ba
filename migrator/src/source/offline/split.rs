//! Cutting a file into statements, whatever state it is in: what psql alone understands is passed over, and after a broken
//! statement reading goes on at the next one that begins a line.

/// A statement with its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece<'t> {
    /// Where it begins.
    pub start: usize,
    /// Without its semicolon.
    pub text: &'t str,
    /// Why it has no end.
    pub open: Option<&'static str>,
}

/// Words at the beginning of a line with which reading goes on after something broken.
const STARTS: [&str; 4] = ["create ", "alter ", "comment ", "drop "];

/// Comments of migration tools after which a file takes back what it did.
const DOWN: [&str; 6] =
    ["-- +goose down", "-- +migrate down", "-- migrate:down", "-- +micrate down", "--//@undo", "-- //@undo"];

/// Bytes of the longest word that is asked for.
const LONGEST: usize = 8;

/// Reads statements one by one.
pub struct Statements<'t> {
    text: &'t str,
    at: usize,
    /// Nothing of what follows counts.
    stopped: bool,
    /// The text ended within the rows of a COPY.
    in_rows: bool,
}

impl<'t> Statements<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, at: 0, stopped: false, in_rows: false }
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

/// Whether a statement is followed by rows.
fn takes_rows(statement: &str) -> bool {
    let mut words = statement.split_whitespace();
    // a query that is copied has no rows behind it
    words.next().is_some_and(|w| w.eq_ignore_ascii_case("copy"))
        && statement.len() < 64 * 1024
        && statement.to_ascii_lowercase().replace('\n', " ").contains("from stdin")
}

impl<'t> Iterator for Statements<'t> {
    type Item = Piece<'t>;

    fn next(&mut self) -> Option<Piece<'t>> {
        let bytes = self.text.as_bytes();
        let (mut at, mut start) = (self.at, None);
        let (mut depth, mut atomic, mut word, mut before) = (0_i32, 0_i32, String::new(), String::new());
        let text = self.text;
        let piece = |start: usize, end: usize, open| Piece { start, text: text[start..end].trim_end(), open };
        while at < bytes.len() {
            let rest = &self.text[at..];
            let here = bytes[at];
            if is_word(here) {
                let length = rest.bytes().position(|b| !is_word(b)).unwrap_or(rest.len());
                // those that are asked for are short
                word = if length <= LONGEST { rest[..length].to_lowercase() } else { "a longer one".into() };
                start.get_or_insert(at);
                at += length;
                continue;
            }
            let mut open = None;
            let mut next = at + rest.chars().next().map_or(1, char::len_utf8);
            match here {
                b'-' if rest.starts_with("--") => {
                    next = self.line_end(at);
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
                    // a command of psql; \gexec and its like end the statement before it
                    let end = self.line_end(at);
                    if let Some(start) = start {
                        self.at = end;
                        return Some(piece(start, at, None));
                    }
                    at = end;
                    continue;
                }
                b'\'' | b'"' => match string_end(rest, word == "e") {
                    Some(length) => next = at + length,
                    None => open = Some("a quote without end"),
                },
                b'$' => match dollar_end(rest) {
                    Some(Some(length)) if word.is_empty() => next = at + length,
                    Some(None) if word.is_empty() => open = Some("a dollar quote without end"),
                    _ => {}
                },
                b'(' => depth += 1,
                b')' => depth -= 1,
                b';' if depth <= 0 && atomic <= 0 => {
                    self.at = next;
                    if let Some(start) = start {
                        let found = piece(start, at, None);
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
            if here == b';' && depth <= 0 && atomic <= 0 {
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

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}

fn comment_end(rest: &str) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    while at + 1 < rest.len() {
        match &rest.as_bytes()[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

fn string_end(rest: &str, escapes: bool) -> Option<usize> {
    let bytes = rest.as_bytes();
    let quote = bytes[0];
    let mut at = 1;
    let escapes = escapes && quote == b'\'';
    while at < bytes.len() {
        if !escapes {
            at += rest[at..].find(char::from(quote))?;
        }
        if escapes && bytes[at] == b'\\' {
            at += 2;
        } else if bytes[at] == quote {
            if bytes.get(at + 1) != Some(&quote) {
                return Some(at + 1);
            }
            at += 2;
        } else {
            at += 1;
        }
    }
    None
}

/// None if no dollar quote begins here; its length, or none if it has no end.
fn dollar_end(rest: &str) -> Option<Option<usize>> {
    let close = rest[1..].find('$')? + 1;
    let tag = &rest[..=close];
    let name = &tag[1..close];
    let fits = name.chars().all(|c| c == '_' || c.is_alphanumeric()) && !name.starts_with(|c: char| c.is_ascii_digit());
    fits.then(|| rest[tag.len()..].find(tag).map(|n| n + 2 * tag.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        Statements::new(text).map(|p| p.text).collect()
    }

    #[test]
    fn statements_end_where_the_server_would_end_them() {
        let text = "\\restrict x\ncreate table a (b text default ';'); -- c;\n/* ; /* ; */ */ select $a$ ; $b$ $a$, E'\\';', \"x;\";\
                    create function f() returns int begin atomic select case when true then 1 end; select 2; end;\nselect $1;";
        assert_eq!(
            texts(text),
            [
                "create table a (b text default ';')",
                "select $a$ ; $b$ $a$, E'\\';', \"x;\"",
                "create function f() returns int begin atomic select case when true then 1 end; select 2; end",
                "select $1"
            ]
        );
    }

    #[test]
    fn what_psql_alone_understands_is_passed_over() {
        let text = "copy t (a) from stdin;\n1;'\n\\.\nselect 1;\n\\connect x\nselect 'a' \\gexec\n-- migrate:down\ndrop table t;";
        assert_eq!(texts(text), ["copy t (a) from stdin", "select 1", "select 'a'"]);
    }

    #[test]
    fn something_broken_does_not_stop_the_rest() {
        let text = "create table a (b text default 'oops);\ncreate table c (d int);\nselect 1;\n";
        let pieces: Vec<_> = Statements::new(text).collect();
        assert_eq!(pieces[0].open, Some("a quote without end"));
        assert_eq!(pieces[1..].iter().map(|p| p.text).collect::<Vec<_>>(), ["create table c (d int)", "select 1"]);
    }
}
