//! Where a version comes from.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bodies::trees;
use super::collect::Collected;
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

    fn trace(&self, expr: &Value, scope: usize, statement: usize, depth: usize) -> Origin {
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
    fn reads_newest(&self, expr: &Value, scope: usize, statement: usize) -> Option<Origin> {
        let how = newest(expr)?;
        let reads = crate::judge::reads::reads(expr, scope, self.catalogue, self.path(scope));
        let mut origin = self.graded(how, scope, statement);
        if origin.source == VersionSource::MaxPlusOne && lock_in(expr) == Some("a row lock") {
            origin.reason =
                format!("the version is {how}, read FOR UPDATE: that holds the newest row and not the stream");
        }
        Some(Origin { reads, ..origin })
    }

    fn graded(&self, how: &str, scope: usize, statement: usize) -> Origin {
        match self.lock_before(scope, statement) {
            Some(lock) => {
                Origin::new(VersionSource::MaxPlusOneLocked, format!("the version is {how}, read after {lock}"))
            }
            None => Origin::new(VersionSource::MaxPlusOne, format!("the version is {how}, read under no lock")),
        }
    }

    /// What holds the stream when a statement runs, here or in a caller. A lock taken in the reading statement itself does
    /// not count: that statement's snapshot is older than the lock.
    fn lock_before(&self, scope: usize, statement: usize) -> Option<&'static str> {
        let body = self.collected.body(scope);
        let own = body.statements[..statement].iter().find_map(|s| self.lock_of(s, scope, 0));
        let volatile = self.function(scope).is_none_or(|f| f.volatility == "v");
        let own = own.filter(|_| volatile);
        own.or_else(|| {
            let (caller, at) = self.collected.scopes[scope].caller?;
            // a function that is not volatile reads with its caller's snapshot
            self.lock_before(caller, at).filter(|_| volatile)
        })
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
        let compared = |condition: &Value| {
            ast::find(condition, "AExpr").into_iter().any(|e| {
                let [one, other] = ["lexpr", "rexpr"].map(|side| e.get(side).map(variables).unwrap_or_default());
                let read = |side: &BTreeSet<String>| side.iter().any(|name| made_of.contains(name));
                read(&one) && !other.is_empty() && !read(&other) || read(&other) && !one.is_empty() && !read(&one)
            })
        };
        let mut raised = body.statements.iter().filter(|s| s.kind == StatementType::Raise).flat_map(|s| &s.guards);
        raised.any(|guard| ast::parse_expression(&guard.condition).is_ok_and(|c| compared(&c)))
    }

    /// What a statement locks until the transaction ends, itself or by a function that it calls for that.
    fn lock_of(&self, statement: &Statement, scope: usize, depth: usize) -> Option<&'static str> {
        let trees = trees(statement);
        trees.iter().find_map(lock_in).or_else(|| {
            let calls = trees.iter().flat_map(ast::calls).filter(|_| depth < 4);
            calls.filter_map(|(schema, name, a)| self.followed(&schema, &name, a.len(), scope)).find_map(|callee| {
                let body = self.collected.bodies.get(&callee.oid)?;
                body.statements.iter().filter(|s| s.guards.is_empty()).find_map(|s| self.lock_of(s, scope, depth + 1))
            })
        })
    }

    fn function(&self, scope: usize) -> Option<&'a Function> {
        self.collected.scopes[scope].function.and_then(|oid| self.catalogue.function(oid))
    }

    /// The user's function that a call means.
    pub(super) fn followed(&self, schema: &str, name: &str, arguments: usize, scope: usize) -> Option<&'a Function> {
        self.catalogue.resolve_function(schema, name, arguments, self.path(scope))
    }

    fn path(&self, scope: usize) -> &'a [String] {
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

    fn select_targets(&self, statement: &Statement, scope: usize, n: usize, depth: usize) -> Vec<Origin> {
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

    fn column(&self, fields: &[String], scope: usize, statement: usize, depth: usize) -> Origin {
        let name = fields.join(".");
        if matches!(name.as_str(), "tg_argv") {
            return Origin::new(VersionSource::Literal, "the version is an argument of the trigger");
        }
        let body = self.collected.body(scope);
        let key = (scope, statement, name.clone());
        if let Some(known) = self.collected.followed.borrow().get(&key) {
            return known.clone();
        }
        let assigned = self.assignments(body, &name, scope, statement, depth);
        if let Some(worst) = Origin::worst(assigned) {
            self.collected.followed.borrow_mut().insert(key, worst.clone());
            return worst;
        }
        match fields {
            [row, column] if row == "new" || row == "old" => {
                Origin::new(VersionSource::CopiedFromRow, format!("the version is {row}.{column} of the row"))
            }
            [only] => self.parameter(only, scope, depth),
            [record, field] => self.record_field(body, record, field, scope, depth),
            _ => Origin::new(VersionSource::Dynamic, format!("{name} cannot be followed")),
        }
    }

    /// All that a variable is given before the statement.
    fn assignments(&self, body: &Body, name: &str, scope: usize, statement: usize, depth: usize) -> Vec<Origin> {
        let mut origins = vec![];
        let default = body.variables.iter().find(|v| v.name == name).and_then(|v| v.default.as_deref());
        if let Some(expr) = default.and_then(|d| ast::parse_expression(d).ok())
            && !ast::is_null(&expr)
        {
            origins.push(self.trace(&expr, scope, 0, depth + 1));
        }
        for (n, earlier) in body.statements[..statement].iter().enumerate() {
            let Some(at) = earlier.targets.iter().position(|t| t == name) else { continue };
            match earlier.kind {
                StatementType::Assign => {
                    // v := v + 1 says nothing new of v
                    if let Ok(expr) = ast::parse_expression(&earlier.sql)
                        && !mentions(&expr, name)
                    {
                        origins.push(self.trace(&expr, scope, n, depth + 1));
                    }
                }
                StatementType::Dynamic => origins.push(self.by_execute(earlier, name, scope, n)),
                _ => origins.push(self.target_of(earlier, at, name, scope, n, depth)),
            }
        }
        origins
    }

    /// What EXECUTE puts into a variable: its text may show that it counts, though not what.
    fn by_execute(&self, statement: &Statement, name: &str, scope: usize, n: usize) -> Origin {
        let queries = super::dynamic::query_of(statement);
        let Some(how) = queries.iter().find_map(newest) else {
            return Origin::new(VersionSource::Dynamic, format!("{name} comes from EXECUTE"));
        };
        let mut origin = self.graded(how, scope, n);
        origin.reason.push_str(", in a text that is made at run time");
        origin.reads.push(Read {
            relation: None,
            written: "a table that is named at run time".into(),
            column: None,
            by: vec![],
            unclear: Some("by a text that is made at run time".into()),
            scope,
            kept: false,
        });
        origin
    }

    fn target_of(&self, statement: &Statement, at: usize, name: &str, scope: usize, n: usize, depth: usize) -> Origin {
        let trees = trees(statement);
        let Some(tree) = trees.first() else {
            return Origin::new(VersionSource::Dynamic, format!("{name} comes from a statement that cannot be read"));
        };
        if let Some(select) = ast::node(tree, "SelectStmt") {
            if let Some(origin) = self.reads_newest(tree, scope, n) {
                return origin;
            }
            let target = ast::list(select, "target_list")
                .get(at)
                .and_then(|t| ast::node(t, "ResTarget"))
                .and_then(|t| t.get("val"));
            let Some(target) = target else {
                return Origin::new(VersionSource::Dynamic, format!("{name} cannot be followed"));
            };
            if self.reads_a_column(target, select, scope) {
                return self.kept_in_a_table(tree, name, scope, n);
            }
            return self.trace(target, scope, n, depth + 1);
        }
        // UPDATE counters SET n = n + 1 .. RETURNING n, or the same with INSERT .. ON CONFLICT: the row is held until commit
        Origin::new(VersionSource::MaxPlusOneLocked, format!("{name} is counted up in a row that stays locked"))
    }

    /// A number that a table holds: a row that is locked by the reading statement holds its own counter, and so does one that an
    /// UPDATE finds only where the number is still the one that is expected.
    fn kept_in_a_table(&self, tree: &Value, name: &str, scope: usize, n: usize) -> Origin {
        let held = lock_in(tree).is_some() || self.counts_where_expected(tree, scope, n);
        let source = if held { VersionSource::MaxPlusOneLocked } else { VersionSource::MaxPlusOne };
        let reads = crate::judge::reads::kept(tree, scope, self.catalogue, self.path(scope));
        Origin { reads, ..Origin::new(source, format!("the version is read from a table into {name}")) }
    }

    /// `update counters set version = .. where id = .. and version = expected`, after the statement that reads the version there.
    fn counts_where_expected(&self, read: &Value, scope: usize, n: usize) -> bool {
        let tables = |tree: &Value| -> BTreeSet<String> {
            ast::find(tree, "RangeVar").into_iter().map(|r| ast::text(r, "relname").to_owned()).collect()
        };
        let (of, body) = (tables(read), self.collected.body(scope));
        body.statements[n + 1..].iter().any(|later| {
            trees(later).iter().filter_map(|t| ast::node(t, "UpdateStmt")).any(|update| {
                let same = update.get("relation").is_some_and(|r| of.contains(ast::text(r, "relname")));
                let condition = update.get("where_clause").map(|w| ast::find(w, "AExpr")).unwrap_or_default();
                let set: Vec<&str> = ast::list(update, "target_list")
                    .iter()
                    .filter_map(|t| ast::node(t, "ResTarget"))
                    .map(|t| ast::text(t, "name"))
                    .collect();
                let expected = condition.iter().any(|e| {
                    let column = e.get("lexpr").and_then(ast::column).and_then(|c| c.last().cloned());
                    ast::operator(e) == "=" && column.is_some_and(|c| set.contains(&c.as_str()))
                });
                same && expected
            })
        })
    }

    /// Whether an expression has a column of the tables it is selected from, and not only variables.
    fn reads_a_column(&self, target: &Value, select: &Value, scope: usize) -> bool {
        let body = self.collected.body(scope);
        let is_variable = |name: &str| {
            body.variables.iter().any(|v| v.name == name)
                || self.function(scope).is_some_and(|f| f.arguments.iter().any(|a| a == name))
        };
        !ast::list(select, "from_clause").is_empty()
            && ast::find(target, "ColumnRef").into_iter().any(|c| {
                let fields = ast::list(c, "fields").iter().filter_map(|f| ast::node(f, "String"));
                let first = fields.map(|s| ast::text(s, "sval")).next().unwrap_or_default();
                first != "new" && first != "old" && !is_variable(first)
            })
    }

    /// A field of a variable that a query fills: what the query puts there.
    fn record_field(&self, body: &Body, record: &str, field: &str, scope: usize, depth: usize) -> Origin {
        let filled = body.statements.iter().enumerate().find(|(_, s)| s.targets.iter().any(|t| t == record));
        let Some((n, statement)) = filled else {
            return Origin::new(VersionSource::Dynamic, format!("{record}.{field} cannot be followed"));
        };
        for tree in trees(statement).iter() {
            if let Some(origin) = self.reads_newest(tree, scope, n).filter(|_| statement.kind == StatementType::Sql) {
                return origin;
            }
            for target in ast::find(tree, "ResTarget") {
                let Some(val) = target.get("val").filter(|v| v.is_object()) else { continue };
                // a column that is passed on as it is says no more than the record does
                if ast::text(target, "name") == field && ast::column(val).is_none() {
                    return self.trace(val, scope, n, depth + 1);
                }
            }
        }
        if let Some(tree) = trees(statement).first().filter(|_| statement.kind == StatementType::Sql) {
            return self.kept_in_a_table(tree, &format!("{record}.{field}"), scope, n);
        }
        Origin::new(VersionSource::CopiedFromRow, format!("the version is {record}.{field} of a row that is read"))
    }

    /// Whether a trigger leads to a scope.
    fn is_of_a_trigger(&self, scope: usize) -> bool {
        match self.collected.scopes[scope].caller {
            Some((caller, _)) => self.is_of_a_trigger(caller),
            None => self.function(scope).is_some_and(|f| f.is_trigger),
        }
    }

    fn parameter(&self, name: &str, scope: usize, depth: usize) -> Origin {
        let place = &self.collected.scopes[scope];
        let by_number = self.function(scope).and_then(|f| {
            let n: usize = name.strip_prefix('$')?.parse().ok()?;
            f.arguments.get(n.checked_sub(1)?).cloned()
        });
        let bound = place.bindings.get(name).or_else(|| by_number.and_then(|n| place.bindings.get(&n)));
        match (bound, place.caller) {
            (Some(value), Some((caller, at))) => {
                let origin = self.trace(value, caller, at, depth + 1);
                match origin.literal {
                    // the application may call the function as its own functions do, with other numbers
                    Some(constant) if !self.is_of_a_trigger(scope) => Origin::new(
                        VersionSource::Dynamic,
                        format!("the caller gives the version as {name}; one in sight gives {constant}"),
                    ),
                    _ => origin,
                }
            }
            _ if self
                .function(scope)
                .is_some_and(|f| f.arguments.iter().any(|a| a == name) || name.starts_with('$')) =>
            {
                Origin::new(VersionSource::Dynamic, format!("the caller gives the version as {name}"))
            }
            _ => Origin::new(VersionSource::Dynamic, format!("{name} cannot be followed")),
        }
    }
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
fn variables(expr: &Value) -> BTreeSet<String> {
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

fn lock_in(tree: &Value) -> Option<&'static str> {
    if ast::calls(tree).iter().any(|(_, name, _)| matches!(name.as_str(), "pg_advisory_xact_lock" | "pg_advisory_lock"))
    {
        return Some("an advisory lock");
    }
    // ROW EXCLUSIVE (3) and weaker let two sessions in; SHARE UPDATE EXCLUSIVE (4) and stronger do not
    let strong = |l: &&Value| l.get("mode").and_then(Value::as_i64).is_some_and(|mode| mode >= 4);
    if ast::find(tree, "LockStmt").iter().any(strong) {
        return Some("a table lock");
    }
    // strength 4 and 5: FOR NO KEY UPDATE and FOR UPDATE
    let held = |l: &&Value| l.get("strength").and_then(Value::as_i64).is_some_and(|s| s >= 4);
    if ast::find(tree, "LockingClause").iter().any(held) {
        return Some("a row lock");
    }
    None
}
