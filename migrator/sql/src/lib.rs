//! PostgreSQL's text, for all that reads or writes it: names and literals, and how large and deep a text may be.

pub mod limits;
pub mod quote;
mod tokens;
