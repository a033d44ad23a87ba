//! The text constants that an expression may come to: directly, through variables, parameters and arguments of a trigger.

use serde_json::Value;

use super::collected::{Collected, Write};
use super::row;
use crate::source::Catalogue;
use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::StatementType;

/// The constants of an expression of a write; empty if one of its ways cannot be followed.
pub fn of_write(catalogue: &Catalogue, collected: &Collected, write: &Write, value: &Value) -> Vec<String> {
    let mut found = vec![];
    let follow = Follow { catalogue, collected, write };
    match follow.all(value, write.scope, 0, &mut found) {
        Some(()) => found,
        None => vec![],
    }
}

struct Follow<'a> {
    catalogue: &'a Catalogue,
    collected: &'a Collected,
    write: &'a Write,
}

impl Follow<'_> {
    fn all(&self, value: &Value, scope: usize, depth: usize, found: &mut Vec<String>) -> Option<()> {
        if depth > 8 {
            return None;
        }
        let value = ast::without_casts(value);
        if let Some(constants) = constants(value) {
            found.extend(constants.into_iter().filter(|c| !found.contains(c)).collect::<Vec<_>>());
            return Some(());
        }
        if let Some(argument) = self.argument(value) {
            found.extend(Some(argument).filter(|a| !found.contains(a)));
            return Some(());
        }
        let set = row::settings(value, scope, usize::MAX, self.collected);
        if !set.is_empty() {
            return set.iter().try_for_each(|(value, scope, _)| self.all(value, *scope, depth + 1, found));
        }
        let name = ast::column(value)?.join(".");
        let place = &self.collected.scopes[scope];
        let body = self.collected.body(scope);
        let default = body.variables.iter().find(|v| v.name == name).and_then(|v| v.default.as_deref());
        let assigned = body.statements.iter().filter(|s| s.kind == StatementType::Assign && s.targets.contains(&name));
        let texts: Vec<&str> = default.into_iter().chain(assigned.map(|s| s.sql.as_str())).collect();
        if let (Some(bound), Some((caller, _)), true) = (place.bindings.get(&name), place.caller, texts.is_empty()) {
            return self.all(bound, caller, depth + 1, found);
        }
        // filled by a query too: its values are in the tables
        let filled = body.statements.iter().any(|s| s.kind != StatementType::Assign && s.targets.contains(&name));
        if texts.is_empty() || filled {
            return None;
        }
        texts.into_iter().try_for_each(|t| self.all(&ast::parse_expression(t).ok()?, scope, depth + 1, found))
    }

    /// `tg_argv[n]`.
    fn argument(&self, value: &Value) -> Option<String> {
        let element = ast::node(value, "AIndirection")?;
        let is_argv = ast::column(element.get("arg")?)? == ["tg_argv"];
        let index = ast::node(ast::list(element, "indirection").first()?, "AIndices")?.get("uidx")?;
        let n: usize = ast::constant(index).filter(|_| is_argv)?.parse().ok()?;
        let trigger = self.catalogue.triggers.iter().find(|t| Some(t.oid) == self.write.trigger)?;
        trigger.arguments.get(n).cloned()
    }
}

/// The text constants that an expression is, if it is one or a CASE over some.
pub fn constants(value: &Value) -> Option<Vec<String>> {
    let value = ast::without_casts(value);
    if let Some(constant) = ast::string_constant(value) {
        return Some(vec![constant]);
    }
    let case = ast::node(value, "CaseExpr")?;
    let mut all = vec![];
    for when in ast::list(case, "args").iter().filter_map(|w| ast::node(w, "CaseWhen")) {
        all.extend(constants(when.get("result")?)?);
    }
    if let Some(default) = case.get("defresult").filter(|d| d.is_object() && !ast::is_null(d)) {
        all.extend(constants(default)?);
    }
    Some(all)
}
