//! The statements above a line and below it, by their first words.

use std::collections::BTreeSet;

use super::super::split::Statements;
use super::lines::dividing;
use domain_events_mysql::dump::{Dump, Piece};
use domain_events_mysql::source::Dialect;

/// So many words of a statement are looked at, in so many bytes.
const WORDS: usize = 80;
const HEAD: usize = 2 * 1024;

/// A statement, by its first words.
pub struct Said {
    /// Its first line, from 1.
    pub first: usize,
    /// Its last line.
    pub last: usize,
    does: Does,
    words: Vec<String>,
}

/// What a statement does, as far as it matters here. Names are without their schemas.
enum Does {
    Makes(Object),
    Drops(Vec<Object>),
    /// An ALTER, of this.
    Changes(String),
    /// It takes something away: rows, rights.
    Takes,
    /// It changes nothing.
    Nothing,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Object {
    kind: String,
    name: String,
    /// The table of a trigger or an index.
    on: Option<String>,
}

impl Object {
    /// What carries data or does something: a type or an index is easily forgotten.
    fn matters(&self) -> bool {
        matches!(self.kind.as_str(), "table" | "view" | "trigger")
    }

    fn is_program(&self) -> bool {
        matches!(self.kind.as_str(), "function" | "procedure" | "routine")
    }

    fn is(&self, other: &Object) -> bool {
        self.name == other.name && (self.kind == other.kind || self.is_program() && other.is_program())
    }
}

/// What stands above a line and below it.
pub struct Halves<'s> {
    above: &'s [Said],
    below: &'s [Said],
    /// What is there once the first half ran.
    made: BTreeSet<&'s Object>,
    dropped: BTreeSet<&'s Object>,
}

impl<'s> Halves<'s> {
    pub fn of(above: &'s [Said], below: &'s [Said]) -> Self {
        let mut halves = Self { above, below, made: BTreeSet::new(), dropped: BTreeSet::new() };
        for said in above {
            match &said.does {
                Does::Makes(object) => {
                    halves.made.insert(object);
                }
                Does::Drops(objects) => {
                    halves.made.retain(|m| !objects.iter().any(|o| m.is(o)));
                    halves.dropped.extend(objects);
                }
                _ => {}
            }
        }
        halves
    }

    fn drops(&self) -> impl Iterator<Item = &'s Object> {
        self.below.iter().flat_map(|s| match &s.does {
            Does::Drops(objects) => objects.as_slice(),
            _ => &[],
        })
    }

    fn was_made(&self, object: &Object) -> bool {
        self.made.iter().any(|m| m.is(object))
    }

    /// A function that the first half made, called and needs no longer goes in the same direction.
    fn is_helper(&self, object: &Object) -> bool {
        let calls =
            |s: &Said| matches!(s.words.first().map(String::as_str), Some("select" | "call" | "do" | "perform"));
        object.is_program() && self.above.iter().filter(|s| calls(s)).any(|s| s.words.contains(&object.name))
    }

    /// Whether it drops something of the first half that the first half has not used up.
    fn takes_something_back(&self) -> bool {
        self.drops().any(|o| (o.matters() || o.is_program()) && self.was_made(o) && !self.is_helper(o))
    }

    /// Whether the second half undoes the first, where a word says so; none where it does nothing of the kind.
    pub fn by_word(&self) -> Option<bool> {
        let changed = |name: &String| {
            self.made.iter().any(|m| m.name == *name)
                || self.above.iter().any(|s| matches!(&s.does, Does::Changes(n) if n == name))
        };
        let fits = |said: &Said| match &said.does {
            Does::Makes(object) => self.was_made(object) || self.dropped.iter().any(|d| d.is(object)),
            Does::Drops(objects) => objects.iter().all(|o| self.was_made(o)),
            Does::Changes(name) => changed(name),
            Does::Takes | Does::Nothing | Does::Other => true,
        };
        let acts = |said: &Said| matches!(said.does, Does::Makes(_) | Does::Drops(_) | Does::Changes(_));
        if self.below.iter().any(acts) && self.below.iter().all(fits) {
            return Some(true);
        }
        self.takes_something_back().then_some(false)
    }

    /// The same where a rule alone divides them: nothing but drops, of whatever matters.
    pub fn by_rule(&self, only: bool) -> Option<bool> {
        let gone: Vec<&Object> = self.drops().collect();
        let covered = |made: &Object| {
            let with = |o: &&Object| {
                o.is(made) || o.kind == "schema" || o.kind == "table" && made.on.as_ref() == Some(&o.name)
            };
            gone.iter().any(with)
        };
        let takes = |said: &Said| match &said.does {
            Does::Drops(objects) => objects.iter().all(|o| self.was_made(o)),
            Does::Changes(_) | Does::Takes | Does::Nothing => true,
            Does::Makes(_) | Does::Other => false,
        };
        if !self.takes_something_back() {
            return None;
        }
        let whole = self.made.iter().filter(|m| m.matters()).all(|m| covered(m));
        if whole && self.below.iter().all(takes) {
            return Some(true);
        }
        let begins = self.below.iter().find(|s| !matches!(s.does, Does::Nothing));
        let drops_first =
            begins.is_some_and(|s| matches!(&s.does, Does::Drops(o) if o.iter().any(|o| self.was_made(o))));
        (only && drops_first).then_some(false)
    }
}

