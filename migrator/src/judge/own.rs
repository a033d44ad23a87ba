//! The tool's own triggers, named as what they are.

use super::analysis::Analysis;
use super::{Judged, Severity, VersionSource, codes};

impl Analysis<'_> {
    /// One finding for each captured table, and for each shim of a table of which nothing else is said.
    pub(super) fn own(&self, judged: &mut Vec<Judged>) {
        let mut tables: Vec<u32> = vec![];
        for trigger in self.collected.captured.iter().filter_map(|oid| self.trigger(*oid)) {
            if tables.contains(&trigger.relation) {
                continue;
            }
            tables.push(trigger.relation);
            let state = if trigger.enabled == "D" { ", and is disabled" } else { "" };
            let reason = format!("captured: the trigger is the store's own{state}; events go to domain_events.events");
            judged.push(self.own_trigger(trigger.oid, codes::CAPTURED, reason));
        }
        for trigger in &self.catalogue.triggers {
            let told = judged.iter().any(|j| j.event_table == Some(trigger.relation));
            if self.catalogue.is_shim(trigger) && !told && trigger.enabled != "D" {
                let reason = "ported: the trigger is a plan's shim, which takes the version from domain_events.next_aggregate_version()";
                judged.push(self.own_trigger(trigger.oid, codes::PORTED, reason.into()));
            }
        }
    }

    fn own_trigger(&self, oid: u32, code: codes::Code, reason: String) -> Judged {
        let mut finding = self.finding(None, code, Severity::Info, VersionSource::AssignedOnEventTable);
        let trigger = self.trigger(oid);
        finding.trigger = trigger.map(|t| t.name.clone());
        finding.operations = trigger.map(|t| t.events.clone()).unwrap_or_default();
        let table = trigger.and_then(|t| self.catalogue.relation(t.relation)).map(|r| r.quoted.clone());
        if code.code == codes::PORTED.code {
            finding.event_table.clone_from(&table);
        }
        finding.table = table;
        finding.reasons.push(reason);
        Judged { finding, write: None, trigger: Some(oid), function: None, event_table: None, declared: vec![] }
    }
}
