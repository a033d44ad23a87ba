//! What is expected, and what is said where something else follows.

use super::super::ast::{Position, SqlMode};
use super::super::lexer::Source;
use super::super::lexer::cursor::Cursor;
use super::Fault;

pub(super) type Parsed<T> = Result<T, Fault>;

pub(super) fn expected<T>(what: &str, cursor: &Cursor<'_>) -> Parsed<T> {
    let reason = format!("{what} is expected, but \"{}\" follows", cursor.near());
    Err(Fault { offset: cursor.offset(), table: None, reason })
}

pub(super) trait Wanted<T> {
    fn wanted(self, what: &str, cursor: &Cursor<'_>) -> Parsed<T>;
}

impl<T> Wanted<T> for Option<T> {
    fn wanted(self, what: &str, cursor: &Cursor<'_>) -> Parsed<T> {
        self.map_or_else(|| expected(what, cursor), Ok)
    }
}

/// The tokens of a text by itself.
pub(super) fn plain(text: &str) -> Source<'_> {
    Source::new(text, Position { line: 1, column: 1 }, SqlMode::default())
}

// json_valid(`c`), which is how MariaDB says JSON.
pub(super) fn json_column(expression: &str) -> Option<String> {
    let source = plain(expression);
    let mut cursor = Cursor::new(&source);
    if !cursor.takes(&["json_valid"]) || !cursor.sign('(') {
        return None;
    }
    let name = cursor.name()?;
    (cursor.sign(')') && cursor.take().is_none()).then_some(name)
}
