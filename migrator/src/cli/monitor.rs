//! `monitor`.

use clap::{Args, ValueEnum};

/// From which severity on a finding makes the exit code 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Warnings and errors
    Warn,
    /// Errors only
    Error,
}

/// Arguments of `monitor`.
#[derive(Debug, Args)]
pub struct MonitorArgs {
    /// Check versions, order and origin of the events
    #[arg(long)]
    pub check_integrity: bool,
    /// Check size, growth, streams, payloads, indexes, vacuum and open transactions
    #[arg(long)]
    pub check_performance: bool,
    /// Check functions, triggers, privileges, engine, captures and ported triggers
    #[arg(long)]
    pub check_infrastructure: bool,
    /// Only streams of this type; its events are then read in full
    #[arg(long, value_name = "TYPE")]
    pub aggregate_type: Option<String>,
    /// Read every event, not only the new ones, and compare the rows of captured tables with their streams
    ///
    /// Of each table up to 100,000 rows and streams are compared, as its owner: the threshold checked_rows.
    #[arg(long)]
    pub full: bool,
    /// Show all statistics
    #[arg(long)]
    pub stats: bool,
    /// Show the dead letters: events that could not be stored
    #[arg(long)]
    pub failures: bool,
    /// Show projections, where the store has them
    #[arg(long)]
    pub projections: bool,
    /// Write new findings into domain_events.alerts and notify channel domain_events_alerts
    ///
    /// Each finding once, when it appears; when it is gone its alert is resolved. Not possible on a standby.
    #[arg(long)]
    pub alert: bool,
    /// A live screen: rates, lag, newest events
    #[arg(long, conflicts_with_all = ["full", "stats", "failures", "projections", "alert"])]
    pub watch: bool,
    /// Seconds between two refreshes of --watch
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub interval: u32,
    /// End --watch after so many refreshes [default: never]
    #[arg(long, value_name = "COUNT", requires = "watch", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Which findings make exit code 3
    #[arg(long, value_enum, value_name = "SEVERITY", default_value = "warn")]
    pub fail_on: FailOn,
}
