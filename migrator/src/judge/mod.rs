//! From the catalogue to findings: which statements write events, where their version comes from, what can port them.

pub mod ast;
pub mod codes;
mod collect;
mod event_table;
mod guards;
pub mod plpgsql;
mod ports;
pub mod sql;
mod version;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use collect::{Collected, Write};
pub use event_table::{Roles, Target, constants, is_actor};
pub use version::{Origin, VersionSource};

use crate::source::{Catalogue, Relation, Trigger};
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
}

impl Finding {
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
    let collected = collect::collect(catalogue);
    let mut targets = BTreeMap::new();
    for relation in
        collected.writes.iter().filter_map(|w| w.insert.as_ref()?.relation).filter_map(|oid| catalogue.relation(oid))
    {
        targets.entry(relation.oid).or_insert_with(|| event_table::recognise(relation, catalogue, &collected));
    }
    let bench = Bench { catalogue, collected: &collected, targets: &targets };
    let mut judged: Vec<Judged> = collected.writes.iter().enumerate().filter_map(|(n, w)| bench.write(n, w)).collect();
    judged.extend(collected.unread.iter().map(|u| bench.unread(u)));
    judged.sort_by(|a, b| order(&a.finding).cmp(&order(&b.finding)));
    Report { judged, targets, collected }
}

fn order(
    f: &Finding,
) -> (std::cmp::Reverse<Severity>, &Option<String>, &Option<String>, &Option<String>, Option<usize>) {
    (std::cmp::Reverse(f.severity), &f.table, &f.trigger, &f.function, f.line)
}

struct Bench<'a> {
    catalogue: &'a Catalogue,
    collected: &'a Collected,
    targets: &'a BTreeMap<u32, Target>,
}

/// A verdict on a version.
struct Verdict {
    code: Code,
    severity: Severity,
    source: VersionSource,
    reasons: Vec<String>,
}

impl Verdict {
    fn new(code: Code, severity: Severity, origin: &Origin) -> Self {
        Self { code, severity, source: origin.source, reasons: vec![origin.reason.clone()] }
    }
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
            let bound = self.through_binding(value, write.scope);
            let more = constants(bound).unwrap_or_default();
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

    fn unread(&self, unread: &collect::Unread) -> Judged {
        let function = self.catalogue.function(unread.function);
        let trigger = unread.trigger.and_then(|oid| self.trigger(oid));
        let source = function.map(|f| f.source.as_str()).unwrap_or_default();
        // a name in a text proves nothing; it only decides how loudly to speak
        let tables =
            self.targets.values().filter(|t| t.is_event_table).filter_map(|t| self.catalogue.relation(t.relation));
        let named: Vec<&Relation> = tables.filter(|r| source.contains(&r.name)).collect();
        let enabled = trigger.is_none_or(|t| t.enabled != "D");
        let loud = enabled && (!named.is_empty() || !unread.foreign);
        let (code, severity) = match (unread.foreign, loud) {
            (true, true) => (codes::LANGUAGE, Severity::Warning),
            (true, false) => (codes::LANGUAGE, Severity::Info),
            (false, true) => (codes::UNPARSED, Severity::Warning),
            (false, false) => (codes::UNPARSED, Severity::Info),
        };
        let mut finding = self.finding(None, code, severity, VersionSource::Dynamic);
        finding.trigger = trigger.map(|t| t.name.clone());
        finding.table = trigger.and_then(|t| self.catalogue.relation(t.relation)).map(|r| r.quoted.clone());
        finding.function = function.map(|f| f.identity.clone());
        finding.strategy = loud.then_some(Strategy::Manual);
        finding.event_table = named.first().map(|r| r.quoted.clone());
        finding.reasons.push(format!("the function is not read: {}", unread.reason));
        finding.reasons.extend(named.iter().map(|r| format!("its text names {}", r.quoted)));
        Judged {
            finding,
            write: None,
            trigger: unread.trigger,
            function: Some(unread.function),
            event_table: None,
            declared: vec![],
        }
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
        let Some(target) = target.filter(|t| t.is_event_table) else {
            // only a trigger's inserts are worth a word: a function of the application may write what it likes
            write.trigger?;
            let mut finding = self.finding(Some(n), codes::LOOK_ALIKE, Severity::Info, VersionSource::NotAnEvent);
            finding.reasons.push(match target {
                Some(t) if !t.reasons.is_empty() => {
                    format!("{} is no event table, although it {}", insert.written, t.reasons.join("; "))
                }
                Some(_) => format!("{} is no event table", insert.written),
                None => format!("{} is not a table that can be found", insert.written),
            });
            if target.is_none() {
                finding.severity = Severity::Warning;
                finding.strategy = Some(Strategy::Manual);
            }
            return Some(judged(finding, None, vec![]));
        };
        let relation = self.catalogue.relation(target.relation)?;
        let mut verdict = self.verdict(write, insert, target, relation);
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
        let ports = self.ports(write, insert, target, relation, &finding);
        (finding.strategy, finding.allowed) = (ports.proposed, ports.allowed);
        finding.reasons.extend(ports.reasons);
        Some(judged(finding, Some(relation.oid), ports.declared))
    }

