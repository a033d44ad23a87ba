//! What psql reads for itself in a script: its commands, and the rows behind COPY.

/// Whether something is for psql rather than for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Psql {
    /// A statement for the server.
    #[default]
    No,
    /// A command that matters to what is read: another file is read with it, a variable set, a branch taken.
    Command,
    /// A query whose result is run: `\gexec`.
    Runs,
    /// A statement that is thrown away before it is sent: `\r`, `\q`.
    Dropped,
    /// One within which a command stands: what is sent is put together by psql.
    Within,
}

/// Commands of psql that matter to what is read.
const COMMANDS: [&str; 16] = [
    "\\copy",
    "\\i",
    "\\ir",
    "\\include",
    "\\include_relative",
    "\\set",
    "\\unset",
    "\\gset",
    "\\prompt",
    "\\getenv",
    "\\if",
    "\\elif",
    "\\else",
    "\\endif",
    "\\q",
    "\\quit",
];

/// Commands that take the rest of their line as it is, backslashes included.
const WHOLE: [&str; 9] =
    ["\\i", "\\ir", "\\include", "\\include_relative", "\\copy", "\\!", "\\restrict", "\\unrestrict", "\\cd"];

/// A command of psql in a text.
#[derive(Debug, PartialEq, Eq)]
pub struct Command<'t> {
    /// With its arguments.
    pub text: &'t str,
    /// Behind it.
    pub end: usize,
}

impl<'t> Command<'t> {
    /// The command that begins at a backslash.
    pub fn at(text: &'t str, at: usize) -> Self {
        let line_end = text[at..].find('\n').map_or(text.len(), |n| at + n);
        let line = &text[at..line_end];
        // `\;` and `\\` are signs of their own
        if line.starts_with("\\;") || line.starts_with("\\\\") {
            return Self { text: &line[..2], end: at + 2 };
        }
        let length = line[1..].find(|c: char| c.is_whitespace() || c == '\\').map_or(line.len(), |n| n + 1);
        let next = || {
            let mut quoted = None;
            line.char_indices().skip_while(|(n, _)| *n < length).find(|(_, c)| {
                match (quoted, *c) {
                    (None, '\'' | '"' | '`') => quoted = Some(*c),
                    (Some(q), c) if q == c => quoted = None,
                    (None, '\\') => return true,
                    _ => {}
                }
                false
            })
        };
        // the first line of an extension's script, which psql shall not run: `\echo Use "CREATE EXTENSION x" .. \quit`
        let of_extension = line.starts_with("\\echo") && line.to_ascii_lowercase().contains(" extension ");
        match next().filter(|_| !of_extension && !WHOLE.contains(&&line[..length])) {
            Some((n, _)) => Self { text: line[..n].trim_end(), end: at + n },
            None => Self { text: line.trim(), end: (line_end + 1).min(text.len()) },
        }
    }

    fn verb(&self) -> &'t str {
        self.text.split_whitespace().next().unwrap_or_default()
    }

    /// Whether it is asked for by whoever folds the statements.
    pub fn matters(&self) -> bool {
        COMMANDS.contains(&self.verb())
    }

    /// Whether rows follow it.
    pub fn takes_rows(&self) -> bool {
        self.verb() == "\\copy" && takes_rows(&self.text[1..])
    }

    /// What becomes of the statement that it stands behind; none if it is a semicolon to it.
    pub fn ends(&self) -> Psql {
        match self.verb() {
            "\\g" | "\\gx" | "\\gset" | "\\watch" | "\\crosstabview" | "\\;" => Psql::No,
            "\\gexec" => Psql::Runs,
            "\\r" | "\\reset" | "\\q" | "\\quit" | "\\gdesc" => Psql::Dropped,
            _ => Psql::Within,
        }
    }

    /// Whether it is read again, as a command that stands by itself.
    pub fn is_read_again(&self) -> bool {
        !matches!(self.ends(), Psql::No | Psql::Runs) && self.verb() != "\\gdesc" || self.verb() == "\\gset"
    }
}

/// Whether a statement is followed by rows: COPY of a table FROM STDIN. A query that is copied has none.
pub fn takes_rows(statement: &str) -> bool {
    const LONGEST: usize = 64 * 1024;
    let copies = statement.get(..4).is_some_and(|w| w.eq_ignore_ascii_case("copy"));
    if !copies || statement.len() > LONGEST {
        return false;
    }
    let mut before = String::new();
    for word in outer_words(statement) {
        if before == "from" && word == "stdin" {
            return true;
        }
        before = word;
    }
    false
}

/// The words of a statement that stand neither in parentheses nor in quotes nor in comments, in lower case; quoted names are `"`.
fn outer_words(statement: &str) -> Vec<String> {
    let (mut words, mut depth, mut at) = (vec![], 0_usize, 0);
    while let Some(here) = statement[at..].chars().next() {
        let rest = &statement[at..];
        at += match here {
            _ if rest.starts_with("--") => rest.find(['\n', '\r']).unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |n| n + 2),
            '\'' | '"' => {
                words.push(here.to_string());
                rest[1..].find(here).map_or(rest.len(), |n| n + 2)
            }
            '(' | ')' => {
                depth = if here == '(' { depth + 1 } else { depth.saturating_sub(1) };
                1
            }
            _ if here.is_alphanumeric() || here == '_' => {
                let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                if depth == 0 {
                    words.push(rest[..length].to_lowercase());
                }
                length
            }
            _ => here.len_utf8(),
        };
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_a_table_alone() {
        for (copy, rows) in [
            ("copy t from stdin", true),
            ("COPY a.\"t\" (x, \"from\") FROM /* here */ STDIN WITH (format csv)", true),
            ("copy (select 1 from stdin) to '/tmp/x'", false),
            ("copy \"from stdin\" to stdout", false),
            ("copy t from 'from stdin'", false),
            ("select * from stdin", false),
        ] {
            assert_eq!(takes_rows(copy), rows, "{copy}");
        }
    }

    #[test]
    fn several_commands_stand_on_a_line() {
        let line = "\\echo 'a \\ b' \\q\n";
        let first = Command::at(line, 0);
        assert_eq!(first.text, "\\echo 'a \\ b'");
        assert_eq!(Command::at(line, first.end).text, "\\q");
        let script = "\\echo Use \"CREATE EXTENSION x\" to load this file. \\quit\nselect 1;";
        assert_eq!(Command::at(script, 0).end, script.find("select").expect("it is there"));
        assert_eq!(Command::at("\\i C:\\x.sql", 0).text, "\\i C:\\x.sql");
    }
}
