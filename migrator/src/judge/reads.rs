//! The queries in a statement that read a newest version, and what they compare.

use serde_json::Value;

use crate::catalogue::{Catalogue, Relation};
use crate::sql_tree::ast;

/// A query for the newest version.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The table that it reads, if that is known.
    pub relation: Option<u32>,
    /// The table as it is written.
    pub written: String,
    /// The column whose newest value it gives; none for a count.
    pub column: Option<String>,
    /// The columns that its condition compares, and with what.
    pub by: Vec<(String, Value)>,
    /// What of it is not understood.
    pub unclear: Option<String>,
    /// Where it stands.
    pub scope: usize,
    /// Whether it is a number that is kept, rather than the newest of many.
    pub kept: bool,
}

/// The queries in an expression that read a newest version.
pub(super) fn reads(expr: &Value, scope: usize, catalogue: &Catalogue, path: &[String]) -> Vec<Read> {
    let is_one = |s: &Value| {
        let counts = ast::calls(s).iter().any(|(_, name, _)| name == "max" || name == "count");
        let sorted = !ast::list(s, "sort_clause").is_empty() && s.get("limit_count").is_some_and(Value::is_object);
        (counts || sorted) && !ast::list(s, "from_clause").is_empty()
    };
    let all: Vec<&Value> = ast::find(expr, "SelectStmt").into_iter().filter(|s| is_one(s)).collect();
    let innermost = all.iter().filter(|s| !ast::find(s, "SelectStmt").into_iter().any(is_one));
    innermost.map(|s| read(s, scope, catalogue, path)).collect()
}

/// The tables in which a query finds a number that is kept there.
pub(super) fn kept(tree: &Value, scope: usize, catalogue: &Catalogue, path: &[String]) -> Vec<Read> {
    let ranges = ast::node(tree, "SelectStmt").map(|s| ast::list(s, "from_clause")).unwrap_or_default();
    let only = ranges.first().filter(|_| ranges.len() == 1).and_then(|r| ast::node(r, "RangeVar"));
    let found =
        only.and_then(|r| catalogue.resolve_relation(ast::text(r, "schemaname"), ast::text(r, "relname"), path));
    let read = |r: &Relation| Read {
        relation: Some(r.oid),
        written: r.name.clone(),
        column: None,
        by: vec![],
        unclear: None,
        scope,
        kept: true,
    };
    found.map(read).into_iter().collect()
}

fn read(select: &Value, scope: usize, catalogue: &Catalogue, path: &[String]) -> Read {
    let (written, by) = ("a query".into(), vec![]);
    let mut read = Read { relation: None, written, column: None, by, unclear: None, scope, kept: false };
    let [from] = ast::list(select, "from_clause") else {
        return Read { unclear: Some("from several tables".into()), ..read };
    };
    let Some(range) = ast::node(from, "RangeVar") else {
        return Read { unclear: Some("from a query".into()), ..read };
    };
    let (schema, name) = (ast::text(range, "schemaname"), ast::text(range, "relname"));
    let alias = range.get("alias").map(|a| ast::text(a, "aliasname")).filter(|a| !a.is_empty()).unwrap_or(name);
    name.clone_into(&mut read.written);
    let Some(relation) = catalogue.resolve_relation(schema, name, path) else { return read };
    read.relation = Some(relation.oid);
    let of = |value: &Value| -> Option<String> {
        let column = ast::column(as_number(ast::without_casts(value)))?;
        let (table, column) = match column.as_slice() {
            [column] => (alias, column),
            [table, column] => (table.as_str(), column),
            _ => return None,
        };
        (table == alias && relation.column(column).is_some()).then(|| column.clone())
    };
    let calls = ast::calls(select);
    let counted = calls.iter().find(|(_, name, _)| name == "max").and_then(|(_, _, args)| args.first());
    let sorted =
        ast::list(select, "sort_clause").first().and_then(|s| ast::node(s, "SortBy")).and_then(|s| s.get("node"));
    read.column = counted.or(sorted).and_then(of);
    let filtered = ast::find(select, "FuncCall").into_iter().any(|c| c.get("agg_filter").is_some_and(Value::is_object));
    if filtered
        || !ast::list(select, "group_clause").is_empty()
        || select.get("having_clause").is_some_and(Value::is_object)
    {
        read.unclear = Some("of groups or by a filter".into());
    }
    if let Some(condition) = select.get("where_clause").filter(|c| c.is_object()) {
        conjuncts(condition, &of, &mut read);
    }
    read
}

/// What MySQL compares with a number as one, without the call that its translation makes for that: the same stream, as long as the
/// column holds what the statement writes there.
fn as_number(value: &Value) -> &Value {
    let call = ast::node(value, "FuncCall").filter(|c| ast::call_name(c).1 == "mysql_number");
    call.and_then(|c| ast::list(c, "args").first()).map_or(value, ast::without_casts)
}

/// Equalities joined by AND; anything else that names a column of the table is not understood.
fn conjuncts(condition: &Value, of: &impl Fn(&Value) -> Option<String>, read: &mut Read) {
    // AND_EXPR
    if let Some(and) = ast::node(condition, "BoolExpr").filter(|b| b.get("boolop").and_then(Value::as_i64) == Some(1)) {
        return ast::list(and, "args").iter().for_each(|c| conjuncts(c, of, read));
    }
    if let Some(test) = ast::node(condition, "NullTest") {
        // the version is never null where it counts
        let of_version = test.get("arg").and_then(of).is_some_and(|c| Some(&c) == read.column.as_ref());
        if of_version {
            return;
        }
    }
    let equal = |a: &Value, b: &Value, read: &mut Read| -> bool {
        let (column, value) = match (of(a), of(b)) {
            (Some(column), None) => (column, b),
            (None, Some(column)) => (column, a),
            _ => return false,
        };
        if Some(&column) == read.column.as_ref() {
            return false;
        }
        if !read.by.iter().any(|(c, _)| *c == column) {
            read.by.push((column, value.clone()));
        }
        true
    };
    if let Some(expr) = ast::node(condition, "AExpr")
        && let (Some(a), Some(b)) = (expr.get("lexpr"), expr.get("rexpr"))
    {
        // = and IS NOT DISTINCT FROM
        let kind = expr.get("kind").and_then(Value::as_i64).unwrap_or(0);
        let rows = (ast::node(a, "RowExpr"), ast::node(b, "RowExpr"));
        if ast::operator(expr) == "=" && matches!(kind, 1 | 5) {
            let understood = match rows {
                (Some(a), Some(b)) => {
                    let (a, b) = (ast::list(a, "args"), ast::list(b, "args"));
                    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, read))
                }
                _ => equal(a, b, read),
            };
            if understood {
                return;
            }
        }
    }
    let names_a_column = ast::find(condition, "ColumnRef")
        .into_iter()
        .any(|c| of(&serde_json::json!({ "node": { "ColumnRef": c } })).is_some());
    if names_a_column || !ast::find(condition, "SelectStmt").is_empty() {
        read.unclear = Some("under a condition that is no plain equality".into());
    }
}
