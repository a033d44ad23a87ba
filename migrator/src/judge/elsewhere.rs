//! Whether a version that a function computes goes elsewhere too: another number in its place would not be the whole of it.

use super::Write;
use super::analysis::Analysis;
use super::{sql, version};
use crate::sql_tree::ast;

impl Analysis<'_> {
    /// Whether an expression of another column is made from the variable that holds the version.
    pub(super) fn version_is_told_elsewhere(&self, write: &Write, insert: &sql::Insert, version_column: &str) -> bool {
        let body = self.collected.body(write.scope);
        let mut names: Vec<String> =
            insert.values(version_column).into_iter().flatten().flat_map(counted_from).collect();
        let is_set = |name: &String| body.statements.iter().any(|s| s.targets.contains(name));
        let alone = |v: &&serde_json::Value| ast::column(ast::without_casts(v)).is_some();
        // in `last + 1` what is set here is the version; a parameter may be anything
        if !insert.values(version_column).into_iter().flatten().all(|v| alone(&v)) {
            names.retain(is_set);
        }
        if self.constant_is_told_elsewhere(write, insert, version_column) {
            return true;
        }
        let elsewhere = insert
            .columns
            .iter()
            .filter(|c| *c != version_column)
            .any(|c| insert.values(c).into_iter().flatten().any(|v| names.iter().any(|n| version::mentions(v, n))));
        elsewhere || names.iter().any(|n| self.told_later(write, n))
    }

    /// Whether a constant version stands in another column too: as the version in a payload, or in a text that is put together, as one
    /// that is hashed; or in what is sent by NOTIFY.
    fn constant_is_told_elsewhere(&self, write: &Write, insert: &sql::Insert, version_column: &str) -> bool {
        let versions: Vec<String> = insert
            .values(version_column)
            .into_iter()
            .flatten()
            .filter_map(|v| ast::constant(ast::without_casts(v)))
            .collect();
        let is_version = |v: &serde_json::Value| {
            ast::string_constant(v).is_none() && ast::constant(v).is_some_and(|c| versions.contains(&c))
        };
        let in_text = |tree: &serde_json::Value| {
            let joined = ast::find(tree, "AExpr").into_iter().filter(|e| ast::operator(e) == "||");
            let joined = joined.flat_map(|e| [e.get("lexpr"), e.get("rexpr")]).flatten().any(is_version);
            let made = ast::calls(tree).iter().any(|(_, name, arguments)| {
                matches!(name.as_str(), "format" | "concat" | "concat_ws") && arguments.iter().any(is_version)
            });
            joined || made
        };
        let named = |v: &serde_json::Value| {
            ast::string_constant(v).is_some_and(|key| key.to_lowercase().contains("version") || key == version_column)
        };
        let in_payload = |tree: &serde_json::Value| {
            ast::calls(tree).iter().any(|(_, name, arguments)| {
                name.contains("build_object")
                    && arguments.chunks(2).any(|p| p.len() == 2 && named(&p[0]) && is_version(&p[1]))
            })
        };
        if versions.is_empty() {
            return false;
        }
        let others = insert.columns.iter().filter(|c| *c != version_column).flat_map(|c| insert.values(c)).flatten();
        let sent = self.collected.body(write.scope).statements.iter().any(|s| {
            let trees = super::bodies::trees(s);
            let mut calls = trees.iter().flat_map(ast::calls);
            calls.any(|(_, name, arguments)| {
                name == "pg_notify" && arguments.iter().any(|a| in_text(a) || in_payload(a))
            })
        });
        sent || others.into_iter().any(|v| in_text(v) || in_payload(v))
    }

    /// Whether a later statement does something with the variable, other than count it up or give it to the next event.
    fn told_later(&self, write: &Write, name: &str) -> bool {
        let body = self.collected.body(write.scope);
        let guards = &body.statements[write.statement].guards;
        for (n, later) in body.statements.iter().enumerate().skip(write.statement + 1) {
            let trees = super::bodies::trees(later);
            let mentioned = trees.iter().any(|t| version::mentions(t, name));
            if later.targets.iter().any(|t| t == name) {
                // a new value, whichever way was taken to it
                if !mentioned && guards.starts_with(&later.guards) && !later.looped {
                    return false;
                }
                continue;
            }
            let next_event = || {
                let own = self.collected.writes.iter().filter(|w| w.scope == write.scope && w.statement == n);
                let own: Vec<bool> = own.map(|w| self.gives_version_alone(w, name)).collect();
                !own.is_empty() && own.into_iter().all(|alone| alone)
            };
            if mentioned && !next_event() {
                return true;
            }
        }
        false
    }

    /// Whether a write puts the variable into the version and nowhere else.
    fn gives_version_alone(&self, write: &Write, name: &str) -> bool {
        let Some(insert) = &write.insert else { return false };
        let target = insert.relation.and_then(|oid| self.targets.get(&oid)).filter(|t| t.is_event_table);
        let Some(version) = target.and_then(|t| t.roles.version_column.as_ref()) else { return false };
        let others = insert.columns.iter().filter(|c| *c != version);
        !others.flat_map(|c| insert.values(c)).any(|v| v.is_none_or(|v| version::mentions(v, name)))
    }
}

/// The variables that a number is made of; not those that a query or a function is given.
fn counted_from(expr: &serde_json::Value) -> Vec<String> {
    if let Some(name) = ast::column(expr) {
        return if name.len() == 1 { name } else { vec![] };
    }
    match expr {
        serde_json::Value::Object(map) => map
            .iter()
            .filter(|(kind, _)| !matches!(kind.as_str(), "SubLink" | "FuncCall"))
            .flat_map(|(_, inner)| counted_from(inner))
            .collect(),
        serde_json::Value::Array(items) => items.iter().flat_map(counted_from).collect(),
        _ => vec![],
    }
}
