//! Throw-away PostgreSQL servers for the behaviour tests.
