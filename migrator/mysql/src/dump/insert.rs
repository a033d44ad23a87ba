//! The head of `INSERT INTO t (a, b) VALUES`.

use std::sync::Arc;

use super::super::ast::{Position, SqlMode};
use super::super::lexer::Source;
use super::super::lexer::cursor::{Cursor, Part};
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
        // in a head double quotes are for names, whatever the mode
        let mode = SqlMode { ansi_quotes: true, ..session.mode() };
        let source = Source::new(head, Position { line, column: 1 }, mode);
        if source.broken.is_some() {
            return None;
        }
        let mut cursor = Cursor::new(&source);
        let replace = cursor.take()?.is("REPLACE");
        while ["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"].iter().any(|word| cursor.takes(&[word])) {}
        let (database, table) = cursor.qualified()?;
        let mut columns = None;
        while let Some(part) = cursor.peek() {
            if cursor.takes(&["PARTITION"]) {
                cursor.sign('(').then(|| names(&mut cursor))??;
            } else if part == Part::Sign('(') {
                cursor.take();
                columns = Some(names(&mut cursor)?);
            } else {
                return None;
            }
        }
        Some(Self { database, table, columns, replace, line, session: Arc::clone(session) })
    }
}

/// Up to the closing parenthesis.
fn names(cursor: &mut Cursor<'_>) -> Option<Vec<String>> {
    let mut names = vec![];
    loop {
        match cursor.take()? {
            Part::Sign(')') => return Some(names),
            Part::Sign(',') => {}
            part => names.push(part.name()?.to_owned()),
        }
    }
}
