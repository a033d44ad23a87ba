//! `scan`.

use serde_json::json;

use crate::Context;
use crate::cli::ScanArgs;
use crate::error::{Error, Exit};
use crate::judge::{self, Finding, Severity};
use crate::{db, source};

/// Runs the verb.
pub async fn run(_args: &ScanArgs, ctx: &Context) -> Result<Exit, Error> {
    let mut conn = db::connect(ctx).await?;
    let catalogue = source::read(&mut conn).await?;
    let report = judge::judge(&catalogue);
    let findings = report.findings();
    if ctx.out.is_json() {
        ctx.out.json(&json!({ "findings": findings }))?;
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
