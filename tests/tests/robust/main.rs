//! What comes at the store from outside, without aim: memory that runs short, arguments of every kind, the DDL of every day.

mod ddl;
mod functions;
mod memory;

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}
