//! `scan`.

use serde_json::{Value, json};

use super::findings::{self, Tally};
use super::from::{self, Origin};
use super::treats;
use crate::cli::ScanArgs;
use crate::connect::connect;
use crate::context::Context;
use crate::error::{Error, Exit};
use crate::from_mysql::catalogue::{self, Destination, TranslatedCatalogue};
use crate::judge::{self, Finding};
use crate::source;
use crate::url::redacted;
use domain_events_mysql::source::Source;

/// Runs the verb.
pub async fn run(args: &ScanArgs, ctx: &Context) -> Result<Exit, Error> {
    let origin = match &args.from {
        Some(from) => from::read(from, args.dialect, ctx).await?,
        None => Origin::Postgres(Box::new(source::read(&mut connect(ctx).await?).await?), vec![]),
    };
    let (findings, statements, document) = match origin {
        Origin::Postgres(mut catalogue, problems) => {
            treats::put(&args.treats, &mut catalogue)?;
            let report = judge::judge(&catalogue);
            let mut findings: Vec<Finding> = report.findings().into_iter().cloned().collect();
            findings.extend(problems.iter().map(|p| Finding::unjudged(&p.file, p.line as u64, None, &p.reason)));
            let document = json!({ "problems": problems, "missing": source::MISSING });
            (findings, catalogue.statements, args.from.is_some().then_some(document))
        }
        Origin::MySql(source) => {
            let (findings, document) = of_mysql(&source, args, ctx)?;
            (findings, source.statements, Some(document))
        }
    };
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

/// What is found in a source of MySQL, and what else is to be said of it.
fn of_mysql(source: &Source, args: &ScanArgs, ctx: &Context) -> Result<(Vec<Finding>, Value), Error> {
    let treats = treats::of_source(&args.treats, source)?;
    let translated =
        TranslatedCatalogue::new(source, &Destination { ignoring: true, treats, ..Destination::default() });
    let findings = crate::from_mysql::findings::findings(source, &translated);
    let variables = catalogue::session_variables(&translated);
    for (variable, setting) in &variables {
        ctx.out.warn(format!(
            "{variable} is read from the session: in PostgreSQL it is the setting {setting}, which the application has to set"
        ));
    }
    let document = json!({ "problems": source.problems, "missing": source.missing, "session_variables": variables });
    Ok((findings, document))
}
