//! How far reading has come, beside the catalogue: what waits, what perhaps runs, what may yet be undone.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::types::Types;
use crate::catalogue::{Catalogue, Function, Rule};

/// A statement that waits for its table.
#[derive(Clone)]
pub(super) struct Later {
    pub tree: Value,
    pub whole: String,
    /// Where unqualified names were looked for.
    pub path: Vec<String>,
}

/// Whether something runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Runs {
    /// It certainly does not.
    Not,
    /// Whether it does is known to whoever runs the script.
    Perhaps,
    /// It does.
    Surely,
}

impl Runs {
    pub fn otherwise(self) -> Self {
        match self {
            Self::Not => Self::Surely,
            Self::Perhaps => Self::Perhaps,
            Self::Surely => Self::Not,
        }
    }
}

/// `\if` that has no `\endif` yet.
#[derive(Debug)]
pub(super) struct Branch {
    /// The part that is read now.
    pub now: Runs,
    /// Any part so far.
    pub taken: Runs,
}

/// How far a script has come.
#[derive(Debug)]
pub(super) struct Script {
    /// Whether the command that reads it runs.
    pub whole: Runs,
    pub branches: Vec<Branch>,
    /// Whether it goes on behind `\q`.
    pub rest: Runs,
}

impl Script {
    pub(super) fn new(whole: Runs) -> Self {
        Self { whole, branches: vec![], rest: Runs::Surely }
    }

    /// Whether what is read now runs.
    pub(super) fn runs(&self) -> Runs {
        self.branches.iter().map(|b| b.now).chain([self.whole, self.rest]).min().unwrap_or(Runs::Surely)
    }
}

/// What there was where a transaction or a savepoint began.
pub(super) struct Mark {
    /// The savepoint; none for the transaction itself.
    pub savepoint: Option<String>,
    /// Where that is.
    pub file: String,
    pub line: usize,
    pub saved: Saved,
}

/// All that a rollback brings back.
#[derive(Clone)]
pub(super) struct Saved {
    pub catalogue: Catalogue,
    pub types: Types,
    pub later: Vec<Later>,
    pub gone: Vec<Function>,
    pub sequences: Vec<String>,
    pub called: BTreeSet<String>,
    pub unplaced: BTreeSet<u32>,
    pub path: Vec<String>,
    pub path_is_set: bool,
    pub escapes: bool,
    pub doubts: Vec<Doubt>,
}

/// Something that is perhaps not there any more, or is something else.
#[derive(Debug, Clone)]
pub(super) struct Doubt {
    pub file: String,
    pub line: usize,
    pub reason: String,
    pub about: About,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum About {
    Trigger(u32),
    Rule(Rule),
    /// A function, as it is defined since.
    Function(u32, String),
}

/// Whether a setting that is given so is off.
pub(super) fn is_off(given: &str) -> bool {
    ["off", "false", "no", "0", "f", "n"].iter().any(|word| given.eq_ignore_ascii_case(word))
}
