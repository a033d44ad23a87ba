//! What was not judged, or by itself alone: it is never clean.

use std::collections::BTreeMap;

use serde_json::Value;

use super::analysis::Analysis;
use super::bodies::trees;
use super::codes::Code;
use super::collected::{Unread, Write};
use super::origin::Origin;
use super::verdict::Verdict;
use super::{
    Finding, Judged, Severity, Strategy, Target, VersionSource, codes, counter, dynamic, evidence, sql, version, words,
};
use crate::source::{Relation, Trigger};
use crate::sql_tree::ast;

/// What a live database or a dump would tell.
const MORE: &str = "a live database or a dump would tell its columns, keys and other writers";

/// What a trigger or a function rests on that was not read.
struct Rests {
    /// Whether a finding of it needs work anyway.
    works: bool,
    code: Code,
    said: String,
}

impl Finding {
    /// A statement of a file that could not be read: nobody knows what it writes. `object` is a trigger's or function's kind and
    /// name, where they are known.
    pub fn unjudged(file: &str, line: u64, object: Option<&str>, reason: &str) -> Self {
        let named = |kinds: &[&str]| {
            let (kind, name) = object?.split_once(' ')?;
            kinds.contains(&kind).then(|| name.to_owned())
        };
        let (trigger, function) = (named(&["trigger"]), named(&["function", "procedure"]));
        let known = trigger.is_some() || function.is_some();
        let code = if known { codes::UNPARSED } else { codes::UNJUDGED };
        Self {
            code: code.code.to_owned(),
            severity: Severity::Warning,
            trigger,
            table: named(&["table"]),
            function,
            line: usize::try_from(line).ok().filter(|line| *line > 0),
            operations: vec![],
            event_table: None,
            event_type: None,
            version_source: VersionSource::Dynamic,
            strategy: Some(Strategy::Manual),
            allowed: vec![Strategy::Manual],
            reasons: vec![reason.to_owned()],
            file: Some(file.to_owned()),
            declared: vec![],
        }
    }

    /// Whether it is of a statement that writes an event, as far as that was judged.
    pub fn writes_events(&self) -> bool {
        const OTHERS: [Code; 2] = [codes::LOOK_ALIKE, codes::CAPTURED];
        !self.is_unjudged() && OTHERS.iter().all(|c| c.code != self.code)
    }

    /// Whether it says that something was not judged.
    pub fn is_unjudged(&self) -> bool {
        const CODES: [Code; 8] = [
            codes::DYNAMIC,
            codes::LANGUAGE,
            codes::UNPARSED,
            codes::UNJUDGED,
            codes::NO_TABLE,
            codes::UNFIRED,
            codes::ELSEWHERE,
            codes::NO_FUNCTION,
        ];
        self.needs_work() && CODES.iter().any(|c| c.code == self.code)
    }
}

