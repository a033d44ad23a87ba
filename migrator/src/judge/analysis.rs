//! What lies before the judge, and the judgement of one write.

use std::collections::BTreeMap;

use serde_json::Value;

use super::codes::Code;
use super::collected::{Collected, Write};
use super::event_table::Target;
use super::finding::{Finding, Severity};
use super::origin::VersionSource;
use super::sql;
use super::texts;
use crate::catalogue::{Catalogue, Trigger};
use crate::sql_tree::ast;

pub(super) struct Analysis<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) collected: &'a Collected,
    pub(super) targets: &'a BTreeMap<u32, Target>,
}

impl Analysis<'_> {
    pub(super) fn finding(&self, n: Option<usize>, code: Code, severity: Severity, source: VersionSource) -> Finding {
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

    pub(super) fn trigger(&self, oid: u32) -> Option<&Trigger> {
        self.catalogue.triggers.iter().find(|t| t.oid == oid)
    }

    pub(super) fn event_type(&self, n: usize) -> Option<String> {
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
    pub(super) fn through_binding<'v>(&'v self, value: &'v Value, scope: usize) -> &'v Value {
        let column = ast::column(ast::without_casts(value));
        match column.as_deref() {
            Some([name]) => self.collected.scopes[scope].bindings.get(name).unwrap_or(value),
            _ => value,
        }
    }

    /// The schema in which an unqualified event table was found, though it is not in the search path.
    pub(super) fn found_at_home(&self, write: &Write, insert: &sql::Insert) -> Option<&str> {
        let scope = &self.collected.scopes[write.scope];
        let home = insert.relation.and_then(|oid| self.catalogue.relation(oid)).map(|r| r.schema.as_str());
        let home = home.filter(|s| !self.catalogue.search_path.iter().any(|p| p == s))?;
        let function = scope.function.and_then(|oid| self.catalogue.function(oid))?;
        (!insert.qualified && function.search_path.is_none()).then_some(home)
    }
}
