//! Goes through a file as it would run, as far as literals tell: what goes forward and what that calls, never what undoes it.
//! Nothing is run. Lists that stand in the file are gone through item by item.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Language;
use super::code::{Call, Code, Function, Kind, Part};
use super::given::{Given, Made, Name, Only, What};
use super::value::{Called, Piece, Text, Value, plain, shown};
use super::{calls, forms};

/// Functions that call themselves are followed so far.
const DEPTH: usize = 20;
/// So many expressions of a file are looked at, and one more for each of its bytes; loops count again.
const STEPS: usize = 50_000;
/// A longer list is not gone through.
const ITEMS: usize = 1_000;
/// A larger file is not put into a text.
const LARGEST: u64 = 4 * 1024 * 1024;
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

/// What all files of a source have in common.
#[derive(Debug, Default)]
pub struct Common {
    /// Django's models, by application and name.
    pub models: HashMap<(String, String), Model>,
    /// Tables that code made.
    pub tables: HashSet<Name>,
    /// Files whose text was taken into another's.
    pub included: HashSet<PathBuf>,
    /// Files that are read on their own.
    pub own_turn: HashSet<PathBuf>,
}

/// A model of Django.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Its table.
    pub table: String,
    /// Its columns, by their fields.
    pub columns: HashMap<String, String>,
}

struct Scope<'t> {
    names: HashMap<String, Value<'t>>,
    /// A function sees its own names and the file's.
    barrier: bool,
}

