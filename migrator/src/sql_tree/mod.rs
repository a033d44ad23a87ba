//! PostgreSQL's text as trees: statements, the bodies of functions, and what only a newer server's grammar knows.

pub mod ast;
mod mend;
#[cfg(test)]
mod names;
pub mod newer;
pub mod plpgsql;
pub mod words;
