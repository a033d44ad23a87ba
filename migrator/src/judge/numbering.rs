//! Event tables that no statement in sight writes, and whose numbers are made here all the same: by a BEFORE INSERT trigger of
//! their own, or by a function that the application asks for the next one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::analysis::Analysis;
use super::bodies::{returned, trees};
use super::collected::Collected;
use super::origin::{Origin, VersionSource};
use super::ports::{EXPECTS, lacks_key};
use super::stream::WIDEST;
use super::verdict::Verdict;
use super::version::{self, Tracer};
use super::{Judged, Roles, Severity, Strategy, Target, codes, evidence, words};
use crate::source::{Catalogue, Column, Function, Relation, Trigger};
use crate::sql_tree::ast;

/// Something that numbers the rows of a table.
#[derive(Debug)]
pub(super) struct Numbered {
    /// The table.
    pub relation: u32,
    trigger: Option<u32>,
    function: u32,
    origin: Origin,
    /// The column that is numbered.
    column: String,
    /// Whether the row gets its number afterwards, by an UPDATE.
    afterwards: bool,
    /// Whether a row that brings a number keeps it.
    only_where_none: bool,
}

impl Numbered {
    /// Whether nothing else that is said of the table can have said this.
    pub fn is_besides(&self, targets: &BTreeMap<u32, Target>) -> bool {
        let target = targets.get(&self.relation);
        target.is_some_and(|t| t.roles.version_column.as_deref() != Some(&self.column))
    }
}

/// All of them; the tables are recognised on the way.
pub(super) fn tables(
    catalogue: &Catalogue,
    collected: &Collected,
    targets: &mut BTreeMap<u32, Target>,
) -> Vec<Numbered> {
    let tracer = Tracer { catalogue, collected };
    let mut found = vec![];
    for trigger in catalogue.triggers.iter().filter(|t| assigns(t)) {
        let Some(relation) = catalogue.relation(trigger.relation) else { continue };
        let Some(body) = collected.bodies.get(&trigger.function) else { continue };
        let scope = collected.scope_of(trigger.function);
        let Some(scope) = scope else { continue };
        for column in relation.columns.iter().filter(|c| may_be_whole(c, catalogue)) {
            let field = format!("new.{}", column.name);
            let assigned = body.statements.iter().rposition(|s| s.targets.contains(&field));
            let (origin, at) = match assigned {
                Some(n) => {
                    let Ok(read) = ast::parse_expression(&field_of(&column.name)) else { continue };
                    (tracer.origin(&read, scope, n + 1), n)
                }
                None => {
                    let Some((n, value)) = returned(body, relation, &column.name) else { continue };
                    (tracer.origin(&value, scope, n), n)
                }
            };
            let only_where_none = body.statements[at]
                .guards
                .iter()
                .any(|g| ast::parse_expression(&g.condition).is_ok_and(|c| version::mentions(&c, &field)));
            let when = || trigger.conditional && trigger.definition.to_lowercase().contains(&field);
            let only_where_none = only_where_none || when();
            let (trigger, function) = (Some(trigger.oid), trigger.function);
            let (relation, column) = (relation.oid, column.name.clone());
            found.push(Numbered { relation, trigger, function, origin, column, afterwards: false, only_where_none });
        }
    }
    for trigger in catalogue.triggers.iter().filter(|t| t.row && t.enabled != "D" && t.parent.is_none()) {
        if trigger.events.iter().any(|e| e == "INSERT") {
            found.extend(afterwards(trigger, catalogue, collected, &tracer));
        }
    }
    found.retain(|one| is_counted(&one.origin) && is_worth_a_word(one, catalogue, collected, targets));
    for (scope, place) in collected.scopes.iter().enumerate().filter(|(_, s)| s.caller.is_none()) {
        let Some(function) =
            place.function.and_then(|oid| catalogue.function(oid)).filter(|f| !f.is_trigger && !f.is_own())
        else {
            continue;
        };
        let Some((relation, column)) = counted(function, catalogue, collected) else { continue };
        let writes_it = collected.writes.iter().any(|w| {
            let into = w.insert.as_ref().and_then(|i| i.relation);
            collected.roots[w.scope] == scope && into == Some(relation.oid)
        });
        // it returns what it has given; or it looks for the newest number, and makes none
        if writes_it || !function.source.contains('+') {
            continue;
        }
        let Some(origin) = tracer.returned(function, scope, 0).filter(is_counted) else { continue };
        let target = targets.entry(relation.oid).or_insert_with(|| evidence::recognise(relation, catalogue, collected));
        if target.is_event_table && target.roles.version_column.as_deref() == Some(&column) {
            let (relation, function) = (relation.oid, function.oid);
            let (afterwards, only_where_none) = (false, false);
            found.push(Numbered { relation, trigger: None, function, origin, column, afterwards, only_where_none });
        }
    }
    found
}

