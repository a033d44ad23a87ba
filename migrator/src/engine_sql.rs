//! The portable engine, embedded: the files of `sql/` in the order of `sql/install.sql`.

include!(concat!(env!("OUT_DIR"), "/engine_sql.rs"));

/// The version that this tool installs.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The name of the extension that carries the native engine.
pub const EXTENSION: &str = "pg_domain_events";
/// The one schema of both engines.
pub const SCHEMA: &str = "domain_events";
