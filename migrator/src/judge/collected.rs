//! All that was read of the functions, as plain data: where they were followed, what they write, what could not be read.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::origin::{Known, Origin};
use super::sql::{Change, Insert};
use crate::sql_tree::plpgsql::{Body, Statement};

/// A function in one way of being called.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The function; none for a rule.
    pub function: Option<u32>,
    /// What its parameters stand for in the caller.
    pub bindings: HashMap<String, Value>,
    /// The caller and its statement.
    pub caller: Option<(usize, usize)>,
    /// Where its unqualified names are looked for.
    pub path: Vec<String>,
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
    /// Whether it is in a trigger function that no trigger fires.
    pub unfired: bool,
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
    /// Its name, where nothing else is known of it.
    pub name: Option<String>,
    /// A trigger that calls it.
    pub trigger: Option<u32>,
    /// Why.
    pub reason: String,
    /// Whether it is in another language, rather than not parsed.
    pub foreign: bool,
}

/// A variable at a statement of a scope.
pub type Variable = (usize, usize, String);

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
    /// Triggers of the store's own.
    pub captured: Vec<u32>,
    /// With which scope the way to each begins.
    pub roots: Vec<usize>,
    /// Which scopes begin with one.
    pub ways: BTreeMap<usize, Vec<usize>>,
    /// The text of each body, in lower case.
    pub texts: BTreeMap<u32, String>,
    /// The settings of the session that a body makes, each with its value and statement.
    pub settings: BTreeMap<u32, Vec<(String, Value, usize)>>,
    /// Variables that were followed before: by scope, statement and name. Each may be made of others, those of others again, so that
    /// without it sixteen lines of `v1 := v0 + u0 - w0` were followed for minutes.
    pub followed: RefCell<HashMap<Variable, Origin>>,
    /// The same for the numbers that they have where the newest version is this.
    pub counted: RefCell<HashMap<(Variable, Option<i64>), Known>>,
}

impl Collected {
    /// Where a function was followed by itself, not as somebody calls it.
    pub fn scope_of(&self, function: u32) -> Option<usize> {
        self.scopes.iter().position(|s| s.function == Some(function) && s.caller.is_none())
    }

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