    fn verdict(&self, write: &Write, insert: &sql::Insert, target: &Target, relation: &Relation) -> Verdict {
        let Some(version) = &target.roles.version_column else {
            let origin = Origin::new(
                VersionSource::None,
                format!("{} has no column for the version of a stream", relation.quoted),
            );
            return Verdict::new(codes::UNVERSIONED, Severity::Info, &origin);
        };
        let origin = self.given(write, insert, version, relation);
        let given = !insert.values(version).is_empty();
        if let Some((trigger, assigned, conditional)) = self.assigner(relation, version)
            && (assigned.ported || !conditional || !given || origin.source == VersionSource::None)
        {
            let reason = format!("trigger {} of {} assigns it: {}", trigger.name, relation.quoted, assigned.reason);
            if assigned.ported {
                let origin = Origin::new(VersionSource::AssignedOnEventTable, reason);
                return Verdict::new(codes::PORTED, Severity::Info, &origin);
            }
            let (_, severity) = self.grade(&assigned, write, insert, target);
            return Verdict::new(codes::ASSIGNED, severity, &Origin::new(VersionSource::AssignedOnEventTable, reason));
        }
        if origin.ported {
            return Verdict::new(codes::PORTED, Severity::Info, &origin);
        }
        if origin.source == VersionSource::Literal && self.own_stream(insert, target) {
            let mut verdict = Verdict::new(codes::OWN_STREAM, Severity::Info, &origin);
            verdict.reasons.push("the aggregate's id is new with every event".into());
            return verdict;
        }
        let (code, severity) = self.grade(&origin, write, insert, target);
        let mut verdict = Verdict::new(code, severity, &origin);
        if code == codes::MAX_PLUS_ONE && severity == Severity::Warning {
            verdict.reasons.push(
                "the stream is the updated row, whose lock serialises it under READ COMMITTED; under REPEATABLE READ it fails".into(),
            );
        }
        verdict
    }

    fn grade(&self, origin: &Origin, write: &Write, insert: &sql::Insert, target: &Target) -> (Code, Severity) {
        match origin.source {
            VersionSource::Literal => (codes::LITERAL, Severity::Error),
            VersionSource::MaxPlusOne if self.stream_is_the_row(write, insert, target) => {
                (codes::MAX_PLUS_ONE, Severity::Warning)
            }
            VersionSource::MaxPlusOne => (codes::MAX_PLUS_ONE, Severity::Error),
            VersionSource::MaxPlusOneLocked => (codes::LOCKED, Severity::Info),
            VersionSource::CopiedFromRow => (codes::COPIED, Severity::Warning),
            VersionSource::Sequence => (codes::SEQUENCE, Severity::Warning),
            VersionSource::None => (codes::MISSING, Severity::Warning),
            _ if write.dynamic => (codes::DYNAMIC, Severity::Warning),
            _ => (codes::UNTRACEABLE, Severity::Warning),
        }
    }