fn assigns(trigger: &Trigger) -> bool {
    trigger.changes_inserts() && trigger.parent.is_none()
}

/// An integer, or of a type that is not in what was read.
fn may_be_whole(column: &Column, catalogue: &Catalogue) -> bool {
    column.is_integer() || catalogue.server_version == 0 && column.is_of_unknown_type()
}

fn field_of(column: &str) -> String {
    format!("new.{}", domain_events_sql::quote::quote_ident(column))
}

fn is_counted(origin: &Origin) -> bool {
    !origin.ported && matches!(origin.source, VersionSource::MaxPlusOne | VersionSource::MaxPlusOneLocked)
}

/// `update the_table set version = n where id = new.id`, in a trigger of that table.
fn afterwards(trigger: &Trigger, catalogue: &Catalogue, collected: &Collected, tracer: &Tracer<'_>) -> Vec<Numbered> {
    let mut found = vec![];
    let Some(relation) = catalogue.relation(trigger.relation) else { return found };
    let Some(scope) = collected.scope_of(trigger.function) else { return found };
    let place = &collected.scopes[scope];
    for (n, statement) in collected.body(scope).statements.iter().enumerate() {
        for update in trees(statement).iter().filter_map(|t| ast::node(t, "UpdateStmt")) {
            let range = update.get("relation").cloned().unwrap_or_default();
            let (schema, name) = (ast::text(&range, "schemaname"), ast::text(&range, "relname"));
            let own = catalogue.resolve_relation(schema, name, &place.path).is_some_and(|r| r.oid == relation.oid);
            let of_new = update.get("where_clause").is_some_and(|w| {
                ast::find(w, "ColumnRef").iter().any(|c| {
                    let first = ast::list(c, "fields").first().and_then(|f| ast::node(f, "String"));
                    first.is_some_and(|f| ast::text(f, "sval") == "new")
                })
            });
            if !own || !of_new {
                continue;
            }
            for set in ast::list(update, "target_list").iter().filter_map(|t| ast::node(t, "ResTarget")) {
                let Some(column) = relation.column(ast::text(set, "name")).filter(|c| may_be_whole(c, catalogue))
                else {
                    continue;
                };
                let Some(value) = set.get("val") else { continue };
                let (relation, column) = (relation.oid, column.name.clone());
                let (trigger, function) = (Some(trigger.oid), trigger.function);
                let origin = tracer.origin(value, scope, n);
                let (afterwards, only_where_none) = (true, false);
                found.push(Numbered { relation, trigger, function, origin, column, afterwards, only_where_none });
            }
        }
    }
    found
}

/// A stream's version, or one count of all events; or else what is called a version, of which nobody can tell.
fn is_worth_a_word(
    one: &Numbered,
    catalogue: &Catalogue,
    collected: &Collected,
    targets: &mut BTreeMap<u32, Target>,
) -> bool {
    let Some(relation) = catalogue.relation(one.relation) else { return false };
    let target = targets.entry(relation.oid).or_insert_with(|| evidence::recognise(relation, catalogue, collected));
    let version = target.roles.version_column.as_deref() == Some(&one.column);
    let whole = one.origin.reads.iter().all(|r| r.by.is_empty() && r.unclear.is_none());
    let besides = target.is_event_table && !version && (whole || !words::is_ordinal(&one.column));
    let asked = !target.is_event_table && (words::is_version(&one.column) || target.uncertain && version);
    target.is_event_table && version || besides || asked
}

