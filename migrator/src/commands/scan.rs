//! `scan`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::findings::{self, Tally};
use super::from::{self, Origin};
use super::treats;
use crate::cli::ScanArgs;
use crate::connect::connect;
use crate::context::Context;
use crate::error::{Error, Exit};
use crate::from_mysql::catalogue::{self, Destination, TranslatedCatalogue};
use crate::judge::{self, Finding, codes};
use crate::source::{self, Catalogue, Problem, Treat};
use crate::url::redacted;
use domain_events_mysql::source::Source;

/// Runs the verb.
pub async fn run(args: &ScanArgs, ctx: &Context) -> Result<Exit, Error> {
    let origins = match &args.from {
        Some(from) => from::read(from, args.dialect, ctx).await?,
        None => vec![Origin::Postgres(Box::new(source::read(&mut connect(ctx).await?).await?), vec![])],
    };
    let answers = treats::of_each(&args.treats, &origins)?;
    let (mut findings, mut statements, mut document) = (vec![], 0, None);
    for (origin, treats) in origins.into_iter().zip(answers) {
        let (found, count, told) = match origin {
            Origin::Postgres(catalogue, problems) => of_postgres(*catalogue, &problems, treats),
            Origin::MySql(source) => of_mysql(&source, treats, ctx),
        };
        findings.extend(found);
        statements += count;
        document = args.from.is_some().then(|| together(document.take(), told));
    }
    let tally = Tally::of(&findings, statements);
    if ctx.out.is_json() {
        let told = |f: &Finding| {
            let mut told = json!(f);
            told["action"] = f.action().into();
            told
        };
        let all: Vec<Value> = findings.iter().map(told).collect();
        let unjudged: Vec<Value> = findings.iter().filter(|f| f.is_unjudged()).map(told).collect();
        let mut whole = json!({ "findings": all, "unjudged": unjudged, "statements": tally });
        if let (Some(whole), Some(Value::Object(more))) = (whole.as_object_mut(), document) {
            whole.extend(more);
        }
        ctx.out.json(&whole)?;
    } else {
        findings::print(&findings, &tally, args.verbose, ctx)?;
    }
    if args.from.is_some() {
        ctx.out.note(format!("files do not tell: {}", source::MISSING.join("; ")));
    }
    let work = findings.iter().filter(|f| f.needs_work()).count();
    let writing = findings.iter().filter(|f| f.writes_events()).count();
    let of_them = findings.iter().filter(|f| f.writes_events() && f.needs_work()).count();
    let open = findings::open(&findings);
    let judged = if open.is_empty() { "" } else { " of those judged" };
    if of_them == 0 {
        ctx.out.note(format!("{writing} event-writing statements, none{judged} needs work{open}"));
    } else {
        ctx.out.note(format!("{of_them} of {writing} event-writing statements{judged} need work{open}"));
        ctx.out.hint(match &args.from {
            Some(from) if document_is_mysql(&findings) => {
                format!(
                    "Write a plan for them, with PostgreSQL in DATABASE_URL: domain-events plan --from {} --out plan.toml",
                    redacted(from)
                )
            }
            _ => "Write a plan for them: domain-events plan --out plan.toml".into(),
        });
    }
    // the last line of all
    if ctx.out.is_json() {
        ctx.out.note(tally.to_string());
    } else {
        ctx.out.line(tally.to_string())?;
    }
    Ok(if work == 0 { Exit::Clean } else { Exit::Pending })
}

/// Findings of files and of MySQL name the file.
fn document_is_mysql(findings: &[Finding]) -> bool {
    findings.iter().any(|f| f.file.is_some())
}

/// What is said of two sources, list by list.
fn together(first: Option<Value>, mut second: Value) -> Value {
    let Some(Value::Object(first)) = first else { return second };
    for (key, value) in first {
        match (second.get_mut(&key), value) {
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (_, value) => second[key] = value,
        }
    }
    second
}

/// What is found in a source, of how many statements, and what else is to be said of it.
type Found = (Vec<Finding>, usize, Value);

fn of_postgres(mut catalogue: Catalogue, problems: &[Problem], treats: BTreeMap<String, Treat>) -> Found {
    catalogue.treats.extend(treats);
    let report = judge::judge(&catalogue);
    let mut findings: Vec<Finding> = report.findings().into_iter().cloned().collect();
    tell_dropped(&mut findings, &catalogue.dropped);
    findings.extend(problems.iter().map(|p| Finding::unjudged(&p.file, p.line as u64, None, &p.reason)));
    (findings, catalogue.statements, json!({ "problems": problems, "missing": source::MISSING }))
}

/// A table that is not there since a file dropped it is told as that.
fn tell_dropped(findings: &mut [Finding], dropped: &BTreeMap<String, String>) {
    for finding in findings.iter_mut().filter(|f| f.code == codes::ELSEWHERE.code) {
        for (table, file) in dropped {
            let gone = |name: &str| format!("{name} was dropped by {file}: whoever still writes it fails");
            for reason in &mut finding.reasons {
                let Some((name, _)) = reason.split_once(" is not in what was read: ") else { continue };
                let last = |name: &str| name.rsplit('.').next() == table.rsplit('.').next();
                if name == table || last(name) && !(name.contains('.') && table.contains('.')) {
                    *reason = gone(name);
                }
            }
        }
    }
}

fn of_mysql(source: &Source, treats: BTreeMap<String, Treat>, ctx: &Context) -> Found {
    let translated =
        TranslatedCatalogue::new(source, &Destination { ignoring: true, treats, ..Destination::default() });
    let mut findings = crate::from_mysql::findings::findings(source, &translated);
    tell_dropped(&mut findings, &source.dropped);
    let variables = catalogue::session_variables(&translated);
    for (variable, setting) in &variables {
        ctx.out.warn(format!(
            "{variable} is read from the session: in PostgreSQL it is the setting {setting}, which the application has to set"
        ));
    }
    let document = json!({ "problems": source.problems, "missing": source.missing, "session_variables": variables });
    (findings, source.statements, document)
}
