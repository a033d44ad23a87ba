//! The traps: what must hold whatever the users, their triggers, sessions and schemas do. Each test is named after its trap.

mod attached;
mod bulk;
mod circumstances;
mod circumstances_sessions;
mod context;
mod ddl;
mod dumpable;

mod encoding;
mod history;
mod letters;
mod moves;
mod names;
mod nested;
mod order;
mod origin;
mod partitions;
mod renames;
mod restored;
mod rewrite;
mod secrets;
mod security;
mod settings;
mod shapes;
mod squatters;
mod surroundings;
mod unseen;
mod values;
mod virtual_columns;
