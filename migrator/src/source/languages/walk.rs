//! Goes through a file as it would run, as far as literals tell: what goes forward and what that calls, never what undoes it.
//! Nothing is run. Lists that stand in the file are gone through item by item.

use std::collections::HashSet;
use std::rc::Rc;

use super::code::{Code, CodeKind, Function, Part};
use super::direction::{goes_back, goes_forward};
use super::forms;
use super::given::{Given, Only, What};
use super::hoist::{Hoisted, hoist, place};
use super::language::Language;
use super::state::Walk;
use super::value::{Piece, Text, Value, shown};

impl<'r, 't> Walk<'r, 't> {
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
            CodeKind::Text(parts) => self.text(code, parts),
            CodeKind::Join(sides) => {
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
            CodeKind::Name(name) => self.named(name, code),
            CodeKind::List(items) => {
                let mut values = vec![];
                for item in items {
                    values.push(self.value(item));
                }
                Value::List(Rc::new(values))
            }
            CodeKind::Map(entries) => {
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
            CodeKind::Call(call) => self.call(call, code),
            CodeKind::Function(function) => Value::Function(function.clone()),
            CodeKind::Define(..) => Value::nothing(),
            CodeKind::Assign { to, value, more } => {
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
            CodeKind::Block(inside) => {
                let mut last = Value::nothing();
                for one in inside {
                    last = self.value(one);
                }
                last
            }
            CodeKind::If { test, negated, then, otherwise } => {
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
            CodeKind::Each { names, over, body } => {
                let over = over.as_ref().map(|o| self.value(o)).unwrap_or_else(Value::nothing);
                self.each(names, &over, &mut |walk| {
                    walk.value(body);
                });
                Value::nothing()
            }
            CodeKind::Return(value) => {
                let value = self.value(value);
                let known = matches!(value, Value::Text(_) | Value::List(_));
                if known || self.returned.is_none() {
                    self.returned = Some(value.clone());
                }
                value
            }
            CodeKind::Class(members) => {
                for member in members {
                    self.value(member);
                }
                Value::nothing()
            }
            CodeKind::Other(inside) => {
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
