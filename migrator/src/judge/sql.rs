//! The writes in a piece of SQL.

use serde_json::Value;

use crate::source::Catalogue;
use crate::sql_tree::ast;

/// What an INSERT does when its key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// It fails.
    Error,
    /// ON CONFLICT DO NOTHING: the event is lost.
    Nothing,
    /// ON CONFLICT DO UPDATE: the table is no log, unless it is a version that conflicts.
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
    /// The columns that ON CONFLICT names.
    pub conflict_columns: Vec<String>,
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

impl Insert {
    /// Whether ON CONFLICT (.., column) DO UPDATE writes over the row that has this number.
    pub fn writes_over(&self, column: &str) -> bool {
        self.conflict == Conflict::Update && self.conflict_columns.iter().any(|c| c == column)
    }

    /// Whether its table is written like this.
    pub fn is_of(&self, range: &Value) -> bool {
        self.written == written(range)
    }

    /// Whether some row takes the default of a column.
    pub fn takes_default(&self, column: &str) -> bool {
        let Some(at) = self.columns.iter().position(|c| c == column) else { return true };
        self.rows.iter().any(|row| match row.get(at) {
            Some(value) => value.as_ref().is_some_and(is_default),
            // positional: fewer values than columns
            None => !row.is_empty(),
        })
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
    /// The function that does it.
    pub function: u32,
    /// Columns set by an UPDATE; empty for DELETE and TRUNCATE.
    pub columns: Vec<String>,
}

/// All inserts in a statement, those in WITH included.
pub fn inserts(statement: &Value, catalogue: &Catalogue, path: &[String]) -> Vec<Insert> {
    let plain = ast::find(statement, "InsertStmt").into_iter().filter_map(|i| insert(i, statement, catalogue, path));
    let merged = ast::find(statement, "MergeStmt").into_iter().flat_map(|m| merge(m, statement, catalogue, path));
    plain.chain(merged).collect()
}

/// WHEN NOT MATCHED THEN INSERT of a MERGE.
fn merge(node: &Value, statement: &Value, catalogue: &Catalogue, path: &[String]) -> Vec<Insert> {
    let Some(range) = node.get("relation").filter(|r| r.is_object()) else { return vec![] };
    let clauses = ast::list(node, "merge_when_clauses").iter().filter_map(|c| ast::node(c, "MergeWhenClause"));
    // CMD_INSERT
    let clauses = clauses.filter(|c| c.get("command_type").and_then(Value::as_i64) == Some(4));
    let made = clauses.map(|clause| {
        let (relation, columns) = target(range, ast::list(clause, "target_list"), catalogue, path);
        let row = ast::list(clause, "values").iter().map(|v| Some(through_query(v, statement))).collect();
        let rows = vec![row];
        Insert { rows, from_query: true, conflict: Conflict::Error, ..unfilled(range, relation, columns) }
    });
    made.collect()
}

/// The table and the columns that are written.
fn target(range: &Value, listed: &[Value], catalogue: &Catalogue, path: &[String]) -> (Option<u32>, Vec<String>) {
    let relation = catalogue.resolve_relation(ast::text(range, "schemaname"), ast::text(range, "relname"), path);
    let columns: Vec<String> =
        listed.iter().filter_map(|c| ast::node(c, "ResTarget")).map(|t| ast::text(t, "name").to_owned()).collect();
    match relation {
        Some(relation) if columns.is_empty() => {
            (Some(relation.oid), relation.columns.iter().map(|c| c.name.clone()).collect())
        }
        other => (other.map(|r| r.oid), columns),
    }
}

fn unfilled(range: &Value, relation: Option<u32>, columns: Vec<String>) -> Insert {
    Insert {
        relation,
        written: written(range),
        qualified: !ast::text(range, "schemaname").is_empty(),
        columns,
        rows: vec![],
        from_query: false,
        conflict: Conflict::Error,
        conflict_columns: vec![],
    }
}

fn written(range: &Value) -> String {
    let (schema, name) = (ast::text(range, "schemaname"), ast::text(range, "relname"));
    if schema.is_empty() { name.to_owned() } else { format!("{schema}.{name}") }
}

fn insert(node: &Value, statement: &Value, catalogue: &Catalogue, path: &[String]) -> Option<Insert> {
    let range = node.get("relation").filter(|r| r.is_object())?;
    let (relation, columns) = target(range, ast::list(node, "cols"), catalogue, path);
    let (mut rows, mut from_query) = (vec![], false);
    if let Some(select) = node.get("select_stmt").and_then(|s| ast::node(s, "SelectStmt")) {
        collect_rows(select, statement, &mut rows, &mut from_query);
    }
    rows.iter_mut().for_each(|row| spread(row, &columns));
    let action = node.pointer("/on_conflict_clause/action").and_then(Value::as_i64);
    let conflict = match action {
        Some(2) => Conflict::Nothing,
        Some(3) => Conflict::Update,
        _ => Conflict::Error,
    };
    let elements = node.pointer("/on_conflict_clause/infer").map(|i| ast::list(i, "index_elems")).unwrap_or_default();
    let elements = elements.iter().filter_map(|e| ast::node(e, "IndexElem"));
    let conflict_columns = elements.map(|e| ast::text(e, "name").to_owned()).collect();
    Some(Insert { rows, from_query, conflict, conflict_columns, ..unfilled(range, relation, columns) })
}

/// `values (r.*)`: the fields of a variable of the table's row type, by name.
fn spread(row: &mut Vec<Option<Value>>, columns: &[String]) {
    let [Some(only)] = row.as_slice() else { return };
    let Some([record, star]) = ast::column(only).and_then(|c| <[String; 2]>::try_from(c).ok()) else { return };
    // the row of the trigger's table has other columns
    if star == "*" && record != "new" && record != "old" {
        *row = columns.iter().map(|c| Some(ast::column_of(&record, c))).collect();
    } else if star == "*" {
        *row = vec![None];
    }
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
            row.push(Some(through_query(target, statement)));
        }
        // the fields of a record alone, else nothing is in a known place after a star
        let star =
            |v: &Option<Value>| v.as_ref().and_then(ast::column).is_some_and(|c| c.last().is_some_and(|l| l == "*"));
        if (row.len() > 1 || *from_query)
            && let Some(at) = row.iter().position(star)
        {
            row[at..].fill(None);
        }
        rows.push(row);
    }
}

