//! Exit codes and the one error type: what went wrong, where, and what to do.

use std::process::ExitCode;

use sqlx::postgres::PgDatabaseError;

/// Exit codes of the process; scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Nothing to do, or all done.
    Clean = 0,
    /// It failed.
    Error = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Findings, or changes are pending.
    Pending = 3,
    /// The database changed since the plan was made.
    Drift = 4,
    /// A lock could not be obtained.
    Locked = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Everything that ends a verb early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is wrong in a way that clap cannot see.
    #[error("{message}")]
    Usage {
        /// What is wrong, in words.
        message: String,
        /// What to do; empty where nothing helps.
        hint: String,
    },
    /// The tool refuses, with the SQLSTATE that the SQL surface would raise.
    #[error("{message}")]
    Refused {
        /// What is wrong, in words.
        message: String,
        /// As the SQL surface would raise it.
        sqlstate: &'static str,
        /// What to do; empty where nothing helps.
        hint: String,
    },
    /// The database is not what the plan was made from.
    #[error("{message}")]
    Drift {
        /// What is wrong, in words.
        message: String,
        /// What to do; empty where nothing helps.
        hint: String,
    },
    /// Another session holds what we need.
    #[error("{message}")]
    Locked {
        /// What is wrong, in words.
        message: String,
        /// What to do; empty where nothing helps.
        hint: String,
    },
    /// No connection.
    #[error("cannot connect to {target}: {reason}")]
    Connect {
        /// Host and database, without the password.
        target: String,
        /// What the driver or the server said.
        reason: String,
        /// What to do; empty where nothing helps.
        hint: String,
        /// Whether it may be over in a moment: a server that starts, a pooler without a free connection.
        is_passing: bool,
    },
    /// The server refused a statement, or the connection broke.
    #[error("{doing}: {}", server_message(.source))]
    Database {
        /// What was being done.
        doing: String,
        /// The cause.
        source: sqlx::Error,
    },
    /// A file that could not be read or written.
    #[error("{what}: {source}")]
    Io {
        /// Which file or row.
        what: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A file or a row that is not the JSON it should be.
    #[error("{what}: {source}")]
    Json {
        /// Which file or row.
        what: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// Writing to stdout failed.
    #[error("stdout: {0}")]
    Output(std::io::Error),
}

impl Error {
    /// A wrong command line: exit 2.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    /// A refusal with its SQLSTATE: exit 1.
    pub fn refused(sqlstate: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), sqlstate, hint: hint.into() }
    }

    /// A stale plan: exit 4.
    pub fn drift(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Drift { message: message.into(), hint: hint.into() }
    }

    /// A lock not obtained: exit 5.
    pub fn locked(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Locked { message: message.into(), hint: hint.into() }
    }

    /// A file that could not be read or written: exit 1.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    /// Malformed JSON: exit 1.
    pub fn json(what: impl Into<String>, source: serde_json::Error) -> Self {
        Self::Json { what: what.into(), source }
    }

    /// The exit code this error ends the process with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::Drift { .. } => Exit::Drift,
            Self::Locked { .. } => Exit::Locked,
            Self::Database { .. } if self.sqlstate().as_deref() == Some("55P03") => Exit::Locked,
            _ => Exit::Error,
        }
    }

    /// Whether the same may succeed in a moment: the server went away or comes up, or a standby had to give way to recovery.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Connect { is_passing, .. } => *is_passing,
            Self::Database { source, .. } => is_passing(source),
            _ => false,
        }
    }

    /// Whether the connection cannot be used any more.
    pub fn is_of_connection(&self) -> bool {
        match self {
            Self::Database { source, .. } => server_error(source).is_none_or(|e| is_end(e.code())),
            _ => false,
        }
    }

    /// The SQLSTATE, ours or the server's.
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Refused { sqlstate, .. } => Some((*sqlstate).to_owned()),
            Self::Database { source, .. } => server_error(source).map(|e| e.code().to_owned()),
            _ => None,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. }
            | Self::Refused { hint, .. }
            | Self::Drift { hint, .. }
            | Self::Locked { hint, .. }
            | Self::Connect { hint, .. } => Some(hint.clone()),
            Self::Database { source, .. } => database_hint(source),
            _ => None,
        }
        .filter(|hint| !hint.is_empty())
    }

    /// The server's DETAIL line.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Database { source, .. } => server_error(source).and_then(|e| e.detail()).map(str::to_owned),
            _ => None,
        }
    }
}

