//! Installing, switching engines, dumping and restoring, dropping.

mod drop;
mod dump;
mod install;
mod replication;
mod switch;
