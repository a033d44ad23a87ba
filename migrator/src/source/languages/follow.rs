//! Calls and loops: functions of the file are followed, lists that stand in it are gone through item by item.

use std::collections::HashMap;
use std::rc::Rc;

use super::code::{Call, Code, CodeKind, Function};
use super::direction::goes_back;
use super::language::Language;
use super::state::{Scope, Walk};
use super::value::{Called, Text, Value};
use super::{calls, forms};

/// Functions that call themselves are followed so far.
const DEPTH: usize = 20;
/// A longer list is not gone through.
const ITEMS: usize = 1_000;

impl<'t> Walk<'_, 't> {
    /// Runs a function; what it gives.
    pub fn run(
        &mut self,
        function: &Rc<Function<'t>>,
        arguments: &[(Option<String>, Value<'t>)],
        barrier: bool,
    ) -> Value<'t> {
        if self.depth >= DEPTH {
            return Value::nothing();
        }
        self.depth += 1;
        let mut names = HashMap::new();
        let plain = arguments.iter().filter(|(name, _)| name.is_none()).map(|(_, v)| v);
        for (parameter, value) in function.parameters.iter().zip(plain) {
            names.insert(parameter.clone(), value.clone());
        }
        for (name, value) in arguments {
            if let Some(name) = name {
                let own = function.parameters.iter().find(|p| p.trim_start_matches('$') == name);
                names.insert(own.unwrap_or(name).clone(), value.clone());
            }
        }
        for parameter in function.parameters.iter().filter(|p| !p.is_empty()) {
            names.entry(parameter.clone()).or_insert_with(|| Value::Word(parameter.clone()));
        }
        self.scopes.push(Scope { names, barrier });
        let before = self.returned.take();
        let last = self.value(&function.body);
        let given = std::mem::replace(&mut self.returned, before);
        self.scopes.pop();
        self.depth -= 1;
        given.unwrap_or(last)
    }

    /// Does something for each item of a list that stands in the file, or once for what is not known.
    pub(super) fn each(&mut self, names: &[String], over: &Value<'t>, body: &mut dyn FnMut(&mut Self)) {
        let items: Vec<Vec<Value<'t>>> = match over {
            Value::List(items) if items.len() <= ITEMS => items
                .iter()
                .enumerate()
                .map(|(n, item)| match (names.len(), item) {
                    (2.., Value::List(inner)) => inner.to_vec(),
                    (2.., item) if self.language == Language::Php => vec![Value::Word(n.to_string()), item.clone()],
                    (_, item) => vec![item.clone()],
                })
                .collect(),
            Value::Map(entries) if entries.len() <= ITEMS => entries
                .iter()
                .map(|(key, value)| {
                    let key = key.as_ref().map_or_else(Value::nothing, |k| Value::Text(Text::known(k)));
                    match names.len() {
                        2.. => vec![key, value.clone()],
                        _ if self.language == Language::Php => vec![value.clone()],
                        _ => vec![key],
                    }
                })
                .collect(),
            _ => vec![],
        };
        let unknown = !matches!(over, Value::List(_) | Value::Map(_)) || over.items().len() > ITEMS;
        for name in names.iter().filter(|_| unknown) {
            self.set(name, Value::Word(name.clone()));
        }
        if unknown {
            return body(self);
        }
        for item in items {
            for (name, value) in names.iter().zip(item) {
                self.set(name, value);
            }
            body(self);
        }
    }

    pub(super) fn call(&mut self, call: &Call<'t>, code: &Code<'t>) -> Value<'t> {
        let has_block = call.arguments.iter().any(|(_, a)| matches!(a.kind, CodeKind::Function(_)));
        if goes_back(&call.name) && has_block {
            return Value::nothing();
        }
        let on = call.on.as_ref().map(|on| self.value(on));
        let own = call.on.as_ref().is_none_or(|on| {
            matches!(on.written, "this" | "self" | "$this" | "static" | "cls" | "exports" | "module.exports")
        });
        let mut arguments = vec![];
        for (n, (name, argument)) in call.arguments.iter().enumerate() {
            // what Django does not do in the database
            let state = name.as_deref() == Some("state_operations")
                || call.name == "SeparateDatabaseAndState" && name.is_none() && n == 1;
            if !state {
                arguments.push((name.clone(), self.value(argument)));
            }
        }
        let known = match &on {
            Some(Value::Function(function)) if call.name.is_empty() => Some(function.clone()),
            _ if own => match self.look_up(&call.name) {
                Some(Value::Function(function)) => Some(function.clone()),
                _ => self.functions.get(&call.name).cloned(),
            },
            _ => None,
        };
        if let Some(function) = known.filter(|_| !goes_back(&call.name)) {
            self.called.insert(call.name.clone());
            return self.run(&function, &arguments, true);
        }
        let called = Called { on, name: call.name.clone(), arguments, row: code.row, written: code.written };
        if let Some(value) = self.included(&called) {
            return value;
        }
        if let Some(value) = calls::text(&called) {
            return value;
        }
        if let Some(value) = forms::made(self, &called) {
            return value;
        }
        if calls::sql(self, &called) {
            return Value::Call(Rc::new(called));
        }
        self.blocks(&called);
        Value::Call(Rc::new(called))
    }

    /// What functions that are handed over do.
    pub fn blocks(&mut self, called: &Called<'t>) {
        let over = called.on.clone().filter(|_| calls::goes_through(&called.name));
        let reverse = called.arguments.iter().position(|(name, _)| name.as_deref().is_some_and(goes_back));
        for (n, (_, argument)) in called.arguments.iter().enumerate() {
            let Value::Function(function) = argument else { continue };
            if Some(n) == reverse || called.name == "RunPython" && n > 0 {
                continue;
            }
            let named = self.functions.iter().find(|(_, f)| Rc::ptr_eq(f, function)).map(|(name, _)| name.clone());
            if named.as_deref().is_some_and(goes_back) {
                continue;
            }
            self.called.extend(named);
            match &over {
                Some(over @ (Value::List(_) | Value::Map(_))) => {
                    let names = function.parameters.clone();
                    let function = function.clone();
                    self.scopes.push(Scope { names: HashMap::new(), barrier: false });
                    for name in &names {
                        let top = self.scopes.len() - 1;
                        self.scopes[top].names.insert(name.clone(), Value::nothing());
                    }
                    let body = function.clone();
                    self.each(&names, over, &mut |walk| {
                        walk.value(&body.body);
                    });
                    self.scopes.pop();
                }
                _ => {
                    self.run(&function.clone(), &[], false);
                }
            }
        }
    }
}