/// Says what was being done when the server refused.
pub trait Doing<T> {
    /// Turns a driver error into ours: `query.await.doing("reading the catalogue")?`.
    fn doing(self, doing: impl Into<String>) -> Result<T, Error>;
}

impl<T> Doing<T> for Result<T, sqlx::Error> {
    fn doing(self, doing: impl Into<String>) -> Result<T, Error> {
        self.map_err(|source| Error::Database { doing: doing.into(), source })
    }
}

/// The server's own error, when it was the server that refused.
pub fn server_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// The server, or a pooler before it, ends the session with this error.
fn is_end(code: &str) -> bool {
    // of class 57, a statement that was cancelled ends nothing, and a database that was dropped does not come back
    code.starts_with("08") || matches!(code, "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "25P04")
}

/// Whether the same may succeed in a moment.
pub fn is_passing(error: &sqlx::Error) -> bool {
    match server_error(error) {
        // 53300: all connections are taken; 40001: also of a standby whose recovery could not wait
        Some(server) => {
            server.code() != "57P04" && is_end(server.code()) || matches!(server.code(), "53300" | "40001" | "40P01")
        }
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_)),
    }
}

fn server_message(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |e| e.message().to_owned())
}

/// Whether the server could not load the native engine's library, or has found an older one: in whatever language, it names it.
fn is_of_library(message: &str) -> bool {
    ["$libdir/pg_domain_events", "pg_domain_events.so", "pg_domain_events.dylib"]
        .iter()
        .any(|name| message.contains(name))
}

fn database_hint(error: &sqlx::Error) -> Option<String> {
    let Some(server) = server_error(error) else {
        // MySQL's errors have no hints
        if error.as_database_error().is_some() {
            return None;
        }
        return Some("The connection broke; nothing of an open transaction was kept. Run the command again.".into());
    };
    server.hint().map(str::to_owned).or_else(|| {
        if is_of_library(server.message()) {
            return Some(
                "The library of the native engine is missing on the server, or was built for another version of PostgreSQL or of \
                 pg_domain_events: copy the one that fits (docs/install.md) and connect anew."
                    .into(),
            );
        }
        Some(
            match server.code() {
                "42501" => "Run it as the owner of the database (or of the objects named), or ask for the privilege.",
                "55P03" => "Another session holds a lock on it; run the command again in a quieter moment.",
                "25006" => "The server is a standby or the database is read-only; use the primary.",
                "57014" => "The statement was cancelled or ran into statement_timeout; raise it for this role.",
                _ => return None,
            }
            .to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{is_end, is_of_library};

    #[test]
    fn what_ends_a_session_is_known() {
        assert!(["08006", "08P01", "57P01", "57P03"].iter().all(|code| is_end(code)));
        assert!(!["57014", "22023", "55000", "40001"].iter().any(|code| is_end(code)));
    }

    #[test]
    fn a_library_that_does_not_fit_is_known_by_its_name() {
        for message in [
            "incompatible library \"/usr/lib/postgresql/17/lib/pg_domain_events.so\": version mismatch",
            "could not access file \"$libdir/pg_domain_events\": No such file or directory",
            "could not find function \"de_append_event\" in file \"/usr/lib/postgresql/15/lib/pg_domain_events.so\"",
        ] {
            assert!(is_of_library(message), "{message}");
        }
        assert!(!is_of_library("extension \"pg_domain_events\" does not exist"));
    }
}
