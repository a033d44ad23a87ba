//! What can port a statement, and what stands against it.

use std::collections::BTreeSet;

use super::Write;
use super::analysis::Analysis;
use super::stream::{self, WIDEST};
use super::{Finding, Roles, Severity, Strategy, Target, VersionSource, is_actor, sql, version, words};
use crate::source::{Relation, Trigger};
use crate::sql_tree::ast;
use crate::sql_tree::plpgsql::StatementType;

/// Why a number must not be given by somebody else.
pub(super) const EXPECTS: &str =
    "an error is raised where the version is not the one that is expected: of a lost race the unique key alone tells";

/// That a table lacks the unique key, and what a plan declares of a shim without it.
pub(super) fn lacks_key(relation: &Relation, roles: &Roles, served: bool) -> (String, [String; 2]) {
    let columns = stream::list(roles.stream.iter().chain(&roles.version_column).map(String::as_str));
    let lacks = format!("{} has no unique key over {columns}", relation.quoted);
    let reason = if served {
        format!(
            "{lacks}: shim first, then domain-events repair, then domain-events repair --add-key; nobody's write fails meanwhile"
        )
    } else {
        format!("{lacks} that is whole and checked at once: repair the data and add it first")
    };
    let declared = [
        "until the unique key is added, the shim alone keeps versions from being given twice".to_owned(),
        "writers of one stream wait for each other until they commit: transactions that write the same streams in different orders can deadlock (40P01), under REPEATABLE READ one that comes later fails (40001)".to_owned(),
    ];
    (reason, declared)
}

/// The strategies for a statement.
#[derive(Debug, Default)]
pub(super) struct Ports {
    pub proposed: Option<Strategy>,
    pub allowed: Vec<Strategy>,
    pub reasons: Vec<String>,
    pub declared: Vec<String>,
}

impl Ports {
    /// Nothing is proposed.
    pub(super) fn only_manual(finding: &Finding) -> Self {
        let work = finding.needs_work();
        Self { proposed: work.then_some(Strategy::Manual), allowed: vec![Strategy::Manual], ..Self::default() }
    }
}

