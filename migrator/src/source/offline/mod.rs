//! Reading SQL files instead of a server: a `pg_dump -s`, or migrations folded in order. What a file does not hold (row
//! counts, who uses what) stays empty and is said to be missing; one broken statement is reported and does not stop the rest.

mod block;
mod fold;
mod given;
mod include;
mod later;
mod placeholders;
mod psql;
mod quotes;
mod routines;
mod script;
mod skip;
mod split;
mod state;
mod statements;
mod stream;
mod strings;
mod tables;
mod texts;
mod transactions;
mod uncertain;
pub(crate) mod undo;

pub use fold::Problem;
pub use include::without_included;
pub(crate) use split::Statements;

use super::languages::Given;
use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::files::Input;
use fold::Fold;

/// What no file tells, in words.
pub const MISSING: [&str; 5] = [
    "which tables the event store serves already",
    "which roles write the event tables, apart from grants",
    "functions of the server and of extensions",
    "settings of roles and sessions, the search_path among them",
    "rows: whether versions collide already is what `domain-events repair` finds on the server",
];

/// Folds files, in the order given, into a catalogue.
pub fn from_sql<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Catalogue, Vec<Problem>) {
    let mut fold = Fold::new();
    let mut problems = vec![];
    for (file, whole) in files {
        fold.begin_session();
        fold.text(file, whole, &mut problems);
    }
    fold.settle(&mut problems);
    (fold.finished(), problems)
}

/// A file that is read.
#[derive(Debug)]
pub enum Taken {
    /// One of SQL, of any size.
    Sql(Input),
    /// One in another language: its name, and what it gives.
    Given(String, Vec<Given>),
}

/// Folds files, one after the other.
pub fn from_files(files: impl IntoIterator<Item = Taken>) -> Result<(Catalogue, Vec<Problem>), Error> {
    let mut fold = Fold::new();
    let mut problems = vec![];
    for file in files {
        fold.begin_session();
        match file {
            Taken::Sql(input) => {
                let name = input.name.clone();
                fold.file(&name, input, &mut problems).map_err(|e| Error::io(name, e))?;
            }
            Taken::Given(name, given) => fold.given(&name, &given, &mut problems),
        }
    }
    fold.settle(&mut problems);
    Ok((fold.finished(), problems))
}

/// Folds statements into a catalogue that is there already; the first that cannot be read is the error.
pub fn fold_into(catalogue: &mut Catalogue, sql: &str) -> Result<(), String> {
    let ids = catalogue.relations.iter().map(|r| r.oid);
    let ids = ids.chain(catalogue.functions.iter().map(|f| f.oid)).chain(catalogue.triggers.iter().map(|t| t.oid));
    let next = ids.max().unwrap_or(1);
    let path = catalogue.search_path.clone();
    let catalogue_so_far = std::mem::take(catalogue);
    let mut fold = Fold { catalogue: catalogue_so_far, path, next, ..Fold::new() };
    let mut problems = vec![];
    fold.text("", sql, &mut problems);
    let unknown = fold.unknown_table();
    *catalogue = fold.catalogue;
    problems.into_iter().next().map(|problem| problem.reason).or(unknown).map_or(Ok(()), Err)
}
