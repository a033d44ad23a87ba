//! Installing, switching engines, dumping and restoring, dropping.

mod altered;
mod drop;
mod dump;
mod hostile;
mod install;
mod library;
mod other_server;
mod owners;
mod replica_role;
mod replication;
mod restore;
mod switch;
mod upgrade;
