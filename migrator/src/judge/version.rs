//! Where a version comes from.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bodies::trees;
use super::collected::Collected;
use super::held::{Held, lock_in};
use super::origin::{Origin, VersionSource};
use super::reads::Read;
use crate::source::{Catalogue, Function};
use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::{Body, Statement, StatementType};

/// Follows an expression to where its value is made.
pub struct Tracer<'a> {
    /// The database.
    pub catalogue: &'a Catalogue,
    /// All that was read of it.
    pub collected: &'a Collected,
}

impl<'a> Tracer<'a> {
    /// The origin of an expression of a statement.
    pub fn origin(&self, expr: &Value, scope: usize, statement: usize) -> Origin {
        self.trace(expr, scope, statement, 0)
    }

    pub(super) fn trace(&self, expr: &Value, scope: usize, statement: usize, depth: usize) -> Origin {
        if depth > 12 {
            return Origin::new(
                VersionSource::Dynamic,
                "its way through variables and functions is too long to follow",
            );
        }
        let expr = ast::without_casts(expr);
        if ast::is_null(expr) {
            return Origin::new(VersionSource::None, "the version is NULL");
        }
        if let Some(constant) = ast::constant(expr) {
            let reason = format!("the version is the constant {constant}");
            return Origin { literal: Some(constant), ..Origin::new(VersionSource::Literal, reason) };
        }
        if let Some(origin) = self.reads_newest(expr, scope, statement) {
            return origin;
        }
        let mut found: Vec<Origin> = vec![];
        self.parts(expr, scope, statement, depth, &mut found);
        Origin::worst(found).unwrap_or_else(|| {
            Origin::new(VersionSource::Dynamic, "the version is an expression that cannot be judged")
        })
    }

    /// The origins of all that an expression is made of. What a followed function is given is not part of its result.
    fn parts(&self, tree: &Value, scope: usize, statement: usize, depth: usize, found: &mut Vec<Origin>) {
        match tree {
            Value::Array(items) => items.iter().for_each(|i| self.parts(i, scope, statement, depth, found)),
            Value::Object(map) => {
                for (key, inner) in map {
                    match key.as_str() {
                        "FuncCall" if inner.is_object() => {
                            let (schema, name) = ast::call_name(inner);
                            match self.call(&schema, &name, ast::list(inner, "args"), scope, statement, depth) {
                                Some(origin) => found.push(origin),
                                // what a function of nobody knows makes of its arguments is not known either
                                None if !passes_on(&schema, &name) => found.push(Origin::new(
                                    VersionSource::Dynamic,
                                    format!("the version is made by {name}(), none of the functions that were read"),
                                )),
                                None => self.parts(inner, scope, statement, depth, found),
                            }
                        }
                        "ColumnRef" if inner.is_object() => {
                            let fields = ast::list(inner, "fields").iter().filter_map(|f| ast::node(f, "String"));
                            let fields: Vec<String> = fields.map(|s| ast::text(s, "sval").to_owned()).collect();
                            found.push(self.column(&fields, scope, statement, depth));
                        }
                        "ParamRef" if inner.is_object() => {
                            let name = format!("${}", inner.get("number").and_then(Value::as_i64).unwrap_or(0));
                            found.push(self.parameter(&name, scope, depth));
                        }
                        _ => self.parts(inner, scope, statement, depth, found),
                    }
                }
            }
            _ => {}
        }
    }

    /// max(), count() or the newest row by ORDER BY .. LIMIT 1.
    pub(super) fn reads_newest(&self, expr: &Value, scope: usize, statement: usize) -> Option<Origin> {
        let how = newest(expr)?;
        let reads = crate::judge::reads::reads(expr, scope, self.catalogue, self.path(scope));
        let mut origin = self.graded(how, scope, statement, &reads);
        if origin.source == VersionSource::MaxPlusOne && lock_in(expr) == Some("a row lock") {
            origin.reason =
                format!("the version is {how}, read FOR UPDATE: that holds the newest row and not the stream");
        }
        Some(Origin { reads, ..origin })
    }

