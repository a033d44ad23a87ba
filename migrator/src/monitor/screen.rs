//! The report as a screen for people: sections, one line per check that passed, the findings of those that did not.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

use super::{Check, Failures, Finding, Report, TypeCount};
use crate::error::Error;
use crate::output::Output;
use crate::text::in_line;

/// Findings of one code that are shown one by one.
const SHOWN: usize = 5;

/// What passed, by the codes that did not turn up.
const INFRASTRUCTURE: &[(&str, &[&str])] = &[
    (
        "Functions, triggers and keys are there, enabled and unaltered",
        &[
            "function_missing",
            "function_altered",
            "function_owner",
            "append_only_disabled",
            "trigger_unknown",
            "unique_key_missing",
            "sequence_altered",
            "position_before_transaction",
            "reader_index_missing",
            "event_trigger_missing",
        ],
    ),
    ("Engine, extension and functions agree", &["engine_disagrees"]),
    ("Readers of all events see every event", &["foreign_transactions", "readers_wait"]),
    ("The store's own sequences are ahead of its rows", &["counter_behind"]),
    ("Privileges are as granted", &["privilege_excessive", "privilege_missing"]),
    (
        "Captures match their tables and record every change",
        &[
            "redaction_without_column",
            "captured_table_missing",
            "captured_table_replaced",
            "captured_table_restored",
            "capture_identity_missing",
            "capture_table_changed",
            "capture_trigger_missing",
            "truncate_trigger_missing",
            "capture_function_altered",
            "partition_gone",
            "capture_without_configuration",
            "capture_paused",
        ],
    ),
    ("No dead letters wait", &["capture_failures_pending"]),
    (
        "Ported triggers are as the plans left them",
        &[
            "legacy_trigger_back",
            "ported_trigger_missing",
            "ported_function_altered",
            "adopted_table_missing",
            "adoption_guard_missing",
            "adoption_trigger_missing",
            "adoption_unfinished",
        ],
    ),
];

const INTEGRITY: &[(&str, &[&str])] = &[
    ("No duplicate aggregate versions found", &["duplicate_version"]),
    ("No version gaps found", &["version_gap", "version_not_positive"]),
    ("All aggregate versions are consistent", &["count_not_max", "stream_head_disagrees"]),
    ("Positions and times rise with the versions", &["order_against_time"]),
    ("No event was removed or forged", &["events_missing", "forged_event"]),
    ("The sequence of positions is ahead of the events", &["sequence_behind"]),
    ("No capture or dead letter is orphaned", &["orphaned_capture", "orphaned_failure"]),
];

const ROWS: &[(&str, &[&str])] =
    &[("Rows are what their streams say", &["row_differs", "row_outdated", "row_gone", "row_unknown", "rows_unread"])];

const PERFORMANCE: &[(&str, &[&str])] = &[
    ("Size and growth are within limits", &["table_large", "growth_fast", "event_large"]),
    ("No stream is too long or too busy", &["stream_long", "stream_busy"]),
    ("Payloads are small", &["payload_large"]),
    ("Indexes are dense and used", &["index_bloated", "index_unused", "index_invalid"]),
    ("Vacuum keeps up", &["autovacuum_off", "vacuum_late", "xid_age"]),
    ("Positions will last", &["sequence_low"]),
    ("No transaction holds readers back", &["transaction_old", "prepared_transaction_old", "readers_held_back"]),
];

/// Colours on stdout, if it is a terminal that wants them.
#[derive(Debug, Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// `NO_COLOR` and a terminal without capabilities turn colours off.
    pub fn stdout() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        Self(std::io::stdout().is_terminal() && !no_color && !dumb)
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    /// A mark by severity: `ok`, `error`, `warning` or `info`.
    pub fn mark(self, severity: &str) -> String {
        let (mark, color) = match severity {
            "ok" => ("✓", AnsiColor::Green),
            "error" => ("✗", AnsiColor::Red),
            "warning" => ("!", AnsiColor::Yellow),
            _ => ("i", AnsiColor::Cyan),
        };
        self.paint(Style::new().bold().fg_color(Some(color.into())), mark)
    }
}

