//! Reading a database into a [`Catalogue`]: from a server, a dump, migrations.

pub mod encoding;
pub mod files;
pub mod folder;
pub mod languages;
mod offline;
mod read;
pub(crate) mod types;

pub(crate) use offline::Statements;
pub(crate) use offline::undo;
pub use offline::{MISSING, Problem, Taken, fold_into, from_files, from_sql, without_included};
pub(crate) use read::{FUNCTION_FINGERPRINT, TABLE_FINGERPRINT, TRIGGER_FINGERPRINT};
pub use read::{read, read_in_transaction};

pub use crate::catalogue::{Catalogue, Column, Function, Key, RegisteredTable, Relation, Rule, Store, Treat, Trigger};