/// The statements of a text, with their lines.
pub fn statements(text: &str, dialect: Dialect) -> Vec<Said> {
    // a dividing line that is no comment to the server, as `---` to MySQL's, would be part of the statement behind it
    let lines = text.split_inclusive('\n').map(|line| if dividing(line).is_some() { "--\n" } else { line });
    let text: String = lines.collect();
    let said = |first: usize, text: &str| {
        let words = words(text);
        Said { first, last: first + text.trim_end().matches('\n').count(), does: does(&words), words }
    };
    if dialect == Dialect::Postgres {
        let (mut at, mut line) = (0, 1);
        return Statements::new(&text)
            .map(|piece| {
                line += text[at..piece.start].matches('\n').count();
                at = piece.start;
                said(line, piece.text)
            })
            .collect();
    }
    let mut dump = Dump::new(text.as_bytes());
    let mut all = vec![];
    // memory that is read cannot fail
    while let Ok(Some(piece)) = dump.piece() {
        match piece {
            Piece::Statement(statement) => all.push(said(statement.line as usize, &statement.text)),
            Piece::Insert(insert) => all.push(said(insert.line as usize, "insert")),
            Piece::Problem(_) => {}
        }
    }
    all
}

fn does(words: &[String]) -> Does {
    const KINDS: [&str; 15] = [
        "table",
        "view",
        "trigger",
        "function",
        "procedure",
        "routine",
        "event",
        "type",
        "domain",
        "sequence",
        "schema",
        "index",
        "extension",
        "rule",
        "policy",
    ];
    /// Words before the kind at the most: `create definer = a @ b trigger`.
    const BEFORE: usize = 10;
    let is = |at: usize, word: &str| words.get(at).is_some_and(|w| w == word);
    let kind = || words.iter().take(BEFORE).position(|w| KINDS.contains(&w.as_str()));
    let named = |mut at: usize| {
        while ["if", "not", "exists", "concurrently", "only"].iter().any(|w| is(at, w)) {
            at += 1;
        }
        at
    };
    let on = || words.iter().position(|w| w == "on").and_then(|at| words.get(at + 1)).cloned();
    match words.first().map(String::as_str).unwrap_or_default() {
        "create" => {
            let Some(at) = kind() else { return Does::Other };
            // a table of the session goes by itself
            if words[..at].iter().any(|w| w == "temp" || w == "temporary") {
                return Does::Nothing;
            }
            let name = words.get(named(at + 1)).cloned().unwrap_or_default();
            Does::Makes(Object { kind: words[at].clone(), name, on: on() })
        }
        "drop" => {
            let Some(at) = kind() else { return Does::Other };
            let mut objects = vec![];
            let (mut n, mut depth) = (named(at + 1), 0);
            let mut expected = true;
            while let Some(word) = words.get(n) {
                match word.as_str() {
                    "(" => depth += 1,
                    ")" => depth -= 1,
                    "," if depth == 0 => expected = true,
                    _ if expected && depth == 0 => {
                        objects.push(Object { kind: words[at].clone(), name: word.clone(), on: on() });
                        expected = false;
                    }
                    _ => {}
                }
                n += 1;
            }
            Does::Drops(objects)
        }
        "alter" => kind().and_then(|at| words.get(named(at + 1))).cloned().map_or(Does::Takes, Does::Changes),
        "delete" | "truncate" | "revoke" | "rename" => Does::Takes,
        "begin" | "start" | "commit" | "set" | "use" | "comment" | "reset" | "lock" | "unlock" | "end" => Does::Nothing,
        _ => Does::Other,
    }
}

/// The first words of a statement in lower case, without comments; of a qualified name the last part.
fn words(text: &str) -> Vec<String> {
    let mut rest = &text[..text.floor_char_boundary(HEAD)];
    let mut words: Vec<String> = vec![];
    let mut qualified = false;
    while words.len() < WORDS {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { break };
        let comment = [("--", "\n"), ("/*", "*/")].into_iter().find(|(begin, _)| rest.starts_with(begin));
        if let Some((_, end)) = comment {
            rest = rest.find(end).map_or("", |at| &rest[at + end.len()..]);
            continue;
        }
        let (word, length) = if matches!(first, '"' | '`' | '\'') {
            let inside = &rest[1..];
            let end = inside.find(first).unwrap_or(inside.len());
            (inside[..end].to_lowercase(), (end + 2).min(rest.len()))
        } else {
            let letters = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let length = letters.max(first.len_utf8());
            (rest[..length].to_lowercase(), length)
        };
        rest = &rest[length..];
        if word == "." {
            qualified = true;
        } else if std::mem::take(&mut qualified) && !words.is_empty() {
            let last = words.len() - 1;
            words[last] = word;
        } else {
            words.push(word);
        }
    }
    words
}
