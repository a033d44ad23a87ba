//! From the catalogue to findings: which statements write events, where their version comes from, what can port them.

mod against;
pub mod assumed;
mod bodies;
pub mod codes;
mod collect;
mod count;
mod dynamic;
mod event_table;
mod evidence;
mod guards;
mod looker;
mod missing;
mod numbering;
mod own;
mod ports;
mod row;
pub mod sql;
pub mod stream;
#[cfg(test)]
mod tests;
mod texts;
mod unjudged;
mod verdict;
mod version;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use collect::{Collected, Write};
pub use event_table::{Roles, Target, is_actor};
pub use evidence::recognise;
pub use texts::constants;
pub use version::{Origin, VersionSource};

use crate::source::{Catalogue, Trigger};
use crate::sql_tree::ast;
use codes::Code;
use sql::Conflict;

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

/// Judges a database.
pub fn judge(catalogue: &Catalogue) -> Report {
    let read = bodies::bodies(catalogue);
    let whole = assumed::with(catalogue, &read);
    let catalogue = whole.as_ref();
    let collected = collect::collect(catalogue, read);
    let mut targets = BTreeMap::new();
    for relation in
        collected.writes.iter().filter_map(|w| w.insert.as_ref()?.relation).filter_map(|oid| catalogue.relation(oid))
    {
        targets.entry(relation.oid).or_insert_with(|| evidence::recognise(relation, catalogue, &collected));
    }
    let numbered = numbering::tables(catalogue, &collected, &mut targets);
    let bench = Bench { catalogue, collected: &collected, targets: &targets };
    let mut judged: Vec<Judged> = collected.writes.iter().enumerate().filter_map(|(n, w)| bench.write(n, w)).collect();
    judged.extend(collected.unread.iter().map(|u| bench.unread(u)));
    let known: BTreeSet<u32> = judged.iter().filter_map(|j| j.event_table).collect();
    let unsaid = numbered.iter().filter(|n| !known.contains(&n.relation) || n.is_besides(&targets));
    judged.extend(unsaid.filter_map(|n| bench.numbered(n)));
    once(&mut judged, &collected);
    bench.by_itself(&mut judged);
    bench.own(&mut judged);
    together(&mut judged, catalogue);
    judged.sort_by(|a, b| order(&a.finding).cmp(&order(&b.finding)));
    // what was assumed is nobody's to port
    targets.retain(|oid, _| catalogue.relation(*oid).is_some_and(|r| !r.assumed));
    Report { judged, targets, collected }
}

/// A function of the application that runs texts of which nothing is seen is named once, with all the lines where it does.
fn once(judged: &mut Vec<Judged>, collected: &Collected) {
    let unseen = |j: &Judged| j.trigger.is_none() && j.write.is_some_and(|n| collected.writes[n].insert.is_none());
    let mut first: BTreeMap<Option<u32>, usize> = BTreeMap::new();
    let mut more: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut kept: Vec<Judged> = vec![];
    for one in std::mem::take(judged) {
        if !unseen(&one) {
            kept.push(one);
            continue;
        }
        match first.get(&one.function) {
            Some(at) => more.entry(*at).or_default().extend(one.finding.line),
            None => {
                first.insert(one.function, kept.len());
                kept.push(one);
            }
        }
    }
    for (at, mut lines) in more {
        lines.sort_unstable();
        lines.dedup();
        let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
        kept[at].finding.reasons.push(format!("the same in line {}", lines.join(", ")));
    }
    *judged = kept;
}

