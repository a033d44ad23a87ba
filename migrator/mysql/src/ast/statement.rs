//! The statements of a body.

use std::ops::Range;

use sqlparser::ast::Query;

use super::{Expression, Name, Position, Type, Unread};

/// A statement of a body.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Where it begins in the file.
    pub position: Position,
    /// Where it stands in `Program::text`, without the semicolon.
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
    /// Where it stands in `Program::text`.
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
