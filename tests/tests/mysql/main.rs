//! MySQL's triggers and functions beside what they are translated to: MariaDB runs the one, PostgreSQL the other.

mod corpus;
mod equivalence;
mod expressions;
mod port;
mod programs;
mod server;
mod sources;
mod table;
mod worlds;
