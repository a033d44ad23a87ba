//! What is found in a source, told in MySQL's names.

use domain_events_mysql::source::{MissingKind, SEVERAL_DATABASES, Source};
use domain_events_mysql::translate::notes::{Fidelity, Note};
use domain_events_mysql::translate::program;

use super::catalogue::{TranslatedCatalogue, TranslatedProgram};
use crate::judge::{self, Finding, Judged, Severity, Strategy, codes};

/// What is found in a source, in MySQL's names.
pub fn findings(source: &Source, translated: &TranslatedCatalogue) -> Vec<Finding> {
    let report = judge::judge(&translated.catalogue);
    // of a program that was not read to its end nobody knows that it writes no event
    let unread = |j: &&Judged| {
        let function =
            j.function.and_then(|oid| translated.catalogue.function(oid)).and_then(|f| translated.of_function(&f.name));
        j.finding.code == codes::LOOK_ALIKE.code && function.is_some_and(|i| i.made.notes.iter().any(Note::is_unread))
    };
    let mut findings: Vec<Finding> = report.judged.iter().filter(|j| !unread(j)).map(|j| told(translated, j)).collect();
    // a part that could not be read ends the translation there, and what stands behind it is not judged either
    let unread = translated.programs.iter().filter_map(|item| {
        let note = item.made.notes.iter().find(|n| n.is_unread())?;
        let same = |f: &&Finding| {
            let name = if item.made.trigger.is_some() { &f.trigger } else { &f.function };
            f.needs_work() && f.file.as_ref() == Some(&item.file) && name.as_ref() == Some(&item.made.name)
        };
        let kind = if item.made.trigger.is_some() { "trigger" } else { "function" };
        let object = format!("{kind} {}", item.made.name);
        let told = findings.iter().any(|f| same(&f));
        (!told).then(|| Finding::unjudged(&item.file, note.line, Some(&object), &note.to_string()))
    });
    let unread: Vec<Finding> = unread.collect();
    findings.extend(unread);
    // what could not be read may write events
    let unread = source.problems.iter().filter(|p| !p.reason.starts_with(SEVERAL_DATABASES));
    findings.extend(unread.map(|p| Finding::unjudged(&p.file, p.line, p.object.as_deref(), &p.reason)));
    let missing: Vec<Finding> = missing(source, &findings);
    findings.extend(missing);
    findings.sort_by(|a, b| {
        let key = |f: &Finding| {
            (std::cmp::Reverse(f.severity), f.table.clone(), f.trigger.clone(), f.function.clone(), f.line)
        };
        key(a).cmp(&key(b))
    });
    findings
}

/// Programs that call what is not there: what that writes is not known.
fn missing(source: &Source, findings: &[Finding]) -> Vec<Finding> {
    let mut all = vec![];
    for missing in source.missing.iter().filter(|m| m.kind != MissingKind::Table) {
        for by in &missing.used_by {
            let name = by.split_once(' ').map_or(by.as_str(), |(_, name)| name);
            let told = |f: &Finding| f.trigger.as_deref() == Some(name) || f.function.as_deref() == Some(name);
            if findings.iter().chain(&all).any(|f| told(f) && f.needs_work()) {
                continue;
            }
            let place = source.programs.iter().find(|p| p.program.name.name == name);
            let file = place.map_or("", |p| p.file.as_str());
            let line = place.map_or(0, |p| p.program.position.line);
            let mut finding = Finding::unjudged(file, line, Some(by), &missing.to_string());
            codes::NO_FUNCTION.code.clone_into(&mut finding.code);
            all.push(finding);
        }
    }
    all
}

