//! What holds a stream while its newest version is read: a lock of a table or a row, or an advisory lock whose key is made of
//! what names the stream.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bodies::trees;
use super::held::{ADVISORY, Held, is_advisory, lock_in};
use super::reads::Read;
use super::version::Tracer;
use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::{Statement, StatementType};

/// Names are followed this deep.
const DEPTH: usize = 8;

/// A lock that a statement takes until the transaction ends.
struct Lock {
    kind: &'static str,
    /// What an advisory lock's key is made of; none for other locks, and for a key that cannot be followed.
    key: Option<BTreeSet<Name>>,
}

/// A variable, a parameter or a field of the row, with the scope in which it is one.
type Name = (usize, String);

/// Where a name's value comes from.
enum Source {
    /// From outside: a parameter that nobody gives, a column of the row.
    Outside,
    /// From an expression of other names.
    Expression(BTreeSet<Name>),
    /// From a query that is asked with other names.
    Query(BTreeSet<Name>),
    /// From something that cannot be followed.
    Unknown,
}

impl Tracer<'_> {
    /// What holds the stream when a statement runs, here or in a caller. A lock taken in the reading statement itself does
    /// not count: that statement's snapshot is older than the lock.
    pub(super) fn held(&self, scope: usize, statement: usize, reads: &[Read]) -> Held {
        let stream = self.stream_of(reads);
        let mut other = None;
        let (mut scope, mut statement) = (scope, statement);
        loop {
            // a function that is not volatile reads with its caller's snapshot
            if self.function(scope).is_some_and(|f| f.volatility != "v") {
                break;
            }
            for (n, earlier) in self.collected.body(scope).statements[..statement].iter().enumerate() {
                for lock in self.locks_of(earlier, scope, n, 0) {
                    match self.is_over_something_else(&lock, stream.as_ref()) {
                        None => return Held::By(lock.kind),
                        Some(key) => other = other.or(Some(key)),
                    }
                }
            }
            match self.collected.scopes[scope].caller {
                Some((caller, at)) => (scope, statement) = (caller, at),
                None => break,
            }
        }
        other.map_or(Held::Not, Held::NotBy)
    }

    /// What a statement locks until the transaction ends, itself or by a function that it calls for that.
    fn locks_of(&self, statement: &Statement, scope: usize, n: usize, depth: usize) -> Vec<Lock> {
        let trees = trees(statement);
        let mut locks: Vec<Lock> = trees.iter().filter_map(|t| self.lock_in(t, scope)).collect();
        if depth >= 4 {
            return locks;
        }
        for (schema, name, arguments) in trees.iter().flat_map(ast::calls) {
            let Some(callee) = self.followed(&schema, &name, arguments.len(), scope) else { continue };
            let Some(body) = self.collected.bodies.get(&callee.oid) else { continue };
            let called = self
                .collected
                .scopes
                .iter()
                .position(|s| s.function == Some(callee.oid) && s.caller == Some((scope, n)));
            for (at, inner) in body.statements.iter().enumerate().filter(|(_, s)| s.guards.is_empty()) {
                let found = self.locks_of(inner, called.unwrap_or(scope), at, depth + 1);
                // its parameters cannot be followed where the call was not
                locks.extend(found.into_iter().map(|l| Lock { key: l.key.filter(|_| called.is_some()), ..l }));
            }
        }
        locks
    }

    fn lock_in(&self, tree: &Value, scope: usize) -> Option<Lock> {
        let kind = lock_in(tree)?;
        let calls = ast::calls(tree);
        let key = calls.iter().filter(|(_, name, _)| kind == ADVISORY && is_advisory(name)).map(|(.., key)| key).next();
        let from = || ast::find(tree, "SelectStmt").iter().any(|s| !ast::list(s, "from_clause").is_empty());
        Some(Lock { kind, key: key.filter(|_| !from()).and_then(|key| self.names(&Value::Array(key.to_vec()), scope)) })
    }

    /// The names that make a lock's key, if others than those of the stream are among them.
    fn is_over_something_else(&self, lock: &Lock, stream: Option<&BTreeSet<Name>>) -> Option<Vec<String>> {
        let (key, stream) = (lock.key.as_ref()?, stream?);
        let other = !key.iter().all(|name| self.is_made_of(name, stream, 0));
        other.then(|| key.iter().map(|(_, name)| name.clone()).collect())
    }

    /// Whether the stream alone decides what a name holds.
    fn is_made_of(&self, name: &Name, stream: &BTreeSet<Name>, depth: usize) -> bool {
        if stream.contains(name) || depth > DEPTH {
            return true;
        }
        match self.source(name) {
            Source::Outside => false,
            Source::Expression(of) | Source::Query(of) => of.iter().all(|n| self.is_made_of(n, stream, depth + 1)),
            Source::Unknown => true,
        }
    }

    /// The names by which the newest version is read, with those that they are made of; none where that is not understood.
    fn stream_of(&self, reads: &[Read]) -> Option<BTreeSet<Name>> {
        // of a table that is not in sight nobody knows which names are its columns
        let in_sight = |r: &Read| {
            let relation = r.relation.and_then(|oid| self.catalogue.relation(oid));
            relation.is_some_and(|r| !r.assumed)
        };
        if reads.is_empty() || reads.iter().any(|r| r.unclear.is_some() || r.kept || !in_sight(r)) {
            return None;
        }
        let mut all = BTreeSet::new();
        for read in reads {
            for (_, value) in &read.by {
                all.extend(self.names(value, read.scope)?);
            }
        }
        for _ in 0..DEPTH {
            let mut more = BTreeSet::new();
            for name in &all {
                match self.source(name) {
                    Source::Expression(of) => more.extend(of),
                    Source::Unknown => return None,
                    Source::Outside | Source::Query(_) => {}
                }
            }
            let known = all.len();
            all.extend(more);
            if all.len() == known {
                break;
            }
        }
        Some(all)
    }

    /// The names in an expression; none where there is something else in it that varies.
    fn names(&self, expr: &Value, scope: usize) -> Option<BTreeSet<Name>> {
        let mut names = BTreeSet::new();
        for column in ast::find(expr, "ColumnRef") {
            let fields =
                ast::list(column, "fields").iter().map(|f| ast::node(f, "String").map(|s| ast::text(s, "sval")));
            let fields: Vec<&str> = fields.collect::<Option<_>>()?;
            match fields.as_slice() {
                [tg, ..] if tg.starts_with("tg_") => {}
                // a row is found by what does not change
                ["old", column] | ["new", column] => _ = names.insert((scope, format!("new.{column}"))),
                [name] if self.is_variable(name, scope) => _ = names.insert((scope, (*name).to_owned())),
                [record, field] if self.is_variable(record, scope) => {
                    _ = names.insert((scope, format!("{record}.{field}")))
                }
                // append_event.p_stream
                [function, name] if self.function(scope).is_some_and(|f| f.name == *function) => {
                    names.insert((scope, (*name).to_owned()));
                }
                _ => return None,
            }
        }
        for parameter in ast::find(expr, "ParamRef") {
            let number = parameter.get("number").and_then(Value::as_u64).unwrap_or(0) as usize;
            let named = self.function(scope).and_then(|f| f.arguments.get(number.checked_sub(1)?));
            let name = named.filter(|n| !n.is_empty()).cloned().unwrap_or_else(|| format!("${number}"));
            names.insert((scope, name));
        }
        Some(names)
    }

    fn is_variable(&self, name: &str, scope: usize) -> bool {
        let declared = self.collected.body(scope).variables.iter().any(|v| v.name == name);
        let argument = || self.function(scope).is_some_and(|f| f.arguments.iter().any(|a| a == name));
        let filled = || self.collected.body(scope).statements.iter().any(|s| s.targets.iter().any(|t| t == name));
        declared || argument() || filled()
    }

    fn source(&self, (scope, name): &Name) -> Source {
        let body = self.collected.body(*scope);
        let record = name.split('.').next().unwrap_or(name);
        let of_row = matches!(record, "new" | "old");
        let mut made = BTreeSet::new();
        let mut read = false;
        let mut given = false;
        let targets = |s: &&Statement| s.targets.iter().any(|t| t == name || t == record && !of_row);
        for statement in body.statements.iter().filter(targets) {
            given = true;
            let trees = trees(statement);
            let expression = statement.kind == StatementType::Assign;
            // a query has columns of its own beside the names it is asked with
            let tree = Value::Array(trees.to_vec());
            let names = if expression { self.names(&tree, *scope) } else { Some(self.asked_with(&tree, *scope)) };
            read |= !expression || !ast::find(&tree, "SubLink").is_empty();
            match names {
                Some(names) if statement.kind != StatementType::Dynamic => made.extend(names),
                _ if expression && read => made.extend(self.asked_with(&tree, *scope)),
                _ => return Source::Unknown,
            }
        }
        if !given {
            let place = &self.collected.scopes[*scope];
            if let (Some(value), Some((caller, _))) = (place.bindings.get(name), place.caller) {
                return self.names(value, caller).map_or(Source::Unknown, Source::Expression);
            }
            let default = body.variables.iter().find(|v| v.name == *name).and_then(|v| v.default.as_deref());
            return match default.map(ast::parse_expression) {
                Some(Ok(expr)) if ast::find(&expr, "SubLink").is_empty() => {
                    self.names(&expr, *scope).map_or(Source::Unknown, Source::Expression)
                }
                Some(Ok(expr)) => Source::Query(self.asked_with(&expr, *scope)),
                Some(Err(_)) => Source::Unknown,
                None => Source::Outside,
            };
        }
        made.remove(&(*scope, name.clone()));
        if read { Source::Query(made) } else { Source::Expression(made) }
    }

    /// The variables and fields of the row in a query.
    fn asked_with(&self, tree: &Value, scope: usize) -> BTreeSet<Name> {
        let columns = ast::find(tree, "ColumnRef").into_iter().chain(ast::find(tree, "ParamRef"));
        let one = |kind: &str, inner: &Value| serde_json::json!({ "node": { kind: inner } });
        let each = columns.flat_map(|c| {
            let kind = if c.get("fields").is_some() { "ColumnRef" } else { "ParamRef" };
            self.names(&one(kind, c), scope).unwrap_or_default()
        });
        each.collect()
    }
}
