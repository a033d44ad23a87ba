//! Event tables that no statement in sight writes, and whose numbers are made here all the same: by a BEFORE INSERT trigger of
//! their own, or by a function that the application asks for the next one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bodies::trees;
use super::collect::Collected;
use super::verdict::Verdict;
use super::version::{Origin, Tracer, VersionSource};
use super::{Bench, Judged, Severity, Strategy, Target, ast, codes, evidence, sql};
use crate::source::{Catalogue, Function, Relation, Trigger};

/// Something that numbers the rows of a table.
#[derive(Debug)]
pub(super) struct Numbered {
    /// The table.
    pub relation: u32,
    trigger: Option<u32>,
    function: u32,
    origin: Origin,
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
        let scope = collected.scopes.iter().position(|s| s.function == Some(trigger.function) && s.caller.is_none());
        let Some(scope) = scope else { continue };
        for column in relation.columns.iter().filter(|c| c.is_integer()) {
            let field = format!("new.{}", column.name);
            let Some(n) = body.statements.iter().rposition(|s| s.targets.contains(&field)) else { continue };
            let Ok(read) = ast::parse_expression(&field_of(&column.name)) else { continue };
            let origin = tracer.origin(&read, scope, n + 1);
            if is_counted(&origin) && is_events(relation, &column.name, catalogue, collected, targets) {
                let (trigger, function) = (Some(trigger.oid), trigger.function);
                found.push(Numbered { relation: relation.oid, trigger, function, origin });
            }
        }
    }
    for (scope, place) in collected.scopes.iter().enumerate().filter(|(_, s)| s.caller.is_none()) {
        let Some(function) =
            place.function.and_then(|oid| catalogue.function(oid)).filter(|f| !f.is_trigger && !f.is_own())
        else {
            continue;
        };
        let Some((relation, column)) = counted(function, catalogue, collected) else { continue };
        let Some(origin) = tracer.returned(function, scope, 0).filter(is_counted) else { continue };
        if is_events(relation, &column, catalogue, collected, targets) {
            found.push(Numbered { relation: relation.oid, trigger: None, function: function.oid, origin });
        }
    }
    found
}

fn assigns(trigger: &Trigger) -> bool {
    trigger.changes_inserts() && trigger.parent.is_none()
}

fn field_of(column: &str) -> String {
    format!("new.{}", crate::db::quote_ident(column))
}

fn is_counted(origin: &Origin) -> bool {
    !origin.ported && matches!(origin.source, VersionSource::MaxPlusOne | VersionSource::MaxPlusOneLocked)
}

fn is_events(
    relation: &Relation,
    column: &str,
    catalogue: &Catalogue,
    collected: &Collected,
    targets: &mut BTreeMap<u32, Target>,
) -> bool {
    let target = targets.entry(relation.oid).or_insert_with(|| evidence::recognise(relation, catalogue, collected));
    target.is_event_table && target.roles.version_column.as_deref() == Some(column)
}

/// The table and the column of which a function reads the newest.
fn counted<'c>(function: &Function, catalogue: &'c Catalogue, collected: &Collected) -> Option<(&'c Relation, String)> {
    let body = collected.bodies.get(&function.oid)?;
    let path = catalogue.path_of(function);
    let all: Vec<_> = body.statements.iter().map(trees).collect();
    let selects = all.iter().flat_map(|t| t.iter()).flat_map(|t| ast::find(t, "SelectStmt"));
    selects.into_iter().find_map(|select| {
        let [from] = ast::list(select, "from_clause") else { return None };
        let range = ast::node(from, "RangeVar")?;
        let relation = catalogue.resolve_relation(ast::text(range, "schemaname"), ast::text(range, "relname"), path)?;
        let targets: Vec<Value> = ast::list(select, "target_list").to_vec();
        let maximum = targets.iter().flat_map(sql::calls).filter(|(_, name, _)| name == "max");
        let maximum = maximum.filter_map(|(_, _, a)| a.first().and_then(ast::column)).next();
        let sorted = || {
            let first = ast::list(select, "sort_clause").first().and_then(|s| ast::node(s, "SortBy"))?;
            ast::column(first.get("node")?)
        };
        let column = maximum.or_else(sorted)?.pop()?;
        relation.column(&column).map(|_| (relation, column))
    })
}

impl Bench<'_> {
    pub(super) fn numbered(&self, one: &Numbered) -> Option<Judged> {
        let relation = self.catalogue.relation(one.relation)?;
        let target = self.targets.get(&one.relation)?;
        let function = self.catalogue.function(one.function)?;
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
        verdict.reasons.push(format!("nothing in sight writes {}: the application does", relation.quoted));
        let mut finding = self.finding(None, verdict.code, verdict.severity, verdict.source);
        finding.trigger = trigger.map(|t| t.name.clone());
        finding.table = trigger.map(|_| relation.quoted.clone());
        finding.function = Some(function.identity.clone());
        finding.event_table = Some(relation.quoted.clone());
        finding.reasons = verdict.reasons;
        finding.reasons.push(format!("{} is taken for an event table: {}", relation.quoted, target.reasons.join("; ")));
        let served = target.roles.key.is_some() && !relation.assumed;
        finding.allowed = if served { vec![Strategy::Shim, Strategy::Manual] } else { vec![Strategy::Manual] };
        finding.strategy = (!locked).then_some(if served { Strategy::Shim } else { Strategy::Manual });
        if relation.assumed {
            finding.severity = Severity::Warning;
            finding.strategy = Some(Strategy::Manual);
            finding.reasons.push(format!("assumed: {} is what the function makes of it", relation.quoted));
        }
        let event_table = Some(relation.oid).filter(|_| !relation.assumed);
        let declared = vec![];
        Some(Judged { finding, write: None, trigger: one.trigger, function: Some(one.function), event_table, declared })
    }
}
