//! Where MySQL's tables and programs come from: a server, a dump, a directory of migrations. All give one [`Source`].

mod builtin;
mod detect;
mod drops;
mod fold;
mod missing;
mod tables;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

pub use builtin::is_builtin;
pub use detect::{Dialect, Marks, detect, of_path};
pub use fold::{Fold, SEVERAL_DATABASES};

use super::ast::{Name, Program, ProgramKind, Trigger};
use super::schema::{Schema, Table};

/// A MySQL or MariaDB schema as far as it was read.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// What wrote it; none if nothing tells.
    pub server: Option<Server>,
    /// Its database; none if the files name none.
    pub database: Option<String>,
    /// Tables.
    pub schema: Schema,
    /// Triggers, functions, procedures, events that still exist at the end, in the order in which they were made.
    pub programs: Vec<Sourced>,
    /// Tables that files dropped, and the file that did.
    pub dropped: BTreeMap<String, String>,
    /// Names of its views.
    pub views: Vec<String>,
    /// Statements of the files, or objects of a server.
    pub statements: usize,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// What programs use and the source does not hold.
    pub missing: Vec<Missing>,
}

/// The server that a schema comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// MariaDB: JSON is text there, in the order written.
    pub mariadb: bool,
    /// As it calls itself.
    pub version: String,
}

/// A program and where it was found.
#[derive(Debug, Clone)]
pub struct Sourced {
    /// The file, or the server's name.
    pub file: String,
    /// The database that it was made in, where that is known.
    pub database: Option<String>,
    /// Collation of the connection that made it: that of its string literals.
    pub collation: Option<String>,
    /// The program.
    pub program: Program,
    /// What perhaps dropped it.
    pub doubt: Option<Problem>,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Line in it; 0 if it is about the whole.
    pub line: u64,
    /// `trigger users_au`, `table users`; none if not known.
    pub object: Option<String>,
    /// Why, and what to do.
    pub reason: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        match &self.object {
            Some(object) => write!(f, ": {object}: {}", self.reason),
            None => write!(f, ": {}", self.reason),
        }
    }
}

/// What is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingKind {
    /// A stored function.
    Function,
    /// A stored procedure.
    Procedure,
    /// A table.
    Table,
}

/// Something that programs use and the source does not hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Missing {
    /// What.
    pub kind: MissingKind,
    /// Its name as written.
    pub name: String,
    /// The programs that use it.
    pub used_by: Vec<String>,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, remedy) = match self.kind {
            MissingKind::Function => ("function", "dump with --routines, or read the live database"),
            MissingKind::Procedure => ("procedure", "dump with --routines, or read the live database"),
            MissingKind::Table => ("table", "dump it too, or read the live database"),
        };
        write!(f, "{kind} {} is not in the source, but {} needs it: {remedy}", self.name, self.used_by.join(", "))
    }
}

impl Source {
    /// A table by name.
    pub fn table(&self, name: &Name) -> Option<&Table> {
        self.schema.table(&name.name)
    }

    /// Triggers with their heads.
    pub fn triggers(&self) -> impl Iterator<Item = (&Sourced, &Trigger)> {
        self.programs.iter().filter_map(|p| match &p.program.kind {
            ProgramKind::Trigger(trigger) => Some((p, trigger)),
            _ => None,
        })
    }

    /// A routine by name, as the servers compare them.
    pub fn routine(&self, name: &str, function: bool) -> Option<&Sourced> {
        self.programs.iter().find(|p| {
            let is = matches!(&p.program.kind, ProgramKind::Routine(r) if r.returns.is_some() == function);
            is && p.program.name.name.eq_ignore_ascii_case(name)
        })
    }
}

/// The word for what a program is.
pub fn kind_of(program: &Program) -> &'static str {
    match &program.kind {
        ProgramKind::Trigger(_) => "trigger",
        ProgramKind::Routine(routine) if routine.returns.is_some() => "function",
        ProgramKind::Routine(_) => "procedure",
        ProgramKind::Event => "event",
    }
}
