//! The writes in a piece of SQL.

use serde_json::Value;

use super::ast;
use crate::source::Catalogue;

/// What an INSERT does when its key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// It fails.
    Error,
    /// ON CONFLICT DO NOTHING: the event is lost.
    Nothing,
    /// ON CONFLICT DO UPDATE: the table is no log.
    Update,
}

/// An INSERT.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// OID of its table; none if no table of that name is known.
    pub relation: Option<u32>,
    /// The table as it is written.
    pub written: String,
    /// Whether the table is written with its schema.
    pub qualified: bool,
    /// Its columns, from the catalogue where the statement lists none.
    pub columns: Vec<String>,
    /// The rows of VALUES, or one row of a SELECT's targets; none where the expression is not to be seen.
    pub rows: Vec<Vec<Option<Value>>>,
    /// Whether the rows come from a query.
    pub from_query: bool,
    /// What happens on conflict.
    pub conflict: Conflict,
}

impl Insert {
    /// The expressions of a column, one per row; empty if the column is not given.
    pub fn values(&self, column: &str) -> Vec<Option<&Value>> {
        let Some(at) = self.columns.iter().position(|c| c == column) else { return vec![] };
        self.rows
            .iter()
            .map(|row| row.get(at).and_then(Option::as_ref))
            .filter(|v| !v.is_some_and(is_default))
            .collect()
    }
}

/// DEFAULT in a VALUES list.
fn is_default(value: &Value) -> bool {
    ast::kind(value) == "SetToDefault"
}

/// A change of rows that are there.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// OID of the table.
    pub relation: u32,
    /// Columns set by an UPDATE; empty for DELETE and TRUNCATE.
    pub columns: Vec<String>,
}

/// All inserts in a statement, those in WITH included.
pub fn inserts(statement: &Value, catalogue: &Catalogue, path: &[String]) -> Vec<Insert> {
    ast::find(statement, "InsertStmt").into_iter().filter_map(|i| insert(i, statement, catalogue, path)).collect()
}

fn insert(node: &Value, statement: &Value, catalogue: &Catalogue, path: &[String]) -> Option<Insert> {
    let range = node.get("relation").filter(|r| r.is_object())?;
    let (schema, name) = (ast::text(range, "schemaname"), ast::text(range, "relname"));
    let relation = catalogue.resolve_relation(schema, name, path);
    let mut columns: Vec<String> = ast::list(node, "cols")
        .iter()
        .filter_map(|c| ast::node(c, "ResTarget"))
        .map(|t| ast::text(t, "name").to_owned())
        .collect();
    if columns.is_empty()
        && let Some(relation) = relation
    {
        columns = relation.columns.iter().map(|c| c.name.clone()).collect();
    }
    let (mut rows, mut from_query) = (vec![], false);
    if let Some(select) = node.get("select_stmt").and_then(|s| ast::node(s, "SelectStmt")) {
        collect_rows(select, statement, &mut rows, &mut from_query);
    }
    let action = node.pointer("/on_conflict_clause/action").and_then(Value::as_i64);
    Some(Insert {
        relation: relation.map(|r| r.oid),
        written: if schema.is_empty() { name.to_owned() } else { format!("{schema}.{name}") },
        qualified: !schema.is_empty(),
        columns,
        rows,
        from_query,
        conflict: match action {
            Some(2) => Conflict::Nothing,
            Some(3) => Conflict::Update,
            _ => Conflict::Error,
        },
    })
}

fn collect_rows(select: &Value, statement: &Value, rows: &mut Vec<Vec<Option<Value>>>, from_query: &mut bool) {
    // UNION and its like: each arm is a row of its own
    for arm in ["larg", "rarg"] {
        if let Some(arm) = select.get(arm).filter(|a| a.is_object()) {
            collect_rows(arm, statement, rows, from_query);
        }
    }
    for values in ast::list(select, "values_lists") {
        let items = ast::node(values, "List").map(|l| ast::list(l, "items")).unwrap_or_default();
        rows.push(items.iter().cloned().map(Some).collect());
    }
    let targets = ast::list(select, "target_list");
    if !targets.is_empty() {
        // SELECT without FROM is VALUES by another name
        *from_query |= !ast::list(select, "from_clause").is_empty();
        let mut row = vec![];
        for target in targets.iter().filter_map(|t| ast::node(t, "ResTarget")).filter_map(|t| t.get("val")) {
            let star = ast::column(target).is_some_and(|c| c.last().is_some_and(|l| l == "*"));
            // after a star nothing is in a known place
            row.push(if star || row.contains(&None) { None } else { Some(through_query(target, statement)) });
        }
        rows.push(row);
    }
}

/// A column of a sub-query or WITH query in the same statement, as the expression it is made of.
fn through_query(target: &Value, statement: &Value) -> Value {
    let Some(name) =
        ast::column(target).filter(|c| !matches!(c[0].as_str(), "new" | "old")).and_then(|c| c.last().cloned())
    else {
        return target.clone();
    };
    let queries = ast::find(statement, "CommonTableExpr").into_iter().chain(ast::find(statement, "RangeSubselect"));
    let made: Vec<&Value> = queries
        .flat_map(|q| ast::find(q, "ResTarget"))
        .filter(|t| ast::text(t, "name") == name)
        .filter_map(|t| t.get("val"))
        .filter(|v| v.is_object())
        .collect();
    if let [only] = made.as_slice() { (*only).clone() } else { target.clone() }
}

/// All updates, deletes and truncations in a statement.
pub fn changes(statement: &Value, catalogue: &Catalogue, path: &[String]) -> Vec<Change> {
    let mut found = vec![];
    for kind in ["UpdateStmt", "DeleteStmt"] {
        for node in ast::find(statement, kind) {
            let Some(range) = node.get("relation") else { continue };
            let target = catalogue.resolve_relation(ast::text(range, "schemaname"), ast::text(range, "relname"), path);
            let columns = ast::list(node, "target_list").iter().filter(|_| kind == "UpdateStmt");
            found.extend(
                target.map(|relation| Change {
                    relation: relation.oid,
                    columns: columns
                        .filter_map(|t| ast::node(t, "ResTarget"))
                        .map(|t| ast::text(t, "name").to_owned())
                        .collect(),
                }),
            );
        }
    }
    found
}

/// The function calls in a tree: schema, name, arguments.
pub fn calls(tree: &Value) -> Vec<(String, String, &[Value])> {
    ast::find(tree, "FuncCall")
        .into_iter()
        .map(|call| {
            let (schema, name) = ast::call_name(call);
            (schema, name, ast::list(call, "args"))
        })
        .collect()
}
