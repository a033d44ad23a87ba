//! `scan`.

use std::fs;
use std::path::{Path, PathBuf};

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
        let mut document = json!({ "findings": findings });
        if args.from.is_some() {
            document["problems"] = json!(problems);
        }
        ctx.out.json(&document)?;
    } else {
        print(&findings, ctx)?;
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

/// A file, or the SQL files of a directory in the order of their names.
fn read_files(path: &Path) -> Result<(Catalogue, Vec<Problem>), Error> {
    let io = |path: &Path, e| Error::io(path.display().to_string(), e);
    let mut files: Vec<PathBuf> = vec![];
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(|e| io(path, e))? {
            let file = entry.map_err(|e| io(path, e))?.path();
            if file.extension().is_some_and(|e| e.eq_ignore_ascii_case("sql")) {
                files.push(file);
            }
        }
        files.sort();
        if files.is_empty() {
            return Err(Error::usage(
                format!("{} holds no .sql file", path.display()),
                "Name a file, or a directory of migrations.",
            ));
        }
    } else {
        files.push(path.to_owned());
    }
    let mut texts = vec![];
    for file in files {
        let text = fs::read_to_string(&file).map_err(|e| io(&file, e))?;
        texts.push((file.display().to_string(), text));
    }
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
    }
    Ok(())
}
