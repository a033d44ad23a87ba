//! The state in which the body of a program is written.

use std::collections::BTreeMap;

use super::Translator;
use super::context::Slot;
use super::value::Ty;
use crate::ast::{Condition, Expression, HandlerAction, Statement};

/// How a program ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// A trigger returns this.
    Trigger(&'static str),
    /// A function returns a value of this kind.
    Function(Slot),
    /// A procedure just ends.
    Procedure,
}

/// Writes the body of one program.
pub struct Writer<'t, 'a> {
    /// Translates what is in the statements.
    pub t: &'t mut Translator<'a>,
    /// The text so far.
    pub text: String,
    /// Line of the text, from 1, and line of the source.
    pub lines: Vec<(usize, u64)>,
    /// How the program ends.
    pub ending: Ending,
    /// What user variables were given, for their types.
    pub given: BTreeMap<String, Vec<Ty>>,
    /// Handlers in force, innermost last.
    pub handlers: Vec<Active>,
    /// Declared conditions.
    pub conditions: BTreeMap<String, Condition>,
    /// Variables that hold something before they are assigned.
    pub(super) filled: Vec<String>,
    /// More variables for the head.
    pub extra: BTreeMap<String, String>,
    /// Prepared statements and the expressions they are made of.
    pub(super) prepared: BTreeMap<String, Expression>,
    /// Label of the outermost block.
    pub(super) outermost: Option<String>,
    pub(super) looped: bool,
    pub(super) depth: usize,
    pub(super) line: usize,
}

impl<'t, 'a> Writer<'t, 'a> {
    /// One for a program.
    pub fn new(t: &'t mut Translator<'a>, ending: Ending) -> Self {
        Self {
            t,
            text: String::new(),
            lines: vec![],
            ending,
            given: BTreeMap::new(),
            handlers: vec![],
            conditions: BTreeMap::new(),
            filled: vec![],
            extra: BTreeMap::new(),
            prepared: BTreeMap::new(),
            outermost: None,
            looped: false,
            depth: 1,
            line: 1,
        }
    }

    /// Adds a line, or several.
    pub fn put(&mut self, text: &str) {
        for line in text.lines() {
            self.text.push_str(&"  ".repeat(self.depth));
            self.text.push_str(line);
            self.text.push('\n');
            self.line += 1;
        }
    }

    /// Writes further in.
    pub fn nested(&mut self, write: impl FnOnce(&mut Self)) {
        self.depth += 1;
        write(self);
        self.depth -= 1;
    }
}

/// What a block handles.
#[derive(Debug, Clone, Default)]
pub struct Handlers {
    /// NOT FOUND.
    pub not_found: Option<(HandlerAction, Statement)>,
    /// Errors that end the block: conditions of PL/pgSQL and what is done.
    pub exits: Vec<(String, Statement)>,
    /// Errors after which the block goes on.
    pub continues: Vec<(String, Statement)>,
    /// A label for a block that has none and that a handler leaves.
    pub label: Option<String>,
}

/// Handlers in force.
#[derive(Debug, Clone)]
pub struct Active {
    pub(super) handlers: Handlers,
    pub(super) label: Option<String>,
}

impl Handlers {
    /// Whether nothing is handled.
    pub fn is_empty(&self) -> bool {
        self.not_found.is_none() && self.exits.is_empty() && self.continues.is_empty()
    }

    /// In force in a block of this label.
    pub fn active(&self, label: Option<String>) -> Active {
        Active { handlers: self.clone(), label }
    }
}
