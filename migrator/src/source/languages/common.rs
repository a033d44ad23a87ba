//! What all files of a source have in common.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::given::Name;

/// What all files of a source have in common.
#[derive(Debug, Default, Clone)]
pub struct Common {
    /// Django's models, by application and name.
    pub models: HashMap<(String, String), Model>,
    /// Tables that code made.
    pub tables: HashSet<Name>,
    /// Files whose text is judged where another runs it.
    pub included: HashSet<PathBuf>,
    /// Files that are read on their own.
    pub own_turn: HashSet<PathBuf>,
}

/// A model of Django.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Its table.
    pub table: String,
    /// Its columns, by their fields.
    pub columns: HashMap<String, String>,
}