    /// The version that the statement gives, or that the column's default gives.
    fn given(&self, write: &Write, insert: &sql::Insert, version: &str, relation: &Relation) -> Origin {
        let tracer = version::Tracer { catalogue: self.catalogue, collected: self.collected };
        let values = insert.values(version);
        if !values.is_empty() {
            let origins = values.into_iter().map(|v| match v {
                Some(v) => tracer.origin(v, write.scope, write.statement),
                None => Origin::new(VersionSource::Dynamic, "the version comes from a query that cannot be followed"),
            });
            let worst =
                origins.max_by_key(|o| o.source).unwrap_or_else(|| Origin::new(VersionSource::None, "no version"));
            // what was put into the text of EXECUTE is not in its constants
            let unseen = write.dynamic && !matches!(worst.source, VersionSource::Literal | VersionSource::MaxPlusOne);
            return if unseen {
                Origin::new(VersionSource::Dynamic, "the version is put into the text of EXECUTE")
            } else {
                worst
            };
        }
        if insert.rows.is_empty() && insert.from_query {
            return Origin::new(VersionSource::Dynamic, "the statement inserts the columns of a query");
        }
        let column = relation.column(version);
        if column.is_some_and(|c| !c.identity.is_empty()) {
            return Origin::new(VersionSource::Sequence, format!("column {version} is an identity column"));
        }
        let Some(default) = column.and_then(|c| c.default.as_deref()) else {
            return Origin::new(VersionSource::None, format!("the statement gives no {version}"));
        };
        let mut origin = match ast::parse_expression(default) {
            Ok(expr) => tracer.origin(&expr, write.scope, 0),
            Err(_) => Origin::new(VersionSource::Dynamic, "the default cannot be parsed"),
        };
        origin.reason = format!("{} by the default of column {version}", origin.reason);
        origin
    }

    /// The trigger of the event table that has the last word on the version, and whether it speaks only sometimes.
    fn assigner(&self, relation: &Relation, version: &str) -> Option<(&Trigger, Origin, bool)> {
        let tracer = version::Tracer { catalogue: self.catalogue, collected: self.collected };
        let target = format!("new.{version}");
        let before = |t: &&Trigger| {
            t.relation == relation.root
                && t.timing == "BEFORE"
                && t.row
                && t.enabled != "D"
                && t.enabled != "R"
                && t.events.iter().any(|e| e == "INSERT")
        };
        let mut triggers: Vec<&Trigger> = self.catalogue.triggers.iter().filter(before).collect();
        triggers.sort_by(|a, b| b.name.cmp(&a.name));
        triggers.into_iter().find_map(|trigger| {
            let body = self.collected.bodies.get(&trigger.function)?;
            let statements = body.statements.iter().enumerate();
            let (n, statement) = statements.filter(|(_, s)| s.targets.iter().any(|t| *t == target)).last()?;
            let scope = self
                .collected
                .scopes
                .iter()
                .position(|s| s.function == Some(trigger.function) && s.caller.is_none())?;
            // as an assignment to a column that is read right after it
            let read = ast::parse_expression(&target).ok()?;
            let origin = tracer.origin(&read, scope, n + 1);
            Some((trigger, origin, !statement.guards.is_empty() || trigger.conditional))
        })
    }

    /// Whether the id is made anew for every event.
    fn own_stream(&self, insert: &sql::Insert, target: &Target) -> bool {
        let Some(id) = &target.roles.id_column else { return false };
        let values = insert.values(id);
        !values.is_empty()
            && values.into_iter().all(|v| {
                v.is_some_and(|v| {
                    sql::calls(v).iter().any(|(_, name, _)| {
                        matches!(
                            name.as_str(),
                            "gen_random_uuid" | "uuidv7" | "uuid_generate_v4" | "uuid_generate_v1" | "nextval"
                        )
                    })
                })
            })
    }

    /// Whether the stream is the very row that fires the trigger, so that its lock holds the stream.
    fn stream_is_the_row(&self, write: &Write, insert: &sql::Insert, target: &Target) -> bool {
        let Some(trigger) = write.trigger.and_then(|oid| self.trigger(oid)) else { return false };
        let Some(relation) = self.catalogue.relation(trigger.relation) else { return false };
        let Some(id) = &target.roles.id_column else { return false };
        let key = relation.keys.iter().find(|k| k.primary).map(|k| k.columns.as_slice());
        let Some([key]) = key else { return false };
        let on_key = insert.values(id).into_iter().all(|v| {
            let column =
                v.map(|v| self.through_binding(v, write.scope)).and_then(|v| ast::column(ast::without_casts(v)));
            matches!(column.as_deref(), Some([row, column]) if (row == "new" || row == "old") && column == key)
        });
        trigger.row && on_key && write.operations.iter().all(|o| o != "TRUNCATE")
    }
}
