//! Goes through a file as it would run, as far as literals tell: what goes forward and what that calls, never what undoes it.
//! Nothing is run. Lists that stand in the file are gone through item by item.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use super::Language;
use super::code::{Code, Function, Kind, Part};
use super::common::Common;
use super::forms;
use super::given::{Given, Made, Only, What};
use super::hoist::{Hoisted, hoist, place};
use super::value::{Piece, Text, Value, plain, shown};

/// So many expressions of a file are looked at, and one more for each of its bytes; loops count again.
const STEPS: usize = 50_000;
/// Functions that go forward.
const FORWARD: [&str; 9] =
    ["up", "safeup", "change", "migrateup", "upgrade", "forwards", "forward", "upgradedatabase", "dataupgrades"];
/// How names of those begin that go back.
const BACKWARD: [&str; 9] =
    ["down", "safedown", "migratedown", "downgrade", "backward", "rollback", "revert", "reverse", "undo"];

/// Whether a function undoes something, by its name.
pub fn goes_back(name: &str) -> bool {
    let name = plain(name);
    BACKWARD.iter().any(|b| name == *b || (*b != "down" && name.starts_with(b)))
}

fn goes_forward(name: &str) -> bool {
    FORWARD.contains(&plain(name).as_str())
}

/// Names and what they are worth.
pub(super) struct Scope<'t> {
    pub(super) names: HashMap<String, Value<'t>>,
    /// A function sees its own names and the file's.
    pub(super) barrier: bool,
}

/// A walk through one file.
pub struct Walk<'r, 't> {
    pub common: &'r mut Common,
    pub file: &'r Path,
    pub language: Language,
    text: &'t str,
    pub(super) functions: HashMap<String, Rc<Function<'t>>>,
    roots: Vec<(String, Rc<Function<'t>>)>,
    pub(super) scopes: Vec<Scope<'t>>,
    /// Tables that are being made.
    pub tables: Vec<Made>,
    /// Those whose block is being walked.
    pub open: Vec<usize>,
    pub given: Vec<Given>,
    pub only: Only,
    /// Inside a function that goes forward.
    pub forward: bool,
    pub(super) called: HashSet<String>,
    /// Literals that were taken, or that are no SQL.
    pub taken: HashSet<usize>,
    pub(super) depth: usize,
    steps: usize,
    most: usize,
    pub(super) returned: Option<Value<'t>>,
}

impl<'r, 't> Walk<'r, 't> {
    pub fn new(common: &'r mut Common, file: &'r Path, language: Language, text: &'t str) -> Self {
        Self {
            common,
            file,
            language,
            text,
            functions: HashMap::new(),
            roots: vec![],
            scopes: vec![Scope { names: HashMap::new(), barrier: true }],
            tables: vec![],
            open: vec![],
            given: vec![],
            only: Only::ALL,
            forward: false,
            called: HashSet::new(),
            taken: HashSet::new(),
            depth: 0,
            steps: 0,
            most: STEPS + text.len(),
            returned: None,
        }
    }

    /// Walks the file; gives what it holds.
    pub fn file(mut self, root: &Code<'t>) -> Vec<Given> {
        let mut hoisted = Hoisted::default();
        hoist(root, self.text, &mut hoisted);
        for (name, function) in &hoisted.functions {
            if goes_forward(name) {
                self.roots.push((name.clone(), function.clone()));
            }
            self.functions.entry(name.clone()).or_insert_with(|| function.clone());
        }
        self.forward = hoisted.migrates;
        self.value(root);
        let roots = std::mem::take(&mut self.roots);
        self.forward |= !roots.is_empty();
        for (name, root) in &roots {
            if !self.called.contains(name) {
                self.run(root, &[], true);
            }
        }
        if !self.forward {
            for (name, function) in &hoisted.functions {
                if !goes_back(name) && !self.called.contains(name) {
                    self.run(function, &[], true);
                }
            }
        }
        for table in 0..self.tables.len() {
            forms::end(&mut self, table, 0);
        }
        let back = if hoisted.literals.iter().all(|(at, _)| self.taken.contains(at)) {
            HashSet::new()
        } else {
            self.taken_on_the_way_back(&hoisted.functions)
        };
        for (at, row) in hoisted.literals {
            if !self.taken.contains(&at) && !back.contains(&at) {
                let reason = "SQL that makes a trigger or a function stands here, and nothing that is known to run it takes \
                              it: read the live database instead";
                self.given.push(Given {
                    row,
                    only: Only::ALL,
                    what: What::Problem { about: None, reason: reason.into() },
                });
            }
        }
        if self.steps >= self.most {
            let reason = "its code is too long to be gone through: read the live database instead".to_owned();
            self.give(0, What::Problem { about: None, reason });
        }
        self.given
    }

