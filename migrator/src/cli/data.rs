//! `repair`, `import`.

use std::path::PathBuf;

use clap::Args;

use super::{ConfirmArgs, LockArgs};
use crate::import::encode::ZeroDates;

/// Arguments of `repair`.
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// The repair to carry out, as written with --out
    #[arg(value_name = "FILE", conflicts_with_all = ["out", "tables", "type_column", "id_column", "version_column", "order_by", "reorder", "allow"])]
    pub file: Option<PathBuf>,
    /// Write a proposal to FILE
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Only this event table (repeatable) [default: every one that is registered or that scan finds, and the store]
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<String>,
    /// Its column with the aggregate's type [default: as scan finds it]
    #[arg(long, value_name = "COLUMN")]
    pub type_column: Option<String>,
    /// Its column with the aggregate's id; without --type-column the id alone names a stream
    #[arg(long, value_name = "COLUMN")]
    pub id_column: Option<String>,
    /// Its column with the version
    #[arg(long, value_name = "COLUMN")]
    pub version_column: Option<String>,
    /// The order in which its events happened (repeatable) [default: the column that a sequence counts, else the time]
    #[arg(long, value_name = "COLUMN")]
    pub order_by: Vec<String>,
    /// Renumber also streams that only contradict that order
    #[arg(long)]
    pub reorder: bool,
    /// Renumber although this trigger or column speaks against it (repeatable)
    #[arg(long, value_name = "NAME")]
    pub allow: Vec<String>,
    /// Events in one transaction; a longer stream is one by itself
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch_size: u32,
    /// Build the missing unique key over stream and version, with CREATE UNIQUE INDEX CONCURRENTLY
    ///
    /// Writers that still hardcode a version fail from then on: port them at once, with plan and apply.
    #[arg(long, conflicts_with = "out")]
    pub add_key: bool,
    /// Set the store's sequences forward, where they are behind: that of the positions, and those that number its own rows
    ///
    /// After a restore, a switch-over or a setval() every write fails or becomes a dead letter until then (sequence_behind). It waits for
    /// the transactions that have drawn positions, and is never set back.
    #[arg(long, conflicts_with_all = ["file", "out", "tables", "add_key"])]
    pub sequence: bool,
    /// Compare FILE with the database in a READ ONLY transaction, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Consent
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The source: mysql://USER:PASSWORD@HOST:PORT/DATABASE (?socket= for a socket), or the file of a dump
    #[arg(long, value_name = "URL|FILE")]
    pub from: String,
    /// Tables to make and load, separated by commas
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    pub tables: Vec<String>,
    /// Make the tables, leave their rows behind
    #[arg(long, requires = "tables")]
    pub no_rows: bool,
    /// Build primary and unique keys of tables before their rows: slower, and rows that contradict them are rejected
    #[arg(long, requires = "tables")]
    pub keys_first: bool,
    /// The table whose rows become events of the store
    #[arg(long, value_name = "TABLE")]
    pub events: Option<String>,
    /// What a column of the event table is in the store (repeatable) [default: by its name]
    ///
    /// STORE is aggregate_type, aggregate_id, aggregate_version, event_id, event_type, event_name, event_data (several columns become
    /// its keys), metadata, correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at, or - for none of them.
    #[arg(long, value_name = "COLUMN=STORE", value_parser = parse_mapping, requires = "events")]
    pub map: Vec<(String, String)>,
    /// Type of every stream, where no column tells it
    #[arg(long = "type", value_name = "NAME", requires = "events")]
    pub aggregate_type: Option<String>,
    /// Number the versions of every stream 1, 2, 3 .. in the order of the rows
    ///
    /// Without it, wrong versions are reported and nothing is imported. An event that is rejected leaves no gap with it; without it,
    /// the later events of its stream are rejected too.
    #[arg(long, requires = "events")]
    pub repair_versions: bool,
    /// Leave behind what the store has no column for, and make no view of the old name
    #[arg(long, requires = "events")]
    pub no_view: bool,
    /// Schema of the tables and the view
    #[arg(long, value_name = "NAME", default_value = "public")]
    pub schema: String,
    /// Rows in one transaction
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch_size: u32,
    /// Where rejected rows go, one JSON object a line; with several tables, one file each
    #[arg(long, value_name = "FILE", default_value = "rejects.jsonl")]
    pub rejects: PathBuf,
    /// What becomes of dates like 0000-00-00
    #[arg(long, value_enum, value_name = "WHAT", default_value = "reject")]
    pub zero_dates: ZeroDates,
    /// Time zone of DATETIME values that become times of events, and of TIMESTAMP values in a dump that names none
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub time_zone: String,
    /// Consent
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    /// How long to wait for locks
    #[command(flatten)]
    pub lock: LockArgs,
}

fn parse_mapping(text: &str) -> Result<(String, String), String> {
    let (column, store) = text.split_once('=').ok_or("expected COLUMN=STORE, for example user_id=caused_by")?;
    if column.is_empty() || store.is_empty() {
        return Err("a column's name is empty".into());
    }
    Ok((column.to_owned(), store.to_owned()))
}
