//! The contract, function by function, on both engines.

mod store;
