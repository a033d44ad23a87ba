//! The report in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Report;
use super::screen::text;
use crate::error::Error;
use crate::output::Output;
use crate::text::shown;

const PREFIX: &str = "domain_events_";

/// Names that dashboards of event-sourced applications expect, and why there may be no number.
const EXPECTED: [(&str, &str); 3] = [
    ("aggregate_snapshots_created_total", "this version of the store keeps no snapshots"),
    ("aggregate_operation_duration_seconds", "the server counts no function calls: set track_functions = all"),
    ("aggregate_concurrency_conflicts_total", "a refused append is rolled back and leaves no trace in the database"),
];

struct Family {
    kind: String,
    help: String,
    samples: Vec<String>,
}

/// Prints every metric, the number of findings by check, code and severity, and how long the checks took.
pub fn print(report: &Report, out: &Output) -> Result<(), Error> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut add = |name: &str, suffix: &str, kind: &str, help: &str, labels: &[(String, String)], value: f64| {
        let family = families.entry(format!("{PREFIX}{name}")).or_insert_with(|| Family {
            kind: kind.to_owned(),
            help: help.to_owned(),
            samples: Vec::new(),
        });
        family.samples.push(format!("{PREFIX}{name}{suffix}{} {value}", braces(labels)));
    };
    let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect::<Vec<_>>();

    add(
        "info",
        "",
        "gauge",
        "The store, always 1",
        &own(&[("engine", &report.engine), ("version", &report.version), ("database", &report.database)]),
        1.0,
    );
    for metric in report.stats.iter().flatten() {
        let labels: Vec<_> = metric.labels.iter().map(|(k, v)| (k.clone(), text(v))).collect();
        let (name, suffix) = match metric.kind.as_str() {
            "summary" => metric.metric.rfind('_').map_or((&metric.metric[..], ""), |at| metric.metric.split_at(at)),
            _ => (&metric.metric[..], ""),
        };
        add(name, suffix, &metric.kind, &metric.description, &labels, metric.value);
    }
    let mut counts: BTreeMap<(&str, &str, &str), f64> = BTreeMap::new();
    for (check, finding) in report.findings() {
        *counts.entry((check, &finding.code, &finding.severity)).or_default() += 1.0;
    }
    for ((check, code, severity), count) in counts {
        let labels = own(&[("check", check), ("code", code), ("severity", severity)]);
        add("findings", "", "gauge", "Findings of the checks", &labels, count);
    }
    for (name, check) in report.checks() {
        for severity in ["error", "warning"] {
            let count = check.findings.iter().filter(|f| f.severity == severity).count();
            let labels = own(&[("check", name), ("severity", severity)]);
            add("check_findings", "", "gauge", "Findings of a check; 0 when all is well", &labels, count as f64);
        }
        add("check_duration_seconds", "", "gauge", "How long the check took", &own(&[("check", name)]), check.seconds);
    }

    let mut page = String::new();
    for (name, family) in &families {
        // writing to a String cannot fail
        let _ = writeln!(page, "# HELP {name} {}\n# TYPE {name} {}", family.help, family.kind);
        for sample in &family.samples {
            let _ = writeln!(page, "{sample}");
        }
    }
    for (name, reason) in EXPECTED {
        if report.stats.is_some() && !families.contains_key(&format!("{PREFIX}{name}")) {
            let _ = writeln!(page, "# {PREFIX}{name} is not available: {reason}");
        }
    }
    out.line(page.trim_end())
}

fn braces(labels: &[(String, String)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<_> = labels
        .iter()
        .map(|(key, value)| {
            format!("{key}=\"{}\"", shown(value).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
        })
        .collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::braces;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(braces(&[]), "");
        assert_eq!(braces(&[("a".into(), "\u{1b}c".into())]), r#"{a="\\x1bc"}"#);
        assert_eq!(braces(&[("a".into(), "b\"c\\\n".into())]), r#"{a="b\"c\\\n"}"#);
    }
}
