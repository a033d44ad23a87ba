//! Every write of every trigger, function and rule, with the way to it.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::plpgsql::{self, Body, Kind, Statement};
use super::sql::{self, Change, Insert};
use super::{ast, guards};
use crate::source::{Catalogue, Function, Trigger};

/// Calls are followed this deep.
const DEPTH: usize = 5;

/// A function in one way of being called.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The function; none for a rule.
    pub function: Option<u32>,
    /// What its parameters stand for in the caller.
    pub bindings: HashMap<String, Value>,
    /// The caller and its statement.
    pub caller: Option<(usize, usize)>,
}

/// A statement that writes.
#[derive(Debug, Clone)]
pub struct Write {
    /// Index into [`Collected::scopes`].
    pub scope: usize,
    /// Index into the body's statements.
    pub statement: usize,
    /// The trigger that leads here; none for a function of the application.
    pub trigger: Option<u32>,
    /// The rule that holds it.
    pub rule: Option<String>,
    /// The operations of the trigger under which it runs.
    pub operations: Vec<String>,
    /// Whether it runs only under a condition, apart from TG_OP and its like.
    pub conditional: bool,
    /// The insert; none where the text is made at run time and its table is not to be seen.
    pub insert: Option<Insert>,
    /// Whether the text is made at run time.
    pub dynamic: bool,
}

/// A function that could not be read.
#[derive(Debug, Clone)]
pub struct Unread {
    /// The function.
    pub function: u32,
    /// A trigger that calls it.
    pub trigger: Option<u32>,
    /// Why.
    pub reason: String,
    /// Whether it is in another language, rather than not parsed.
    pub foreign: bool,
}

/// Everything found.
#[derive(Debug, Default)]
pub struct Collected {
    /// Bodies of functions that could be read.
    pub bodies: BTreeMap<u32, Body>,
    /// Body of rules, by definition.
    pub rules: Body,
    /// The ways in which functions are called.
    pub scopes: Vec<Scope>,
    /// The inserts.
    pub writes: Vec<Write>,
    /// Updates and deletes of anything.
    pub changes: Vec<Change>,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

impl Collected {
    /// The body that a scope runs.
    pub fn body(&self, scope: usize) -> &Body {
        match self.scopes[scope].function {
            Some(oid) => self.bodies.get(&oid).unwrap_or(&self.rules),
            None => &self.rules,
        }
    }

    /// The statement of a write.
    pub fn statement(&self, write: &Write) -> &Statement {
        &self.body(write.scope).statements[write.statement]
    }
}

/// Reads every function, then follows every trigger.
pub fn collect(catalogue: &Catalogue) -> Collected {
    let mut collector = Collector { catalogue, out: Collected::default(), errors: HashMap::new() };
    // what the tool made for an adopted table writes the event itself
    for function in catalogue.functions.iter().filter(|f| !f.adopts()) {
        match read_body(function, catalogue) {
            Ok(body) => {
                collector.note_changes(&body, catalogue.path_of(function));
                collector.out.bodies.insert(function.oid, body);
            }
            Err(reason) => {
                collector.errors.insert(function.oid, reason);
            }
        }
    }
    let own = |t: &&Trigger| catalogue.function(t.function).is_some_and(Function::adopts);
    for trigger in catalogue.triggers.iter().filter(|t| t.parent.is_none() && !own(t)) {
        collector.trigger(trigger);
    }
    collector.functions_of_the_application();
    collector.rules();
    collector.out
}

fn read_body(function: &Function, catalogue: &Catalogue) -> Result<Body, String> {
    match function.language.as_str() {
        "plpgsql" => plpgsql::parse(function, catalogue),
        "sql" => {
            // a body in SQL-standard form is kept as a tree; the definition has its text
            let texts = if function.source.is_empty() {
                vec![function.definition.as_str()]
            } else {
                pg_query::split_with_parser(&function.source).map_err(|e| e.to_string())?
            };
            Ok(Body { variables: vec![], statements: texts.into_iter().map(plain).collect() })
        }
        other => Err(format!("its language is {other}")),
    }
}

fn plain(text: &str) -> Statement {
    Statement {
        kind: Kind::Sql,
        sql: text.to_owned(),
        parameters: vec![],
        line: 0,
        targets: vec![],
        guards: vec![],
        swallowed: false,
        looped: false,
    }
}

/// The trees of a statement; expressions are parsed as such.
pub fn trees(statement: &Statement) -> Vec<Value> {
    match statement.kind {
        Kind::Sql | Kind::Perform | Kind::Call => ast::parse(&statement.sql).unwrap_or_default(),
        Kind::Other => ast::parse(&statement.sql)
            .or_else(|_| ast::parse_expression(&statement.sql).map(|e| vec![e]))
            .unwrap_or_default(),
        Kind::Raise => ast::parse(&format!("select {}", statement.sql)).unwrap_or_default(),
        Kind::Assign | Kind::Return | Kind::Dynamic => ast::parse_expression(&statement.sql).into_iter().collect(),
    }
}

struct Collector<'a> {
    catalogue: &'a Catalogue,
    out: Collected,
    errors: HashMap<u32, String>,
}

