//! What every verb gets.

use crate::output::Output;

/// What every verb gets: where the database is and how to speak.
#[derive(Debug)]
pub struct Context {
    /// `--database-url` or `DATABASE_URL`.
    pub database_url: Option<String>,
    /// Data goes to stdout, everything else to stderr.
    pub out: Output,
}
