//! The contract, function by function, on both engines.

mod append;
mod append_batch;
mod append_only;
mod capture_admin;
mod capture_defaults;
mod capture_failures;
mod capture_identity;
mod command_cost;
mod concurrency;
mod first_change;
mod legacy_tables;
mod model;
mod store;
mod store_refuses;
