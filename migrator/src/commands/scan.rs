//! `scan`.

use serde_json::{Value, json};

use super::from::{self, Origin};
use crate::Context;
use crate::cli::ScanArgs;
use crate::db;
use crate::error::{Error, Exit};
use crate::judge::{self, Finding, Severity};
use crate::mysql::source::Source;
use crate::mysql::world::{self, Terms, World};
use crate::source;
use crate::url::redacted;

/// Runs the verb.
pub async fn run(args: &ScanArgs, ctx: &Context) -> Result<Exit, Error> {
    let origin = match &args.from {
        Some(from) => from::read(from, args.dialect, ctx).await?,
        None => Origin::Postgres(Box::new(source::read(&mut db::connect(ctx).await?).await?), vec![]),
    };
    let (findings, document) = match origin {
        Origin::Postgres(catalogue, problems) => {
            for problem in problems.iter().take(WARNINGS) {
                ctx.out.warn(format!("{}:{}: not read: {}", problem.file, problem.line, problem.reason));
            }
            more_warnings(problems.len(), ctx);
            let report = judge::judge(&catalogue);
            let mut findings: Vec<Finding> = report.findings().into_iter().cloned().collect();
            findings.extend(problems.iter().map(|p| Finding::unjudged(&p.file, p.line as u64, None, &p.reason)));
            let document = json!({ "problems": problems, "missing": source::MISSING });
            (findings, args.from.is_some().then_some(document))
        }
        Origin::MySql(source) => {
            let (findings, document) = of_mysql(&source, ctx);
            (findings, Some(document))
        }
    };
    if ctx.out.is_json() {
        let told = findings.iter().map(|f| {
            let mut told = json!(f);
            told["action"] = f.action().into();
            told
        });
        let mut whole = json!({ "findings": told.collect::<Vec<_>>() });
        if let (Some(whole), Some(Value::Object(more))) = (whole.as_object_mut(), document) {
            whole.extend(more);
        }
        ctx.out.json(&whole)?;
    } else {
        print(&findings, ctx)?;
    }
    if args.from.is_some() {
        ctx.out.note(format!("files do not tell: {}", source::MISSING.join("; ")));
    }
    let work = findings.iter().filter(|f| f.needs_work()).count();
    if work == 0 {
        ctx.out.note(format!("{} event-writing statements, none needs work", findings.len()));
        return Ok(Exit::Clean);
    }
    ctx.out.note(format!("{work} of {} event-writing statements need work", findings.len()));
    ctx.out.hint(match &args.from {
        Some(from) if document_is_mysql(&findings) => {
            format!(
                "Write a plan for them, with PostgreSQL in DATABASE_URL: domain-events plan --from {} --out plan.toml",
                redacted(from)
            )
        }
        _ => "Write a plan for them: domain-events plan --out plan.toml".into(),
    });
    Ok(Exit::Pending)
}

/// Statements that could not be read are findings; so many of them are told on the way too.
const WARNINGS: usize = 100;

fn more_warnings(problems: usize, ctx: &Context) {
    if problems > WARNINGS {
        ctx.out.warn(format!("{} more statements are not read: see the findings", problems - WARNINGS));
    }
}

/// Findings of files and of MySQL name the file.
fn document_is_mysql(findings: &[Finding]) -> bool {
    findings.iter().any(|f| f.file.is_some())
}

/// What is found in a source of MySQL, and what else is to be said of it.
fn of_mysql(source: &Source, ctx: &Context) -> (Vec<Finding>, Value) {
    for problem in source.problems.iter().take(WARNINGS) {
        ctx.out.warn(format!("not read: {problem}"));
    }
    more_warnings(source.problems.len(), ctx);
    for missing in &source.missing {
        ctx.out.warn(missing.to_string());
    }
    let world = World::new(source, &Terms { ignoring: true, ..Terms::default() });
    let findings = world::findings(source, &world);
    let variables = world::session_variables(&world);
    for (variable, setting) in &variables {
        ctx.out.warn(format!(
            "{variable} is read from the session: in PostgreSQL it is the setting {setting}, which the application has to set"
        ));
    }
    let document = json!({ "problems": source.problems, "missing": source.missing, "session_variables": variables });
    (findings, document)
}

fn print(findings: &[Finding], ctx: &Context) -> Result<(), Error> {
    if findings.is_empty() {
        return ctx.out.line("No trigger or function writes events.");
    }
    let header = ["CODE", "SEVERITY", "TRIGGER", "TABLE", "EVENT TABLE", "EVENT TYPE", "VERSION", "STRATEGY"];
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let rows = findings.iter().map(|f| {
        vec![
            f.code.clone(),
            f.severity.name().into(),
            dash(&f.trigger),
            dash(&f.table),
            dash(&f.event_table),
            dash(&f.event_type),
            f.version_source.name().into(),
            f.strategy.map_or("-", |s| s.name()).into(),
        ]
    });
    ctx.out.table(&header, rows)?;
    for finding in findings.iter().filter(|f| f.severity > Severity::Info) {
        let place = match (&finding.function, finding.line) {
            (function, Some(line)) if finding.file.is_some() => {
                let name = finding.trigger.as_ref().or(function.as_ref());
                format!("{}:{line}, {}", dash(&finding.file), name.map_or("-", String::as_str))
            }
            (Some(function), Some(line)) => format!("{function}, line {line}"),
            (Some(function), None) => function.clone(),
            _ => dash(&finding.table),
        };
        ctx.out.line(format!("\n{} {place}", finding.code))?;
        for reason in &finding.reasons {
            ctx.out.line(format!("  {reason}"))?;
        }
        ctx.out.line(format!("  plan: {}", finding.action()))?;
        for difference in &finding.declared {
            ctx.out.line(format!("  declared: {difference}"))?;
        }
    }
    Ok(())
}
