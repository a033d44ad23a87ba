//! What `monitor` knows of a store, and how it is shown.

pub mod prometheus;
pub mod read;
pub mod rows;
pub mod screen;
pub mod watch;

use std::time::Instant;

use serde::Serialize;

use crate::cli::FailOn;
use crate::error::Exit;

/// One finding of a check, as its SQL function gives it.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Stable code.
    pub code: String,
    /// `error`, `warning` or `info`.
    pub severity: String,
    /// Stream, table, function or role.
    pub object: String,
    /// What is wrong, for people.
    pub detail: String,
    /// What was measured, where the check has a threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The threshold that the value exceeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

/// One of the three checks.
#[derive(Debug, Serialize)]
pub struct Check {
    /// How long the server took.
    pub seconds: f64,
    /// What it found.
    pub findings: Vec<Finding>,
}

/// The check of the events.
#[derive(Debug, Serialize)]
pub struct Integrity {
    /// `full` or `incremental`.
    pub mode: &'static str,
    /// Every event up to here is verified, as the store remembers.
    pub verified_position: Option<i64>,
    /// The findings.
    #[serde(flatten)]
    pub check: Check,
}

/// One number of `domain_events.stats()`.
#[derive(Debug, Clone, Serialize)]
pub struct Metric {
    /// Its name, without the prefix.
    pub metric: String,
    /// Its labels.
    pub labels: serde_json::Map<String, serde_json::Value>,
    /// Its value.
    pub value: f64,
    /// `gauge`, `counter` or `summary`.
    pub kind: String,
    /// What it says.
    pub description: String,
}

/// How many events of one type there are among the newest.
#[derive(Debug, Serialize)]
pub struct TypeCount {
    /// Aggregate type.
    pub aggregate_type: String,
    /// Event type.
    pub event_type: String,
    /// Events.
    pub events: i64,
}

/// The dead letters.
#[derive(Debug, Serialize)]
pub struct Failures {
    /// How many wait.
    pub pending: i64,
    /// The newest of them.
    pub newest: Vec<Failure>,
}

/// A dead letter, without its data.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// Its number.
    pub failure_id: i64,
    /// When it failed.
    pub failed_at: String,
    /// The captured table.
    pub table: String,
    /// INSERT, UPDATE, DELETE or TRUNCATE.
    pub operation: String,
    /// The stream.
    pub stream: String,
    /// SQLSTATE.
    pub error_code: String,
    /// The message.
    pub error_message: String,
    /// How often it was tried again.
    pub retries: i32,
}

/// A section whose feature this store does not have.
#[derive(Debug, Serialize)]
pub struct Absent {
    /// Always false.
    pub available: bool,
    /// Why.
    pub reason: &'static str,
}

/// An alert that this run has raised.
#[derive(Debug, Serialize)]
pub struct Alert {
    /// Its number in domain_events.alerts.
    pub alert_id: i64,
    /// The check.
    pub source: String,
    /// The finding's code.
    pub code: String,
    /// What it is about.
    pub object: String,
}

/// Everything; the JSON document has these fields. A section that was not asked for is null.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When.
    pub checked_at: String,
    /// The database.
    pub database: String,
    /// The server's version.
    pub server_version: String,
    /// The role that looked.
    pub role: String,
    /// Whether the server is a standby.
    pub standby: bool,
    /// `native` or `portable`.
    pub engine: String,
    /// The store's version.
    pub version: String,
    /// Functions, triggers, privileges, captures.
    pub infrastructure: Option<Check>,
    /// The events.
    pub integrity: Option<Integrity>,
    /// The rows of captured tables, compared with their streams; by --full.
    pub rows: Option<Check>,
    /// Size and speed.
    pub performance: Option<Check>,
    /// The numbers.
    pub stats: Option<Vec<Metric>>,
    /// The most frequent event types.
    pub event_types: Option<Vec<TypeCount>>,
    /// Dead letters.
    pub failures: Option<Failures>,
    /// Projections.
    pub projections: Option<Absent>,
    /// Alerts raised by this run.
    pub alerts: Option<Vec<Alert>>,
    /// Where the time went, section by section, in their order; the last is all of it.
    pub timings: Vec<Timing>,
    /// Every event was asked for.
    #[serde(skip)]
    pub is_full: bool,
    /// All statistics are wanted, not only those of the screen's performance section.
    #[serde(skip)]
    pub all_stats: bool,
}

/// How long a section took.
#[derive(Debug, Clone, Serialize)]
pub struct Timing {
    /// Its name.
    pub section: String,
    /// Seconds of wall clock.
    pub seconds: f64,
}

impl Report {
    /// Notes what a section took, and begins the next.
    fn took(&mut self, section: &str, began: &mut Instant) {
        self.timings.push(Timing { section: section.into(), seconds: began.elapsed().as_secs_f64() });
        *began = Instant::now();
    }

    /// The checks that were made, with their names.
    pub fn checks(&self) -> impl Iterator<Item = (&'static str, &Check)> {
        [
            ("infrastructure", self.infrastructure.as_ref()),
            ("integrity", self.integrity.as_ref().map(|i| &i.check)),
            ("rows", self.rows.as_ref()),
            ("performance", self.performance.as_ref()),
        ]
        .into_iter()
        .filter_map(|(name, check)| Some((name, check?)))
    }

    /// Every finding with the name of its check.
    pub fn findings(&self) -> impl Iterator<Item = (&'static str, &Finding)> {
        self.checks().flat_map(|(name, check)| check.findings.iter().map(move |f| (name, f)))
    }

    /// How many findings have this severity.
    pub fn count(&self, severity: &str) -> usize {
        self.findings().filter(|(_, f)| f.severity == severity).count()
    }

    /// The exit code.
    pub fn exit(&self, fail_on: FailOn) -> Exit {
        exit(self.count("error"), self.count("warning"), fail_on)
    }

    /// A number by its name and one of its labels.
    pub fn metric(&self, name: &str, label: Option<(&str, &str)>) -> Option<f64> {
        self.stats.as_ref()?.iter().find(|m| m.metric == name && m.has(label)).map(|m| m.value)
    }
}

impl Metric {
    fn has(&self, label: Option<(&str, &str)>) -> bool {
        label.is_none_or(|(key, value)| self.labels.get(key).and_then(|v| v.as_str()) == Some(value))
    }
}

/// The exit code for so many errors and warnings.
pub fn exit(errors: usize, warnings: usize, fail_on: FailOn) -> Exit {
    match (errors, warnings, fail_on) {
        (0, 0, _) | (0, _, FailOn::Error) => Exit::Clean,
        _ => Exit::Pending,
    }
}
