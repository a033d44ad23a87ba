//! A plan in the making, and the pieces that every strategy puts into it.

use std::collections::{BTreeMap, BTreeSet};

use super::stream::Decided;
use super::{Brought, Object, ObjectKind, ObjectName, Plan, State, Statement, calls};
use crate::error::Error;
use crate::judge::{Judged, Report, Strategy};
use crate::source::{Catalogue, Function, Relation, Trigger};
use domain_events_sql::quote::quote_literal;

/// What a person decides.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Trigger, or table.trigger, and its strategy.
    pub strategies: Vec<(String, Strategy)>,
    /// Event tables to adopt; `*` for every one.
    pub adopt: Vec<String>,
    /// Decisions of an earlier plan file; what it does not mention is decided anew.
    pub earlier: Option<Plan>,
    /// What was translated from another dialect and is created here; the catalogue holds it already.
    pub brought: Vec<Brought>,
    /// Leave out event tables that the earlier plan does not name.
    pub only_earlier_tables: bool,
}

/// A plan in the making.
pub(super) struct Draft<'a> {
    pub catalogue: &'a Catalogue,
    pub report: &'a Report,
    pub objects: Vec<Object>,
    pub source_locks: BTreeSet<String>,
    pub event_locks: BTreeSet<String>,
    pub statements: Vec<Statement>,
    pub finish: Vec<Statement>,
    pub clear: Vec<Statement>,
    /// What names the streams of each event table.
    pub streams: BTreeMap<u32, Decided>,
}

/// A finding that is to be ported.
pub(super) struct Choice<'a> {
    pub judged: &'a Judged,
    pub strategy: Strategy,
    pub stated: bool,
}

