//! Every write of every trigger, function and rule, with the way to it.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::bodies::{self, Read, plain, trees};
use super::collected::{Collected, Scope, Unread, Write};
use super::handed_over::{assigned_before, bind, default_calls, is_hidden, settings};
use super::sql::{self, Change, Insert};
use super::{dynamic, guards, missing};
use crate::source::{Catalogue, Function, Trigger};
use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::{Body, Statement, StatementType};

/// Calls are followed this deep.
const DEPTH: usize = 5;
/// Ways of being called that are followed: calls of calls multiply.
const SCOPES: usize = 5_000;

/// Follows every trigger, then every function that none leads to.
pub fn collect(catalogue: &Catalogue, read: Read) -> Collected {
    let mut collector =
        Collector { catalogue, out: Collected { bodies: read.bodies, ..Collected::default() }, errors: read.errors };
    collector.note_changes();
    let own = |t: &&Trigger| catalogue.function(t.function).is_some_and(Function::adopts);
    for trigger in catalogue.triggers.iter().filter(|t| t.parent.is_none() && !own(t)) {
        collector.trigger(trigger);
    }
    collector.unfired();
    collector.functions_of_the_application();
    collector.unread_of_the_application();
    collector.rules();
    collector.ways();
    collector.out
}

struct Collector<'a> {
    catalogue: &'a Catalogue,
    out: Collected,
    errors: HashMap<u32, String>,
}

struct Visit<'t> {
    trigger: Option<&'t Trigger>,
    /// A trigger function that no trigger fires.
    unfired: bool,
    operations: Vec<String>,
    conditional: bool,
}

