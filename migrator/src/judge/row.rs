//! What stands for the row at hand in a statement: NEW and OLD, the rows of a transition table, and the row that a query reads
//! again from the trigger's own table.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bodies::trees;
use super::collected::{Collected, Write};
use super::version::mentions;
use crate::source::{Catalogue, Relation, Trigger};
use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::StatementType;

/// The names of the row in one statement.
#[derive(Debug, Default)]
pub(super) struct SourceRow {
    aliases: Vec<String>,
    /// Whether a column without a qualifier is one of the row's.
    bare: bool,
    /// Whether all columns are taken as they come.
    pub whole: bool,
    /// What a record that is inserted as a whole was made of, by column.
    pub fields: BTreeMap<String, Value>,
    /// Variables that hold one column of it.
    held: BTreeMap<String, String>,
}

impl SourceRow {
    /// The row of the trigger that leads to a write.
    pub fn of(write: &Write, catalogue: &Catalogue, collected: &Collected) -> Self {
        let mut row = Self { aliases: vec!["new".into(), "old".into()], ..Self::default() };
        let trigger = write.trigger.and_then(|oid| catalogue.triggers.iter().find(|t| t.oid == oid));
        let transitions = trigger.map(transition_tables).unwrap_or_default();
        let table = trigger.and_then(|t| catalogue.relation(t.relation));
        let path = &collected.scopes[write.scope].path;
        let unfired = write.unfired;
        row.keep(write, table, catalogue, collected);
        for tree in trees(collected.statement(write)).iter() {
            for select in selects(tree) {
                let again = table.filter(|_| asks_for_the_row(select));
                let is_row = |range: &Value| {
                    let (schema, name) = (ast::text(range, "schemaname"), ast::text(range, "relname"));
                    let transition = transitions.iter().any(|t| t == name)
                        // without its trigger the function tells: old_rows, new_table
                        || unfired && schema.is_empty() && is_called_transition(name, catalogue, path);
                    transition
                        || again.is_some_and(|t| {
                            catalogue.resolve_relation(schema, name, path).is_some_and(|r| r.oid == t.oid)
                        })
                };
                row.take(select, &is_row);
            }
        }
        row.fields = record(write, catalogue, collected);
        row
    }

    /// The row of a table from which a function of the application copies into what keeps its rows.
    pub fn copied_from(write: &Write, kept_in: &Relation, catalogue: &Catalogue, collected: &Collected) -> Self {
        let mut row = Self::default();
        let path = &collected.scopes[write.scope].path;
        for tree in trees(collected.statement(write)).iter() {
            for select in selects(tree) {
                let is_row = |range: &Value| {
                    let (schema, name) = (ast::text(range, "schemaname"), ast::text(range, "relname"));
                    super::words::keeps_rows_of(&kept_in.name, name)
                        && catalogue.resolve_relation(schema, name, path).is_none_or(|r| r.oid != kept_in.oid)
                };
                row.take(select, &is_row);
            }
        }
        row
    }

