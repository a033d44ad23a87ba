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
    /// What psql is told with it.
    pub psql: Psql,
}

/// Whether something is for psql rather than for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Psql {
    /// A statement for the server.
    #[default]
    No,
    /// A command that another file is read with, or a variable set.
    Command,
    /// A query whose result is run: `\gexec`.
    Runs,
}

/// Why a statement has no end whose quote has none.
pub const OPEN_QUOTE: &str = "a quote without end";

/// Words at the beginning of a line with which reading goes on after something broken.
const STARTS: [&str; 4] = ["create ", "alter ", "comment ", "drop "];

/// Comments of migration tools after which a file takes back what it did.
const DOWN: [&str; 6] =
    ["-- +goose down", "-- +migrate down", "-- migrate:down", "-- +micrate down", "--//@undo", "-- //@undo"];

/// Commands of psql that matter to what is read.
const COMMANDS: [&str; 5] = ["\\i", "\\ir", "\\include", "\\include_relative", "\\set"];

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
}

impl<'t> Statements<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, at: 0, stopped: false, in_rows: false, commands: false }
    }

    /// With the commands of psql that matter to what is read.
    pub fn and_commands(text: &'t str) -> Self {
        Self { commands: true, ..Self::new(text) }
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
        let piece =
            |start: usize, end: usize, open| Piece { start, text: text[start..end].trim_end(), open, psql: Psql::No };
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
                    return Some(piece(start, at, None));
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
                    let line = text[at..end].trim();
                    self.at = end;
                    if let Some(start) = start {
                        let psql = if line.starts_with("\\gexec") { Psql::Runs } else { Psql::No };
                        return Some(Piece { psql, ..piece(start, at, None) });
                    }
                    let first = line.split_whitespace().next().unwrap_or_default();
                    if self.commands && COMMANDS.contains(&first) {
                        return Some(Piece { psql: Psql::Command, ..piece(at, end, None) });
                    }
                    at = end;
                    continue;
                }
                b'\'' | b'"' => match string_end(rest, word == "e") {
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
    fn words_on_lines_of_their_own_separate_statements() {
        let text = "create table a (b int)\nGO\ncreate table c (d int)\n  go  \nselect go\n from x;\ncomment on table a is 'x'\n/\nselect 1 /\n2;";
        assert_eq!(
            texts(text),
            [
                "create table a (b int)",
                "create table c (d int)",
                "select go\n from x",
                "comment on table a is 'x'",
                "select 1 /\n2"
            ]
        );
    }

    #[test]
    fn programs_of_other_servers_are_whole() {
        let oracle = "create or replace trigger t after update on a for each row\nbegin\n  insert into b values (:new.id);\n  null;\nend;\n/\ncreate table x (y int);\ncreate trigger u before insert on a for each row begin set new.b = 1; end;\ncreate table z (y int);";
        let found = texts(oracle);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].ends_with("end;") && found[2].ends_with("end"), "{found:?}");
        assert_eq!(found[1], "create table x (y int)");
    }

    #[test]
    fn commands_of_psql_that_matter_are_given() {
        let text =
            "\\set schema app\n\\echo hello\n\\ir tables/a.sql\nselect format('create %s', 1) \\gexec\nselect 1;";
        let found: Vec<_> = Statements::and_commands(text).map(|p| (p.text, p.psql)).collect();
        assert_eq!(
            found,
            [
                ("\\set schema app", Psql::Command),
                ("\\ir tables/a.sql", Psql::Command),
                ("select format('create %s', 1)", Psql::Runs),
                ("select 1", Psql::No)
            ]
        );
    }

    #[test]
    fn something_broken_does_not_stop_the_rest() {
        let text = "create table a (b text default 'oops);\ncreate table c (d int);\nselect 1;\n";
        let pieces: Vec<_> = Statements::new(text).collect();
        assert_eq!(pieces[0].open, Some("a quote without end"));
        assert_eq!(pieces[1..].iter().map(|p| p.text).collect::<Vec<_>>(), ["create table c (d int)", "select 1"]);
    }
}
