//! Rights: no user code runs with the rights of the store or of another user, and no lesser role gets past its own.

mod commands;
mod definers;
mod hostile;
mod journal;
mod left_behind;
mod legacy_keys;
mod names;
mod neighbours;
mod privileges;
mod readers;
mod renamed;
mod store_owner;
mod verbs;
mod waits;
