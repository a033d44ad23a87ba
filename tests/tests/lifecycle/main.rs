//! Installing, switching engines, dumping and restoring, dropping.

mod drop;
mod dump;
mod hostile;
mod install;
mod owners;
mod replication;
mod restore;
mod switch;
