//! Every error the native engine raises itself, with its SQLSTATE, detail and hint in one place.
//!
//! Messages and codes are those of the portable engine. Errors of Postgres or of a user's own objects never become one
//! of these: they travel as they are (see `pg::guard`).

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode};

#[derive(Debug)]
pub enum Error {
    NullArgument {
        name: &'static str,
        hint: &'static str,
    },
    BadArgument {
        message: String,
        hint: String,
    },
    BadElement {
        message: String,
        detail: String,
        hint: &'static str,
    },
    WrongVersion {
        aggregate_type: String,
        aggregate_id: String,
        expected: i64,
        actual: i64,
    },
    OtherContent {
        event_id: String,
        detail: String,
    },
    PartOfBatch {
        stored: usize,
        given: usize,
    },
    ReadOnly,
    ParallelWorker,
    NotInstalled {
        object: String,
    },
    /// The store's own objects are not what they were when it was installed.
    StoreAltered {
        object: String,
        detail: String,
    },
    /// The SQL objects are of a later version than this library.
    OldLibrary {
        version: String,
    },
    NotATrigger {
        message: String,
    },
    TooLarge {
        message: String,
    },
    StoreContended {
        aggregate_type: String,
        aggregate_id: String,
    },
    /// A unique violation of the store that is nobody's but its own.
    PositionTaken {
        position: Option<i64>,
    },
    /// An INSERT that inserted nothing.
    NotStored,
    OutOfMemory {
        bytes: usize,
    },
    HasEvents,
    NullIdentity,
    /// The stream's newest event has the last version there is.
    NoVersionLeft,
    /// What was read with the transaction's snapshot is older than what is there.
    StaleSnapshot {
        object: &'static str,
    },
    Internal(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn bad(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::BadArgument { message: message.into(), hint: hint.into() }
    }

    fn code(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode::*;
        match self {
            Error::NullArgument { .. } | Error::NullIdentity => ERRCODE_NULL_VALUE_NOT_ALLOWED,
            Error::BadArgument { .. } | Error::BadElement { .. } => ERRCODE_INVALID_PARAMETER_VALUE,
            Error::WrongVersion { .. } => ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION,
            Error::OtherContent { .. } | Error::PartOfBatch { .. } => ERRCODE_UNIQUE_VIOLATION,
            Error::ReadOnly => ERRCODE_READ_ONLY_SQL_TRANSACTION,
            Error::ParallelWorker => ERRCODE_INVALID_TRANSACTION_STATE,
            Error::NotInstalled { .. }
            | Error::StoreAltered { .. }
            | Error::OldLibrary { .. }
            | Error::PositionTaken { .. }
            | Error::NotStored => ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Error::OutOfMemory { .. } => ERRCODE_OUT_OF_MEMORY,
            Error::NotATrigger { .. } => ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
            Error::TooLarge { .. } => ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            Error::StoreContended { .. } | Error::StaleSnapshot { .. } => ERRCODE_T_R_SERIALIZATION_FAILURE,
            Error::HasEvents => ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST,
            Error::NoVersionLeft => ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
            Error::Internal(_) => ERRCODE_INTERNAL_ERROR,
        }
    }

    fn message(&self) -> String {
        match self {
            Error::NullArgument { name, .. } => format!("{name} must not be null"),
            Error::BadArgument { message, .. }
            | Error::BadElement { message, .. }
            | Error::NotATrigger { message }
            | Error::TooLarge { message }
            | Error::Internal(message) => message.clone(),
            Error::WrongVersion { aggregate_type, aggregate_id, .. } => {
                format!("stream ({aggregate_type}, {aggregate_id}) is not at the expected version")
            }
            Error::OtherContent { event_id, .. } => {
                format!("event_id {event_id} is already stored with other content")
            }
            Error::PartOfBatch { stored, given } => {
                format!("the batch is stored in part: {stored} of its {given} events")
            }
            Error::ReadOnly => "a version cannot be assigned in a read-only transaction".into(),
            Error::ParallelWorker => "events cannot be written by a parallel worker".into(),
            Error::NotInstalled { object } => format!("{object} does not exist"),
            Error::StoreAltered { object, .. } => format!("{object} is not as it was installed"),
            Error::OldLibrary { version } => format!(
                "the library of pg_domain_events is of version {}, the store's SQL objects of {version}",
                env!("CARGO_PKG_VERSION")
            ),
            Error::StoreContended { aggregate_type, aggregate_id } => {
                format!("could not serialize access to stream ({aggregate_type}, {aggregate_id})")
            }
            Error::StaleSnapshot { object } => {
                format!("could not serialize access: {object} changed after the transaction began")
            }
            Error::PositionTaken { .. } => "the position sequence is behind the events".into(),
            Error::NotStored => "something on domain_events.events keeps events from being stored".into(),
            Error::OutOfMemory { .. } => "out of memory".into(),
            Error::NullIdentity => "a column of the aggregate id is null".into(),
            Error::NoVersionLeft => "bigint out of range: the stream has no version left".into(),
            Error::HasEvents => "the event store holds events and is not dropped".into(),
        }
    }

    fn detail(&mut self) -> Option<String> {
        match self {
            Error::WrongVersion { expected, actual, .. } => Some(format!("expected {expected}, actual {actual}")),
            Error::BadElement { detail, .. }
            | Error::OtherContent { detail, .. }
            | Error::StoreAltered { detail, .. } => Some(std::mem::take(detail)),
            Error::PositionTaken { position: Some(position) } => {
                Some(format!("Position {position} was drawn, which is taken or not above the stream's last."))
            }
            Error::NotStored => {
                Some("Its INSERT raised no error and stored nothing: a trigger, a rule or a policy.".into())
            }
            Error::OutOfMemory { bytes } => Some(format!("Failed on request of size {bytes}.")),
            Error::StoreContended { .. } => {
                Some("A writer that takes no lock of the store kept winning the next version.".into())
            }
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::NullArgument { hint, .. } | Error::BadElement { hint, .. } => hint,
            Error::NullIdentity => "Capture by columns that are not null: enable_capture(.., aggregate_id => ..).",
            Error::BadArgument { hint, .. } => hint.as_str(),
            Error::WrongVersion { .. } => "Read the stream again and decide anew.",
            Error::OtherContent { .. } => "Use a new event_id for a new event; repeat an append unchanged.",
            Error::PartOfBatch { .. } => "Repeat a batch unchanged, or use new event ids.",
            Error::ReadOnly => "Use a read-write transaction on the primary server.",
            Error::ParallelWorker => "Call the function outside of a parallel plan.",
            Error::NotInstalled { .. } => "Reinstall the event store: domain-events install.",
            Error::StoreAltered { .. } => "Undo the change: the native engine counts on what was installed.",
            Error::OldLibrary { .. } => {
                "Put the library of that version on the server (docs/install.md) and connect anew: a session keeps the one that it has loaded."
            }
            Error::NotATrigger { .. } => {
                "Captures are made by domain_events.enable_capture(), their functions serve no other use."
            }
            Error::TooLarge { .. } => "Exclude the large columns from the capture.",
            Error::StoreContended { .. } | Error::StaleSnapshot { .. } => "Repeat the transaction.",
            Error::NoVersionLeft => "An event of that version was forged: domain_events.check_integrity().",
            Error::PositionTaken { .. } => {
                "Run: select setval('domain_events.events_global_position_seq', (select max(global_position) from domain_events.events));"
            }
            Error::NotStored => "Drop what was added to the table; see \\d domain_events.events.",
            Error::OutOfMemory { .. } => "Write smaller values, or exclude large columns from the capture.",
            Error::HasEvents => {
                "Run \"domain-events uninstall --keep-events\" or \"domain-events uninstall --drop-events\"."
            }
            Error::Internal(_) => "This is a bug of pg_domain_events; please report it.",
        };
        Some(hint.to_owned())
    }

    /// SQLSTATE and message.
    pub fn describe(&self) -> (String, String) {
        let code = self.code() as i32;
        // Five characters of six bits each.
        let state = (0..5).map(|i| char::from((((code >> (6 * i)) & 0x3f) as u8) + b'0')).collect();
        (state, self.message())
    }

    /// Raises the error. Never returns; the panic it starts becomes an ordinary ERROR at the entry point.
    #[track_caller]
    pub fn raise(mut self) -> ! {
        let mut report = ErrorReport::new(self.code(), self.message(), "pg_domain_events");
        if let Some(detail) = self.detail() {
            report = report.set_detail(detail);
        }
        if let Some(hint) = self.hint() {
            report = report.set_hint(hint);
        }
        report.report(PgLogLevel::ERROR);
        unreachable!("an ERROR does not return")
    }
}