    pub(super) fn graded(&self, how: &str, scope: usize, statement: usize, reads: &[Read]) -> Origin {
        let (source, under) = match self.held(scope, statement, reads) {
            Held::By(lock) => (VersionSource::MaxPlusOneLocked, format!("after {lock}")),
            Held::Not => (VersionSource::MaxPlusOne, "under no lock".to_owned()),
            Held::NotBy(key) => {
                let by: Vec<&str> = reads.iter().flat_map(|r| &r.by).map(|(c, _)| c.as_str()).collect();
                let stream = match by.as_slice() {
                    [] => "the whole table is counted".to_owned(),
                    by => format!("the number counts by {}", by.join(", ")),
                };
                let key = key.join(", ");
                let said = format!("after an advisory lock over something else: its key is made of {key}, {stream}");
                (VersionSource::MaxPlusOne, said)
            }
        };
        Origin::new(source, format!("the version is {how}, read {under}"))
    }

    /// Whether an error is raised after the number that was read is compared with one that is given: an expected version.
    pub fn expects_a_version(&self, version: &Value, scope: usize) -> bool {
        let body = self.collected.body(scope);
        let mut made_of = variables(version);
        for statement in body.statements.iter().rev().filter(|s| s.kind == StatementType::Assign) {
            if statement.targets.iter().any(|t| made_of.contains(t)) {
                made_of.extend(ast::parse_expression(&statement.sql).map(|e| variables(&e)).unwrap_or_default());
            }
        }
        // what gives the number may have compared it
        let mut read = body.statements.iter().filter(|s| s.targets.iter().any(|t| made_of.contains(t)));
        raises_unless_equal(body, |name| made_of.contains(name))
            || read.any(|s| {
                trees(s).iter().flat_map(ast::calls).any(|(schema, name, a)| {
                    let callee = self.followed(&schema, &name, a.len(), scope);
                    callee.is_some_and(|f| {
                        let body = self.collected.bodies.get(&f.oid);
                        body.is_some_and(|b| raises_unless_equal(b, |name| f.arguments.iter().any(|a| a == name)))
                    })
                })
            })
    }

    pub(super) fn function(&self, scope: usize) -> Option<&'a Function> {
        self.collected.scopes[scope].function.and_then(|oid| self.catalogue.function(oid))
    }

    /// The user's function that a call means.
    pub(super) fn followed(&self, schema: &str, name: &str, arguments: usize, scope: usize) -> Option<&'a Function> {
        self.catalogue.resolve_function(schema, name, arguments, self.path(scope))
    }

    pub(super) fn path(&self, scope: usize) -> &'a [String] {
        &self.collected.scopes[scope].path
    }

    fn call(
        &self,
        schema: &str,
        name: &str,
        arguments: &[Value],
        scope: usize,
        statement: usize,
        depth: usize,
    ) -> Option<Origin> {
        if name == "next_aggregate_version" && (schema == "domain_events" || schema.is_empty()) {
            let reason = "the version is domain_events.next_aggregate_version()";
            return Some(Origin { ported: true, ..Origin::new(VersionSource::MaxPlusOneLocked, reason) });
        }
        if matches!(name, "nextval" | "currval" | "lastval") {
            return Some(Origin::new(VersionSource::Sequence, "the version comes from a sequence"));
        }
        let function = self.followed(schema, name, arguments.len(), scope)?;
        if !self.collected.bodies.contains_key(&function.oid) {
            return Some(Origin::new(VersionSource::Dynamic, format!("{} cannot be read", function.identity)));
        }
        let inner = self
            .collected
            .scopes
            .iter()
            .position(|s| s.function == Some(function.oid) && s.caller == Some((scope, statement)));
        let Some(inner) = inner else {
            return Some(Origin::new(
                VersionSource::Dynamic,
                format!("{} is called in a way that was not followed", function.identity),
            ));
        };
        let mut worst = self.returned(function, inner, depth)?;
        worst.reason = format!("{} in {}", worst.reason, function.identity);
        Some(worst)
    }

    /// Where what a function returns comes from.
    pub fn returned(&self, function: &Function, scope: usize, depth: usize) -> Option<Origin> {
        let body = self.collected.bodies.get(&function.oid)?;
        let origins =
            body.statements.iter().enumerate().filter(|(_, s)| s.kind == StatementType::Return && !s.sql.is_empty());
        let mut origins: Vec<_> = origins
            .filter_map(|(n, s)| Some(self.trace(&ast::parse_expression(&s.sql).ok()?, scope, n, depth + 1)))
            .collect();
        if function.language == "sql"
            && let Some((n, last)) = body.statements.iter().enumerate().next_back()
        {
            origins.extend(self.select_targets(last, scope, n, depth));
        }
        Origin::worst(origins)
    }

    pub(super) fn select_targets(&self, statement: &Statement, scope: usize, n: usize, depth: usize) -> Vec<Origin> {
        let trees = trees(statement);
        let select = trees.first().and_then(|t| ast::find(t, "SelectStmt").into_iter().next().cloned());
        let Some(select) = select else { return vec![] };
        if let Some(origin) = self.reads_newest(&serde_json::json!({ "SelectStmt": select }), scope, n) {
            return vec![origin];
        }
        let targets = ast::list(&select, "target_list")
            .iter()
            .filter_map(|t| ast::node(t, "ResTarget"))
            .filter_map(|t| t.get("val"));
        targets.map(|t| self.trace(t, scope, n, depth + 1)).collect()
    }
}