/// The table and the column of which a function reads the newest.
fn counted<'c>(function: &Function, catalogue: &'c Catalogue, collected: &Collected) -> Option<(&'c Relation, String)> {
    let body = collected.bodies.get(&function.oid)?;
    let path = &catalogue.path_at(function, None);
    let all: Vec<_> = body.statements.iter().map(trees).collect();
    let selects = all.iter().flat_map(|t| t.iter()).flat_map(|t| ast::find(t, "SelectStmt"));
    selects.into_iter().find_map(|select| {
        let [from] = ast::list(select, "from_clause") else { return None };
        let range = ast::node(from, "RangeVar")?;
        let relation = catalogue.resolve_relation(ast::text(range, "schemaname"), ast::text(range, "relname"), path)?;
        let targets: Vec<Value> = ast::list(select, "target_list").to_vec();
        let maximum = targets.iter().flat_map(ast::calls).filter(|(_, name, _)| name == "max");
        let maximum = maximum.filter_map(|(_, _, a)| a.first().and_then(ast::column)).next();
        let sorted = || {
            let first = ast::list(select, "sort_clause").first().and_then(|s| ast::node(s, "SortBy"))?;
            ast::column(first.get("node")?)
        };
        let column = maximum.or_else(sorted)?.pop()?;
        relation.column(&column).map(|_| (relation, column))
    })
}

