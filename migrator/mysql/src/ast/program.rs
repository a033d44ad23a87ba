//! Programs by what they are: triggers, routines, events.

use std::ops::Range;

use super::{Expression, Name, Position, SqlMode, Statement, Type};

/// Who a program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Definer {
    /// `CURRENT_USER`, `CURRENT_ROLE`.
    Current,
    /// `user@host`, or a role without host.
    Account {
        /// User or role.
        user: String,
        /// Host.
        host: Option<String>,
    },
}

/// A stored program as it was defined.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Where its CREATE stands in its source.
    pub position: Position,
    /// Its whole text from CREATE to the end of the body, versioned comments unwrapped; spans index into it.
    pub text: String,
    /// `DEFINER`, none if not written.
    pub definer: Option<Definer>,
    /// The modes it was created under.
    pub sql_mode: SqlMode,
    /// CREATE OR REPLACE.
    pub or_replace: bool,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: ProgramKind,
    /// What it does; `StatementKind::Unread` if nothing of it could be read.
    pub body: Statement,
}

impl Program {
    /// The source text of a statement or of an expression of this program.
    pub fn source(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }
}

/// What a program is.
#[derive(Debug, Clone, PartialEq)]
pub enum ProgramKind {
    /// CREATE TRIGGER.
    Trigger(Trigger),
    /// CREATE FUNCTION, CREATE PROCEDURE.
    Routine(Routine),
    /// CREATE EVENT: only its body is read.
    Event,
}

/// The head of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// BEFORE or AFTER.
    pub timing: Timing,
    /// INSERT, UPDATE or DELETE; more than one only in new MariaDB.
    pub events: Vec<TriggerEvent>,
    /// The columns of UPDATE OF in new MariaDB; empty for all.
    pub update_of: Vec<String>,
    /// The table.
    pub table: Name,
    /// FOLLOWS or PRECEDES, as written.
    pub order: Option<TriggerOrder>,
    /// The rank among triggers of the same table, timing and event, from 1; known of a live server alone.
    pub action_order: Option<u64>,
}

/// When a trigger runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timing {
    /// Before the row is written.
    Before,
    /// After it.
    After,
}

/// What a trigger runs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerEvent {
    /// INSERT, REPLACE, LOAD DATA.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE, REPLACE.
    Delete,
}

/// FOLLOWS or PRECEDES.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerOrder {
    /// Runs after this trigger.
    Follows(String),
    /// Runs before this trigger.
    Precedes(String),
}

/// The head of a routine.
#[derive(Debug, Clone, PartialEq)]
pub struct Routine {
    /// What a function returns; none of a procedure.
    pub returns: Option<Type>,
    /// Parameters in order.
    pub parameters: Vec<Parameter>,
    /// DETERMINISTIC; none if neither it nor NOT DETERMINISTIC is written.
    pub deterministic: Option<bool>,
    /// CONTAINS SQL and so on; none if not written.
    pub data_access: Option<DataAccess>,
    /// SQL SECURITY INVOKER.
    pub security_invoker: bool,
    /// CREATE AGGREGATE FUNCTION of MariaDB.
    pub aggregate: bool,
    /// COMMENT.
    pub comment: Option<String>,
}

/// A parameter of a routine.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Direction; IN if not written.
    pub mode: ParameterMode,
    /// Name.
    pub name: String,
    /// Type.
    pub data_type: Type,
    /// DEFAULT of new MariaDB.
    pub default: Option<Expression>,
}

/// Direction of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterMode {
    /// IN.
    In,
    /// OUT.
    Out,
    /// INOUT.
    InOut,
}

/// What a routine says that it does to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataAccess {
    /// NO SQL.
    NoSql,
    /// CONTAINS SQL.
    ContainsSql,
    /// READS SQL DATA.
    ReadsSqlData,
    /// MODIFIES SQL DATA.
    ModifiesSqlData,
}
