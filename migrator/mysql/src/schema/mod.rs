//! Tables of MySQL and MariaDB, from the text of their definitions: dumps and `SHOW CREATE TABLE` are read by one parser.

mod alter;
mod column;
mod expect;
mod parse;
#[cfg(test)]
mod tests;

pub use column::parse_type;

use super::ast::Position;
use super::dump::Session;
use super::lexer::Source;
use super::lexer::cursor::Cursor;
use domain_events_sql::limits;

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Database, where the text names it.
    pub database: Option<String>,
    /// The one that it is in, where that is known.
    pub home: Option<String>,
    /// Its name.
    pub name: String,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// Primary key, unique keys and indexes in order.
    pub keys: Vec<Key>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// CHECK constraints: name and expression.
    pub checks: Vec<(Option<String>, String)>,
    /// COMMENT.
    pub comment: Option<String>,
    /// ENGINE.
    pub engine: Option<String>,
    /// CHARSET.
    pub charset: Option<String>,
    /// COLLATE.
    pub collation: Option<String>,
    /// AUTO_INCREMENT: the next number.
    pub auto_increment: Option<u64>,
    /// It is partitioned.
    pub partitioned: bool,
    /// Line of its definition.
    pub line: u64,
}

/// A column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// NULL is allowed.
    pub nullable: bool,
    /// DEFAULT.
    pub default: Option<Initial>,
    /// ON UPDATE CURRENT_TIMESTAMP.
    pub on_update_now: bool,
    /// AUTO_INCREMENT.
    pub auto_increment: bool,
    /// GENERATED ALWAYS AS: the expression, and whether it is stored.
    pub generated: Option<(String, bool)>,
    /// CHARACTER SET.
    pub charset: Option<String>,
    /// COLLATE.
    pub collation: Option<String>,
    /// COMMENT.
    pub comment: Option<String>,
    /// A CHECK (json_valid(column)), as MariaDB's JSON has it.
    pub json: bool,
}

/// A type as MySQL writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Type {
    /// Lower case, synonyms resolved: `int`, `varchar`, `decimal`, `double` ..
    pub name: String,
    /// `(10,2)`, `('a','b')`: numbers or values.
    pub arguments: Vec<String>,
    /// UNSIGNED.
    pub unsigned: bool,
}

/// A default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Initial {
    /// NULL
    Null,
    /// A string.
    Text(String),
    /// A number.
    Number(String),
    /// `b'1'` or `0x01`
    Bits(String),
    /// CURRENT_TIMESTAMP with its digits.
    Now(u32),
    /// Any other expression, as written.
    Expression(String),
}

/// Kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// PRIMARY KEY
    Primary,
    /// UNIQUE KEY
    Unique,
    /// KEY
    Index,
    /// FULLTEXT KEY
    Fulltext,
    /// SPATIAL KEY
    Spatial,
}

/// A key or index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name; the primary key has none.
    pub name: Option<String>,
    /// Kind.
    pub kind: KeyKind,
    /// Its parts in order.
    pub parts: Vec<KeyPart>,
}

/// A part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPart {
    /// A column, or an expression.
    pub column: String,
    /// It is an expression.
    pub expression: bool,
    /// Only so many characters.
    pub prefix: Option<u32>,
    /// DESC.
    pub descending: bool,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Its name.
    pub name: Option<String>,
    /// Columns here.
    pub columns: Vec<String>,
    /// Database of the other table, where it is named.
    pub database: Option<String>,
    /// The other table.
    pub table: String,
    /// Columns there.
    pub references: Vec<String>,
    /// ON DELETE, upper case: `CASCADE`, `SET NULL`, `RESTRICT`, `NO ACTION`.
    pub on_delete: Option<String>,
    /// ON UPDATE.
    pub on_update: Option<String>,
}

impl Table {
    /// A column by name, as MySQL compares names.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// Columns of the primary key.
    pub fn primary_key(&self) -> Vec<&str> {
        let key = self.keys.iter().find(|k| k.kind == KeyKind::Primary);
        key.map(|k| k.parts.iter().map(|p| p.column.as_str()).collect()).unwrap_or_default()
    }
}

/// A definition that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Line of the file.
    pub line: u64,
    /// The table, where it is known.
    pub table: Option<String>,
    /// What was expected, and where.
    pub reason: String,
}

/// Tables folded from statements in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// The tables as the last statement left them.
    pub tables: Vec<Table>,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

impl Schema {
    /// Takes one statement: CREATE, ALTER, DROP and RENAME TABLE and CREATE INDEX change the schema, others are left alone.
    /// `line` is the statement's own.
    pub fn take(&mut self, text: &str, line: u64, session: &Session) {
        let source = Source::new(text, Position { line, column: 1 }, session.mode());
        if source.tokens.len() >= limits::LEXEMES {
            let reason = format!("a statement of more than {} words is not read", limits::LEXEMES);
            return self.unread.push(Unread { line, table: None, reason });
        }
        let mut cursor = Cursor::new(&source);
        if let Err(fault) = self.statement(&mut cursor, line, session.database.as_deref()) {
            let at = line + text[..fault.offset].matches('\n').count() as u64;
            self.unread.push(Unread { line: at, table: fault.table, reason: fault.reason });
        }
    }

    /// A table by name, in this database or in any.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables
            .iter()
            .find(|t| t.name == name)
            .or_else(|| self.tables.iter().find(|t| t.name.eq_ignore_ascii_case(name)))
    }
}

/// The table of one `CREATE TABLE` text, as `SHOW CREATE TABLE` gives it.
pub fn parse_table(text: &str) -> Result<Table, Unread> {
    let mut schema = Schema::default();
    schema.take(text, 1, &Session::default());
    match schema.tables.pop() {
        Some(table) => Ok(table),
        None => Err(schema.unread.pop().unwrap_or_else(|| Unread {
            line: 1,
            table: None,
            reason: "it is no CREATE TABLE with columns".into(),
        })),
    }
}

/// Why a definition could not be read.
#[derive(Debug)]
struct Fault {
    offset: usize,
    table: Option<String>,
    reason: String,
}