/// A shim serves a whole table: where one statement's own number has to stay, the shim is nobody's proposal.
fn together(judged: &mut [Judged], catalogue: &Catalogue) {
    let left: Vec<(u32, String)> = judged
        .iter()
        .filter(|j| {
            let left = j.finding.needs_work() && j.finding.strategy == Some(Strategy::Manual);
            // right under its lock, and told elsewhere: a shim takes another lock
            left || j.finding.code == codes::LOCKED.code && !j.declared.is_empty()
        })
        .filter(|j| j.finding.allowed.contains(&Strategy::Shim))
        .filter_map(|j| Some((j.event_table?, j.finding.place())))
        .collect();
    for one in judged.iter_mut().filter(|j| j.finding.strategy == Some(Strategy::Shim)) {
        let place = one.finding.place();
        let other = left.iter().find(|(table, other)| Some(*table) == one.event_table && *other != place);
        if let Some((_, other)) = other {
            let relation = one.event_table.and_then(|oid| catalogue.relation(oid));
            let answered = relation.and_then(|r| catalogue.treat(r)).is_some();
            let table = relation.map(|r| r.quoted.as_str()).unwrap_or_default();
            one.finding.strategy = Some(Strategy::Manual);
            if !answered {
                one.finding.allowed.retain(|s| *s != Strategy::Shim);
            }
            one.finding.reasons.push(format!(
                "a shim would also renumber what {other} writes into the same table: {}",
                if answered {
                    "choose it yourself if that may be".to_owned()
                } else {
                    format!("it can be chosen after --treat {table}=events")
                }
            ));
        }
    }
}

type Order<'a> = (std::cmp::Reverse<Severity>, [&'a Option<String>; 3], Option<usize>);

fn order(f: &Finding) -> Order<'_> {
    (std::cmp::Reverse(f.severity), [&f.table, &f.trigger, &f.function], f.line)
}

struct Bench<'a> {
    catalogue: &'a Catalogue,
    collected: &'a Collected,
    targets: &'a BTreeMap<u32, Target>,
}

