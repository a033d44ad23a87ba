//! What both engines have to agree on, as `sql/` says it: `build.rs` reads it there.
//!
//! `column`: the columns of domain_events.events by number, from 1. Lengths in bytes. `PROPAGATES`: classes and codes of
//! domain_events._propagates().
include!(concat!(env!("OUT_DIR"), "/contract.rs"));