impl Analysis<'_> {
    pub(super) fn unread(&self, unread: &Unread) -> Judged {
        let function = self.catalogue.function(unread.function);
        let trigger = unread.trigger.and_then(|oid| self.trigger(oid));
        let source = function.map(|f| f.source.as_str()).unwrap_or_default();
        // a name in a text proves nothing; it only decides how loudly to speak
        let inserts = source.to_ascii_lowercase().contains("insert");
        let worth = |r: &&Relation| inserts || self.targets.get(&r.oid).is_some_and(|t| t.is_event_table);
        let named: Vec<&Relation> =
            self.catalogue.relations.iter().filter(|r| source.contains(&r.name)).filter(worth).collect();
        let enabled = trigger.is_none_or(|t| t.enabled != "D");
        // on a server such a function is an extension's; a file should hold it
        let missing = unread.name.is_some() && self.catalogue.server_version == 0;
        // so does what it is called: one that inserts or logs may write events
        let called = function.is_some_and(|f| f.volatility == "v" && words::writes(&f.name));
        let loud = enabled && (!named.is_empty() || !unread.foreign || missing || called);
        let (code, severity) = match (unread.foreign, loud) {
            (true, true) if missing => (codes::NO_FUNCTION, Severity::Warning),
            (true, true) => (codes::LANGUAGE, Severity::Warning),
            (true, false) => (codes::LANGUAGE, Severity::Info),
            (false, true) => (codes::UNPARSED, Severity::Warning),
            (false, false) => (codes::UNPARSED, Severity::Info),
        };
        let mut finding = self.finding(None, code, severity, VersionSource::Dynamic);
        finding.trigger = trigger.map(|t| t.name.clone());
        finding.table = trigger.and_then(|t| self.catalogue.relation(t.relation)).map(|r| r.quoted.clone());
        finding.function = function.map(|f| f.identity.clone()).or_else(|| unread.name.clone());
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

    /// A write that is no event, as far as it can be told.
    pub(super) fn no_event(&self, n: usize, insert: &sql::Insert, target: Option<&Target>) -> Finding {
        let relation = target.and_then(|t| self.catalogue.relation(t.relation));
        let seen = target.map(|t| t.reasons.join("; ")).unwrap_or_default();
        let seen = if seen.is_empty() { "nothing".to_owned() } else { seen };
        if let Some(relation) = relation.filter(|r| !r.assumed) {
            let mut finding = self.finding(Some(n), codes::LOOK_ALIKE, Severity::Info, VersionSource::NotAnEvent);
            finding.reasons.push(format!("{} is no event table; seen of it: {seen}", relation.quoted));
            return finding;
        }
        let mut finding = self.finding(Some(n), codes::ELSEWHERE, Severity::Warning, VersionSource::Dynamic);
        finding.strategy = Some(Strategy::Manual);
        finding.allowed = vec![Strategy::Manual];
        finding.event_table = Some(insert.written.clone());
        finding.reasons.push(format!("{} is not in what was read: {MORE}", insert.written));
        finding.reasons.push(if insert.columns.is_empty() {
            "the statement names no columns".into()
        } else {
            format!("judged by itself, it writes no event; seen of it: {seen}")
        });
        finding
    }

    /// Numbered rows of which nobody can tell whether they are events.
    pub(super) fn uncertain(&self, n: usize, verdict: &Verdict, target: &Target, relation: &Relation) -> Finding {
        // a counter's row is held until the transaction ends: the number is right, whatever its rows are
        let counter = verdict.reasons.iter().any(|r| r.contains(counter::HELD));
        let severity = if counter { Severity::Info } else { Severity::Warning };
        let mut finding = self.finding(Some(n), codes::UNCERTAIN, severity, verdict.source);
        finding.strategy = (!counter).then_some(Strategy::Manual);
        finding.allowed = vec![Strategy::Manual];
        finding.reasons.push(evidence::question(relation, &target.roles));
        finding.reasons.extend(verdict.reasons.iter().cloned());
        finding.reasons.push(format!("seen of it: {}", target.reasons.join("; ")));
        finding
    }

    /// What a trigger function gives a number to in the row at hand, and how it makes it.
    fn numbers_the_row(&self, function: u32) -> Option<(String, Origin)> {
        let scope = self.collected.scope_of(function)?;
        let statements = &self.collected.body(scope).statements;
        let tracer = version::Tracer { catalogue: self.catalogue, collected: self.collected };
        let adds = || {
            let adds = |tree: &Value| ast::find(tree, "AExpr").iter().any(|e| ast::operator(e) == "+");
            statements.iter().any(|s| trees(s).iter().chain(&dynamic::query_of(s)).any(adds))
        };
        let fields = statements.iter().flat_map(|s| &s.targets).filter_map(|t| t.strip_prefix("new."));
        let mut fields: Vec<&str> = fields.filter(|column| !words::is_of_time(column)).collect();
        // what is called as a number first
        fields.sort_by_key(|column| !words::counts(column));
        fields.into_iter().find_map(|column| {
            let field = format!("new.{column}");
            let at = statements.iter().rposition(|s| s.targets.contains(&field))?;
            let read = serde_json::json!({"node": {"ColumnRef": {"fields": [
                {"node": {"String": {"sval": "new"}}}, {"node": {"String": {"sval": column}}}], "location": -1}}});
            let origin = tracer.origin(&read, scope, at + 1);
            let id = words::of(column).iter().any(|w| w == "id");
            // what a table keeps under another name may be anything
            let newest = !origin.reads.is_empty() && origin.reads.iter().all(|r| !r.kept);
            let counted = newest || origin.reason.contains(counter::HELD);
            let told = match origin.source {
                VersionSource::MaxPlusOne | VersionSource::MaxPlusOneLocked => {
                    words::counts(column) || counted && !id && adds()
                }
                VersionSource::Sequence => !id,
                _ => false,
            };
            (told && !origin.ported).then(|| (column.to_owned(), origin))
        })
    }

    /// How a trigger's function reads the greatest or newest of something and adds to it: what it numbers may be the table that was
    /// not read.
    fn counts(&self, trigger: &Trigger) -> Option<&'static str> {
        let body = self.collected.bodies.get(&trigger.function)?;
        let adds = |tree: &Value| ast::find(tree, "AExpr").iter().any(|e| ast::operator(e) == "+");
        if !body.statements.iter().any(|s| trees(s).iter().chain(&dynamic::query_of(s)).any(adds)) {
            return None;
        }
        body.statements.iter().find_map(|s| trees(s).iter().chain(&dynamic::query_of(s)).find_map(version::newest))
    }

    /// Whether a statement is judged by itself: its table, its trigger or its trigger's table is not in what was read.
    pub(super) fn rests_on_assumptions(&self, write: &Write, relation: &Relation) -> bool {
        let trigger = write.trigger.and_then(|oid| self.trigger(oid));
        let table = trigger.and_then(|t| self.catalogue.relation(t.relation));
        relation.assumed || write.unfired || table.is_some_and(|t| t.assumed)
    }

    /// Says of each finding what it assumes, and adds what would be missed: a trigger or function of which nothing that needs
    /// work is said, though what it rests on was not read.
    pub(super) fn by_itself(&self, judged: &mut Vec<Judged>) {
        let mut told: BTreeMap<(Option<u32>, Option<u32>), Rests> = BTreeMap::new();
        for one in judged.iter_mut() {
            let Some(write) = one.write.map(|n| &self.collected.writes[n]) else { continue };
            let insert = write.insert.as_ref();
            let target = insert.and_then(|i| i.relation).and_then(|oid| self.catalogue.relation(oid));
            let trigger = write.trigger.and_then(|oid| self.trigger(oid));
            let table = trigger.and_then(|t| self.catalogue.relation(t.relation)).filter(|r| r.assumed);
            let function = one.function.and_then(|oid| self.catalogue.function(oid));
            let look_alike = one.finding.code == codes::LOOK_ALIKE.code || one.finding.code == codes::ELSEWHERE.code;
            let mut assumed = vec![];
            let mut code = None;
            if let Some(target) = target.filter(|r| r.assumed && !look_alike) {
                assumed.push(format!("assumed: {} is what the statement makes of it; {MORE}", target.quoted));
                code = Some((codes::ELSEWHERE, format!("{} is not in what was read: {MORE}", target.quoted)));
            }
            if let Some(table) = table {
                let said = format!("the trigger's table {} is not in what was read", table.quoted);
                assumed.push(format!("assumed: {said}; the function tells what is written"));
                code = Some((codes::NO_TABLE, said));
            }
            // what it calls is fired by nothing either
            let root = self.collected.scopes[self.collected.roots[write.scope]].function.filter(|_| write.unfired);
            if write.unfired {
                let name = root.and_then(|oid| self.catalogue.function(oid)).or(function);
                let name = name.map(|f| f.identity.as_str()).unwrap_or_default();
                let said =
                    format!("no trigger in what was read fires {name}: its trigger may be in another file, or gone");
                assumed.push(format!("assumed: {said}; judged as if every way through it were taken"));
                code = Some((codes::UNFIRED, said));
            }
            let Some((code, said)) = code else { continue };
            if one.finding.code != codes::LOOK_ALIKE.code {
                one.finding.reasons.extend(assumed);
            }
            if one.finding.strategy.is_some() || one.finding.needs_work() {
                one.finding.strategy = Some(Strategy::Manual);
            }
            one.finding.allowed = vec![Strategy::Manual];
            let key = (write.trigger, trigger.map(|t| t.function).or(root).or(one.function));
            let entry = told.entry(key).or_insert(Rests { works: false, code, said });
            entry.works |= one.finding.needs_work();
        }
        for trigger in &self.catalogue.triggers {
            let Some(table) = self.catalogue.relation(trigger.relation).filter(|r| r.assumed) else { continue };
            let said = |how: &str| {
                format!(
                    "the trigger's table {} is not in what was read; {how}, maybe the version of that table's rows",
                    table.quoted
                )
            };
            let key = (Some(trigger.oid), Some(trigger.function));
            if let Some((column, origin)) = self.numbers_the_row(trigger.function) {
                let said = said(&format!("its function gives new.{column} a number: {}", origin.reason));
                told.insert(key, Rests { works: false, code: codes::NO_TABLE, said });
            } else if let Some(how) = self.counts(trigger) {
                let said = said(&format!("its function makes a number by {how}"));
                told.entry(key).or_insert(Rests { works: false, code: codes::NO_TABLE, said });
            }
        }
        // a migration that replaces such a function holds nothing but it
        for function in self.catalogue.functions.iter().filter(|f| f.is_trigger && !f.is_own()) {
            if self.catalogue.triggers.iter().any(|t| t.function == function.oid) {
                continue;
            }
            let Some((column, origin)) = self.numbers_the_row(function.oid) else { continue };
            let said = format!(
                "no trigger in what was read fires {}: its trigger may be in another file, or gone; it gives new.{column} a number: {}, \
                 maybe the version of its table's rows",
                function.identity, origin.reason
            );
            told.insert((None, Some(function.oid)), Rests { works: false, code: codes::UNFIRED, said });
        }
        for ((trigger, function), Rests { code, said, .. }) in told.into_iter().filter(|(_, rests)| !rests.works) {
            let mut finding = self.finding(None, code, Severity::Warning, VersionSource::Dynamic);
            let found = trigger.and_then(|oid| self.trigger(oid));
            finding.trigger = found.map(|t| t.name.clone());
            finding.table = found.and_then(|t| self.catalogue.relation(t.relation)).map(|r| r.quoted.clone());
            finding.function = function.and_then(|oid| self.catalogue.function(oid)).map(|f| f.identity.clone());
            finding.strategy = Some(Strategy::Manual);
            finding.allowed = vec![Strategy::Manual];
            finding.reasons.push(said);
            judged.push(Judged { finding, write: None, trigger, function, event_table: None, declared: vec![] });
        }
    }
}
