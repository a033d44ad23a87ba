//! The tree of a stored program of MySQL or MariaDB: trigger, function, procedure, event.
//!
//! The block language is ours; queries, changes of rows and expressions are sqlparser's trees. Before sqlparser sees a leaf
//! its tokens are brought into one form, whatever the `sql_mode` of the program was:
//!
//! * a string is always `Value::SingleQuotedString`, also where it was written `"x"`; under ANSI_QUOTES `"x"` is an
//!   identifier. Adjacent strings are one.
//! * `&&` is `AND`, `||` is `OR` or, under PIPES_AS_CONCAT, `BinaryOperator::StringConcat`; `a MOD b` is `a % b`, `!a` is `NOT (a)`
//!   in parentheses of its own.
//! * a user variable is `Expr::Identifier` whose value begins with `@` (`@x`, also where it was written ``@`x` ``); a system
//!   variable is an identifier, or a compound one, whose first part begins with `@@`.
//! * `NEW.x` and `OLD.x` are `Expr::CompoundIdentifier` of two parts as written; compare case-insensitively.
//! * words that only steer the server's work are dropped: `LOW_PRIORITY`, `DELAYED`, `HIGH_PRIORITY`, `QUICK`,
//!   `SQL_NO_CACHE`, `STRAIGHT_JOIN` after SELECT, index hints, `PARTITION (..)`.

mod program;
mod statement;

use std::ops::Range;

use sqlparser::ast::{DataType, Expr};

pub use program::*;
pub use statement::*;

/// A place in the file, both from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column in the line.
    pub column: u64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A name, unquoted as written, with its database if one is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// Database.
    pub database: Option<String>,
    /// The object in it.
    pub name: String,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.database {
            Some(database) => write!(f, "{database}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The modes of `sql_mode` that change what a text means or what it does to a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SqlMode {
    /// `"x"` is an identifier.
    pub ansi_quotes: bool,
    /// `||` concatenates.
    pub pipes_as_concat: bool,
    /// A backslash in a string is itself.
    pub no_backslash_escapes: bool,
    /// A blank may stand between a built-in function's name and its parenthesis.
    pub ignore_space: bool,
    /// STRICT_TRANS_TABLES or STRICT_ALL_TABLES: a wrong value is an error, not a warning.
    pub strict: bool,
    /// `sql_mode=ORACLE` of MariaDB: another block language, which is not read.
    pub oracle: bool,
}

impl SqlMode {
    /// The modes of a value of `sql_mode`; none stands for the servers' default.
    pub fn parse(modes: Option<&str>) -> Self {
        let Some(modes) = modes else { return Self { strict: true, ..Self::default() } };
        let has = |mode: &str| modes.split(',').any(|m| m.trim().eq_ignore_ascii_case(mode));
        let oracle = has("ORACLE");
        let ansi = has("ANSI") || oracle || ["DB2", "MAXDB", "MSSQL", "POSTGRESQL"].into_iter().any(has);
        Self {
            ansi_quotes: ansi || has("ANSI_QUOTES"),
            pipes_as_concat: ansi || has("PIPES_AS_CONCAT"),
            no_backslash_escapes: has("NO_BACKSLASH_ESCAPES"),
            ignore_space: ansi || has("IGNORE_SPACE"),
            strict: has("STRICT_TRANS_TABLES") || has("STRICT_ALL_TABLES") || has("TRADITIONAL"),
            oracle,
        }
    }
}

/// A type of a variable, of a parameter or of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    /// As written.
    pub text: String,
    /// What it is.
    pub kind: TypeKind,
    /// CHARACTER SET.
    pub charset: Option<String>,
    /// COLLATE.
    pub collation: Option<String>,
}

/// What a type is.
#[derive(Debug, Clone, PartialEq)]
pub enum TypeKind {
    /// A type of its own; `DataType::Custom` where sqlparser knows no better.
    Plain(DataType),
    /// `TYPE OF table.column` of MariaDB.
    OfColumn {
        /// The table.
        table: Name,
        /// The column.
        column: String,
    },
    /// `ROW TYPE OF table` (or of a cursor) of MariaDB.
    OfRow(Name),
    /// `ROW (a INT, ..)` of MariaDB.
    Row(Vec<(String, Type)>),
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    /// Where it begins in the file.
    pub position: Position,
    /// Where it stands in [`Program::text`].
    pub span: Range<usize>,
    /// Its tree or why there is none.
    pub tree: Result<Box<Expr>, Unread>,
}

/// Why a piece was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Where reading stopped.
    pub position: Position,
    /// What was expected there, or what is not known.
    pub reason: String,
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}: {}", self.position.line, self.position.column, self.reason)
    }
}
