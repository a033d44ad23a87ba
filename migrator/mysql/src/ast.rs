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

use std::ops::Range;

use sqlparser::ast::{DataType, Expr, Query};

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
    /// What it does; [`StatementKind::Unread`] if nothing of it could be read.
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

/// A statement of a body.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Where it begins in the file.
    pub position: Position,
    /// Where it stands in [`Program::text`], without the semicolon.
    pub span: Range<usize>,
    /// What it is.
    pub kind: StatementKind,
}

/// What a statement is.
#[derive(Debug, Clone, PartialEq)]
pub enum StatementKind {
    /// `[label:] BEGIN [NOT ATOMIC] .. END`.
    Block(Block),
    /// `SET a = .., NEW.b = .., @c := ..`, in order.
    Set(Vec<Assignment>),
    /// IF with its ELSEIFs.
    If {
        /// Conditions and what they lead to, in order.
        branches: Vec<Branch>,
        /// ELSE; none if there is none.
        otherwise: Option<Vec<Statement>>,
    },
    /// CASE as a statement. Without ELSE it raises SQLSTATE 20000 when nothing matches.
    Case {
        /// What is compared; none in `CASE WHEN condition`.
        operand: Option<Expression>,
        /// WHENs in order.
        branches: Vec<Branch>,
        /// ELSE; none if there is none.
        otherwise: Option<Vec<Statement>>,
    },
    /// `[label:] LOOP .. END LOOP`.
    Loop {
        /// Label.
        label: Option<String>,
        /// Body.
        body: Vec<Statement>,
    },
    /// `[label:] WHILE condition DO .. END WHILE`.
    While {
        /// Label.
        label: Option<String>,
        /// Before each round.
        condition: Expression,
        /// Body.
        body: Vec<Statement>,
    },
    /// `[label:] REPEAT .. UNTIL condition END REPEAT`.
    Repeat {
        /// Label.
        label: Option<String>,
        /// Body.
        body: Vec<Statement>,
        /// Ends the loop when true, after each round.
        until: Expression,
    },
    /// `[label:] FOR x IN .. DO .. END FOR` of MariaDB.
    For {
        /// Label.
        label: Option<String>,
        /// The variable it declares.
        variable: String,
        /// What it runs over.
        over: ForRange,
        /// Body.
        body: Vec<Statement>,
    },
    /// LEAVE.
    Leave(String),
    /// ITERATE.
    Iterate(String),
    /// RETURN.
    Return(Expression),
    /// OPEN a cursor, with arguments in MariaDB.
    Open {
        /// The cursor.
        cursor: String,
        /// Arguments.
        arguments: Vec<Expression>,
    },
    /// `FETCH [[NEXT] FROM] cursor INTO ..`.
    Fetch {
        /// The cursor.
        cursor: String,
        /// Where the columns go.
        into: Vec<Target>,
    },
    /// CLOSE a cursor.
    Close(String),
    /// CALL a procedure.
    Call {
        /// The procedure.
        procedure: Name,
        /// Arguments.
        arguments: Vec<Expression>,
    },
    /// SIGNAL.
    Signal(Signal),
    /// RESIGNAL; the condition is none if the present one goes on.
    Resignal(Signal),
    /// `GET [CURRENT|STACKED] DIAGNOSTICS`.
    GetDiagnostics(Diagnostics),
    /// `SELECT .. INTO ..`; the query is without its INTO.
    SelectInto {
        /// The query.
        query: Box<Query>,
        /// Where the columns go.
        targets: Vec<Target>,
    },
    /// Any other statement that sqlparser reads: INSERT, REPLACE, UPDATE, DELETE, SELECT, TRUNCATE, ..
    Sql(Box<sqlparser::ast::Statement>),
    /// `DO expression, ..`.
    Do(Vec<Expression>),
    /// `PREPARE name FROM ..`: SQL made at run time.
    Prepare {
        /// Name.
        name: String,
        /// A string or a user variable (any expression in MariaDB).
        from: Expression,
    },
    /// `EXECUTE name [USING ..]`.
    Execute {
        /// Name.
        name: String,
        /// Arguments.
        using: Vec<Expression>,
    },
    /// `EXECUTE IMMEDIATE ..` of MariaDB.
    ExecuteImmediate {
        /// The text.
        text: Expression,
        /// Arguments.
        using: Vec<Expression>,
    },
    /// `DEALLOCATE PREPARE name`, `DROP PREPARE name`.
    Deallocate(String),
    /// START TRANSACTION, COMMIT, ROLLBACK, SAVEPOINT .., as written.
    Transaction(String),
    /// `BEGIN END` and a semicolon alone do nothing.
    Empty,
    /// What could not be read. It may do anything.
    Unread {
        /// Why.
        why: Unread,
        /// The tables that it inserts into, updates or deletes from, as far as its words tell.
        writes: Vec<Name>,
    },
}