/// A walk through one file.
pub struct Walk<'r, 't> {
    pub common: &'r mut Common,
    pub file: &'r Path,
    pub language: Language,
    text: &'t str,
    functions: HashMap<String, Rc<Function<'t>>>,
    roots: Vec<(String, Rc<Function<'t>>)>,
    scopes: Vec<Scope<'t>>,
    /// Tables that are being made.
    pub tables: Vec<Made>,
    /// Those whose block is being walked.
    pub open: Vec<usize>,
    pub given: Vec<Given>,
    pub only: Only,
    /// Inside a function that goes forward.
    pub forward: bool,
    called: HashSet<String>,
    /// Literals that were taken, or that are no SQL.
    pub taken: HashSet<usize>,
    depth: usize,
    steps: usize,
    most: usize,
    returned: Option<Value<'t>>,
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
        for (at, row) in hoisted.literals {
            if !self.taken.contains(&at) {
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

    /// Adds what the file gives.
    pub fn give(&mut self, row: usize, what: What) {
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

    fn look_up(&self, name: &str) -> Option<&Value<'t>> {
        let barrier = self.scopes.iter().rposition(|s| s.barrier).unwrap_or(0);
        let own = self.scopes[barrier..].iter().rev().find_map(|s| s.names.get(name));
        own.or_else(|| self.scopes[0].names.get(name))
    }

    fn set(&mut self, name: &str, value: Value<'t>) {
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
    pub fn value(&mut self, code: &Code<'t>) -> Value<'t> {
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

    /// Does something for each item of a list that stands in the file, or once for what is not known.
    fn each(&mut self, names: &[String], over: &Value<'t>, body: &mut dyn FnMut(&mut Self)) {
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

    fn call(&mut self, call: &Call<'t>, code: &Code<'t>) -> Value<'t> {
        let has_block = call.arguments.iter().any(|(_, a)| matches!(a.kind, Kind::Function(_)));
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

    /// The text of a file of SQL that is read beside this one.
    fn included(&mut self, called: &Called<'t>) -> Option<Value<'t>> {
        let name = plain(&called.name);
        let reads = calls::READS.contains(&name.as_str());
        if !reads {
            return None;
        }
        let mut parts = vec![];
        called.plain().for_each(|v| words(v, &mut parts));
        called.on.iter().for_each(|v| words(v, &mut parts));
        let last = parts.iter().rposition(|p| p.to_ascii_lowercase().ends_with(".sql"))?;
        let folder = self.file.parent()?;
        let candidates = (0..=last).map(|from| parts[from..=last].concat_path());
        let path = candidates.flat_map(|c| [folder.join(&c), c]).find(|p| p.is_file())?;
        let known = path.canonicalize().unwrap_or_else(|_| path.clone());
        let size = std::fs::metadata(&path).map(|m| m.len()).ok()?;
        if size > LARGEST {
            return None;
        }
        let bytes = std::fs::read(&path).ok()?;
        self.common.included.insert(known);
        let text = crate::source::encoding::text(&bytes);
        Some(Value::Text(Text { file: Some(path), ..Text::known(&text) }))
    }
}

trait Joined {
    fn concat_path(&self) -> PathBuf;
}

impl Joined for [String] {
    fn concat_path(&self) -> PathBuf {
        self.iter().map(|p| p.trim_start_matches('/')).collect()
    }
}

/// Texts anywhere in a value.
fn words(value: &Value<'_>, found: &mut Vec<String>) {
    match value {
        Value::Text(text) => found.push(text.known_parts()),
        Value::List(items) => items.iter().for_each(|i| words(i, found)),
        Value::Call(call) => {
            call.on.iter().for_each(|v| words(v, found));
            call.plain().for_each(|v| words(v, found));
        }
        _ => {}
    }
}

fn place(text: &str, code: &Code<'_>) -> usize {
    (code.written.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize)
}

/// What a file defines, wherever it stands.
#[derive(Default)]
struct Hoisted<'t> {
    functions: Vec<(String, Rc<Function<'t>>)>,
    /// Texts that make triggers or functions: where, and their rows.
    literals: Vec<(usize, usize)>,
    /// Whether it is a migration, though no function of it says so.
    migrates: bool,
}

fn hoist<'t>(code: &Code<'t>, text: &str, into: &mut Hoisted<'t>) {
    match &code.kind {
        Kind::Define(name, function) => {
            into.functions.push((name.clone(), function.clone()));
            if !goes_back(name) {
                hoist(&function.body, text, into);
            }
        }
        Kind::Function(function) => hoist(&function.body, text, into),
        Kind::Map(entries) => {
            for (key, value) in entries {
                match (key, &value.kind) {
                    (Some(key), Kind::Function(function)) => {
                        into.functions.push((key.clone(), function.clone()));
                        if !goes_back(key) {
                            hoist(&function.body, text, into);
                        }
                    }
                    (Some(key), _) if goes_back(key) => {}
                    _ => hoist(value, text, into),
                }
            }
        }
        Kind::Text(parts) => {
            let known: String = parts
                .iter()
                .filter_map(|p| if let Part::Known(known) = p { Some(known.as_str()) } else { None })
                .collect();
            if calls::makes_programs(&known) {
                into.literals.push((place(text, code), code.row));
            }
            for part in parts {
                if let Part::Put(inner) = part {
                    hoist(inner, text, into);
                }
            }
        }
        Kind::Join(inside) | Kind::List(inside) | Kind::Other(inside) => {
            inside.iter().for_each(|c| hoist(c, text, into));
        }
        // a text that stands alone describes something
        Kind::Block(inside) | Kind::Class(inside) => {
            for one in inside.iter().filter(|c| !matches!(c.kind, Kind::Text(_))) {
                hoist(one, text, into);
            }
        }
        Kind::Call(call) => {
            into.migrates |= matches!(call.name.as_str(), "RunSQL" | "RunPython" | "up" | "change");
            into.migrates |= call.on.as_ref().is_some_and(|on| on.written == "Sequel") && call.name == "migration";
            call.on.iter().for_each(|on| hoist(on, text, into));
            let back = goes_back(&call.name);
            for (n, (name, argument)) in call.arguments.iter().enumerate() {
                let reverse =
                    name.as_deref().is_some_and(goes_back) || call.name == "RunSQL" && name.is_none() && n > 0;
                let block = back && matches!(argument.kind, Kind::Function(_));
                if !reverse && !block {
                    hoist(argument, text, into);
                }
            }
        }
        Kind::Assign { value, .. } | Kind::Return(value) => hoist(value, text, into),
        Kind::If { then, otherwise, .. } => {
            hoist(then, text, into);
            otherwise.iter().for_each(|o| hoist(o, text, into));
        }
        Kind::Each { over, body, .. } => {
            over.iter().for_each(|o| hoist(o, text, into));
            hoist(body, text, into);
        }
        Kind::Name(_) => {}
    }
}
