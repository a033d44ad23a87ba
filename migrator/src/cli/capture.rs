//! `capture`.

use clap::{Args, Subcommand};

use super::{ConfirmArgs, LockArgs};

/// Arguments of `capture`.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct CaptureArgs {
    /// What to do
    #[command(subcommand)]
    pub action: CaptureAction,
}

/// What `capture` does.
#[derive(Debug, Subcommand)]
pub enum CaptureAction {
    /// From now on every change of the table is an event
    ///
    /// Only TABLE is needed: the type comes from its name, the id from its primary key, and all columns are captured. Writers wait
    /// at most --lock-timeout for the triggers; readers do not wait. Needs the role domain_events_admin and ownership of the table.
    Enable(Box<CaptureEnableArgs>),
    /// End the capture of a table, and forget how it was configured; its events stay
    ///
    /// Dropping the triggers locks out readers too, for at most --lock-timeout; --keep-triggers only disables them.
    Disable(CaptureDisableArgs),
    /// Stop making events for a table until resume
    ///
    /// For emergencies: it takes no lock on the table and waits for no writer. That it happened is an event.
    Pause(CaptureTableArgs),
    /// Make events again
    ///
    /// Waits for the transactions that write the table, at most --lock-timeout at a time. The next event of each stream carries
    /// the whole row.
    Resume(CaptureTableArgs),
    /// Show the captured tables and how each is captured
    List(CaptureListArgs),
}

/// Arguments of `capture enable`, named as those of `domain_events.enable_capture()`.
#[derive(Debug, Args)]
pub struct CaptureEnableArgs {
    /// The table: NAME where no other schema has one of that name, or SCHEMA.NAME
    #[arg(value_name = "TABLE")]
    pub table: String,
    /// Type of the table's streams [default: the singular of its name]
    #[arg(long, value_name = "NAME")]
    pub aggregate_type: Option<String>,
    /// Columns that identify an aggregate, separated by commas or repeated [default: the primary key]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub aggregate_id: Vec<String>,
    /// The only columns to capture [default: all]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', conflicts_with = "exclude")]
    pub include: Vec<String>,
    /// Columns that appear in no event and make none
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub exclude: Vec<String>,
    /// Columns whose values appear nowhere; that they changed does
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub redact: Vec<String>,
    /// Names for operations and changed columns, as JSON
    ///
    /// For example: [{"on":"update","when_changed":["email"],"type":"UserEmailChanged"}]
    #[arg(long, value_name = "JSON")]
    pub event_types: Option<String>,
    /// UserCreated or user.created
    #[arg(long, value_name = "STYLE", value_parser = ["pascal", "dotted"], default_value = "pascal", hide_possible_values = true)]
    pub event_name_style: String,
    /// What an update tells: the changed columns, or whole rows
    #[arg(long, value_name = "WHAT", value_parser = ["changes", "full"], default_value = "changes")]
    pub payload: String,
    /// What becomes of an event that cannot be stored: kept as a dead letter, or the writer's statement fails
    #[arg(long, value_name = "WHAT", value_parser = ["dead_letter", "abort"], default_value = "dead_letter")]
    pub on_failure: String,
    /// Rows that are there already: told with their first change, or now
    ///
    /// now stores an event such as OrderBaselined for each of them, in batches after the triggers are there, while writers go on. When it is
    /// interrupted, domain_events.baseline_capture() goes on.
    #[arg(long, value_name = "WHEN", value_parser = ["lazy", "now"], default_value = "lazy")]
    pub baseline: String,
    /// Whether rows that replication applies are captured too
    #[arg(long, value_name = "WHICH", value_parser = ["origin", "always"], default_value = "origin")]
    pub replication: String,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

/// Arguments of `capture disable`.
#[derive(Debug, Args)]
pub struct CaptureDisableArgs {
    /// The table
    #[arg(value_name = "TABLE")]
    pub table: String,
    /// Disable the triggers, drop them when the table is captured again or the store uninstalled: readers never wait
    #[arg(long)]
    pub keep_triggers: bool,
    /// Consent
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

/// Arguments of `capture pause` and `capture resume`.
#[derive(Debug, Args)]
pub struct CaptureTableArgs {
    /// The table
    #[arg(value_name = "TABLE")]
    pub table: String,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

/// Arguments of `capture list`.
#[derive(Debug, Args)]
pub struct CaptureListArgs {
    /// Only this table
    #[arg(value_name = "TABLE")]
    pub table: Option<String>,
}
