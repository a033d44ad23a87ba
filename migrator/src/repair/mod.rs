//! Repairing the versions of a legacy event table: what is wrong, a renumbering that a person can review, and carrying it
//! out batch by batch with a map from the old version to the new one.
//!
//! The order of the events is taken from the column that counts the inserts (or from one that is named), never from the
//! broken versions. After a repair every stream that it names counts 1, 2, 3 .. in that order.

mod carry;
mod choose;
mod examine;
mod file;
mod key;
mod map;
mod obstacles;
mod renumber;
mod sequence;
mod sql;
mod undo;

use serde::{Deserialize, Serialize};

use crate::engine_sql::EVENTS;

pub use carry::{Done, carry_out, check};
pub use choose::{Wanted, choose};
pub use examine::{Examined, Finding, examine};
pub use file::{Header, Repair, Table, check_out, open, write};
pub use key::add as add_key;
pub use obstacles::{Obstacle, refusal};
pub use renumber::has_stream_index;
pub use sequence::{Behind, advance, advance_counters, behind, counters_behind};
pub use undo::undo;

/// What the id of a repair begins with: it is a plan of the journal like any other, but taken back by the map.
pub const PREFIX: &str = "repair-";

/// A table of events, and how its rows are told apart and ordered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name, qualified and quoted.
    pub table: String,
    /// Column with the aggregate's type; none where the id alone names a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_column: Option<String>,
    /// Columns with the aggregate's id, with their types: one, or all columns of a stream that has more than a type and an id.
    pub id_columns: Vec<(String, String)>,
    /// Column with the version.
    pub version_column: String,
    /// Its type.
    pub version_type: String,
    /// Columns that name a row, with their types; empty if there are none.
    pub key: Vec<(String, String)>,
    /// Columns in whose order the events happened.
    pub order_by: Vec<String>,
    /// When an event happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_column: Option<String>,
    /// A number from a sequence, whose gaps tell of inserts that were lost or rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<String>,
    /// The unique key over exactly type, id and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
    /// Whether next_aggregate_version serves it.
    pub registered: bool,
}

impl Subject {
    /// The columns that name a stream.
    pub fn stream_columns(&self) -> Vec<String> {
        self.type_column.iter().chain(self.id_columns.iter().map(|(column, _)| column)).cloned().collect()
    }

    /// Whether it is the store itself.
    pub fn is_store(&self) -> bool {
        self.table == EVENTS
    }
}
