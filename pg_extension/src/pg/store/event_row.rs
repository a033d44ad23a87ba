//! An event, before it is stored and as it is stored.

use pgrx::pg_sys::{self, Datum};

use crate::pg::datum::Text;
use crate::pg::stream::Stream;

/// A complete event but for position and transaction. Texts and JSON are datums of the current memory context.
pub struct EventRow<'a> {
    pub event_id: [u8; 16],
    /// The id may be stored already.
    pub has_own_id: bool,
    pub stream: Stream<'a>,
    pub version: i64,
    /// Position of the version before it: positions rise within a stream.
    pub after_position: i64,
    /// Not to be stored if others write to the store: see `Head::is_read_ahead`.
    pub is_guess: bool,
    pub event_type: Text<'a>,
    pub event_name: Option<Text<'a>>,
    pub event_data: Datum,
    pub metadata: Datum,
    pub correlation_id: Option<Text<'a>>,
    pub causation_id: Option<Text<'a>>,
    pub caused_by: Option<Text<'a>>,
    pub schema_version: i32,
    pub occurred_at: Option<i64>,
    pub recorded_at: i64,
    pub origin: Origin,
}

/// How an event came into the store: its last column.
#[derive(Clone, Copy, PartialEq)]
pub enum Origin {
    Captured,
    Appended,
}

impl Origin {
    /// As PostgreSQL stores a short text: the first byte says how long it is, itself included.
    const fn image(self) -> &'static [u8; 9] {
        match (self, cfg!(target_endian = "little")) {
            (Origin::Captured, true) => b"\x13captured",
            (Origin::Captured, false) => b"\x89captured",
            (Origin::Appended, true) => b"\x13appended",
            (Origin::Appended, false) => b"\x89appended",
        }
    }

    pub fn name(self) -> &'static [u8] {
        &self.image()[1..]
    }

    pub fn datum(self) -> Datum {
        Datum::from(self.image().as_ptr())
    }
}

/// A stored event as SQL sees it. Valid in the memory context it was made in.
#[derive(Clone, Copy)]
pub struct Stored {
    pub tuple: pg_sys::HeapTuple,
}
