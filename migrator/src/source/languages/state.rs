//! How far a walk through a file has come: names and what they are worth, tables that are being made, what was given.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use super::code::Function;
use super::common::Common;
use super::given::{Given, Made, Only, What};
use super::language::Language;
use super::value::Value;

/// So many expressions of a file are looked at, and one more for each of its bytes; loops count again.
const STEPS: usize = 50_000;

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
    pub(super) text: &'t str,
    pub(super) functions: HashMap<String, Rc<Function<'t>>>,
    pub(super) roots: Vec<(String, Rc<Function<'t>>)>,
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
    pub(super) steps: usize,
    pub(super) most: usize,
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
}
