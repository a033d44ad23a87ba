//! Tables that statements write and that are not in what was read: migrations and excerpts rarely hold them. A statement is
//! judged by itself then, by its columns, its values and the function around it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::bodies::{Read, trees};
use super::{sql, words};
use crate::source::{Catalogue, Column, Relation};
use crate::sql_tree::ast;

/// A table as its uses show it.
#[derive(Default)]
struct Seen {
    /// Columns in the order of their first use, with what is written there.
    columns: Vec<(String, Vec<Value>)>,
    /// Columns whose max() is read.
    counted: BTreeSet<String>,
    /// Whether rows are inserted.
    written: bool,
}

impl Seen {
    fn column(&mut self, name: &str) -> &mut Vec<Value> {
        let at = self.columns.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
            self.columns.push((name.to_owned(), vec![]));
            self.columns.len() - 1
        });
        &mut self.columns[at].1
    }
}

/// The catalogue with a relation for each table that a function writes, or reads the max() of, and that is not in it.
pub(super) fn with<'c>(catalogue: &'c Catalogue, read: &Read) -> Cow<'c, Catalogue> {
    let mut seen: BTreeMap<(String, String), Seen> = BTreeMap::new();
    // a table of the session is made by one function and used by others
    let texts = || read.bodies.values().flat_map(|b| &b.statements).filter(|s| s.sql.to_lowercase().contains("temp"));
    let of_session: BTreeSet<String> =
        texts().flat_map(|s| trees(s).iter().flat_map(temporary).collect::<Vec<_>>()).collect();
    for function in &catalogue.functions {
        let Some(body) = read.bodies.get(&function.oid) else { continue };
        let path = catalogue.path_at(function, None);
        let path = path.as_slice();
        let statements: Vec<_> = body.statements.iter().map(trees).collect();
        let temporary: BTreeSet<String> = statements.iter().flat_map(|s| s.iter()).flat_map(made).collect();
        let unknown = |range: &Value| {
            let (schema, name) = (ast::text(range, "schemaname"), ast::text(range, "relname"));
            let known = catalogue.resolve_relation(schema, name, path);
            // an index or ALTER TABLE alone has made it up
            if let Some(bare) = known.filter(|r| r.assumed) {
                return Some((bare.schema.clone(), bare.name.clone()));
            }
            // tables of the server and of the store are in no file
            let other = matches!(schema, "pg_catalog" | "information_schema" | "domain_events" | "pg_temp");
            let made = temporary.contains(name) || schema.is_empty() && of_session.contains(name);
            let first = || path.iter().find(|s| *s != "pg_catalog" && *s != "pg_temp").cloned();
            let schema = if schema.is_empty() { first().unwrap_or_else(|| "public".into()) } else { schema.to_owned() };
            (known.is_none() && !other && !made).then(|| (schema, name.to_owned()))
        };
        for tree in statements.iter().flat_map(|s| s.iter()) {
            for insert in ast::find(tree, "InsertStmt") {
                let Some(range) = insert.get("relation").filter(|r| r.is_object()) else { continue };
                let Some(name) = unknown(range) else { continue };
                let table = seen.entry(name).or_default();
                table.written = true;
                for one in sql::inserts(tree, catalogue, path).iter().filter(|i| i.is_of(range)) {
                    for column in &one.columns {
                        let values = one.values(column).into_iter().flatten().cloned().collect::<Vec<_>>();
                        table.column(column).extend(values);
                    }
                }
            }
            for select in ast::find(tree, "SelectStmt") {
                read_by_max(select, &unknown, &mut seen);
            }
        }
    }
    if seen.is_empty() {
        return Cow::Borrowed(catalogue);
    }
    let mut whole = catalogue.clone();
    for ((schema, name), table) in seen {
        if let Some(bare) = whole.relations.iter_mut().find(|r| r.assumed && r.schema == schema && r.name == name) {
            if !table.written {
                continue;
            }
            let columns = relation(bare.oid, schema, name, &table).columns;
            let new = columns.into_iter().filter(|c| bare.columns.iter().all(|b| b.name != c.name));
            bare.columns.extend(new.collect::<Vec<_>>());
            continue;
        }
        let oid = whole.next_oid();
        whole.relations.push(relation(oid, schema, name, &table));
    }
    Cow::Owned(whole)
}

/// Names of the tables that a statement makes: a function's own.
fn made(tree: &Value) -> Vec<String> {
    let create = ast::find(tree, "CreateStmt").into_iter().filter_map(|c| c.get("relation"));
    let query = ast::find(tree, "CreateTableAsStmt").into_iter().filter_map(|c| c.pointer("/into/rel"));
    let into = ast::find(tree, "SelectStmt").into_iter().filter_map(|s| s.pointer("/into_clause/rel"));
    let query_names = ast::find(tree, "CommonTableExpr").into_iter().map(|c| ast::text(c, "ctename").to_owned());
    create.chain(query).chain(into).map(|r| ast::text(r, "relname").to_owned()).chain(query_names).collect()
}

