//! What a name in an expression holds: a variable of PL/pgSQL, a field of a record, a parameter, a column of the trigger's row.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bodies::trees;
use super::counter;
use super::held::lock_in;
use super::origin::{Origin, VersionSource};
use super::reads::Read;
use super::version::{Tracer, mentions, newest};
use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::{Body, Statement, StatementType};

impl Tracer<'_> {
    pub(super) fn column(&self, fields: &[String], scope: usize, statement: usize, depth: usize) -> Origin {
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
        let mut origin = self.graded(how, scope, n, &[]);
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
            if let Some((query, at)) = counter::in_with(select, target) {
                return self.given_back(query, at, name, (scope, n), depth);
            }
            if self.reads_a_column(target, select, scope) {
                return self.kept_in_a_table(tree, name, scope, n);
            }
            return self.trace(target, scope, n, depth + 1);
        }
        self.given_back(tree, at, name, (scope, n), depth)
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

    pub(super) fn parameter(&self, name: &str, scope: usize, depth: usize) -> Origin {
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
