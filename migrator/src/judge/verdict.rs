//! The grade of a version: where it comes from, and how bad that is.

use serde_json::Value;

use super::analysis::Analysis;
use super::bodies::trees;
use super::codes::{self, Code};
use super::{Origin, Severity, Target, VersionSource, Write, sql, version};
use crate::source::{Relation, Trigger};
use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::Statement;

/// A verdict on a version.
pub(super) struct Verdict {
    pub code: Code,
    pub severity: Severity,
    pub source: VersionSource,
    pub reasons: Vec<String>,
}

impl Verdict {
    fn new(code: Code, severity: Severity, origin: &Origin) -> Self {
        Self { code, severity, source: origin.source, reasons: vec![origin.reason.clone()] }
    }
}

impl Analysis<'_> {
    pub(super) fn verdict(&self, write: &Write, insert: &sql::Insert, target: &Target, relation: &Relation) -> Verdict {
        let adopted = self.catalogue.adopting_trigger(relation.oid).is_some();
        if !matches!(relation.kind.as_str(), "r" | "p") && !adopted {
            let what = if relation.kind == "f" { "foreign table" } else { "view" };
            let reason = format!("{} is a {what}: where its rows end is not followed", relation.quoted);
            let origin = Origin::new(VersionSource::Dynamic, reason);
            return Verdict::new(codes::UNTRACEABLE, Severity::Warning, &origin);
        }
        if let Some(odd) = &target.roles.odd_version_column {
            let origin = self.given(write, insert, odd, relation);
            let mut verdict = Verdict::new(codes::NOT_WHOLE, Severity::Warning, &origin);
            let data_type = relation.column(odd).map(|c| c.data_type.as_str()).unwrap_or_default();
            verdict.reasons.push(format!("column {odd} is of type {data_type}, where '10' comes before '9' or a version between two others is possible: make it a bigint first"));
            return verdict;
        }
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
        if origin.source == VersionSource::Literal && self.own_stream(write, insert, target) {
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
            // its functions were followed from the statement that takes the default
            Ok(expr) => tracer.origin(&expr, write.scope, write.statement),
            Err(_) => Origin::new(VersionSource::Dynamic, "the default cannot be parsed"),
        };
        origin.reason = format!("{} by the default of column {version}", origin.reason);
        origin
    }

    /// The trigger of the event table that has the last word on the version, and whether it speaks only sometimes.
    fn assigner(&self, relation: &Relation, version: &str) -> Option<(&Trigger, Origin, bool)> {
        if let Some(trigger) = self.catalogue.adopting_trigger(relation.oid) {
            let stored = "domain_events.append_event() gives it";
            let origin = Origin { ported: true, ..Origin::new(VersionSource::AssignedOnEventTable, stored) };
            return Some((trigger, origin, false));
        }
        let tracer = version::Tracer { catalogue: self.catalogue, collected: self.collected };
        let target = format!("new.{version}");
        let before = |t: &&Trigger| t.relation == relation.root && t.changes_inserts();
        let mut triggers: Vec<&Trigger> = self.catalogue.triggers.iter().filter(before).collect();
        triggers.sort_by(|a, b| b.name.cmp(&a.name));
        triggers.into_iter().find_map(|trigger| {
            let body = self.collected.bodies.get(&trigger.function)?;
            let statements = body.statements.iter().enumerate();
            let (n, statement) = statements.rev().find(|(_, s)| s.targets.contains(&target))?;
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
    fn own_stream(&self, write: &Write, insert: &sql::Insert, target: &Target) -> bool {
        let Some(id) = &target.roles.id_column else { return false };
        let values = insert.values(id);
        let tracer = version::Tracer { catalogue: self.catalogue, collected: self.collected };
        let fresh = |v: &Value| {
            ast::calls(&tracer.resolved(v, write.scope)).iter().any(|(_, name, _)| {
                matches!(
                    name.as_str(),
                    "gen_random_uuid" | "uuidv7" | "uuid_generate_v4" | "uuid_generate_v1" | "nextval"
                )
            })
        };
        let default = || {
            let column = self.catalogue.relation(target.relation).and_then(|r| r.column(id));
            let expr = column.and_then(|c| ast::parse_expression(c.default.as_deref()?).ok());
            expr.is_some_and(|e| fresh(&e)) || column.is_some_and(|c| !c.identity.is_empty())
        };
        let by_default = insert.takes_default(id);
        (by_default || !values.is_empty())
            && (!by_default || default())
            && values.into_iter().all(|v| v.is_some_and(|v| fresh(v) || self.is_made_before(v, write, target)))
    }

    /// Whether the same function has just made the row that an id names, and this is the first event of it there.
    fn is_made_before(&self, id: &Value, write: &Write, target: &Target) -> bool {
        let Some(name) = ast::column(ast::without_casts(id)) else { return false };
        let body = self.collected.body(write.scope);
        let given = |s: &&Statement| s.targets.iter().any(|t| *t == name[0] || *t == name.join("."));
        let Some(last) = body.statements[..write.statement].iter().rfind(given) else { return false };
        let place = self.collected.statement(write);
        let path = &self.collected.scopes[write.scope].path;
        let made = trees(last).iter().filter_map(|t| ast::node(t, "InsertStmt")).any(|insert| {
            let range = insert.get("relation").cloned().unwrap_or_default();
            let into =
                self.catalogue.resolve_relation(ast::text(&range, "schemaname"), ast::text(&range, "relname"), path);
            into.is_none_or(|r| r.oid != target.relation)
        });
        let same = |w: &&Write| {
            w.scope == write.scope && w.insert.as_ref().is_some_and(|i| i.relation == Some(target.relation))
        };
        made && place.guards.starts_with(&last.guards)
            && place.looped == last.looped
            && self.collected.writes.iter().filter(same).count() == 1
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
