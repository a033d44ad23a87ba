//! One verb per file.

pub mod apply;
pub mod capture;
pub mod completions;
mod findings;
pub mod from;
pub mod import;
mod indexes;
pub mod install;
mod kept;
pub mod man;
pub mod monitor;
pub mod plan;
pub mod repair;
pub mod rollback;
pub mod scan;
mod sequence;
pub mod status;
pub mod tail;
mod treats;
pub mod uninstall;
pub mod verify;
