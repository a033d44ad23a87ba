//! `import`: tables and events of MySQL and MariaDB, live or from a dump, into PostgreSQL.
//!
//! Rows are read one by one and sent by COPY in batches; each batch is one transaction that also notes how far the import
//! came, so that a run that was killed goes on where it stopped. Memory is that of one batch. A row that cannot be imported
//! goes to the reject file with its line and the reason. Events keep their ids, versions and times, in positions that were
//! reserved for them; counts and checksums of every stream are compared in the end.

pub mod batch;
pub mod checksum;
pub mod encode;
pub mod event;
pub mod events;
pub mod generated;
pub mod journal;
pub mod json;
pub mod legacy;
pub mod loader;
pub mod record;
pub mod rejects;
pub mod rows;
pub mod source;
pub mod store;
pub mod table;
pub mod versions;

use std::path::PathBuf;

use serde::Serialize;

use encode::ZeroDates;

/// What to import, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tables to make.
    pub tables: Vec<String>,
    /// Their rows are left behind.
    pub no_rows: bool,
    /// Primary and unique keys are built before the rows.
    pub keys_first: bool,
    /// The event table.
    pub events: Option<String>,
    /// `(legacy column, store column)`
    pub map: Vec<(String, String)>,
    /// Type of every stream where no column tells it.
    pub constant_type: Option<String>,
    /// Versions are numbered anew.
    pub repair_versions: bool,
    /// The legacy columns are kept, under a view of the old name.
    pub view: bool,
    /// Schema of tables and view.
    pub schema: String,
    /// Rows of a batch.
    pub batch_size: usize,
    /// The reject file.
    pub rejects: PathBuf,
    /// What becomes of 0000-00-00.
    pub zero_dates: ZeroDates,
    /// Zone of times without one.
    pub time_zone: String,
    /// How long to wait for a lock.
    pub lock_timeout: u32,
}

/// What became of a table.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// The table in the source.
    pub source: String,
    /// Where it went.
    pub target: String,
    /// Rows of the source.
    pub rows: u64,
    /// Rows stored.
    pub stored: u64,
    /// Rows rejected.
    pub rejected: u64,
    /// Streams, for events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<u64>,
    /// Events whose version was repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repaired: Option<u64>,
    /// Whether counts and checksums agree.
    pub verified: bool,
    /// It was imported by an earlier run.
    pub already: bool,
    /// What is different from the source, each a sentence.
    pub notes: Vec<String>,
}
