//! Everything that touches Postgres' memory. The only place with unsafe code; each resource has an owner that gives it
//! back, and everything outside works through these types.
#![allow(unsafe_code)]

pub mod cache;
pub mod call;
pub mod columns;
pub mod compound;
pub mod datum;
pub mod delegate;
pub mod entry;
pub mod fixed;
pub mod guard;
mod held;
pub mod image;
pub mod info;
pub mod input;
pub mod json;
pub mod lock;
pub mod marker;
pub mod memory;
pub mod random;
mod raw;
pub mod relation;
pub mod render;
pub mod reserve;
pub mod rows;
pub mod rules;
pub mod settings;
mod shape;
pub mod snapshot;
pub mod spi;
pub mod store;
pub mod stream;
pub mod subtransaction;
pub mod trigger;
pub mod tuple;
pub mod tuple_chain;
pub mod uuid;
mod version;
