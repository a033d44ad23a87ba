//! The comments by which the tool knows what it made in somebody's database.

/// First words on what an adoption puts in the place of a legacy table.
pub const ADOPTION: &str = "Adopted by the event store:";
/// First words on the function that assigns the versions of an event table.
pub const SHIM: &str = "Assigns the version of every event of";
/// Last words on a function that translated programs call, and on others that a person may take for their own.
pub use domain_events_mysql::translate::helpers::MARK as HELPER;