/// Columns of sub-queries and WITH queries in the same statement, as the expressions they are made of.
fn through_query(target: &Value, statement: &Value) -> Value {
    fn replaced(tree: &Value, made: &dyn Fn(&str) -> Option<Value>) -> Value {
        if let Some(column) = ast::column(tree) {
            let of_row = matches!(column[0].as_str(), "new" | "old");
            return column.last().filter(|_| !of_row).and_then(|name| made(name)).unwrap_or_else(|| tree.clone());
        }
        match tree {
            // a query of its own has columns of its own
            Value::Object(map) if !map.contains_key("SelectStmt") => {
                Value::Object(map.iter().map(|(k, v)| (k.clone(), replaced(v, made))).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(|i| replaced(i, made)).collect()),
            other => other.clone(),
        }
    }
    let queries = || ast::find(statement, "CommonTableExpr").into_iter().chain(ast::find(statement, "RangeSubselect"));
    let made = |name: &str| {
        let targets = queries().flat_map(|q| ast::find(q, "ResTarget")).filter(|t| ast::text(t, "name") == name);
        let mut values = targets.filter_map(|t| t.get("val")).filter(|v| v.is_object());
        let only = values.next().filter(|_| values.next().is_none())?;
        // with what it is read from, so that a max() in it is seen as one
        Some(only.clone())
    };
    replaced(target, &made)
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
                    function: 0,
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
