//! What the judge says of a statement.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::collected::Collected;
use super::event_table::Target;
use super::origin::VersionSource;

/// How a statement can be ported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// A BEFORE INSERT trigger on the legacy event table assigns the version.
    Shim,
    /// The same function, with the version taken from `next_aggregate_version`.
    Rewrite,
    /// The generic trigger; events go to `domain_events.events`.
    Capture,
    /// A person has to do it.
    Manual,
}

impl Strategy {
    /// As reports and plans spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shim => "shim",
            Self::Rewrite => "rewrite",
            Self::Capture => "capture",
            Self::Manual => "manual",
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing to do.
    Info,
    /// Wrong under some circumstances, or undecided.
    Warning,
    /// Wrong.
    Error,
}

impl Severity {
    /// As reports spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One event-writing statement and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable code.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// The trigger; null for a function that the application calls, and for a rule.
    pub trigger: Option<String>,
    /// The trigger's (or the rule's) table.
    pub table: Option<String>,
    /// The function that holds the statement.
    pub function: Option<String>,
    /// Line in the function's body.
    pub line: Option<usize>,
    /// INSERT, UPDATE, DELETE, TRUNCATE: what makes the trigger run the statement.
    pub operations: Vec<String>,
    /// The table it writes.
    pub event_table: Option<String>,
    /// The event's type, several joined by `|`.
    pub event_type: Option<String>,
    /// Where the version comes from.
    pub version_source: VersionSource,
    /// What the tool proposes; null when there is nothing to do.
    pub strategy: Option<Strategy>,
    /// What may be chosen instead.
    pub allowed: Vec<Strategy>,
    /// Why.
    pub reasons: Vec<String>,
    /// The file that it was read from; the line is one of the file then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What translation from another dialect does not keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declared: Vec<String>,
}

impl Finding {
    /// The statement, in words.
    pub fn place(&self) -> String {
        let line = self.line.map(|l| format!(", line {l}")).unwrap_or_default();
        match (&self.function, &self.trigger, &self.table) {
            (Some(function), ..) => format!("{function}{line}"),
            (None, Some(name), Some(table)) => format!("trigger {name} of {table}"),
            (None, None, Some(table)) => format!("a rule of {table}"),
            _ => "a statement".into(),
        }
    }

    /// What a plan will do about it.
    pub fn action(&self) -> String {
        let table = self.event_table.as_deref().unwrap_or("its table");
        match self.strategy {
            None if self.code == "EV103" => "nothing: it stays right as long as every writer takes the lock".into(),
            None => "nothing".into(),
            Some(Strategy::Shim) => format!(
                "a BEFORE INSERT trigger on {table} assigns 1, 2, 3 .. within each stream, whoever inserts; nothing else changes"
            ),
            Some(Strategy::Rewrite) => "the function gets next_aggregate_version() in the place of its version".into(),
            Some(Strategy::Capture) => "the generic trigger takes over; the legacy trigger is disabled".into(),
            Some(Strategy::Manual) if self.allowed.contains(&Strategy::Shim) => {
                "nothing unless you choose: --strategy NAME=shim".into()
            }
            Some(Strategy::Manual) => "nothing: a person has to change it".into(),
        }
    }

    /// Whether somebody has to do something.
    pub fn needs_work(&self) -> bool {
        self.severity > Severity::Info
    }
}

/// A finding with what the planner needs to act on it.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What is reported.
    pub finding: Finding,
    /// Index into [`Collected::writes`]; none for what could not be read.
    pub write: Option<usize>,
    /// OID of the trigger.
    pub trigger: Option<u32>,
    /// OID of the function that holds the statement.
    pub function: Option<u32>,
    /// OID of the event table.
    pub event_table: Option<u32>,
    /// Differences to declare when the version alone changes.
    pub declared: Vec<String>,
}

/// Everything the judge has to say.
#[derive(Debug)]
pub struct Report {
    /// The findings, in a stable order.
    pub judged: Vec<Judged>,
    /// Every table that is inserted into, by OID.
    pub targets: BTreeMap<u32, Target>,
    /// What was read on the way.
    pub collected: Collected,
}

impl Report {
    /// The findings alone.
    pub fn findings(&self) -> Vec<&Finding> {
        self.judged.iter().map(|j| &j.finding).collect()
    }
}