impl Draft<'_> {
    /// A relation that the report names.
    pub fn relation(&self, oid: u32) -> Result<&Relation, Error> {
        self.catalogue.relation(oid).ok_or_else(|| Error::drift("a table of the plan is gone", "Run scan again."))
    }

    /// What names the streams of an event table, which is known.
    pub fn stream(&self, oid: u32) -> Result<&Decided, Error> {
        self.streams.get(&oid).filter(|d| !d.columns.is_empty()).ok_or_else(|| {
            let table = self.relation(oid).map(|r| r.quoted.clone()).unwrap_or_default();
            Error::refused("42P16", format!("the stream of {table} is not known"), "Leave it to strategy manual.")
        })
    }

    /// The partitioned table whose triggers serve a table, or the table itself.
    pub fn root(&self, oid: u32) -> Result<&Relation, Error> {
        let relation = self.relation(oid)?;
        self.relation(relation.root)
    }

    /// Functions that insert into an event table and are not ported by this strategy.
    pub(super) fn other_writers(&self, relation: &Relation, chosen: &[&Choice<'_>], strategy: Strategy) -> Vec<String> {
        let ported = |j: &&Judged| chosen.iter().any(|c| c.judged.write == j.write && c.strategy == strategy);
        let of_table = self.report.judged.iter().filter(|j| j.event_table == Some(relation.oid));
        let others = of_table.filter(|j| !ported(j) && j.finding.code != "EV190");
        let names: BTreeSet<String> =
            others.filter_map(|j| j.finding.function.clone().or_else(|| j.finding.table.clone())).collect();
        names.into_iter().collect()
    }

    /// Whoever else reads or writes it, as far as the database knows.
    pub(super) fn other_users(&self, relation: &Relation, ported: &[&Choice<'_>]) -> Vec<String> {
        let mut users: Vec<String> = self
            .other_writers(relation, ported, Strategy::Capture)
            .into_iter()
            .map(|f| format!("function {f}"))
            .collect();
        users.extend(relation.views.iter().map(|v| format!("view {v}")));
        users.extend(relation.inserters.iter().map(|r| format!("role {r} may insert")));
        if relation.referenced {
            users.push("foreign keys of other tables".into());
        }
        let own: BTreeSet<u32> = ported.iter().filter_map(|c| c.judged.function).collect();
        for (oid, body) in self.report.collected.bodies.iter().filter(|(oid, _)| !own.contains(oid)) {
            let reads = body.statements.iter().any(|s| {
                // parsed only where the name occurs at all
                s.sql.contains(&relation.name)
                    && crate::sql_tree::ast::parse(&s.sql).unwrap_or_default().iter().any(|t| {
                        crate::sql_tree::ast::find(t, "RangeVar")
                            .iter()
                            .any(|r| crate::sql_tree::ast::text(r, "relname") == relation.name)
                    })
            });
            if reads && let Some(function) = self.catalogue.function(*oid) {
                let name = format!("function {}", function.identity);
                if !users.contains(&name) {
                    users.push(name);
                }
            }
        }
        users
    }

    /// Whatever a port was judged by must be the same when it is applied.
    pub(super) fn rely_on(&mut self, choice: &Choice<'_>) {
        if choice.strategy == Strategy::Manual {
            return;
        }
        let judged = choice.judged;
        if let Some(relation) = judged.event_table.and_then(|oid| self.catalogue.relation(oid)) {
            self.objects.push(table_object(relation));
        }
        if let Some(trigger) = judged.trigger.and_then(|oid| self.catalogue.triggers.iter().find(|t| t.oid == oid)) {
            if let Some(relation) = self.catalogue.relation(trigger.relation) {
                self.objects.push(trigger_object(trigger, relation));
            }
            if let Some(function) = self.catalogue.function(trigger.function) {
                self.objects.push(function_object(function));
            }
        }
        if let Some(function) = judged.function.and_then(|oid| self.catalogue.function(oid)) {
            self.objects.push(function_object(function));
        }
    }
}

/// A function as it is.
pub(super) fn function_object(function: &Function) -> Object {
    Object {
        kind: ObjectKind::Function,
        name: function.identity.clone(),
        table: None,
        before: Some(State {
            fingerprint: function.fingerprint.clone(),
            enabled: None,
            owner: Some(function.owner.clone()),
            comment: function.comment.clone(),
            acl: function.acl.clone(),
            definition: Some(function.definition.clone()),
        }),
    }
}

/// A trigger as it is.
pub(super) fn trigger_object(trigger: &Trigger, relation: &Relation) -> Object {
    Object {
        kind: ObjectKind::Trigger,
        name: trigger.name.clone(),
        table: Some(relation.quoted.clone()),
        before: Some(State {
            fingerprint: trigger.fingerprint.clone(),
            enabled: Some(trigger.enabled.clone()),
            owner: Some(relation.owner.clone()),
            comment: trigger.comment.clone(),
            acl: None,
            definition: Some(trigger.definition.clone()),
        }),
    }
}

pub(super) fn table_object(relation: &Relation) -> Object {
    Object {
        kind: ObjectKind::Table,
        name: relation.quoted.clone(),
        table: None,
        before: Some(State {
            fingerprint: relation.fingerprint.clone(),
            owner: Some(relation.owner.clone()),
            ..State::default()
        }),
    }
}

/// A statement that takes no lock on a table of the user.
pub(super) fn lockless(kind: ObjectKind, name: &str, sql: String, undo: Option<String>) -> Statement {
    Statement {
        object: ObjectName { kind, name: name.to_owned(), table: None },
        lock: "none on any table".into(),
        expected: "under 10 ms, nobody waits".into(),
        sql,
        undo,
    }
}

/// A statement that changes the triggers of a table.
pub(super) fn locking(kind: ObjectKind, name: &str, table: &str, sql: String, undo: Option<String>) -> Statement {
    Statement {
        object: ObjectName { kind, name: name.to_owned(), table: Some(table.to_owned()) },
        lock: format!("SHARE ROW EXCLUSIVE on {table}: readers go on, writers wait"),
        expected: "under 10 ms once the lock is held; the lock is waited for at most --lock-timeout (500 ms), then given up and tried again".into(),
        sql,
        undo,
    }
}

/// Lets a role, given quoted, ask for versions if it may not do so yet.
pub(super) fn may_ask(draft: &mut Draft<'_>, table: &Relation, role: &str) -> Result<(), Error> {
    let Some(store) = draft.catalogue.store.as_ref() else { return Ok(()) };
    let grant = format!("{};", calls::may_ask("grant", role));
    if store.executors.iter().any(|r| r == role) || draft.statements.iter().any(|s| s.sql == grant) {
        return Ok(());
    }
    if !store.may_grant {
        return Err(Error::usage(
            format!("role {role} writes {} and may not ask for a version", table.quoted),
            format!("Let the owner of the event store run: grant domain_events_writer to {role};"),
        ));
    }
    let revoke = format!("{};", calls::may_ask("revoke", role));
    draft.statements.push(lockless(ObjectKind::EventTable, &table.quoted, grant, Some(revoke)));
    Ok(())
}

/// What `next_aggregate_version` is given for the stream: type and id, or a list of all values.
pub(super) fn asked(table: &Relation, values: &[String]) -> String {
    match values {
        // a table whose key has no type has one kind of stream
        [id] => format!("{}, {id}", quote_literal(&table.name)),
        [kind, id] => format!("{kind}, {id}"),
        many => format!("array[{}]", many.join(", ")),
    }
}

/// An identifier, quoted only where it must be.
pub(super) fn plain(name: &str) -> String {
    domain_events_sql::quote::quoted(name)
}