impl Analysis<'_> {
    pub(super) fn ports(
        &self,
        write: &Write,
        insert: &sql::Insert,
        target: &Target,
        relation: &Relation,
        finding: &Finding,
    ) -> Ports {
        let mut ports = Ports::default();
        if finding.severity == Severity::Info && finding.code != "EV103" && finding.code != "EV121" {
            return ports;
        }
        let mut allowed = BTreeSet::from([Strategy::Manual]);
        let version = target.roles.version_column.as_deref();
        let keyed = target.roles.key.is_some();
        let table = matches!(relation.kind.as_str(), "r" | "p") && insert.conflict != sql::Conflict::Update;
        // without the key nothing stops a writer that goes past the shim, and none does: it is a trigger of the table
        let served = (1..=WIDEST).contains(&target.roles.stream.len());
        let streams = version.is_some() && served;
        let unkeyed = !keyed && streams && relation.kind == "r" && insert.conflict == sql::Conflict::Error;
        if keyed && table && served || unkeyed {
            allowed.insert(Strategy::Shim);
        }
        let against = self.against_shim(write, insert, target, relation).filter(|_| allowed.remove(&Strategy::Shim));
        ports.reasons.extend(against.iter().map(|why| format!("shim is not possible: {why}")));
        // whoever waits for its turn in the INSERT has compared before: its number would be taken, and the conflict not told
        let expects = against.as_deref() == Some(EXPECTS);
        match self.against_rewrite(write, insert, target) {
            _ if expects => {}
            Ok(()) if keyed && table && served => _ = allowed.insert(Strategy::Rewrite),
            Ok(()) => {}
            Err(reason) if keyed && table && served => {
                ports.reasons.push(format!("rewrite is not possible: {reason}"));
            }
            Err(_) => {}
        }
        match self.against_capture(write, insert, target) {
            None => _ = allowed.insert(Strategy::Capture),
            Some(reason) => ports.reasons.push(format!("capture is not possible: {reason}")),
        }
        let tied = version.is_some_and(|v| self.version_is_told_elsewhere(write, insert, v));
        if tied {
            ports.declared.push("the legacy function computes a version of its own and writes it into the payload too; that copy stays wrong".into());
            ports.reasons.push("the version the legacy function computes is also written into other columns".into());
        }
        let doubts = &target.stream.doubts;
        ports.reasons.extend(doubts.iter().cloned());
        ports.declared.extend(doubts.iter().map(|d| format!("the numbers may be others than before: {d}")));
        if !target.roles.further.is_empty() && streams && doubts.is_empty() {
            ports.reasons.push(format!(
                "the stream is {}: unique key {} has {} besides",
                stream::list(target.roles.stream.iter().map(String::as_str)),
                target.roles.key.as_deref().unwrap_or_default(),
                target.roles.further.join(", ")
            ));
        }
        ports.allowed = allowed.iter().copied().collect();
        if finding.severity == Severity::Info {
            return ports;
        }
        ports.proposed = Some(match finding.version_source {
            // the number may mean more than a place in the stream: a reader may join on it
            VersionSource::CopiedFromRow | VersionSource::Sequence => {
                ports.reasons.push(
                    "another number would change what readers may rely on: choose shim yourself if they do not".into(),
                );
                Strategy::Manual
            }
            _ if tied || !doubts.is_empty() => Strategy::Manual,
            // a clock, a hash, the number that a caller expects: it means something to somebody
            VersionSource::Dynamic => {
                ports.reasons.push(
                    "what makes the version cannot be followed: choose shim yourself if nothing relies on its value"
                        .into(),
                );
                Strategy::Manual
            }
            _ if self.fires_for_replication(write) => {
                ports.reasons.push(
                    "the trigger is ENABLE ALWAYS or REPLICA: for rows that replication applies a shim does not fire; choose it yourself if this database subscribes to nothing".into(),
                );
                Strategy::Manual
            }
            // what is read by max() is what the stream is; a constant alone does not tell
            _ if against.is_some() && allowed.contains(&Strategy::Rewrite) => Strategy::Rewrite,
            _ if against.is_some() => Strategy::Manual,
            VersionSource::MaxPlusOne | VersionSource::MaxPlusOneLocked if unkeyed => Strategy::Shim,
            _ if unkeyed => Strategy::Manual,
            _ if allowed.contains(&Strategy::Shim) => Strategy::Shim,
            _ => Strategy::Manual,
        });
        let alone = version.is_some_and(|v| relation.keys.iter().any(|k| k.columns == [v]));
        if !keyed && version.is_some() && !alone {
            let (lacks, declared) = lacks_key(relation, &target.roles, unkeyed);
            ports.reasons.push(lacks);
            ports.declared.extend(declared.into_iter().filter(|_| unkeyed));
        }
        ports
    }

    /// Why another hand must not give the version when the row is stored.
    fn against_shim(
        &self,
        write: &Write,
        insert: &sql::Insert,
        target: &Target,
        relation: &Relation,
    ) -> Option<String> {
        let version = target.roles.version_column.as_deref()?;
        let tracer = version::Tracer { catalogue: self.catalogue, collected: self.collected };
        let expects = insert.values(version).into_iter().flatten().any(|v| tracer.expects_a_version(v, write.scope));
        let reads = || self.reads_before_the_shim(relation, version);
        expects.then(|| EXPECTS.to_owned()).or_else(reads).or_else(|| self.moves_events(relation, &target.roles))
    }

    /// Why the rows of a partitioned table would get new versions: an UPDATE that moves a row inserts it into another partition.
    fn moves_events(&self, relation: &Relation, roles: &Roles) -> Option<String> {
        let updated = |name: &String| {
            self.collected.changes.iter().any(|c| c.relation == relation.oid && c.columns.contains(name))
        };
        // whether it was sent, or how far it is
        let changes = |name: &String| {
            words::is_label(name) || relation.column(name).is_some_and(|c| c.data_type == "boolean") || updated(name)
        };
        let moving = relation.partition_columns.iter().find(|c| !roles.stream.contains(c) && changes(c))?;
        Some(format!(
            "{} is partitioned by {moving}, and an UPDATE of it inserts the event into another partition, where it would get a new version",
            relation.quoted
        ))
    }

    /// The trigger of an event table that is shown another version than the one that is stored: it fires before the shim.
    pub(super) fn reads_before_the_shim(&self, relation: &Relation, version: &str) -> Option<String> {
        let field = format!("new.{version}");
        let earlier = |t: &&Trigger| {
            t.relation == relation.root && t.changes_inserts() && t.enabled != "D" && !self.catalogue.is_shim(t)
        };
        let reads = |tree: &serde_json::Value| version::mentions(tree, &field) || version::mentions(tree, "new");
        let trigger = self.catalogue.triggers.iter().filter(earlier).find(|t| {
            let Some(body) = self.collected.bodies.get(&t.function) else { return false };
            let mut others =
                body.statements.iter().filter(|s| s.kind != StatementType::Return && !s.targets.contains(&field));
            others.any(|s| super::bodies::trees(s).iter().any(reads))
        })?;
        let name = &trigger.name;
        Some(format!(
            "shim is not possible: trigger {name} reads {version} before the shim would give it, which fires last"
        ))
    }

    fn fires_for_replication(&self, write: &Write) -> bool {
        write.trigger.and_then(|oid| self.trigger(oid)).is_some_and(|t| matches!(t.enabled.as_str(), "A" | "R"))
    }

    fn against_rewrite(&self, write: &Write, insert: &sql::Insert, target: &Target) -> Result<(), String> {
        let function = self.collected.scopes[write.scope].function.and_then(|oid| self.catalogue.function(oid));
        let roles = &target.roles;
        let Some(version) = roles.version_column.as_ref().filter(|_| !roles.stream.is_empty()) else {
            return Err("the stream is not known".into());
        };
        let function = function.ok_or("the statement is not in a function")?;
        if function.language != "plpgsql" {
            return Err(format!("the function is in language {}", function.language));
        }
        if write.dynamic {
            return Err("the statement is made at run time".into());
        }
        if self.found_at_home(write, insert).is_some() {
            return Err("the function writes another table in every session that has another search_path".into());
        }
        let given = insert.values(version);
        if given.is_empty() || given.iter().any(Option::is_none) {
            return Err("the statement does not write the version itself".into());
        }
        for column in &roles.stream {
            let values = insert.values(column);
            if values.len() != given.len() || values.iter().any(|v| !v.is_some_and(repeatable)) {
                return Err(format!("the expression of {column} cannot be evaluated twice"));
            }
        }
        if insert.from_query || insert.rows.len() > 1 {
            return Err("several rows in one statement would all get the same version".into());
        }
        if self.collected.statement(write).kind != StatementType::Sql {
            return Err("the statement is part of another".into());
        }
        Ok(())
    }

    /// Why the generic trigger cannot stand in for the legacy one; none if it can.
    fn against_capture(&self, write: &Write, insert: &sql::Insert, target: &Target) -> Option<String> {
        let Some(trigger) = write.trigger.and_then(|oid| self.trigger(oid)) else {
            return Some("it is no trigger".into());
        };
        let relation = self.catalogue.relation(trigger.relation)?;
        if !matches!(relation.kind.as_str(), "r" | "p") || relation.is_partition {
            return Some(format!("{} is no table of its own", relation.quoted));
        }
        if !trigger.row || trigger.timing != "AFTER" {
            return Some("the trigger is not AFTER .. FOR EACH ROW".into());
        }
        if write.conditional || !trigger.columns.is_empty() {
            return Some("its condition would be lost".into());
        }
        let body = self.collected.body(write.scope);
        let more = body.statements.iter().enumerate().any(|(n, s)| n != write.statement && !harmless(s));
        if more || self.collected.scopes[write.scope].caller.is_some() {
            return Some("the function does more than write this event".into());
        }
        let actors = insert.columns.iter().filter(|c| !target.roles.time_columns.contains(c));
        let lost = actors
            .flat_map(|c| insert.values(c))
            .flatten()
            .any(|v| is_actor(v) && !ast::find(v, "FuncCall").is_empty());
        if lost {
            return Some("its actor is read from the session and would be lost".into());
        }
        let id = target.roles.id_column.as_ref();
        let on_column = id.is_some_and(|id| {
            let values = insert.values(id);
            !values.is_empty()
                && values.into_iter().all(|v| {
                    let column = v.and_then(|v| ast::column(ast::without_casts(v)));
                    matches!(column.as_deref(), Some([row, c]) if (row == "new" || row == "old") && relation.column(c).is_some())
                })
        });
        if !on_column && id.is_some() {
            return Some("the aggregate's id is not a column of the row".into());
        }
        if insert.rows.len() != 1 || insert.from_query {
            return Some("the statement writes several events".into());
        }
        None
    }
}

