//! What is handed over: the defaults that an insert takes, what a call gives the parameters, what a body gives a variable or a setting.

use std::collections::HashMap;

use serde_json::Value;

use super::bodies::trees;
use super::dynamic;
use super::sql::Insert;
use crate::source::{Catalogue, Function};
use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::{Body, Statement, StatementType};

/// The defaults of columns that an insert does not give, where they call something.
pub(super) fn default_calls(insert: &Insert, catalogue: &Catalogue) -> Vec<Value> {
    let Some(relation) = insert.relation.and_then(|oid| catalogue.relation(oid)) else { return vec![] };
    let missing = relation.columns.iter().filter(|c| insert.takes_default(&c.name));
    missing.filter_map(|c| ast::parse_expression(c.default.as_deref()?).ok()).collect()
}

/// `set_config('app.who', value, ..)`
pub(super) fn settings(body: &Body) -> Vec<(String, Value, usize)> {
    let mut found = vec![];
    for (n, statement) in
        body.statements.iter().enumerate().filter(|(_, s)| s.sql.to_lowercase().contains("set_config"))
    {
        for (_, name, arguments) in trees(statement).iter().flat_map(ast::calls) {
            if let (true, [setting, value, ..]) = (name == "set_config", arguments)
                && let Some(setting) = ast::string_constant(setting)
            {
                found.push((setting, value.clone(), n));
            }
        }
    }
    found
}

/// What a function's variables are given before a statement.
pub(super) fn assigned_before(body: &Body, statement: usize) -> Vec<Value> {
    let given = body.statements[..statement].iter().filter(|s| s.kind == StatementType::Assign);
    given.flat_map(|s| trees(s).iter().cloned().collect::<Vec<_>>()).collect()
}

/// Whether EXECUTE runs a text of whose beginning nothing is seen; a query in a loop is none.
pub(super) fn is_hidden(trees: &[Value], body: &Body, statement: usize) -> bool {
    let given = |name: &str| -> Vec<Value> {
        let default = body.variables.iter().find(|v| v.name == name).and_then(|v| v.default.as_deref());
        let set = body.statements[..statement].iter().filter(|s| s.targets.iter().any(|t| t == name));
        let set = set.filter(|s| s.kind == StatementType::Assign);
        default.and_then(|d| ast::parse_expression(d).ok()).into_iter().chain(set.flat_map(trees_of)).collect()
    };
    trees.first().is_some_and(|text| dynamic::begins_unseen(text, &given, 0))
}

fn trees_of(statement: &Statement) -> Vec<Value> {
    trees(statement).iter().cloned().collect()
}

pub(super) fn bind(callee: &Function, arguments: &[Value]) -> HashMap<String, Value> {
    let mut bindings = HashMap::new();
    for (n, argument) in arguments.iter().enumerate() {
        let named = ast::node(argument, "NamedArgExpr");
        let value = named.and_then(|a| a.get("arg")).unwrap_or(argument).clone();
        let name = named.map(|a| ast::text(a, "name").to_owned()).or_else(|| callee.arguments.get(n).cloned());
        bindings.insert(format!("${}", n + 1), value.clone());
        if let Some(name) = name.filter(|n| !n.is_empty()) {
            bindings.insert(name, value);
        }
    }
    bindings
}
