//! MySQL's triggers and functions beside what they are translated to: MariaDB runs the one, PostgreSQL the other.

mod server;
