//! Bodies of functions as statements, and the trees of these.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use serde_json::Value;

use crate::source::{Catalogue, Function, Relation};
use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::{self, Body, Statement, StatementType};
use domain_events_sql::limits;

/// The functions of a catalogue, by OID.
#[derive(Debug, Default)]
pub struct Read {
    /// Bodies of those that could be read.
    pub bodies: BTreeMap<u32, Body>,
    /// Why the others could not.
    pub errors: HashMap<u32, String>,
}

/// Reads every function but those that the tool made for adopted tables: these write the event themselves.
pub fn bodies(catalogue: &Catalogue) -> Read {
    let mut all = Read::default();
    for function in catalogue.functions.iter().filter(|f| !f.adopts()) {
        match read_body(function, catalogue) {
            Ok(body) => _ = all.bodies.insert(function.oid, body),
            Err(reason) => _ = all.errors.insert(function.oid, reason),
        }
    }
    all
}

fn read_body(function: &Function, catalogue: &Catalogue) -> Result<Body, String> {
    match function.language.as_str() {
        "plpgsql" => plpgsql::parse(function, catalogue),
        "sql" => {
            // a body in SQL-standard form is kept as a tree; the definition has its text
            let texts = if function.source.is_empty() {
                vec![function.definition.as_str()]
            } else {
                limits::check_body(&function.source)?;
                pg_query::split_with_parser(&function.source).map_err(|e| e.to_string())?
            };
            Ok(Body { variables: vec![], statements: texts.into_iter().map(plain).collect() })
        }
        other => Err(format!("its language is {other}")),
    }
}

pub(super) fn plain(text: &str) -> Statement {
    Statement {
        kind: StatementType::Sql,
        sql: text.to_owned(),
        parameters: vec![],
        line: 0,
        targets: vec![],
        guards: vec![],
        swallowed: false,
        looped: false,
    }
}

/// The trees of a statement; none if it cannot be read, which `collect` has told.
pub fn trees(statement: &Statement) -> Rc<Vec<Value>> {
    read(statement).unwrap_or_default()
}

type Parsed = Result<Rc<Vec<Value>>, String>;

/// Trees of the statements that were asked for last: one function's are asked for again and again, all of a database's would
/// take too much memory.
#[derive(Default)]
struct Recent {
    parsed: HashMap<(StatementType, String), Parsed>,
    bytes: usize,
}

/// Bytes of SQL whose trees are kept; a tree takes about a hundred times that.
const KEPT: usize = 1024 * 1024;

thread_local! {
    static RECENT: RefCell<Recent> = RefCell::default();
}

/// The trees of a statement, expressions parsed as such, or why there are none.
pub(super) fn read(statement: &Statement) -> Parsed {
    RECENT.with_borrow_mut(|recent| {
        let key = (statement.kind, statement.sql.clone());
        if let Some(parsed) = recent.parsed.get(&key) {
            return parsed.clone();
        }
        if recent.bytes + statement.sql.len() > KEPT {
            *recent = Recent::default();
        }
        let parsed = parse(statement).map(Rc::new);
        recent.bytes += statement.sql.len();
        recent.parsed.insert(key, parsed.clone());
        parsed
    })
}

fn parse(statement: &Statement) -> Result<Vec<Value>, String> {
    let sql = &statement.sql;
    match statement.kind {
        StatementType::Sql | StatementType::Perform | StatementType::Call => ast::parse(sql),
        StatementType::Other => ast::parse(sql).or_else(|_| ast::parse_expression(sql).map(|e| vec![e])),
        StatementType::Raise if sql.is_empty() => Ok(vec![]),
        StatementType::Raise => ast::parse(&format!("select {sql}")),
        // RETURN without an expression
        StatementType::Return if sql.is_empty() => Ok(vec![]),
        StatementType::Assign | StatementType::Return | StatementType::Dynamic => {
            ast::parse_expression(sql).map(|e| vec![e])
        }
    }
}

/// What a column is given where a trigger gives back a row of its own making: `return (new.id, n, ..)`, in the order of the columns.
pub fn returned(body: &Body, relation: &Relation, column: &str) -> Option<(usize, Value)> {
    let at = relation.columns.iter().position(|c| c.name == column)?;
    body.statements.iter().enumerate().rev().filter(|(_, s)| s.kind == StatementType::Return).find_map(|(n, s)| {
        let tree = ast::parse_expression(&s.sql).ok()?;
        let value = ast::list(ast::node(&tree, "RowExpr")?, "args").get(at)?.clone();
        Some((n, value))
    })
}