/// Whether an error is raised after some of these names is compared with something else that has a name.
fn raises_unless_equal(body: &Body, is_one: impl Fn(&str) -> bool) -> bool {
    let compared = |condition: &Value| {
        ast::find(condition, "AExpr").into_iter().any(|e| {
            let [one, other] = ["lexpr", "rexpr"].map(|side| e.get(side).map(variables).unwrap_or_default());
            let has = |side: &BTreeSet<String>| side.iter().any(|name| is_one(name));
            has(&one) && !other.is_empty() && !has(&other) || has(&other) && !one.is_empty() && !has(&one)
        })
    };
    let mut raised = body.statements.iter().filter(|s| s.kind == StatementType::Raise).flat_map(|s| &s.guards);
    raised.any(|guard| ast::parse_expression(&guard.condition).is_ok_and(|c| compared(&c)))
}

/// How a tree reads the greatest or the newest of something.
pub(super) fn newest(tree: &Value) -> Option<&'static str> {
    let aggregate = ast::calls(tree).into_iter().find(|(_, name, _)| name == "max" || name == "count");
    let last =
        |s: &&Value| !ast::list(s, "sort_clause").is_empty() && s.get("limit_count").is_some_and(Value::is_object);
    match aggregate {
        Some((_, name, _)) if name == "count" => Some("count()+1"),
        Some(_) => Some("max()+1"),
        None => ast::find(tree, "SelectStmt").iter().any(last).then_some("the newest version + 1"),
    }
}

/// Functions of the server whose result is as good as their arguments.
fn passes_on(schema: &str, name: &str) -> bool {
    const ARITHMETIC: [&str; 24] = [
        "abs",
        "ceil",
        "ceiling",
        "floor",
        "round",
        "trunc",
        "mod",
        "div",
        "int2",
        "int4",
        "int8",
        "numeric",
        "float8",
        "to_number",
        "substring",
        "substr",
        "split_part",
        "regexp_replace",
        "replace",
        "ltrim",
        "btrim",
        "cardinality",
        "array_length",
        "jsonb_array_length",
    ];
    // aggregates over rows are graded before
    matches!(schema, "" | "pg_catalog")
        && (ARITHMETIC.contains(&name) || matches!(name, "row_number" | "sum" | "min" | "lower"))
}

/// The variables, fields and columns that an expression names.
pub(super) fn variables(expr: &Value) -> BTreeSet<String> {
    let named = ast::find(expr, "ColumnRef").into_iter().map(|c| {
        let fields = ast::list(c, "fields").iter().filter_map(|f| ast::node(f, "String"));
        fields.map(|s| ast::text(s, "sval")).collect::<Vec<_>>().join(".")
    });
    named.collect()
}

/// Whether an expression names a variable.
pub fn mentions(expr: &Value, name: &str) -> bool {
    variables(expr).contains(name)
}
