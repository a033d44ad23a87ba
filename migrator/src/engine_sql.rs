//! The portable engine, embedded: the files of `sql/` in the order of `sql/install.sql`.

include!(concat!(env!("OUT_DIR"), "/engine_sql.rs"));

/// Finds what of the schema is not as it was installed: object and problem.
pub const PROOF: &str = include_str!(concat!(env!("OUT_DIR"), "/proof.sql"));

/// The version that this tool installs.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The name of the extension that carries the native engine.
pub const EXTENSION: &str = "pg_domain_events";
/// The one schema of both engines.
pub const SCHEMA: &str = "domain_events";
/// Its table of events, which is examined like any other and never renumbered.
pub const EVENTS: &str = "domain_events.events";

/// Waits for those who write captured tables, and keeps them out until the transaction ends.
pub const WRITERS: &str = include_str!(concat!(env!("OUT_DIR"), "/writers.sql"));
