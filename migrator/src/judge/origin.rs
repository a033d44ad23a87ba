//! Where a version comes from.

use serde::{Deserialize, Serialize};

use super::reads::Read;

/// A number or NULL; none where it is not known.
pub(super) type Known = Option<Option<i64>>;

/// The source of the version of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionSource {
    /// Nothing to judge: the statement writes no event.
    NotAnEvent,
    /// No version is written.
    None,
    /// A constant.
    Literal,
    /// A column of the row at hand.
    CopiedFromRow,
    /// A sequence or an identity column.
    Sequence,
    /// A BEFORE INSERT trigger of the event table.
    AssignedOnEventTable,
    /// max()+1 while the stream is held.
    MaxPlusOneLocked,
    /// Made at run time, or by something that cannot be read.
    Dynamic,
    /// max()+1, or count()+1, under no lock.
    MaxPlusOne,
}

impl VersionSource {
    /// As reports spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotAnEvent => "not_an_event",
            Self::None => "none",
            Self::Literal => "literal",
            Self::CopiedFromRow => "copied_from_row",
            Self::Sequence => "sequence",
            Self::AssignedOnEventTable => "assigned_on_event_table",
            Self::MaxPlusOneLocked => "max_plus_one_locked",
            Self::Dynamic => "dynamic",
            Self::MaxPlusOne => "max_plus_one",
        }
    }
}

/// A source with its proof.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// What it is.
    pub source: VersionSource,
    /// Why.
    pub reason: String,
    /// Whether `domain_events.next_aggregate_version` gives it.
    pub ported: bool,
    /// The constant, for a literal.
    pub literal: Option<String>,
    /// The queries for the newest version on the way.
    pub reads: Vec<Read>,
}

impl Origin {
    /// A source with a reason.
    pub fn new(source: VersionSource, reason: impl Into<String>) -> Self {
        Self { source, reason: reason.into(), ported: false, literal: None, reads: vec![] }
    }

    /// The one of several that decides, with what all of them read.
    pub(super) fn worst(origins: Vec<Origin>) -> Option<Self> {
        let reads: Vec<Read> = origins.iter().flat_map(|o| o.reads.clone()).collect();
        let worst = origins.into_iter().max_by_key(|o| (o.ported, o.source))?;
        Some(Self { reads, ..worst })
    }
}