/// Names of the tables of the session that a statement makes, one that is made at run time too.
fn temporary(tree: &Value) -> Vec<String> {
    let is_one = |range: &&Value| ast::text(range, "relpersistence") == "t";
    let tables = |tree: &Value| -> Vec<String> {
        let plain = ast::find(tree, "CreateStmt").into_iter().filter_map(|c| c.get("relation"));
        let query = ast::find(tree, "CreateTableAsStmt").into_iter().filter_map(|c| c.pointer("/into/rel"));
        plain.chain(query).filter(is_one).map(|r| ast::text(r, "relname").to_owned()).collect()
    };
    let texts = ast::find(tree, "Sval").into_iter().map(|s| ast::text(s, "sval").to_owned());
    let texts = texts.filter(|t| t.to_lowercase().contains("temp"));
    let at_run_time = texts.flat_map(|t| ast::parse(&t).unwrap_or_default()).flat_map(|t| tables(&t));
    tables(tree).into_iter().chain(at_run_time.collect::<Vec<_>>()).collect()
}

/// `select max(version) from t where id = ..`: the table has these columns.
fn read_by_max(
    select: &Value,
    unknown: &dyn Fn(&Value) -> Option<(String, String)>,
    seen: &mut BTreeMap<(String, String), Seen>,
) {
    let [from] = ast::list(select, "from_clause") else { return };
    let Some(name) = ast::node(from, "RangeVar").and_then(unknown) else { return };
    let targets: Vec<Value> = ast::list(select, "target_list").to_vec();
    let of = |columns: Vec<Vec<String>>| columns.into_iter().filter_map(|c| c.last().cloned()).collect::<Vec<_>>();
    let maxima = targets.iter().flat_map(ast::calls).filter(|(_, name, _)| name == "max");
    let counted = of(maxima.flat_map(|(_, _, arguments)| arguments.iter().filter_map(ast::column)).collect());
    if counted.is_empty() {
        return;
    }
    let table = seen.entry(name).or_default();
    for equal in select.get("where_clause").into_iter().flat_map(|w| ast::find(w, "AExpr")) {
        if let Some(column) = equal.get("lexpr").map(ast::without_casts).and_then(ast::column) {
            table.column(column.last().map_or("", String::as_str));
        }
    }
    for column in counted {
        table.column(&column);
        table.counted.insert(column);
    }
}

fn relation(oid: u32, schema: String, name: String, seen: &Seen) -> Relation {
    let columns = seen.columns.iter().map(|(name, values)| column(name, values, seen.counted.contains(name)));
    Relation { columns: columns.collect(), ..Relation::bare(oid, schema, name) }
}

/// A column with the type that its name and its values speak for.
fn column(name: &str, values: &[Value], counted: bool) -> Column {
    let parts = words::of(name);
    // the day after the last is no number
    let counted = counted && !words::is_of_time(name);
    let is = |list: &[&str]| parts.iter().any(|p| list.contains(&p.as_str()));
    let number =
        |v: &Value| ast::constant(v).is_some_and(|c| c.parse::<i64>().is_ok()) && ast::string_constant(v).is_none();
    let fraction = |v: &Value| ast::constant(v).is_some_and(|c| c.parse::<f64>().is_ok() && c.contains('.'));
    let now = |v: &Value| {
        !ast::find(v, "SqlvalueFunction").is_empty() && !super::is_actor(v)
            || ast::calls(v)
                .iter()
                .any(|(_, n, _)| matches!(n.as_str(), "now" | "clock_timestamp" | "statement_timestamp"))
    };
    let text = |v: &Value| ast::string_constant(v).is_some();
    let (data_type, category) =
        if counted || values.iter().any(number) || words::counts(name) && !values.iter().any(text) {
            if values.iter().any(fraction) { ("numeric", "N") } else { ("integer", "N") }
        } else if values.iter().any(fraction) {
            ("numeric", "N")
        } else if values.iter().any(now)
            || parts.last().is_some_and(|l| matches!(l.as_str(), "at" | "time" | "timestamp" | "stamp"))
        {
            ("timestamp with time zone", "D")
        } else if values.iter().any(super::event_table::builds_json) || is(&["payload", "json", "jsonb", "metadata"]) {
            ("jsonb", "U")
        } else if values.iter().any(text) || is(&["type", "action", "operation", "name", "op"]) {
            ("text", "S")
        } else {
            ("", "U")
        };
    Column { name: name.to_owned(), data_type: data_type.into(), category: category.into(), ..Column::default() }
}
