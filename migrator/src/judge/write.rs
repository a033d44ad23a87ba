//! The judgement of one write.

use super::analysis::Analysis;
use super::codes;
use super::collected::Write;
use super::finding::{Finding, Judged, Severity, Strategy};
use super::origin::VersionSource;
use super::ports;
use super::sql::Conflict;

impl Analysis<'_> {
    pub(super) fn write(&self, n: usize, write: &Write) -> Option<Judged> {
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
            // only a trigger's inserts are worth a word: a function of the application may write what it likes, unless it numbers it
            if write.trigger.is_none() && !write.unfired && !target.is_some_and(|t| t.by_maximum) {
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
            return Some(judged(self.uncertain(n, &verdict, target, relation), table, vec![]));
        }
        let statement = self.collected.statement(write);
        let over = target.roles.version_column.as_deref().is_some_and(|v| insert.writes_over(v));
        if insert.conflict == Conflict::Nothing || over || statement.swallowed {
            verdict.reasons.push(match statement.swallowed {
                true => "an exception handler drops the event in silence when its version is taken".into(),
                false if over => "ON CONFLICT DO UPDATE writes in silence over the event that has its version".into(),
                false => "ON CONFLICT DO NOTHING drops the event in silence when its version is taken".into(),
            });
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
        let lacks = |c: &&String| !relation.assumed && !relation.columns.is_empty() && relation.column(c).is_none();
        let lacking: Vec<&str> = insert.columns.iter().filter(lacks).map(String::as_str).collect();
        if !lacking.is_empty() && !write.dynamic {
            finding.reasons.push(format!("{} has no column {} in what was read", relation.quoted, lacking.join(", ")));
        }
        finding.reasons.push(format!("{} is taken for an event table: {}", relation.quoted, target.reasons.join("; ")));
        Some(judged(finding, Some(relation.oid).filter(|_| !relation.assumed), ports.declared))
    }
}
