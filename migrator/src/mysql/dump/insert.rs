//! The head of `INSERT INTO t (a, b) VALUES`.

use std::sync::Arc;

use super::Session;

/// An INSERT or REPLACE whose rows follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// Database of the table, where it is named.
    pub database: Option<String>,
    /// The table.
    pub table: String,
    /// The columns named; none means all, in their order.
    pub columns: Option<Vec<String>>,
    /// It is a REPLACE.
    pub replace: bool,
    /// Line of the statement, from 1.
    pub line: u64,
    /// Settings under which it runs.
    pub session: Arc<Session>,
}

impl Insert {
    /// Reads the text before the rows; none if it is not understood.
    pub(super) fn parse(head: &str, line: u64, session: &Arc<Session>) -> Option<Self> {
        let mut tokens = Tokens { rest: head };
        let replace = tokens.next()?.is("REPLACE");
        let mut token = tokens.next()?;
        while ["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"].iter().any(|w| token.is(w)) {
            token = tokens.next()?;
        }
        let mut table = token.name()?;
        let mut database = None;
        let mut columns = None;
        while let Some(token) = tokens.next() {
            match token {
                Token::Sign('.') => database = Some(std::mem::replace(&mut table, tokens.next()?.name()?)),
                Token::Sign('(') => columns = Some(names(&mut tokens)?),
                ref t if t.is("PARTITION") => {
                    tokens.next().filter(|t| *t == Token::Sign('('))?;
                    names(&mut tokens)?;
                }
                _ => return None,
            }
        }
        Some(Self { database, table, columns, replace, line, session: Arc::clone(session) })
    }
}

fn names(tokens: &mut Tokens<'_>) -> Option<Vec<String>> {
    let mut names = vec![];
    loop {
        match tokens.next()? {
            Token::Sign(')') => return Some(names),
            Token::Sign(',') => {}
            token => names.push(token.name()?),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(char),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word))
    }

    fn name(self) -> Option<String> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            Self::Sign(_) => None,
        }
    }
}

struct Tokens<'a> {
    rest: &'a str,
}

impl Tokens<'_> {
    fn next(&mut self) -> Option<Token> {
        self.comments();
        let first = self.rest.chars().next()?;
        if first == '`' || first == '"' {
            let mut name = String::new();
            let mut chars = self.rest.char_indices().skip(1).peekable();
            while let Some((i, c)) = chars.next() {
                if c != first {
                    name.push(c);
                } else if chars.next_if(|(_, d)| *d == first).is_some() {
                    name.push(first);
                } else {
                    self.rest = &self.rest[i + 1..];
                    return Some(Token::Quoted(name));
                }
            }
            self.rest = "";
            return None;
        }
        let length =
            self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(self.rest.len());
        if length == 0 {
            self.rest = &self.rest[first.len_utf8()..];
            return Some(Token::Sign(first));
        }
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(Token::Word(word.to_owned()))
    }

    fn comments(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let end = if self.rest.starts_with("/*") {
                self.rest.find("*/").map(|i| i + 2)
            } else if self.rest.starts_with("--") || self.rest.starts_with('#') {
                self.rest.find('\n')
            } else {
                return;
            };
            self.rest = end.map_or("", |end| &self.rest[end..]);
        }
    }
}
