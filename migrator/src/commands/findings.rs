//! Findings for people: a table, then each kind with its reasons, said once.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::judge::{Finding, Severity, codes};

/// So many places are named where one thing is found in many.
const EXAMPLES: usize = 3;

/// What was judged and what was not.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Tally {
    /// Statements that were judged.
    judged: usize,
    /// Statements that were not.
    unjudged: usize,
    /// All of them.
    of: usize,
}

impl Tally {
    /// Counts.
    pub fn of(findings: &[Finding], statements: usize) -> Self {
        let unjudged = findings.iter().filter(|f| f.is_unjudged()).count();
        let of = statements.max(findings.len());
        Self { judged: of.saturating_sub(unjudged), unjudged, of }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} statements judged, {} not, of {}", self.judged, self.unjudged, self.of)
    }
}

/// Prints them; what is found in many places is summed up unless `all` is wanted.
pub fn print(findings: &[Finding], tally: &Tally, all: bool, ctx: &Context) -> Result<(), Error> {
    if findings.is_empty() && tally.unjudged == 0 {
        return ctx.out.line("No trigger or function writes events.");
    }
    let kinds = kinds(findings, all);
    let header = ["CODE", "SEVERITY", "TRIGGER", "TABLE", "EVENT TABLE", "EVENT TYPE", "VERSION", "STRATEGY"];
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let of_all = |kind: &[&Finding], of: fn(&Finding) -> &Option<String>| {
        let same = kind.iter().all(|f| of(f) == of(kind[0]));
        if same { dash(of(kind[0])) } else { format!("{} ..", dash(of(kind[0]))) }
    };
    let rows = kinds.iter().map(|kind| {
        let f = kind[0];
        let more = if kind.len() > 1 { format!(" and {} more", kind.len() - 1) } else { String::new() };
        vec![
            f.code.clone(),
            f.severity.name().into(),
            format!("{}{more}", dash(&f.trigger)),
            of_all(kind, |f| &f.table),
            dash(&f.event_table),
            of_all(kind, |f| &f.event_type),
            f.version_source.name().into(),
            f.strategy.map_or("-", |s| s.name()).into(),
        ]
    });
    ctx.out.table(&header, rows)?;
    for kind in kinds.iter().filter(|k| k[0].severity > Severity::Info) {
        let finding = kind[0];
        if kind.len() == 1 {
            ctx.out.line(format!("\n{} {}", finding.code, place(finding)))?;
        } else {
            ctx.out.line(format!("\n{} in {} places, such as", finding.code, kind.len()))?;
            let shown = if all { kind.len() } else { EXAMPLES };
            for one in kind.iter().take(shown) {
                ctx.out.line(format!("  {}", place(one)))?;
            }
        }
        for reason in &finding.reasons {
            ctx.out.line(format!("  {reason}"))?;
        }
        ctx.out.line(format!("  plan: {}", finding.action()))?;
        for difference in &finding.declared {
            ctx.out.line(format!("  declared: {difference}"))?;
        }
    }
    if !all && kinds.len() < findings.len() {
        ctx.out.hint("Every place of each finding: --verbose, or --format json");
    }
    Ok(())
}

/// What was not judged, by code; empty if there is nothing of the kind.
pub fn open(findings: &[Finding]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings.iter().filter(|f| f.is_unjudged()) {
        *counts.entry(finding.code.as_str()).or_default() += 1;
    }
    let meaning = |code: &str| codes::ALL.iter().find(|c| c.code == code).map_or("", |c| c.meaning);
    let told: Vec<String> = counts.iter().map(|(code, n)| format!("{n} x {code} ({})", meaning(code))).collect();
    if told.is_empty() { String::new() } else { format!("; still open: {}", told.join(", ")) }
}

/// Findings of one kind together, in the order of the first.
fn kinds(findings: &[Finding], all: bool) -> Vec<Vec<&Finding>> {
    let mut kinds: Vec<Vec<&Finding>> = vec![];
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for finding in findings {
        let key = key(finding);
        match known.get(&key).filter(|_| !all) {
            Some(at) => kinds[*at].push(finding),
            None => {
                known.insert(key, kinds.len());
                kinds.push(vec![finding]);
            }
        }
    }
    kinds
}

/// What findings of one kind have in common.
fn key(finding: &Finding) -> String {
    // logs without a version need nothing: how many write one is all that is to be said
    if finding.code == codes::UNVERSIONED.code && finding.severity == Severity::Info {
        return format!("{} {:?} {:?}", finding.code, finding.event_table, finding.version_source);
    }
    // what was not read differs in its words alone
    let reasons: Vec<String> = finding.reasons.iter().map(|r| cause(r, finding)).collect();
    let own = if finding.is_unjudged() { None } else { finding.trigger.as_ref().or(finding.function.as_ref()) };
    format!(
        "{} {:?} {:?} {:?} {:?} {:?} {reasons:?} {:?}",
        finding.code,
        finding.severity,
        own,
        finding.table.as_ref().filter(|_| !finding.is_unjudged()),
        finding.event_table,
        finding.version_source,
        finding.line.filter(|_| !finding.is_unjudged()),
    )
}

/// A reason without what is quoted in it, nor the words of the statement behind it.
fn cause(reason: &str, finding: &Finding) -> String {
    if !finding.is_unjudged() {
        return reason.to_owned();
    }
    let mut cause = String::new();
    let mut quoted = false;
    let head = reason.strip_suffix(" ..").and_then(|r| r.rsplit_once(": ")).map_or(reason, |(head, _)| head);
    for c in head.chars() {
        if c == '"' {
            quoted = !quoted;
        } else if !quoted && !c.is_ascii_digit() {
            cause.push(c);
        }
    }
    let own = [&finding.trigger, &finding.function, &finding.table, &finding.event_table];
    own.into_iter().flatten().fold(cause, |c, name| c.replace(name.as_str(), ""))
}

fn place(finding: &Finding) -> String {
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let name = finding.trigger.as_ref().or(finding.function.as_ref());
    match (&finding.function, finding.line, &finding.file) {
        (_, Some(line), Some(file)) => match name {
            Some(name) => format!("{file}:{line}, {name}"),
            None => format!("{file}:{line}"),
        },
        (None, None, Some(file)) if name.is_none() => file.clone(),
        (Some(function), Some(line), _) => format!("{function}, line {line}"),
        (Some(function), None, _) => function.clone(),
        _ => match (&finding.trigger, &finding.table) {
            (Some(trigger), Some(table)) => format!("trigger {trigger} of {table}"),
            _ => dash(&finding.table),
        },
    }
}