/// A block.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Label.
    pub label: Option<String>,
    /// DECLAREs in order.
    pub declarations: Vec<Declaration>,
    /// Statements.
    pub body: Vec<Statement>,
}

/// DECLARE.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    /// Where it begins in the file.
    pub position: Position,
    /// Where it stands in [`Program::text`].
    pub span: Range<usize>,
    /// What it declares.
    pub kind: DeclarationKind,
}

/// What is declared.
#[derive(Debug, Clone, PartialEq)]
pub enum DeclarationKind {
    /// `DECLARE a, b type [DEFAULT ..]`.
    Variables {
        /// Names.
        names: Vec<String>,
        /// Their type.
        data_type: Type,
        /// Their first value; NULL if none.
        default: Option<Expression>,
    },
    /// `DECLARE name CONDITION FOR ..`.
    Condition {
        /// Name.
        name: String,
        /// What it stands for.
        value: Condition,
    },
    /// `DECLARE name CURSOR [(parameters)] FOR query`.
    Cursor {
        /// Name.
        name: String,
        /// Parameters, in MariaDB.
        parameters: Vec<(String, Type)>,
        /// The query or why it was not read.
        query: Result<Box<Query>, Unread>,
    },
    /// `DECLARE .. HANDLER FOR .. statement`.
    Handler {
        /// What follows it.
        action: HandlerAction,
        /// What it is for.
        conditions: Vec<Condition>,
        /// What it does.
        body: Box<Statement>,
    },
    /// A DECLARE that was not read.
    Unread(Unread),
}

/// What follows a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandlerAction {
    /// The statement after the one that failed.
    Continue,
    /// The end of the block.
    Exit,
    /// Reserved by the standard; no server has it.
    Undo,
}

/// A condition of a handler, SIGNAL or DECLARE CONDITION.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// `SQLSTATE [VALUE] 'xxxxx'`.
    SqlState(String),
    /// An error number of the server.
    Error(u64),
    /// A declared one.
    Named(String),
    /// SQLWARNING.
    SqlWarning,
    /// NOT FOUND.
    NotFound,
    /// SQLEXCEPTION.
    SqlException,
}

/// An assignment of SET.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// What gets the value.
    pub target: Target,
    /// The value. A bare word such as ON or DEFAULT of a system variable is an identifier.
    pub value: Expression,
}

/// What a value is put into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A variable or a parameter; a system variable if none of that name is declared.
    Variable(String),
    /// `NEW.column`, or `OLD.column`, which the servers refuse.
    Row {
        /// Whether NEW.
        new: bool,
        /// The column.
        column: String,
    },
    /// A field of a row variable of MariaDB.
    Field {
        /// The variable.
        variable: String,
        /// The field.
        field: String,
    },
    /// `@x`, the name without `@`.
    User(String),
    /// `@@[scope.]x`, `SET SESSION x`, `SET GLOBAL x`: a setting of the server.
    System {
        /// session, global, persist, persist_only, local; none if not written.
        scope: Option<String>,
        /// Name.
        name: String,
    },
}

/// A branch of IF or CASE.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// The condition, or the value of `CASE x WHEN value`.
    pub condition: Expression,
    /// What then happens.
    pub body: Vec<Statement>,
}

/// What FOR runs over.
#[derive(Debug, Clone, PartialEq)]
pub enum ForRange {
    /// `[REVERSE] from .. to`.
    Numbers {
        /// Downwards.
        reverse: bool,
        /// First.
        from: Expression,
        /// Last.
        to: Expression,
    },
    /// A declared cursor.
    Cursor {
        /// Its name.
        name: String,
        /// Arguments.
        arguments: Vec<Expression>,
    },
    /// A query in parentheses.
    Query(Box<Query>),
}

/// SIGNAL or RESIGNAL.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// What is raised.
    pub condition: Option<Condition>,
    /// `SET MESSAGE_TEXT = ..`: names in upper case.
    pub items: Vec<(String, Expression)>,
}

/// GET DIAGNOSTICS.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostics {
    /// STACKED instead of CURRENT.
    pub stacked: bool,
    /// The number of the condition; none for the statement's items.
    pub condition: Option<Expression>,
    /// Where the items go: names in upper case.
    pub items: Vec<(Target, String)>,
}
