//! `scan`.

use std::path::Path;

use serde_json::json;

use crate::Context;
use crate::cli::ScanArgs;
use crate::db;
use crate::error::{Error, Exit};
use crate::judge::{self, Finding, Severity};
use crate::source::{self, Catalogue, Problem};

/// Runs the verb.
pub async fn run(args: &ScanArgs, ctx: &Context) -> Result<Exit, Error> {
    let (catalogue, problems) = match &args.from {
        Some(path) => read_files(path)?,
        None => (source::read(&mut db::connect(ctx).await?).await?, vec![]),
    };
    for problem in &problems {
        ctx.out.warn(format!("{}:{}: not read: {}", problem.file, problem.line, problem.reason));
    }
    let report = judge::judge(&catalogue);
    let findings = report.findings();
    if ctx.out.is_json() {
        let told = findings.iter().map(|f| {
            let mut told = json!(f);
            told["action"] = f.action().into();
            told
        });
        let mut document = json!({ "findings": told.collect::<Vec<_>>() });
        if args.from.is_some() {
            document["problems"] = json!(problems);
            document["missing"] = json!(source::MISSING);
        }
        ctx.out.json(&document)?;
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
    ctx.out.hint("Write a plan for them: domain-events plan --out plan.toml");
    Ok(Exit::Pending)
}

/// A file, or the SQL files of a directory in the order of their numbers.
fn read_files(path: &Path) -> Result<(Catalogue, Vec<Problem>), Error> {
    let texts = source::read_files(path)?;
    Ok(source::from_sql(texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))))
}

fn print(findings: &[&Finding], ctx: &Context) -> Result<(), Error> {
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
            (Some(function), Some(line)) => format!("{function}, line {line}"),
            (Some(function), None) => function.clone(),
            _ => dash(&finding.table),
        };
        ctx.out.line(format!("\n{} {place}", finding.code))?;
        for reason in &finding.reasons {
            ctx.out.line(format!("  {reason}"))?;
        }
        ctx.out.line(format!("  plan: {}", finding.action()))?;
    }
    Ok(())
}