/// Whether an expression gives the same value when it is evaluated again.
fn repeatable(expr: &serde_json::Value) -> bool {
    let pure = |name: &str| {
        matches!(
            name,
            "lower"
                | "upper"
                | "concat"
                | "concat_ws"
                | "btrim"
                | "ltrim"
                | "rtrim"
                | "replace"
                | "md5"
                | "format"
                | "left"
                | "right"
                | "substr"
        )
    };
    ast::find(expr, "SubLink").is_empty() && ast::calls(expr).iter().all(|(_, name, _)| pure(name))
}

/// Whether a statement has no effect that would be missed.
fn harmless(statement: &crate::sql_tree::plpgsql::Statement) -> bool {
    match statement.kind {
        StatementType::Return => true,
        StatementType::Assign => statement.targets.iter().all(|t| !t.starts_with("new.")) && calls_nothing(statement),
        StatementType::Sql => {
            let trees = super::bodies::trees(statement);
            trees.iter().all(|t| ast::kind(t) == "SelectStmt") && calls_nothing(statement)
        }
        _ => false,
    }
}

fn calls_nothing(statement: &crate::sql_tree::plpgsql::Statement) -> bool {
    super::bodies::trees(statement).iter().flat_map(ast::calls).all(|(_, name, _)| {
        matches!(
            name.as_str(),
            "max"
                | "count"
                | "now"
                | "to_jsonb"
                | "to_json"
                | "row_to_json"
                | "jsonb_build_object"
                | "json_build_object"
                | "coalesce"
                | "gen_random_uuid"
        )
    })
}