    /// The variables that hold the row, one that reads it again by its key too, and those that hold one column of it.
    fn keep(&mut self, write: &Write, table: Option<&Relation>, catalogue: &Catalogue, collected: &Collected) {
        let body = collected.body(write.scope);
        let path = &collected.scopes[write.scope].path;
        for statement in &body.statements[..write.statement] {
            let [target] = statement.targets.as_slice() else { continue };
            let trees = trees(statement);
            let Some(tree) = trees.first() else { continue };
            match statement.kind {
                StatementType::Assign => match ast::column(ast::without_casts(tree)).as_deref() {
                    Some([row]) if self.aliases.contains(row) => self.aliases.push(target.clone()),
                    Some([row, column]) if self.aliases.contains(row) => {
                        self.held.insert(target.clone(), column.clone());
                    }
                    _ => {}
                },
                StatementType::Sql => {
                    let own = |range: &Value| {
                        let of = (ast::text(range, "schemaname"), ast::text(range, "relname"));
                        catalogue
                            .resolve_relation(of.0, of.1, path)
                            .is_some_and(|r| Some(r.oid) == table.map(|t| t.oid))
                    };
                    let Some(select) = ast::node(tree, "SelectStmt").filter(|s| asks_for_the_row(s)) else { continue };
                    let [from] = ast::list(select, "from_clause") else { continue };
                    let all = ast::list(select, "target_list").iter().any(|t| {
                        let value = ast::node(t, "ResTarget").and_then(|t| t.get("val"));
                        value.and_then(ast::column).is_some_and(|c| c.last().is_some_and(|c| c == "*"))
                    });
                    if all && ast::node(from, "RangeVar").is_some_and(own) {
                        self.aliases.push(target.clone());
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether nothing in the statement stands for it.
    pub fn is_nowhere(&self) -> bool {
        self.aliases.is_empty()
    }

    /// The column of the row that an expression is, if it is one.
    pub fn column(&self, value: &Value) -> Option<String> {
        match ast::column(ast::without_casts(value))?.as_slice() {
            [row, column] if self.aliases.contains(row) => Some(column.clone()),
            [column] if self.bare => Some(column.clone()),
            [name] => self.held.get(name).cloned(),
            _ => None,
        }
    }

    /// Whether fields of a reference belong to it.
    pub fn has(&self, fields: &[&str]) -> bool {
        match fields {
            [row] => self.bare || self.aliases.iter().any(|a| a == row),
            [row, ..] => self.aliases.iter().any(|a| a == row),
            [] => false,
        }
    }

    fn take(&mut self, select: &Value, is_row: &dyn Fn(&Value) -> bool) {
        let from = ast::list(select, "from_clause");
        let ranges: Vec<&Value> = from.iter().flat_map(|f| ast::find(f, "RangeVar")).collect();
        let mut own = vec![];
        for range in ranges.iter().filter(|r| is_row(r)) {
            let alias = range.get("alias").map(|a| ast::text(a, "aliasname")).filter(|a| !a.is_empty());
            own.push(alias.unwrap_or(ast::text(range, "relname")).to_owned());
        }
        let alone = ranges.len() == 1 && own.len() == 1 && from.len() == 1;
        self.bare |= alone;
        self.aliases.extend(own);
        for target in ast::list(select, "target_list").iter().filter_map(|t| ast::node(t, "ResTarget")) {
            let Some(value) = target.get("val") else { continue };
            self.whole |= match ast::column(value).as_deref() {
                Some([row, star]) => star == "*" && self.aliases.contains(row),
                Some([star]) => star == "*" && alone,
                _ => self.is_spread(value),
            };
        }
        let values = ast::list(select, "values_lists").iter().filter_map(|l| ast::node(l, "List"));
        for value in values.flat_map(|l| ast::list(l, "items")) {
            let star = ast::column(value).is_some_and(|c| c.len() == 2 && c[1] == "*" && self.aliases.contains(&c[0]));
            self.whole |= star || self.is_spread(value);
        }
    }

    /// `(old).*`
    fn is_spread(&self, value: &Value) -> bool {
        let Some(fields) = ast::node(value, "AIndirection") else { return false };
        let star = ast::list(fields, "indirection").iter().any(|i| ast::node(i, "AStar").is_some());
        let of = fields.get("arg").and_then(|a| ast::column(ast::without_casts(a)));
        star && of.is_some_and(|c| c.len() == 1 && self.aliases.contains(&c[0]))
    }
}

/// `audit_row = row(..); audit_row.data = ..; insert into the_log values (audit_row.*)`
fn record(write: &Write, catalogue: &Catalogue, collected: &Collected) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::new();
    let Some(insert) = &write.insert else { return fields };
    let given: Vec<(&String, String)> = insert
        .columns
        .iter()
        .filter_map(|c| match insert.values(c).as_slice() {
            [Some(value)] => ast::column(value).filter(|f| f.len() == 2 && f[1] == *c).map(|f| (c, f[0].clone())),
            _ => None,
        })
        .collect();
    let Some((_, record)) = given.first().filter(|(_, r)| r != "new" && r != "old") else { return fields };
    let relation = insert.relation.and_then(|oid| catalogue.relation(oid));
    let earlier = collected.body(write.scope).statements.iter().take(write.statement);
    for statement in earlier.filter(|s| s.kind == StatementType::Assign) {
        let Some(target) = statement.targets.first() else { continue };
        if target != record && !target.starts_with(&format!("{record}.")) {
            continue;
        }
        let trees = trees(statement);
        let Some(value) = trees.first() else { continue };
        if let Some((_, field)) = target.split_once('.') {
            fields.insert(field.to_owned(), value.clone());
        } else if let (Some(row), Some(relation)) = (ast::node(value, "RowExpr"), relation) {
            let columns = relation.columns.iter().map(|c| c.name.clone());
            fields.extend(columns.zip(ast::list(row, "args").iter().cloned()));
        }
    }
    fields
}

/// The queries that an INSERT takes its rows from.
fn selects(tree: &Value) -> Vec<&Value> {
    fn arms<'t>(select: &'t Value, found: &mut Vec<&'t Value>) {
        for arm in ["larg", "rarg"] {
            select.get(arm).filter(|a| a.is_object()).into_iter().for_each(|a| arms(a, found));
        }
        found.push(select);
    }
    let mut found = vec![];
    for insert in ast::find(tree, "InsertStmt") {
        let select = insert.get("select_stmt").and_then(|s| ast::node(s, "SelectStmt"));
        select.into_iter().for_each(|s| arms(s, &mut found));
    }
    found
}

/// Whether a query asks for what the row at hand names: `where id = old.id`.
fn asks_for_the_row(select: &Value) -> bool {
    select.get("where_clause").is_some_and(|condition| {
        ast::find(condition, "AExpr").iter().any(|e| {
            let side = |key: &str| e.get(key).map(ast::without_casts).and_then(ast::column).unwrap_or_default();
            let of_row = |c: &[String]| c.len() == 2 && matches!(c[0].as_str(), "new" | "old");
            let (a, b) = (side("lexpr"), side("rexpr"));
            ast::operator(e) == "=" && (of_row(&a) && !b.is_empty() || of_row(&b) && !a.is_empty())
        })
    })
}

/// `referencing old table as gone new table as there`
fn transition_tables(trigger: &Trigger) -> Vec<String> {
    if !trigger.definition.to_ascii_lowercase().contains("referencing") {
        return vec![];
    }
    let trees = ast::parse(&trigger.definition).unwrap_or_default();
    let tables = trees.iter().flat_map(|t| ast::find(t, "TriggerTransition"));
    tables.map(|t| ast::text(t, "name").to_owned()).collect()
}

fn is_called_transition(name: &str, catalogue: &Catalogue, path: &[String]) -> bool {
    let words = super::words::of(name);
    let is = |list: &[&str]| words.iter().any(|w| list.contains(&w.as_str()));
    let called = is(&["new", "old", "inserted", "deleted", "updated"])
        && is(&[
            "table", "tab", "rows", "row", "values", "data", "records", "tuples", "inserted", "deleted", "updated",
        ]);
    called && catalogue.resolve_relation("", name, path).is_none()
}

/// What `current_setting` of an expression was set to before, here or in a caller: the settings that it reads with the values that
/// the way to it gave them, each with its scope and statement.
pub(super) fn settings(
    expr: &Value,
    scope: usize,
    statement: usize,
    collected: &Collected,
) -> Vec<(Value, usize, usize)> {
    let read = ast::calls(expr).into_iter().filter(|(_, name, _)| name == "current_setting");
    let wanted: Vec<String> = read
        .filter(|_| !collected.settings.is_empty())
        .filter_map(|(_, _, a)| a.first().and_then(ast::string_constant))
        .collect();
    let mut found = vec![];
    let mut at = (!wanted.is_empty()).then_some((scope, statement));
    while let Some((scope, before)) = at {
        let made = collected.scopes[scope].function.and_then(|oid| collected.settings.get(&oid));
        let earlier = made.into_iter().flatten().filter(|(name, _, n)| *n < before && wanted.contains(name));
        found.extend(earlier.map(|(_, value, n)| (value.clone(), scope, *n)));
        at = collected.scopes[scope].caller;
    }
    found
}

/// Whether an expression calls for the number of the transaction.
pub(super) fn is_transaction(expr: &Value) -> bool {
    ast::calls(expr).iter().any(|(_, name, _)| {
        matches!(
            name.as_str(),
            "txid_current"
                | "pg_current_xact_id"
                | "txid_current_if_assigned"
                | "pg_current_xact_id_if_assigned"
                | "txid_snapshot_xmin"
        )
    })
}

/// Whether it is the name of the table at hand.
pub(super) fn is_table_name(expr: &Value) -> bool {
    ["tg_table_name", "tg_relname", "tg_relid"].iter().any(|name| mentions(expr, name))
}