/// Prints the whole report.
pub fn print(report: &Report, out: &Output) -> Result<(), Error> {
    let paint = Paint::stdout();
    out.styled(paint.bold("Domain Events Health Monitor"))?;
    out.line("============================")?;
    out.line(format!(
        "{} (PostgreSQL {}{}), {} engine {}, as {}, {}",
        report.database,
        report.server_version.split(' ').next().unwrap_or_default(),
        if report.standby { ", standby" } else { "" },
        report.engine,
        report.version,
        report.role,
        report.checked_at
    ))?;
    if let Some(check) = &report.infrastructure {
        section("Infrastructure", check, INFRASTRUCTURE, paint, out)?;
    }
    if let Some(integrity) = &report.integrity {
        section("Integrity", &integrity.check, INTEGRITY, paint, out)?;
        let how = match (integrity.mode, integrity.verified_position) {
            ("full", _) => "every event was read",
            (_, Some(_)) => "read was what came since the last run",
            (_, None) => "every event was read, and a standby or a read-only database remembers nothing",
        };
        out.styled(format!("  {} {how}, {:.2} s", paint.mark("info"), integrity.check.seconds))?;
    }
    if let Some(check) = &report.rows {
        section("Rows", check, ROWS, paint, out)?;
        out.styled(format!(
            "  {} captured tables were compared with their streams, {:.2} s",
            paint.mark("info"),
            check.seconds
        ))?;
    }
    if let Some(check) = &report.performance {
        section("Performance", check, PERFORMANCE, paint, out)?;
        table_statistics(report, out)?;
    }
    if report.all_stats {
        statistics(report, paint, out)?;
    }
    if let Some(failures) = &report.failures {
        dead_letters(failures, paint, out)?;
    }
    if let Some(projections) = &report.projections {
        heading("Projections", paint, out)?;
        out.styled(format!("  {} not available: {}", paint.mark("info"), in_line(projections.reason)))?;
    }
    if report.is_full {
        heading("Time", paint, out)?;
        for timing in &report.timings {
            out.styled(format!("  {} {:.2} s  {}", paint.mark("info"), timing.seconds, in_line(&timing.section)))?;
        }
    }
    if let Some(alerts) = &report.alerts {
        heading("Alerts", paint, out)?;
        out.line(format!("  {} new", alerts.len()))?;
        for alert in alerts {
            out.line(format!("    {} {} {} {}", alert.alert_id, alert.source, alert.code, alert.object))?;
        }
    }
    out.line("")?;
    if report.checks().next().is_none() {
        return Ok(());
    }
    let (errors, warnings) = (report.count("error"), report.count("warning"));
    let verdict = match (errors, warnings) {
        (0, 0) => format!("{} Health check complete: nothing found", paint.mark("ok")),
        (0, _) => format!("{} Health check complete: {warnings} warnings", paint.mark("warning")),
        _ => format!("{} Health check complete: {errors} errors, {warnings} warnings", paint.mark("error")),
    };
    out.styled(verdict)
}

fn heading(title: &str, paint: Paint, out: &Output) -> Result<(), Error> {
    out.styled(format!("\n{}", paint.bold(title)))
}

fn section(title: &str, check: &Check, topics: &[(&str, &[&str])], paint: Paint, out: &Output) -> Result<(), Error> {
    heading(title, paint, out)?;
    for (passed, codes) in topics {
        let found: Vec<_> = check.findings.iter().filter(|f| codes.contains(&f.code.as_str())).collect();
        if found.is_empty() {
            out.styled(format!("  {} {passed}", paint.mark("ok")))?;
        }
        for code in *codes {
            findings(found.iter().filter(|f| f.code == *code).copied(), paint, out)?;
        }
    }
    // a newer store may know more than this tool
    let known = |code: &str| topics.iter().any(|(_, codes)| codes.contains(&code));
    for finding in check.findings.iter().filter(|f| !known(&f.code)) {
        findings(std::iter::once(finding), paint, out)?;
    }
    Ok(())
}

fn findings<'a>(found: impl Iterator<Item = &'a Finding>, paint: Paint, out: &Output) -> Result<(), Error> {
    let found: Vec<_> = found.collect();
    for finding in found.iter().take(SHOWN) {
        out.styled(format!(
            "  {} {} {}: {}",
            paint.mark(&finding.severity),
            paint.bold(&in_line(&finding.code)),
            in_line(&finding.object),
            in_line(&finding.detail)
        ))?;
    }
    if found.len() > SHOWN {
        out.line(format!("    and {} more of {}", found.len() - SHOWN, found[0].code))?;
    }
    Ok(())
}