    /// Literals that only what undoes the file runs: nothing else of it counts.
    fn taken_on_the_way_back(&mut self, functions: &[(String, Rc<Function<'t>>)]) -> HashSet<usize> {
        let (given, tables, steps) = (self.given.len(), self.tables.len(), self.steps);
        let (common, taken) = (self.common.clone(), self.taken.clone());
        for (_, function) in functions.iter().filter(|(name, _)| goes_back(name)) {
            self.run(function, &[], true);
        }
        self.given.truncate(given);
        self.tables.truncate(tables);
        *self.common = common;
        self.steps = steps;
        std::mem::replace(&mut self.taken, taken)
    }

    /// Adds what the file gives.
    pub fn give(&mut self, row: usize, what: What) {
        // a file that is read but not run here is judged in its own place
        if let What::Sql(text) = &what {
            self.common.included.extend(text.sources.iter().cloned());
        }
        self.given.push(Given { row, only: self.only, what });
    }

    /// Takes note that literals are used.
    pub fn take(&mut self, value: &Value<'t>) {
        match value {
            Value::Text(text) => self.taken.extend(&text.literals),
            Value::List(items) => items.iter().for_each(|i| self.take(i)),
            Value::Map(entries) => entries.iter().for_each(|(_, v)| self.take(v)),
            Value::Call(call) => call.arguments.iter().for_each(|(_, v)| self.take(v)),
            _ => {}
        }
    }

    pub(super) fn look_up(&self, name: &str) -> Option<&Value<'t>> {
        let barrier = self.scopes.iter().rposition(|s| s.barrier).unwrap_or(0);
        let own = self.scopes[barrier..].iter().rev().find_map(|s| s.names.get(name));
        own.or_else(|| self.scopes[0].names.get(name))
    }

    pub(super) fn set(&mut self, name: &str, value: Value<'t>) {
        let barrier = self.scopes.iter().rposition(|s| s.barrier).unwrap_or(0);
        let own = self.scopes[barrier..].iter().rposition(|s| s.names.contains_key(name)).map(|n| n + barrier);
        let file = self.scopes[0].names.contains_key(name).then_some(0);
        let at = own.or(file).unwrap_or(self.scopes.len() - 1);
        self.scopes[at].names.insert(name.to_owned(), value);
    }

    fn named(&mut self, name: &str, code: &Code<'t>) -> Value<'t> {
        if let Some(value) = self.look_up(name) {
            return value.clone();
        }
        let last = name.rsplit(['.', ':']).next().unwrap_or(name);
        // a constant of the file's class, by the class's name
        if last != name
            && let Some(value @ (Value::Text(_) | Value::List(_))) = self.scopes[0].names.get(last)
        {
            return value.clone();
        }
        if let Some(function) = self.functions.get(name).cloned() {
            if self.language == Language::Ruby && !goes_back(name) {
                self.called.insert(name.to_owned());
                return self.run(&function, &[], true);
            }
            return Value::Function(function);
        }
        Value::Word(shown(code.written))
    }

    /// What an expression is worth; what it does is done.
    pub(super) fn value(&mut self, code: &Code<'t>) -> Value<'t> {
        self.steps += 1;
        if self.steps >= self.most {
            return Value::nothing();
        }
        match &code.kind {
            Kind::Text(parts) => self.text(code, parts),
            Kind::Join(sides) => {
                let values: Vec<Value<'t>> = sides.iter().map(|s| self.value(s)).collect();
                if !values.iter().any(|v| matches!(v, Value::Text(_))) {
                    if values.iter().all(|v| matches!(v, Value::List(_))) {
                        let items = values.iter().flat_map(|v| v.items().to_vec()).collect();
                        return Value::List(Rc::new(items));
                    }
                    return Value::Word(shown(code.written));
                }
                let mut text = Text::default();
                values.iter().for_each(|v| text.push(v.to_text()));
                self.steps += text.len() / 1024 + text.pieces.len() / 16;
                Value::Text(text)
            }
            Kind::Name(name) => self.named(name, code),
            Kind::List(items) => {
                let mut values = vec![];
                for item in items {
                    values.push(self.value(item));
                }
                Value::List(Rc::new(values))
            }
            Kind::Map(entries) => {
                let mut values = vec![];
                for (key, value) in entries {
                    let value = self.value(value);
                    // what is spread from a map of the file
                    match (key, &value) {
                        (None, Value::Map(inner)) => values.extend(inner.iter().cloned()),
                        _ => values.push((key.clone(), value)),
                    }
                }
                Value::Map(Rc::new(values))
            }
            Kind::Call(call) => self.call(call, code),
            Kind::Function(function) => Value::Function(function.clone()),
            Kind::Define(..) => Value::nothing(),
            Kind::Assign { to, value, more } => {
                let mut value = self.value(value);
                if *more {
                    let mut text = self.look_up(to).map(Value::to_text).unwrap_or_default();
                    text.push(value.to_text());
                    self.steps += text.len() / 1024 + text.pieces.len() / 16;
                    value = Value::Text(text);
                }
                self.set(to, value.clone());
                value
            }
            Kind::Block(inside) => {
                let mut last = Value::nothing();
                for one in inside {
                    last = self.value(one);
                }
                last
            }
            Kind::If { test, negated, then, otherwise } => {
                let before = self.only;
                let said = Only::of(test, *negated);
                self.only = before.and(said);
                let mut value = self.value(then);
                if let Some(otherwise) = otherwise {
                    self.only = before.and(said.not());
                    let other = self.value(otherwise);
                    if matches!(other, Value::Text(_)) {
                        value = other;
                    }
                }
                self.only = before;
                value
            }
            Kind::Each { names, over, body } => {
                let over = over.as_ref().map(|o| self.value(o)).unwrap_or_else(Value::nothing);
                self.each(names, &over, &mut |walk| {
                    walk.value(body);
                });
                Value::nothing()
            }
            Kind::Return(value) => {
                let value = self.value(value);
                let known = matches!(value, Value::Text(_) | Value::List(_));
                if known || self.returned.is_none() {
                    self.returned = Some(value.clone());
                }
                value
            }
            Kind::Class(members) => {
                for member in members {
                    self.value(member);
                }
                Value::nothing()
            }
            Kind::Other(inside) => {
                for one in inside {
                    self.value(one);
                }
                Value::Word(shown(code.written))
            }
        }
    }

    fn text(&mut self, code: &Code<'t>, parts: &[Part<'t>]) -> Value<'t> {
        let at = place(self.text, code);
        let mut text = Text { row: Some(code.row), literals: vec![at], ..Text::default() };
        for part in parts {
            match part {
                Part::Known(known) if known.is_empty() => {}
                Part::Known(known) => text.pieces.push(Piece::Known(known.as_str().into())),
                Part::Put(inner) => {
                    let value = self.value(inner);
                    text.push(value.to_text());
                }
            }
        }
        text.file = None;
        Value::Text(text)
    }
}
