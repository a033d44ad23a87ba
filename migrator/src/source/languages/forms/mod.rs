//! Tables that code makes, by the words of the libraries that make them.

mod builder;
mod django;
mod objects;
mod php;
mod python;
mod rails;
mod table;

pub use table::end;

use super::language::Language;
use super::state::Walk;
use super::value::{Called, Value};

/// Takes a call that makes or changes a table; what it gives, if it is one.
pub fn made<'t>(walk: &mut Walk<'_, 't>, called: &Called<'t>) -> Option<Value<'t>> {
    match called.on {
        Some(Value::Table(table)) => return builder::table(walk, table, called),
        Some(Value::Column(table, column)) => return builder::column(walk, table, column, called),
        _ => {}
    }
    match walk.language {
        Language::Ruby => rails::made(walk, called),
        Language::Python => django::made(walk, called).or_else(|| python::made(walk, called)),
        Language::JavaScript | Language::TypeScript => objects::made(walk, called),
        Language::Php => php::made(walk, called),
        Language::Prisma => None,
    }
}
