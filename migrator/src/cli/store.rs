//! `install`, `uninstall`, `status`.

use clap::{Args, ValueEnum};

use super::{ConfirmArgs, LockArgs};
use crate::store::Engine;

/// An index of the store that not every application needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Index {
    /// correlation_id: the events of one business operation
    Correlation,
    /// recorded_at (BRIN): the events of a time
    Time,
    /// event_type: the events of one type
    Type,
}

/// Arguments of `install`.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Which engine [default: native if the server offers it and the role may create it, else portable]
    #[arg(long, value_enum, value_name = "ENGINE")]
    pub engine: Option<Engine>,
    /// Build indexes that not every application needs, separated by commas
    ///
    /// With CREATE INDEX CONCURRENTLY: nobody waits. What is there is left alone, so that it can be asked for at any time later.
    /// A dump of the native engine does not hold them: run it again after a restore.
    #[arg(long = "index", value_enum, value_name = "INDEX", value_delimiter = ',')]
    pub indexes: Vec<Index>,
    /// Print the SQL and run nothing
    ///
    /// Looks at the database in a READ ONLY transaction. Exits 3 when there is something to install, 0 otherwise.
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

/// Arguments of `uninstall`.
#[derive(Debug, Args)]
pub struct UninstallArgs {
    /// Keep table domain_events.events with its rows
    ///
    /// Everything else goes. The table stays append-only; its rows are read with plain SQL. The way back is install: it takes
    /// the kept events over, and their versions go on.
    #[arg(long, conflicts_with = "drop_events")]
    pub keep_events: bool,
    /// Drop the events too, for ever
    #[arg(long)]
    pub drop_events: bool,
    /// Print the SQL and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Consent
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {}