impl Analysis<'_> {
    pub(super) fn numbered(&self, one: &Numbered) -> Option<Judged> {
        let relation = self.catalogue.relation(one.relation)?;
        let target = self.targets.get(&one.relation)?;
        let function = self.catalogue.function(one.function)?;
        // a shim has the last word
        if self.catalogue.has_shim(relation.oid) {
            return None;
        }
        if !target.is_event_table {
            return self.numbered_thing(one, relation, target);
        }
        let locked = one.origin.source == VersionSource::MaxPlusOneLocked;
        let severity = if locked { Severity::Info } else { Severity::Error };
        let trigger = one.trigger.and_then(|oid| self.trigger(oid));
        let (code, source) = match (trigger, locked) {
            (Some(_), _) => (codes::ASSIGNED, VersionSource::AssignedOnEventTable),
            (None, true) => (codes::LOCKED, one.origin.source),
            (None, false) => (codes::MAX_PLUS_ONE, one.origin.source),
        };
        let mut verdict = Verdict { code, severity, source, reasons: vec![] };
        verdict.reasons.push(match trigger {
            Some(trigger) => {
                format!("trigger {} of {} assigns it: {}", trigger.name, relation.quoted, one.origin.reason)
            }
            None => format!(
                "{} in {}, which no statement in sight calls for {}",
                one.origin.reason, function.identity, relation.quoted
            ),
        });
        let besides = target.roles.version_column.as_deref() != Some(&one.column);
        if besides {
            let all = one.origin.reads.iter().all(|r| r.by.is_empty() && r.unclear.is_none());
            let whole = if all { "over the whole table, " } else { "" };
            verdict.reasons.push(format!("{} is counted {whole}and is no stream's version", one.column));
        } else {
            verdict.reasons.push(format!("nothing in sight writes {}: the application does", relation.quoted));
        }
        if one.afterwards {
            verdict.reasons.push("the number is given after the row is there, by an UPDATE".into());
        }
        let mut finding = self.finding(None, verdict.code, verdict.severity, verdict.source);
        finding.trigger = trigger.map(|t| t.name.clone());
        finding.table = trigger.map(|_| relation.quoted.clone());
        finding.function = Some(function.identity.clone());
        finding.event_table = Some(relation.quoted.clone());
        finding.reasons = verdict.reasons;
        finding.reasons.push(format!("{} is taken for an event table: {}", relation.quoted, target.reasons.join("; ")));
        let doubts = &target.stream.doubts;
        finding.reasons.extend(doubts.iter().filter(|_| !besides).cloned());
        let tracer = Tracer { catalogue: self.catalogue, collected: self.collected };
        let scope = self.collected.scope_of(one.function);
        let expects = ast::parse_expression(&field_of(&one.column))
            .is_ok_and(|field| scope.is_some_and(|scope| trigger.is_some() && tracer.expects_a_version(&field, scope)));
        if expects {
            finding.reasons.push(format!("shim is not possible: {EXPECTS}"));
        }
        if one.only_where_none {
            let column = &one.column;
            finding
                .reasons
                .push(format!("a row that brings its own {column} keeps it now, a shim gives every row its number: choose shim yourself if none does"));
        }
        let keyed = target.roles.key.is_some();
        let read = trigger.and_then(|_| self.reads_before_the_shim(relation, &one.column));
        let may = !expects && !relation.assumed && !one.afterwards && !besides && doubts.is_empty() && read.is_none();
        let streams = (1..=WIDEST).contains(&target.roles.stream.len()) && relation.kind == "r";
        let served = may && (keyed || streams);
        finding.reasons.extend(read.map(|why| format!("shim is not possible: {why}")));
        let mut declared = vec![];
        if !keyed && !besides && !relation.assumed {
            let (lacks, waits) = lacks_key(relation, &target.roles, served);
            finding.reasons.push(lacks);
            declared.extend(waits.into_iter().filter(|_| served));
        }
        if one.only_where_none && served {
            declared.push(format!("a number that the application gives in {} is not kept", one.column));
        }
        finding.allowed = if served { vec![Strategy::Shim, Strategy::Manual] } else { vec![Strategy::Manual] };
        let proposed = if served && !one.only_where_none { Strategy::Shim } else { Strategy::Manual };
        finding.strategy = (!locked).then_some(proposed);
        if relation.assumed {
            finding.severity = Severity::Warning;
            finding.strategy = Some(Strategy::Manual);
            finding.reasons.push(format!("assumed: {} is what the function makes of it", relation.quoted));
        }
        let event_table = Some(relation.oid).filter(|_| !relation.assumed && !besides);
        Some(Judged { finding, write: None, trigger: one.trigger, function: Some(one.function), event_table, declared })
    }

    /// A version that the table's own trigger counts, where nothing else speaks for events.
    fn numbered_thing(&self, one: &Numbered, relation: &Relation, target: &Target) -> Option<Judged> {
        let trigger = one.trigger.and_then(|oid| self.trigger(oid))?;
        // under a lock the number is right, whatever its rows are
        let locked = one.origin.source == VersionSource::MaxPlusOneLocked;
        let severity = if locked { Severity::Info } else { Severity::Warning };
        let mut finding = self.finding(None, codes::UNCERTAIN, severity, VersionSource::AssignedOnEventTable);
        finding.trigger = Some(trigger.name.clone());
        finding.table = Some(relation.quoted.clone());
        finding.function = self.catalogue.function(one.function).map(|f| f.identity.clone());
        finding.event_table = Some(relation.quoted.clone());
        finding.strategy = (!locked).then_some(Strategy::Manual);
        finding.allowed = vec![Strategy::Manual];
        let roles = Roles { version_column: Some(one.column.clone()), ..target.roles.clone() };
        finding.reasons.push(evidence::question(relation, &roles));
        finding.reasons.push(format!("trigger {} assigns it: {}", trigger.name, one.origin.reason));
        if one.afterwards {
            finding.reasons.push("the number is given after the row is there, by an UPDATE".into());
        }
        finding.reasons.push(format!("seen of it: {}", target.reasons.join("; ")));
        let (trigger, function) = (one.trigger, Some(one.function));
        Some(Judged { finding, write: None, trigger, function, event_table: None, declared: vec![] })
    }
}