/// A finding in MySQL's names; what was refused on the way makes it a person's work.
pub fn told(translated: &TranslatedCatalogue, judged: &Judged) -> Finding {
    let mut finding = judged.finding.clone();
    let trigger = finding.trigger.as_ref().zip(finding.table.as_ref()).and_then(|(n, t)| translated.of_trigger(n, t));
    let function = judged
        .function
        .and_then(|oid| translated.catalogue.function(oid))
        .and_then(|f| translated.of_function(&f.name));
    let place = function.or(trigger);
    if let Some(item) = place {
        finding.line = match finding.line.and_then(|l| item.made.source_line(l)) {
            Some(line) => usize::try_from(line).ok(),
            None => usize::try_from(item.line).ok(),
        };
        finding.file = Some(item.file.clone());
    }
    let mut notes: Vec<Note> = vec![];
    for item in [trigger, function].into_iter().flatten() {
        for reached in translated.reached(item) {
            notes.extend(reached.made.notes.iter().filter(|n| !notes.contains(n)).cloned().collect::<Vec<_>>());
        }
    }
    finding.declared = notes
        .iter()
        .filter(|n| n.fidelity == Fidelity::Declared)
        .map(|n| format!("{}: {}", n.construct, n.text))
        .collect();
    let refused: Vec<&Note> = notes.iter().filter(|n| n.fidelity == Fidelity::Refused).collect();
    // a trigger on a table that is not there is told by itself; its log is as good as any
    let refused: Vec<&Note> = match finding.severity {
        Severity::Info => refused.into_iter().filter(|n| n.text != program::NO_TABLE).collect(),
        _ => refused,
    };
    let writes_events = judged.event_table.is_some() || finding.needs_work();
    if !refused.is_empty() && writes_events {
        finding.strategy = Some(Strategy::Manual);
        finding.allowed = vec![Strategy::Manual];
        finding.severity = finding.severity.max(Severity::Warning);
        let told = refused.iter().map(|n| format!("not translated: {n}"));
        // an error of the translation comes of what could not be translated
        let follows = finding.reasons.first().is_some_and(|r| r.contains("Invalid statement"));
        let at = if follows { 0 } else { finding.reasons.len() };
        finding.reasons.splice(at..at, told);
    }
    let path: Vec<&TranslatedProgram> =
        [trigger, function].into_iter().flatten().flat_map(|i| translated.reached(i)).collect();
    let locking = path.iter().any(|i| {
        let locks = |n: &Note| n.construct.contains("FOR UPDATE") || n.construct.to_uppercase().starts_with("GET_LOCK");
        i.made.create.contains(" for update") || i.made.create.contains(" for share") || i.made.notes.iter().any(locks)
    });
    for reason in &mut finding.reasons {
        if let Some(rest) = reason.strip_prefix("ON CONFLICT DO NOTHING") {
            *reason = format!("INSERT IGNORE{rest}");
        }
        // MySQL's default isolation is REPEATABLE READ, where even the row's own lock does not help a plain read
        if reason.starts_with("the stream is the updated row") && !locking {
            *reason = "the stream is the updated row, whose lock serialises it under READ COMMITTED only: under REPEATABLE READ, \
                       MySQL's default, the function reads the transaction's old snapshot, and the second update fails"
                .into();
            finding.severity = Severity::Error;
        }
    }
    rename(translated, &mut finding, trigger, function);
    finding
}

fn rename(
    translated: &TranslatedCatalogue,
    finding: &mut Finding,
    trigger: Option<&TranslatedProgram>,
    function: Option<&TranslatedProgram>,
) {
    let of_finding = [&finding.table, &finding.event_table].into_iter().flatten();
    let own: Vec<(String, String)> = of_finding.map(|table| (table.clone(), translated.table_name(table))).collect();
    for reason in &mut finding.reasons {
        for (quoted, name) in translated.names().iter().chain(&own).filter(|(quoted, name)| quoted != name) {
            if reason.contains(quoted) {
                *reason = reason.replace(quoted, name);
            }
        }
    }
    if let Some(item) = trigger {
        finding.trigger = Some(item.made.name.clone());
    }
    finding.function = match function {
        Some(item) if item.made.trigger.is_some() => None,
        Some(item) => Some(item.made.name.clone()),
        None => finding.function.take(),
    };
    for table in [&mut finding.table, &mut finding.event_table].into_iter().flatten() {
        *table = translated.table_name(table);
    }
}