struct Visit<'t> {
    trigger: Option<&'t Trigger>,
    operations: Vec<String>,
    conditional: bool,
}

impl Collector<'_> {
    fn note_changes(&mut self, body: &Body, path: &[String]) {
        for statement in body.statements.iter().filter(|s| s.kind == Kind::Sql) {
            for tree in trees(statement) {
                self.out.changes.extend(sql::changes(&tree, self.catalogue, path));
            }
        }
    }

    fn trigger(&mut self, trigger: &Trigger) {
        let Some(function) = self.catalogue.function(trigger.function) else { return };
        if let Some(reason) = self.errors.get(&function.oid) {
            let foreign = !matches!(function.language.as_str(), "plpgsql" | "sql");
            let unread = Unread { function: function.oid, trigger: Some(trigger.oid), reason: reason.clone(), foreign };
            self.out.unread.push(unread);
            return;
        }
        let scope = self.scope(Some(function.oid), HashMap::new(), None);
        let visit =
            Visit { trigger: Some(trigger), operations: trigger.events.clone(), conditional: trigger.conditional };
        self.visit(function, scope, &visit, &mut vec![function.oid]);
    }

    fn functions_of_the_application(&mut self) {
        let reached: Vec<u32> = self.out.writes.iter().filter_map(|w| self.out.scopes[w.scope].function).collect();
        for function in self.catalogue.functions.iter().filter(|f| !f.is_trigger && !reached.contains(&f.oid)) {
            if self.out.bodies.contains_key(&function.oid) {
                let scope = self.scope(Some(function.oid), HashMap::new(), None);
                let visit = Visit { trigger: None, operations: vec![], conditional: false };
                // its own statements only: what it calls is looked at by itself
                self.visit(function, scope, &visit, &mut vec![function.oid; DEPTH]);
            }
        }
    }

    fn rules(&mut self) {
        for rule in &self.catalogue.rules {
            let Ok(trees) = ast::parse(&rule.definition) else { continue };
            let inserts: Vec<_> =
                trees.iter().flat_map(|t| sql::inserts(t, self.catalogue, &self.catalogue.search_path)).collect();
            for insert in inserts {
                self.out.rules.statements.push(plain(&rule.definition));
                let statement = self.out.rules.statements.len() - 1;
                let scope = self.scope(None, HashMap::new(), None);
                self.out.writes.push(Write {
                    scope,
                    statement,
                    trigger: None,
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
    ) -> usize {
        self.out.scopes.push(Scope { function, bindings, caller });
        self.out.scopes.len() - 1
    }

    fn visit(&mut self, function: &Function, scope: usize, visit: &Visit<'_>, chain: &mut Vec<u32>) {
        let Some(body) = self.out.bodies.get(&function.oid).cloned() else { return };
        let path = self.catalogue.path_of(function).to_vec();
        for (n, statement) in body.statements.iter().enumerate() {
            let Some((operations, conditional)) = self.reach(&body, n, visit, chain.len() == 1) else { continue };
            let mut push = |insert: Option<Insert>, dynamic: bool| {
                self.out.writes.push(Write {
                    scope,
                    statement: n,
                    trigger: visit.trigger.map(|t| t.oid),
                    rule: None,
                    operations: operations.clone(),
                    conditional,
                    insert,
                    dynamic,
                });
            };
            let trees = trees(statement);
            if statement.kind == Kind::Dynamic {
                match trees.first().map(|t| dynamic_text(t, statement)) {
                    Some(Text::Sql(text)) => {
                        for tree in ast::parse(&text).unwrap_or_default() {
                            sql::inserts(&tree, self.catalogue, &path).into_iter().for_each(|i| push(Some(i), true));
                        }
                    }
                    Some(Text::Unseen) | None if visit.trigger.is_some() => push(None, true),
                    _ => {}
                }
                continue;
            }
            for tree in &trees {
                sql::inserts(tree, self.catalogue, &path).into_iter().for_each(|i| push(Some(i), false));
            }
            if chain.len() >= DEPTH {
                continue;
            }
            let mut called = vec![];
            for (schema, name, arguments) in trees.iter().flat_map(sql::calls) {
                if let Some(callee) = self.catalogue.resolve_function(&schema, &name, arguments.len(), &path)
                    && !chain.contains(&callee.oid)
                {
                    called.push((callee, bind(callee, arguments)));
                }
            }
            for (callee, bindings) in called {
                if let Some(reason) = self.errors.get(&callee.oid) {
                    let foreign = !matches!(callee.language.as_str(), "plpgsql" | "sql");
                    let unread = Unread {
                        function: callee.oid,
                        trigger: visit.trigger.map(|t| t.oid),
                        reason: reason.clone(),
                        foreign,
                    };
                    self.out.unread.push(unread);
                    continue;
                }
                let inner = self.scope(Some(callee.oid), bindings, Some((scope, n)));
                let onward = Visit { trigger: visit.trigger, operations: operations.clone(), conditional };
                chain.push(callee.oid);
                self.visit(callee, inner, &onward, chain);
                chain.pop();
            }
        }
    }

    /// Under which operations the statement runs, and whether under a condition besides; none if never.
    fn reach(&self, body: &Body, n: usize, visit: &Visit<'_>, direct: bool) -> Option<(Vec<String>, bool)> {
        let statement = &body.statements[n];
        let Some(trigger) = visit.trigger.filter(|_| direct) else {
            let returns = body.statements[..n].iter().any(|s| s.kind == Kind::Return);
            return Some((
                visit.operations.clone(),
                visit.conditional || !statement.guards.is_empty() || statement.looped || returns,
            ));
        };
        let mut operations = vec![];
        let mut conditional = visit.conditional;
        for firing in guards::firings(trigger, self.catalogue) {
            if let Some(more) = firing.reaches(body, n) {
                operations.push(firing.operation.to_owned());
                conditional |= more.0;
            }
        }
        (!operations.is_empty()).then_some((operations, conditional))
    }
}

fn bind(callee: &Function, arguments: &[Value]) -> HashMap<String, Value> {
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

enum Text {
    /// The text, with placeholders for what is put in at run time.
    Sql(String),
    /// It cannot be told whether it inserts.
    Unseen,
    /// It is seen, and inserts nothing.
    Harmless,
}

/// The text that EXECUTE runs, as far as its constants tell.
fn dynamic_text(expr: &Value, statement: &Statement) -> Text {
    let text = match ast::string_constant(expr) {
        Some(text) => text,
        None => match format_pattern(expr) {
            Some(pattern) => fill(&pattern),
            None => return if mentions_insert(expr) { Text::Unseen } else { opaque(expr) },
        },
    };
    let text = with_parameters(text, statement);
    match ast::parse(&text) {
        Ok(trees) if trees.iter().any(|t| !ast::find(t, "InsertStmt").is_empty()) => Text::Sql(text),
        Ok(_) => Text::Harmless,
        Err(_) if mentions_insert(expr) => Text::Unseen,
        Err(_) => Text::Harmless,
    }
}

/// Constants that cannot begin an INSERT are harmless; a text of variables alone is unseen.
fn opaque(expr: &Value) -> Text {
    if ast::find(expr, "Sval").is_empty() { Text::Unseen } else { Text::Harmless }
}

fn mentions_insert(expr: &Value) -> bool {
    ast::find(expr, "Sval").iter().any(|s| {
        let text = ast::text(s, "sval");
        pg_query::scan(text).is_ok_and(|scan| {
            scan.tokens
                .iter()
                .any(|t| text.get(t.start as usize..t.end as usize).is_some_and(|w| w.eq_ignore_ascii_case("insert")))
        })
    })
}

/// The pattern of a call of format().
fn format_pattern(expr: &Value) -> Option<String> {
    let call = ast::node(expr, "FuncCall")?;
    let (_, name) = ast::call_name(call);
    (name == "format").then(|| ast::list(call, "args").first().and_then(ast::string_constant)).flatten()
}

/// A pattern of format() with something in each place that lets it parse: a name where a name is asked for.
fn fill(pattern: &str) -> String {
    let (mut text, mut chars) = (String::new(), pattern.chars());
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        for flag in chars.by_ref() {
            match flag {
                '%' => text.push('%'),
                'L' => text.push_str("null"),
                'I' | 's' => text.push_str("domain_events_unseen"),
                _ => continue,
            }
            break;
        }
    }
    text
}

/// `$1` of the dynamic text is the first expression of USING.
fn with_parameters(text: String, statement: &Statement) -> String {
    let Ok(scan) = pg_query::scan(&text) else { return text };
    let mut filled = text.clone();
    for token in scan.tokens.iter().rev() {
        let range = token.start as usize..token.end as usize;
        let number = text.get(range.clone()).and_then(|w| w.strip_prefix('$')).and_then(|n| n.parse::<usize>().ok());
        if let Some(parameter) = number.and_then(|n| statement.parameters.get(n.wrapping_sub(1))) {
            filled.replace_range(range, &format!("({parameter})"));
        }
    }
    filled
}
