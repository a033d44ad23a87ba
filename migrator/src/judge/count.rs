//! What a version expression gives, worked out with a number in the place of the newest version: whether it counts 1, 2, 3 ..

use serde_json::Value;

use super::bodies::trees;
use super::origin::Known;
use super::version::{Tracer, mentions};
use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::StatementType;

/// Steps that are followed.
const DEPTH: usize = 12;

#[derive(Clone, Copy)]
struct At {
    scope: usize,
    statement: usize,
    /// The newest version, none in a stream without events.
    newest: Option<i64>,
    depth: usize,
}

impl Tracer<'_> {
    /// The numbers that an expression may give, as far as they are known: each way of a CASE, each branch that reads the newest
    /// version by itself.
    pub fn values_if_newest(&self, expr: &Value, scope: usize, statement: usize, newest: Option<i64>) -> Vec<i64> {
        let at = At { scope, statement, newest, depth: 0 };
        let expr = ast::without_casts(expr);
        if let Some(known) = self.value(expr, at) {
            return known.into_iter().collect();
        }
        let of = |e: &Value, at: At| self.value(e, at).flatten();
        if let Some(case) = ast::node(expr, "CaseExpr") {
            let ways = ast::list(case, "args").iter().filter_map(|w| ast::node(w, "CaseWhen")?.get("result"));
            return ways.chain(case.get("defresult")).filter_map(|way| of(way, at)).collect();
        }
        let Some(name) = ast::column(expr).map(|c| c.join(".")) else { return vec![] };
        let body = self.collected.body(scope);
        let given = body.statements[..statement.min(body.statements.len())].iter().enumerate();
        let given: Vec<_> = given
            .filter(|(_, s)| s.kind == StatementType::Assign && s.targets.contains(&name))
            .filter_map(|(n, s)| Some((n, ast::parse_expression(&s.sql).ok()?)))
            .collect();
        // what is counted on is not known yet where it is read
        if given.iter().any(|(_, e)| mentions(e, &name)) {
            return vec![];
        }
        let read = given.iter().filter(|(_, e)| super::version::newest(e).is_some());
        read.filter_map(|(n, e)| of(e, At { statement: *n, ..at })).collect()
    }

    fn value(&self, expr: &Value, at: At) -> Known {
        if at.depth > DEPTH {
            return None;
        }
        let at = At { depth: at.depth + 1, ..at };
        let expr = ast::without_casts(expr);
        if ast::is_null(expr) {
            return Some(None);
        }
        if let Some(constant) = ast::constant(expr) {
            return constant.parse().ok().map(Some);
        }
        if let Some(coalesce) = ast::node(expr, "CoalesceExpr") {
            for argument in ast::list(coalesce, "args") {
                if let Some(number) = self.value(argument, at)? {
                    return Some(Some(number));
                }
            }
            return Some(None);
        }
        if let Some(operation) = ast::node(expr, "AExpr") {
            let (a, b) = (self.value(operation.get("lexpr")?, at)?, self.value(operation.get("rexpr")?, at)?);
            let (Some(a), Some(b)) = (a, b) else { return Some(None) };
            return match ast::operator(operation) {
                "+" => a.checked_add(b).map(Some),
                "-" => a.checked_sub(b).map(Some),
                _ => None,
            };
        }
        if let Some(link) = ast::node(expr, "SubLink") {
            return self.of_query(ast::node(link.get("subselect")?, "SelectStmt")?, 0, at);
        }
        if let Some(call) = ast::node(expr, "FuncCall") {
            return self.of_function(call, at);
        }
        let name = ast::column(expr)?.join(".");
        let key = ((at.scope, at.statement, name), at.newest);
        if let Some(known) = self.collected.counted.borrow().get(&key) {
            return *known;
        }
        let known = self.of_variable(&key.0.2, at);
        self.collected.counted.borrow_mut().insert(key, known);
        known
    }

    /// A target of a query.
    fn of_query(&self, select: &Value, target: usize, at: At) -> Known {
        let value = ast::node(ast::list(select, "target_list").get(target)?, "ResTarget")?.get("val")?;
        if ast::list(select, "from_clause").is_empty() {
            return self.value(value, at);
        }
        let aggregates = ast::calls(value).iter().any(|(_, name, _)| name == "max" || name == "count");
        let sorted =
            !ast::list(select, "sort_clause").is_empty() && select.get("limit_count").is_some_and(Value::is_object);
        match at.newest {
            // no row
            None if sorted && !aggregates => return Some(None),
            _ if !aggregates && !sorted => return None,
            _ => {}
        }
        let newest = serde_json::json!({"node": {"AConst": match at.newest {
            Some(n) => serde_json::json!({"isnull": false, "val": {"Ival": {"ival": n}}}),
            None => serde_json::json!({"isnull": true}),
        }}});
        self.value(&with_newest(value, &newest, aggregates), at)
    }

    fn of_function(&self, call: &Value, at: At) -> Known {
        let (schema, name) = ast::call_name(call);
        let function = self.followed(&schema, &name, ast::list(call, "args").len(), at.scope)?;
        let body = self.collected.bodies.get(&function.oid)?;
        let called = |s: &super::collected::Scope| {
            s.function == Some(function.oid) && s.caller == Some((at.scope, at.statement))
        };
        let scope = self.collected.scopes.iter().position(called)?;
        if function.language == "sql" {
            let statement = body.statements.len().checked_sub(1)?;
            let trees = trees(&body.statements[statement]);
            return self.of_query(ast::node(trees.last()?, "SelectStmt")?, 0, At { scope, statement, ..at });
        }
        let mut returned =
            body.statements.iter().enumerate().filter(|(_, s)| s.kind == StatementType::Return && !s.sql.is_empty());
        let ((statement, only), None) = (returned.next()?, returned.next()) else { return None };
        self.value(&ast::parse_expression(&only.sql).ok()?, At { scope, statement, ..at })
    }

    /// What a variable was given last, if no condition or loop makes that uncertain.
    fn of_variable(&self, name: &str, at: At) -> Known {
        let body = self.collected.body(at.scope);
        let place = body.statements.get(at.statement);
        let given = body.statements[..at.statement.min(body.statements.len())].iter().enumerate();
        let Some((n, last)) = given.rev().find(|(_, s)| s.targets.iter().any(|t| t == name)) else {
            let default = body.variables.iter().find(|v| v.name == name).and_then(|v| v.default.as_deref());
            if let Some(default) = default {
                return self.value(&ast::parse_expression(default).ok()?, At { statement: 0, ..at });
            }
            let scope = &self.collected.scopes[at.scope];
            let (bound, (caller, statement)) = (scope.bindings.get(name)?, scope.caller?);
            return self.value(bound, At { scope: caller, statement, ..at });
        };
        if last.looped
            || place.is_some_and(|p| !p.guards.starts_with(&last.guards))
            || place.is_none() && !last.guards.is_empty()
        {
            return None;
        }
        let at = At { statement: n, ..at };
        match last.kind {
            StatementType::Assign => self.value(&ast::parse_expression(&last.sql).ok()?, at),
            StatementType::Sql => {
                let trees = trees(last);
                let target = last.targets.iter().position(|t| t == name)?;
                self.of_query(ast::node(trees.first()?, "SelectStmt")?, target, at)
            }
            _ => None,
        }
    }

    /// What a parameter or a variable that is given once stands for.
    pub fn resolved(&self, expr: &Value, scope: usize) -> Value {
        let (mut expr, mut scope) = (ast::without_casts(expr).clone(), scope);
        for _ in 0..DEPTH {
            let Some([name]) = ast::column(&expr).and_then(|c| <[String; 1]>::try_from(c).ok()) else { break };
            let body = self.collected.body(scope);
            let mut given = body.statements.iter().filter(|s| s.targets.contains(&name));
            let place = &self.collected.scopes[scope];
            let next = match (given.next(), given.next(), place.bindings.get(&name), place.caller) {
                (Some(only), None, ..) if only.kind == StatementType::Assign => ast::parse_expression(&only.sql).ok(),
                (None, _, Some(bound), Some((caller, _))) => {
                    scope = caller;
                    Some(bound.clone())
                }
                (None, ..) => {
                    let declared = body.variables.iter().find(|v| v.name == name);
                    declared.and_then(|v| ast::parse_expression(v.default.as_deref()?).ok())
                }
                _ => None,
            };
            let Some(next) = next.filter(|n| !mentions(n, &name)) else { break };
            expr = ast::without_casts(&next).clone();
        }
        expr
    }
}

/// The aggregate, or where there is none the columns, as a constant.
fn with_newest(tree: &Value, newest: &Value, aggregates: bool) -> Value {
    let is_newest = if aggregates {
        ast::node(tree, "FuncCall").is_some_and(|c| matches!(ast::call_name(c).1.as_str(), "max" | "count"))
    } else {
        ast::node(tree, "ColumnRef").is_some()
    };
    if is_newest {
        let counts = ast::node(tree, "FuncCall").is_some_and(|c| ast::call_name(c).1 == "count");
        // a count of nothing is 0
        return if counts && ast::is_null(newest) {
            serde_json::json!({"node": {"AConst": {"isnull": false, "val": {"Ival": {"ival": 0}}}}})
        } else {
            newest.clone()
        };
    }
    match tree {
        Value::Object(map) => {
            Value::Object(map.iter().map(|(k, v)| (k.clone(), with_newest(v, newest, aggregates))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|i| with_newest(i, newest, aggregates)).collect()),
        other => other.clone(),
    }
}