fn table_statistics(report: &Report, out: &Output) -> Result<(), Error> {
    let number = |name| report.metric(name, None);
    let about = |name: &str| {
        let estimated = |m: &super::Metric| m.metric == name && m.labels.get("estimated") == Some(&true.into());
        if report.stats.iter().flatten().any(estimated) { "about " } else { "" }
    };
    out.line("  Table statistics:")?;
    out.line(format!("   - Total events: {}{}", about("events"), grouped(number("events").unwrap_or_default())))?;
    if let Some(average) = number("payload_bytes_average") {
        out.line(format!("   - Average event size: {} bytes", grouped(average)))?;
    }
    if let Some(bytes) = number("bytes_per_event") {
        out.line(format!("   - Disk space per event, with indexes: {} bytes", grouped(bytes)))?;
    }
    if let (Some(first), Some(last)) = (number("first_event_timestamp_seconds"), number("last_event_timestamp_seconds"))
    {
        out.line(format!("   - Event date range: {} to {}", date(first), date(last)))?;
    }
    let is_day = |m: &&super::Metric| m.metric == "events_recent" && m.has(Some(("window", "24h")));
    let day = report.stats.iter().flatten().find(is_day);
    let bound = if day.is_some_and(|m| m.labels.get("estimated") == Some(&true.into())) { "at most " } else { "" };
    let day = day.map_or(0.0, |m| m.value);
    out.line("  Recent activity (last 24h):")?;
    out.line(format!("   - Events created: {bound}{}", grouped(day)))?;
    out.line(format!("   - Events per hour: {bound}{:.2}", day / 24.0))
}

fn statistics(report: &Report, paint: Paint, out: &Output) -> Result<(), Error> {
    heading("Statistics", paint, out)?;
    let rows = report.stats.iter().flatten().map(|m| {
        let labels: Vec<_> = m.labels.iter().map(|(k, v)| format!("{k}={}", text(v))).collect();
        let value = if m.value.fract() == 0.0 { grouped(m.value) } else { format!("{:.3}", m.value) };
        vec![m.metric.clone(), labels.join(" "), value, m.description.clone()]
    });
    out.table(&["metric", "labels", "value", "meaning"], rows)?;
    if let Some(types) = report.event_types.as_ref().filter(|t| !t.is_empty()) {
        out.styled(format!("\n{}", paint.bold("Most frequent of the newest events")))?;
        let row = |t: &TypeCount| vec![t.aggregate_type.clone(), t.event_type.clone(), grouped(t.events as f64)];
        out.table(&["aggregate type", "event type", "events"], types.iter().map(row))?;
    }
    Ok(())
}

fn dead_letters(failures: &Failures, paint: Paint, out: &Output) -> Result<(), Error> {
    heading("Failures", paint, out)?;
    if failures.pending == 0 {
        return out.styled(format!("  {} No dead letters wait", paint.mark("ok")));
    }
    out.styled(format!(
        "  {} {} dead letters wait for domain_events.retry_capture_failures()",
        paint.mark("warning"),
        grouped(failures.pending as f64)
    ))?;
    let rows = failures.newest.iter().map(|f| {
        vec![
            f.failure_id.to_string(),
            f.failed_at.clone(),
            f.table.clone(),
            f.operation.clone(),
            f.stream.clone(),
            f.error_code.clone(),
            f.retries.to_string(),
            f.error_message.clone(),
        ]
    });
    out.table(&["id", "failed", "table", "operation", "stream", "sqlstate", "retries", "message"], rows)
}

/// A label's value without the quotes of JSON.
pub fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// 1234567 as 1,234,567; fractions are cut off.
pub fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.trunc());
    let (sign, digits) = digits.strip_prefix('-').map_or(("", &digits[..]), |rest| ("-", rest));
    let mut grouped = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Seconds since 1970 as a date, by the civil calendar.
fn date(seconds: f64) -> String {
    let days = (seconds / 86_400.0).floor() as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0.0), "0");
        assert_eq!(grouped(999.9), "999");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(grouped(-1000.0), "-1,000");
    }

    #[test]
    fn seconds_become_dates() {
        assert_eq!(date(0.0), "1970-01-01");
        assert_eq!(date(951_782_400.0), "2000-02-29");
        assert_eq!(date(1_758_024_300.0), "2025-09-16");
    }
}
