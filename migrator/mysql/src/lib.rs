//! The front end for MySQL and MariaDB: their schemas and stored programs are read into the trees of [`ast`].
//!
//! Nothing here connects or judges, as Cargo.toml shows: what is read is translated to PostgreSQL's text, and judged as such
//! by who asks.

pub mod ast;
pub mod ddl;
pub mod dialect;
pub mod dump;
pub mod leaf;
pub mod lexer;
pub mod parser;
pub mod portable;
pub mod schema;
pub mod source;
pub mod translate;
pub mod types;
pub mod walk;