impl Collector<'_> {
    fn note_changes(&mut self) {
        let mut changes = vec![];
        for (oid, body) in &self.out.bodies {
            let Some(function) = self.catalogue.function(*oid) else { continue };
            let path = self.catalogue.path_at(function, None);
            for tree in body.statements.iter().filter(|s| s.kind == StatementType::Sql).map(trees).collect::<Vec<_>>() {
                let made = tree.iter().flat_map(|t| sql::changes(t, self.catalogue, &path));
                changes.extend(made.map(|c| Change { function: *oid, ..c }));
            }
        }
        self.out.changes = changes;
    }

    fn trigger(&mut self, trigger: &Trigger) {
        let Some(function) = self.catalogue.function(trigger.function) else {
            self.unknown(trigger);
            return;
        };
        if let Some(reason) = self.errors.get(&function.oid) {
            let foreign = !matches!(function.language.as_str(), "plpgsql" | "sql");
            self.unread(function, Some(trigger.oid), reason.clone(), foreign);
            return;
        }
        let home = self.catalogue.relation(trigger.relation).map(|r| r.schema.clone());
        let path = self.catalogue.path_at(function, home.as_deref());
        let scope = self.scope(Some(function.oid), HashMap::new(), None, path);
        let visit = Visit {
            trigger: Some(trigger),
            unfired: false,
            operations: trigger.events.clone(),
            conditional: trigger.conditional,
        };
        self.visit(function, scope, &visit, &mut vec![function.oid]);
    }

    /// The function comes with the server or an extension, or is missing from the files.
    fn unknown(&mut self, trigger: &Trigger) {
        let tree = ast::parse(&trigger.definition).unwrap_or_default();
        let name = tree.first().and_then(|t| ast::node(t, "CreateTrigStmt")).map(ast::call_name);
        let Some((schema, name)) = name.filter(|(schema, name)| {
            // what the server brings along writes no event
            schema != "pg_catalog"
                && !matches!(
                    name.as_str(),
                    "suppress_redundant_updates_trigger" | "tsvector_update_trigger" | "tsvector_update_trigger_column"
                )
        }) else {
            return;
        };
        if schema == "domain_events" {
            self.out.captured.push(trigger.oid);
            return;
        }
        let name = if schema.is_empty() { name } else { format!("{schema}.{name}") };
        self.out.unread.push(Unread {
            function: 0,
            name: Some(name),
            trigger: Some(trigger.oid),
            reason: "it belongs to an extension, or is missing from what was read".into(),
            foreign: true,
        });
    }

    /// A function that is called for what it does, and is not in what was read.
    fn missing(&mut self, name: String, trigger: Option<u32>) {
        let same = |u: &Unread| u.name.as_deref() == Some(name.as_str()) && u.trigger == trigger;
        if !self.out.unread.iter().any(same) {
            let reason = format!("{name}() is called, and is not in what was read");
            self.out.unread.push(Unread { function: 0, name: Some(name), trigger, reason, foreign: true });
        }
    }

    fn unread(&mut self, function: &Function, trigger: Option<u32>, reason: String, foreign: bool) {
        self.out.unread.push(Unread { function: function.oid, name: None, trigger, reason, foreign });
    }

    /// Trigger functions that no trigger fires: they are judged as they stand, for an operation that is not known.
    fn unfired(&mut self) {
        let fired: BTreeSet<u32> = self.catalogue.triggers.iter().map(|t| t.function).collect();
        let alone = |f: &&Function| f.is_trigger && !fired.contains(&f.oid) && !f.is_own();
        for function in self.catalogue.functions.iter().filter(alone) {
            if !self.out.bodies.contains_key(&function.oid) {
                continue;
            }
            let path = self.catalogue.path_at(function, None);
            let scope = self.scope(Some(function.oid), HashMap::new(), None, path);
            let visit = Visit { trigger: None, unfired: true, operations: vec![], conditional: false };
            self.visit(function, scope, &visit, &mut vec![function.oid]);
        }
    }

    /// Functions that no trigger leads to. One that another calls is looked at from there, with what it is given.
    fn functions_of_the_application(&mut self) {
        let reached: BTreeSet<u32> = self.out.scopes.iter().filter_map(|s| s.function).collect();
        let own = |f: &&Function| !f.is_trigger && !reached.contains(&f.oid) && self.out.bodies.contains_key(&f.oid);
        let functions: Vec<&Function> = self.catalogue.functions.iter().filter(own).collect();
        let called: BTreeSet<u32> = functions.iter().flat_map(|f| self.calls_of(f)).collect();
        let (inner, roots): (Vec<_>, Vec<_>) = functions.into_iter().partition(|f| called.contains(&f.oid));
        // the inner ones last: what a root led to is known by then, and only a circle is left
        for function in roots.into_iter().chain(inner) {
            if self.out.scopes.iter().any(|s| s.function == Some(function.oid)) {
                continue;
            }
            let path = self.catalogue.path_at(function, None);
            let scope = self.scope(Some(function.oid), HashMap::new(), None, path);
            let visit = Visit { trigger: None, unfired: false, operations: vec![], conditional: false };
            self.visit(function, scope, &visit, &mut vec![function.oid]);
        }
    }

    /// Functions that no trigger leads to and that could not be read: what they write is not known.
    fn unread_of_the_application(&mut self) {
        let told: BTreeSet<u32> = self.out.unread.iter().map(|u| u.function).collect();
        for function in self.catalogue.functions.iter().filter(|f| !told.contains(&f.oid)) {
            let read_here = matches!(function.language.as_str(), "plpgsql" | "sql");
            if let Some(reason) = self.errors.get(&function.oid).filter(|_| read_here) {
                self.unread(function, None, reason.clone(), false);
            }
        }
    }

    /// The functions that a function calls, itself left out.
    fn calls_of(&self, function: &Function) -> Vec<u32> {
        let Some(body) = self.out.bodies.get(&function.oid) else { return vec![] };
        let path = self.catalogue.path_at(function, None);
        let mut called = vec![];
        for statement in &body.statements {
            called.extend(trees(statement).iter().flat_map(ast::calls).filter_map(|(schema, name, arguments)| {
                self.catalogue.resolve_function(&schema, &name, arguments.len(), &path).map(|f| f.oid)
            }));
        }
        called.retain(|oid| *oid != function.oid);
        called
    }

    fn ways(&mut self) {
        let out = &mut self.out;
        for scope in 0..out.scopes.len() {
            // a caller stands before what it calls
            let root = out.scopes[scope].caller.map_or(scope, |(caller, _)| out.roots[caller]);
            out.roots.push(root);
            out.ways.entry(root).or_default().push(scope);
        }
        for (oid, body) in &out.bodies {
            let texts: Vec<String> = body.statements.iter().map(|s| s.sql.to_lowercase()).collect();
            let text = texts.join("\n");
            if text.contains("set_config") {
                out.settings.insert(*oid, settings(body));
            }
            out.texts.insert(*oid, text);
        }
    }

    fn rules(&mut self) {
        for rule in &self.catalogue.rules {
            let trees = match ast::parse(&rule.definition) {
                Ok(trees) => trees,
                Err(reason) => {
                    let name = Some(format!("rule {}", rule.name));
                    self.out.unread.push(Unread { function: 0, name, trigger: None, reason, foreign: false });
                    continue;
                }
            };
            let inserts: Vec<_> =
                trees.iter().flat_map(|t| sql::inserts(t, self.catalogue, &self.catalogue.search_path)).collect();
            for insert in inserts {
                self.out.rules.statements.push(plain(&rule.definition));
                let statement = self.out.rules.statements.len() - 1;
                let scope = self.scope(None, HashMap::new(), None, self.catalogue.search_path.clone());
                self.out.writes.push(Write {
                    scope,
                    statement,
                    trigger: None,
                    unfired: false,
                    rule: Some(rule.name.clone()),
                    operations: vec![],
                    conditional: true,
                    insert: Some(insert),
                    dynamic: false,
                });
            }
        }
    }

    fn scope(
        &mut self,
        function: Option<u32>,
        bindings: HashMap<String, Value>,
        caller: Option<(usize, usize)>,
        path: Vec<String>,
    ) -> usize {
        self.out.scopes.push(Scope { function, bindings, caller, path });
        self.out.scopes.len() - 1
    }

    fn visit(&mut self, function: &Function, scope: usize, visit: &Visit<'_>, chain: &mut Vec<u32>) {
        let Some(body) = self.out.bodies.get(&function.oid).cloned() else { return };
        let path = self.out.scopes[scope].path.clone();
        let reached = self.reach(&body, visit, chain.len() == 1);
        for ((n, statement), reached) in body.statements.iter().enumerate().zip(reached) {
            let Some((operations, conditional)) = reached else { continue };
            let push = |writes: &mut Vec<Write>, insert: Option<Insert>, dynamic: bool| {
                writes.push(Write {
                    scope,
                    statement: n,
                    trigger: visit.trigger.map(|t| t.oid),
                    unfired: visit.unfired,
                    rule: None,
                    operations: operations.clone(),
                    conditional,
                    insert,
                    dynamic,
                });
            };
            let trees = match bodies::read(statement) {
                Ok(trees) => trees,
                Err(reason) => {
                    let known = |u: &Unread| u.function == function.oid && u.reason.ends_with(&reason);
                    if !self.out.unread.iter().any(known) {
                        let place =
                            if statement.line > 0 { format!("line {}: ", statement.line) } else { String::new() };
                        self.unread(function, visit.trigger.map(|t| t.oid), format!("{place}{reason}"), false);
                    }
                    continue;
                }
            };
            if statement.kind == StatementType::Dynamic {
                // what a variable holds that is run was put together before
                let texts: Vec<Value> = match trees.first() {
                    Some(run) if ast::find(run, "Sval").is_empty() => assigned_before(&body, n),
                    _ => vec![],
                };
                match trees.first().map(|t| dynamic::text_of(t, statement)) {
                    Some(dynamic::Text::Sql(text)) => {
                        for tree in ast::parse(&text).unwrap_or_default() {
                            let inserts = sql::inserts(&tree, self.catalogue, &path).into_iter();
                            // a table that was put into the text is not to be seen
                            inserts.for_each(|i| {
                                push(
                                    &mut self.out.writes,
                                    Some(i).filter(|i| !i.written.contains(dynamic::UNSEEN)),
                                    true,
                                )
                            });
                        }
                    }
                    Some(dynamic::Text::Unseen) | None if visit.trigger.is_some() || visit.unfired => {
                        push(&mut self.out.writes, None, true)
                    }
                    // a function of the application runs many texts: those count that are seen to write rows or make triggers,
                    // and those of which nothing is seen
                    _ if visit.trigger.is_none()
                        && (trees.iter().chain(&texts).any(dynamic::mentions_events)
                            || statement.targets.is_empty() && is_hidden(&trees, &body, n)) =>
                    {
                        push(&mut self.out.writes, None, true)
                    }
                    _ => {}
                }
                continue;
            }
            // what is sent to another database is a text too
            if (visit.trigger.is_some() || visit.unfired)
                && trees.iter().flat_map(ast::calls).any(|c| dynamic::sends_insert(&c))
            {
                push(&mut self.out.writes, None, true);
            }
            if visit.trigger.is_some() || visit.unfired {
                for name in missing::calls(statement.kind, &trees, self.catalogue, &path) {
                    self.missing(name, visit.trigger.map(|t| t.oid));
                }
            }
            let mut defaults = vec![];
            for insert in trees.iter().flat_map(|t| sql::inserts(t, self.catalogue, &path)) {
                defaults.extend(default_calls(&insert, self.catalogue));
                push(&mut self.out.writes, Some(insert), false);
            }
            if chain.len() >= DEPTH {
                continue;
            }
            let mut called = vec![];
            for (schema, name, arguments) in trees.iter().chain(&defaults).flat_map(ast::calls) {
                if let Some(callee) = self.catalogue.resolve_function(&schema, &name, arguments.len(), &path)
                    && !chain.contains(&callee.oid)
                {
                    called.push((callee, bind(callee, arguments)));
                }
            }
            for (callee, bindings) in called {
                if let Some(reason) = self.errors.get(&callee.oid) {
                    let foreign = !matches!(callee.language.as_str(), "plpgsql" | "sql");
                    self.unread(callee, visit.trigger.map(|t| t.oid), reason.clone(), foreign);
                    continue;
                }
                if self.out.scopes.len() >= SCOPES {
                    let reason = format!("functions are called in more than {SCOPES} ways");
                    if !self.out.unread.iter().any(|u| u.reason == reason) {
                        self.unread(callee, visit.trigger.map(|t| t.oid), reason, false);
                    }
                    break;
                }
                let home = visit.trigger.and_then(|t| self.catalogue.relation(t.relation)).map(|r| r.schema.as_str());
                let inner_path = self.catalogue.path_at(callee, home);
                let inner = self.scope(Some(callee.oid), bindings, Some((scope, n)), inner_path);
                let onward = Visit {
                    trigger: visit.trigger,
                    unfired: visit.unfired,
                    operations: operations.clone(),
                    conditional,
                };
                chain.push(callee.oid);
                self.visit(callee, inner, &onward, chain);
                chain.pop();
            }
        }
    }

    /// Under which operations each statement runs, and whether under a condition besides; none if never.
    fn reach(&self, body: &Body, visit: &Visit<'_>, direct: bool) -> Vec<Option<(Vec<String>, bool)>> {
        let Some(trigger) = visit.trigger.filter(|_| direct) else {
            let mut returned = false;
            let reached = |s: &Statement| {
                let conditional = visit.conditional || !s.guards.is_empty() || s.looped || returned;
                returned |= s.kind == StatementType::Return;
                Some((visit.operations.clone(), conditional))
            };
            return body.statements.iter().map(reached).collect();
        };
        let firings = guards::firings(trigger, self.catalogue);
        let by_firing: Vec<_> = firings.iter().map(|firing| (firing.operation, firing.reaches(body))).collect();
        let reached = |n: usize| {
            let mut operations = vec![];
            let mut conditional = visit.conditional;
            for (operation, reached) in &by_firing {
                if let Some(more) = reached[n] {
                    operations.push((*operation).to_owned());
                    conditional |= more.0;
                }
            }
            (!operations.is_empty()).then_some((operations, conditional))
        };
        (0..body.statements.len()).map(reached).collect()
    }
}
