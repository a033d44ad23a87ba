//! The front end for MySQL and MariaDB: their schemas and stored programs are read into the trees of [`ast`].
//!
//! Nothing here connects to PostgreSQL or judges: what is read is translated to PostgreSQL's text and judged as such.

pub mod ast;
pub mod translate;
