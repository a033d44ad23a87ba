//! The native engine of pg_domain_events: the portable engine's SQL, with its hot paths replaced.
//!
//! | module | role |
//! |---|---|
//! | `append` | versions, append_event |
//! | `batch` | append_events |
//! | `bytes` | memory whose size comes from data |
//! | `capture` | a row's change becomes an event |
//! | `context` | who and why, from the session's settings |
//! | `contract` | what both engines have to agree on, as `sql/` says it |
//! | `jsonb`, `numeric` | stored forms, written directly |
//! | `size` | how large an event is as text |
//! | `error` | every error with its SQLSTATE |
//! | `pg` | everything that touches Postgres; the only unsafe code |

mod append;
mod batch;
mod bytes;
mod capture;
mod context;
mod contract;
mod error;
mod jsonb;
mod numeric;
mod pg;
mod size;

pgrx::pg_module_magic!();

#[allow(non_snake_case)]
/// Called by the server when it loads the library.
#[pgrx::pg_guard]
pub extern "C-unwind" fn _PG_init() {
    pg::entry::register();
}

// The SQL surface: the portable engine's files as they are, in their order, then the step that makes them native.
include!(concat!(env!("OUT_DIR"), "/sql_files.rs"));