impl Bench<'_> {
    fn finding(&self, n: Option<usize>, code: Code, severity: Severity, source: VersionSource) -> Finding {
        let write = n.map(|n| &self.collected.writes[n]);
        let trigger = write.and_then(|w| w.trigger).and_then(|oid| self.trigger(oid));
        let function =
            write.and_then(|w| self.collected.scopes[w.scope].function).and_then(|oid| self.catalogue.function(oid));
        let line = write.map(|w| self.collected.statement(w).line).filter(|l| *l > 0);
        let relation = write.and_then(|w| w.insert.as_ref());
        let event_table = relation.map(|i| match i.relation.and_then(|oid| self.catalogue.relation(oid)) {
            Some(relation) => relation.quoted.clone(),
            None => i.written.clone(),
        });
        let table = trigger.map(|t| t.relation).or_else(|| {
            let rule = write?.rule.as_ref()?;
            self.catalogue.rules.iter().find(|r| r.name == *rule).map(|r| r.relation)
        });
        Finding {
            code: code.code.to_owned(),
            severity,
            trigger: trigger.map(|t| t.name.clone()),
            table: table.and_then(|oid| self.catalogue.relation(oid)).map(|r| r.quoted.clone()),
            function: function.map(|f| f.identity.clone()),
            line,
            operations: write.map(|w| w.operations.clone()).unwrap_or_default(),
            event_table,
            event_type: n.and_then(|n| self.event_type(n)),
            version_source: source,
            strategy: None,
            allowed: vec![],
            reasons: vec![],
            file: None,
            declared: vec![],
        }
    }

    fn trigger(&self, oid: u32) -> Option<&Trigger> {
        self.catalogue.triggers.iter().find(|t| t.oid == oid)
    }

    fn event_type(&self, n: usize) -> Option<String> {
        let write = &self.collected.writes[n];
        let insert = write.insert.as_ref()?;
        let column = self.targets.get(&insert.relation?)?.roles.event_type_column.as_ref()?;
        let mut types: Vec<String> = vec![];
        for value in insert.values(column).into_iter().flatten() {
            let more = texts::of_write(self.catalogue, self.collected, write, value);
            types.extend(more.into_iter().filter(|t| !types.contains(t)).collect::<Vec<_>>());
        }
        (!types.is_empty()).then(|| types.join("|"))
    }

    /// A parameter of a helper is what the caller gives for it.
    fn through_binding<'v>(&'v self, value: &'v Value, scope: usize) -> &'v Value {
        let column = ast::column(ast::without_casts(value));
        match column.as_deref() {
            Some([name]) => self.collected.scopes[scope].bindings.get(name).unwrap_or(value),
            _ => value,
        }
    }

    /// The schema in which an unqualified event table was found, though it is not in the search path.
    fn found_at_home(&self, write: &Write, insert: &sql::Insert) -> Option<&str> {
        let scope = &self.collected.scopes[write.scope];
        let home = insert.relation.and_then(|oid| self.catalogue.relation(oid)).map(|r| r.schema.as_str());
        let home = home.filter(|s| !self.catalogue.search_path.iter().any(|p| p == s))?;
        let function = scope.function.and_then(|oid| self.catalogue.function(oid))?;
        (!insert.qualified && function.search_path.is_none()).then_some(home)
    }

    fn write(&self, n: usize, write: &Write) -> Option<Judged> {
        let function = self.collected.scopes[write.scope].function;
        let judged = |finding: Finding, event_table: Option<u32>, declared: Vec<String>| Judged {
            finding,
            write: Some(n),
            trigger: write.trigger,
            function,
            event_table,
            declared,
        };
        let Some(insert) = &write.insert else {
            let mut finding = self.finding(Some(n), codes::DYNAMIC, Severity::Warning, VersionSource::Dynamic);
            finding.strategy = Some(Strategy::Manual);
            finding.allowed = vec![Strategy::Manual];
            finding.reasons.push("EXECUTE of a text whose table cannot be seen".into());
            return Some(judged(finding, None, vec![]));
        };
        let target = insert.relation.and_then(|oid| self.targets.get(&oid));
        let Some(target) = target.filter(|t| t.is_event_table || t.uncertain) else {
            // only a trigger's inserts are worth a word: a function of the application may write what it likes
            if write.trigger.is_none() && !write.unfired {
                return None;
            }
            // a table that the function makes for itself, or one of the store's
            if insert.relation.is_none() && write.rule.is_none() {
                return None;
            }
            return Some(judged(self.no_event(n, insert, target), None, vec![]));
        };
        let relation = self.catalogue.relation(target.relation)?;
        let mut verdict = self.verdict(write, insert, target, relation);
        if target.uncertain {
            let table = Some(relation.oid).filter(|_| !relation.assumed);
            return Some(judged(self.uncertain(n, verdict.source, target, relation), table, vec![]));
        }
        let statement = self.collected.statement(write);
        if insert.conflict == Conflict::Nothing || statement.swallowed {
            let how = if statement.swallowed { "an exception handler" } else { "ON CONFLICT DO NOTHING" };
            verdict.reasons.push(format!("{how} drops the event in silence when its version is taken"));
            if verdict.severity == Severity::Info && !matches!(verdict.code.code, "EV190" | "EV121" | "EV130") {
                (verdict.code, verdict.severity) = (codes::LOST, Severity::Warning);
            }
        }
        if let Some(trigger) = write.trigger.and_then(|oid| self.trigger(oid)).filter(|t| t.enabled == "D") {
            verdict.reasons.push(format!("trigger {} is disabled", trigger.name));
            verdict.severity = Severity::Info;
        }
        let mut finding = self.finding(Some(n), verdict.code, verdict.severity, verdict.source);
        finding.reasons = verdict.reasons;
        if let Some(home) = self.found_at_home(write, insert) {
            let trigger = write.trigger.and_then(|oid| self.trigger(oid));
            let of_table = trigger.and_then(|t| self.catalogue.relation(t.relation)).is_some_and(|r| r.schema == home);
            finding.reasons.push(format!(
                "{} is the one of schema {home}, that of the {}: the function has no search_path, and finds it by the session's",
                insert.written,
                if of_table { "trigger's table" } else { "function" }
            ));
        }
        let ports = match self.rests_on_assumptions(write, relation) {
            true => ports::Ports::only_manual(&finding),
            false => self.ports(write, insert, target, relation, &finding),
        };
        (finding.strategy, finding.allowed) = (ports.proposed, ports.allowed);
        finding.reasons.extend(ports.reasons);
        finding.reasons.push(format!("{} is taken for an event table: {}", relation.quoted, target.reasons.join("; ")));
        Some(judged(finding, Some(relation.oid).filter(|_| !relation.assumed), ports.declared))
    }
}
