//! Cuts MySQL's scripts into statements, as the `mysql` client does and where it would fail too: a stream of any size, in
//! memory that does not grow with it.
//!
//! What mysqldump, mariadb-dump, phpMyAdmin, SQLyog and people write is taken: `DELIMITER`, versioned comments
//! (`/*!50003 .. */`, `/*M!100301 .. */`), bodies under a plain `;`, a delimiter never set back. The rows of an INSERT come
//! one by one, or are skipped.

mod block;
mod bytes;
mod charset;
mod comment;
mod delimiter;
mod insert;
mod row;
mod rows;
mod scan;
mod session;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
pub use charset::Charset;
pub use insert::Insert;
pub use row::{DumpRow, Value};
pub use rows::{BadRow, Next};
pub use session::Session;

/// A statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its text without delimiter. Versioned comments are blanked out where they open and close, so that lines and columns
    /// are those of the file.
    pub text: String,
    /// Line of its first character, from 1.
    pub line: u64,
    /// Column of its first character in bytes, from 1.
    pub column: u64,
    /// Settings under which it runs.
    pub session: Arc<Session>,
}

/// Something that could not be read; reading goes on after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line of the file.
    pub line: u64,
    /// What is wrong, and what was done.
    pub reason: String,
}

/// How what is said of `SOURCE` ends.
pub const ANOTHER_FILE: &str = " is another file: it is not read";

/// What a script consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Any statement but those below.
    Statement(Statement),
    /// `INSERT` or `REPLACE .. VALUES`: ask for its rows with `row`, or go on with `piece`, which skips them.
    Insert(Insert),
    /// Something that could not be read.
    Problem(Problem),
}

/// Where the rows of an INSERT are.
#[derive(Debug, Default)]
struct Rows {
    open: bool,
    seen: u64,
}

/// A script that is being read.
#[derive(Debug)]
pub struct Dump<R> {
    bytes: Bytes<R>,
    delimiter: Vec<u8>,
    /// Within `/*! .. */`.
    versioned: bool,
    /// Nothing but blanks since the line began.
    fresh: bool,
    rows: Rows,
    /// The text of the last head of an INSERT, and what it says.
    last_insert: Option<(String, Insert)>,
    session: Arc<Session>,
    saved: session::Saved,
    no_escapes: bool,
    charset: Charset,
    /// Pieces found while another was returned.
    waiting: VecDeque<Piece>,
    begun: bool,
}

impl<R: Read> Dump<R> {
    /// Any source of bytes; it need not be buffered.
    pub fn new(reader: R) -> Self {
        Self {
            bytes: Bytes::new(reader),
            delimiter: b";".to_vec(),
            versioned: false,
            fresh: true,
            rows: Rows::default(),
            last_insert: None,
            session: Arc::default(),
            saved: session::Saved::default(),
            no_escapes: false,
            charset: Charset::Utf8,
            waiting: VecDeque::new(),
            begun: false,
        }
    }

    /// How many bytes were read, for a progress bar.
    pub fn offset(&self) -> u64 {
        self.bytes.offset()
    }

    /// Line of the next byte.
    pub fn line(&self) -> u64 {
        self.bytes.line()
    }

    /// Settings at this place.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    // After SET and USE.
    fn settle(&mut self, session: Session) {
        self.no_escapes = session.mode().no_backslash_escapes;
        self.charset = Charset::named(&session.charset);
        self.session = Arc::new(session);
    }
}
