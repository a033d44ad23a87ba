//! One connection, with the server's own text of every value, and errors with all their fields.

use std::fmt;

use postgres::{Client, SimpleQueryMessage, error::DbError};

/// One connection to a server.
pub struct Session {
    client: Client,
}

/// Rows as the server's text; None is SQL NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// What the server said when it refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// SQLSTATE.
    pub code: String,
    /// MESSAGE.
    pub message: String,
    /// DETAIL; empty if there is none.
    pub detail: String,
    /// HINT; empty if there is none.
    pub hint: String,
    /// CONTEXT; empty if there is none.
    pub context: String,
}

/// Why statements did not succeed.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// The server refused.
    Refused(Failure),
    /// The connection is gone: whether the last statement took effect is not known.
    Lost(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}\nDETAIL: {}\nHINT: {}\nCONTEXT: {}",
            self.code, self.message, self.detail, self.hint, self.context
        )
    }
}

impl From<&DbError> for Failure {
    fn from(e: &DbError) -> Self {
        Failure {
            code: e.code().code().into(),
            message: e.message().into(),
            detail: e.detail().unwrap_or_default().into(),
            hint: e.hint().unwrap_or_default().into(),
            context: e.where_().unwrap_or_default().into(),
        }
    }
}

impl Failure {
    /// Asserts the SQLSTATE and that the user is told what to do.
    pub fn expect(self, code: &str) -> Failure {
        assert_eq!(self.code, code, "wrong SQLSTATE in {self}");
        assert!(!self.hint.trim().is_empty(), "no hint in {self}");
        self
    }

    /// Asserts the SQLSTATE alone, for errors that are the server's own.
    pub fn expect_code(self, code: &str) -> Failure {
        assert_eq!(self.code, code, "wrong SQLSTATE in {self}");
        self
    }

    /// Asserts that a word stands somewhere in what the user reads.
    pub fn naming(self, word: &str) -> Failure {
        let text = self.to_string();
        assert!(text.contains(word), "{word:?} is not named in {text}");
        self
    }
}

impl Session {
    pub(crate) fn new(client: Client) -> Session {
        Session { client }
    }

    /// Runs statements and returns the rows of all of them, or the error.
    pub fn attempt(&mut self, sql: &str) -> Result<Rows, Failure> {
        self.try_run(sql).map_err(|trouble| match trouble {
            Trouble::Refused(failure) => failure,
            Trouble::Lost(error) => panic!("connection failed: {error}\nin {}", short(sql)),
        })
    }

    /// Like [`Session::attempt`], for sessions that may be killed.
    pub fn try_run(&mut self, sql: &str) -> Result<Rows, Trouble> {
        match self.client.simple_query(sql) {
            Ok(messages) => Ok(messages
                .iter()
                .filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => {
                        // what a superuser's cast has made of bytes is shown as what it is, and equals nothing
                        let value = |i| row.try_get(i).unwrap_or(Some("(bytes that are no UTF-8)"));
                        Some((0..row.len()).map(|i| value(i).map(str::to_owned)).collect())
                    }
                    _ => None,
                })
                .collect()),
            Err(error) => Err(match error.as_db_error() {
                Some(db) => Trouble::Refused(Failure::from(db)),
                None => Trouble::Lost(error.to_string()),
            }),
        }
    }

    /// Runs statements that must succeed.
    pub fn run(&mut self, sql: &str) {
        self.rows(sql);
    }

    /// The rows of statements that must succeed.
    pub fn rows(&mut self, sql: &str) -> Rows {
        self.attempt(sql).unwrap_or_else(|e| panic!("{e}\nin {}", short(sql)))
    }

    /// The rows as text, one line each, `|` between columns, `~` for SQL NULL.
    pub fn table(&mut self, sql: &str) -> String {
        let rows = self.rows(sql);
        let lines: Vec<String> = rows
            .iter()
            .map(|row| row.iter().map(|v| v.as_deref().unwrap_or("~")).collect::<Vec<_>>().join("|"))
            .collect();
        lines.join("\n")
    }

    /// The single value of a query; `~` for SQL NULL.
    pub fn one(&mut self, sql: &str) -> String {
        let rows = self.rows(sql);
        assert!(rows.len() == 1 && rows[0].len() == 1, "one value expected, got {rows:?}\nin {}", short(sql));
        rows[0][0].clone().unwrap_or_else(|| "~".into())
    }

    /// The single value of a query as a number.
    pub fn number(&mut self, sql: &str) -> i64 {
        let text = self.one(sql);
        text.parse().unwrap_or_else(|_| panic!("{text} is no number\nin {}", short(sql)))
    }

    /// The single value of a query as JSON; SQL NULL is `null`.
    pub fn json(&mut self, sql: &str) -> serde_json::Value {
        match self.one(sql).as_str() {
            "~" => serde_json::Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}")),
        }
    }

    /// The error of statements that must fail.
    pub fn error(&mut self, sql: &str) -> Failure {
        match self.attempt(sql) {
            Err(failure) => failure,
            Ok(rows) => panic!("should have failed, gave {rows:?}\nin {}", short(sql)),
        }
    }

    /// Sends rows to `copy .. from stdin`.
    pub fn copy_in(&mut self, sql: &str, data: &str) {
        use std::io::Write;
        let mut writer = self.client.copy_in(sql).unwrap_or_else(|e| panic!("{e}\nin {sql}"));
        writer.write_all(data.as_bytes()).expect("copy data");
        writer.finish().unwrap_or_else(|e| panic!("{e}\nin {sql}"));
    }

    /// The server's major version.
    pub fn major_version(&mut self) -> i64 {
        self.number("select current_setting('server_version_num')::int / 10000")
    }

    /// What the setting is called that makes every plan parallel that may be.
    pub fn parallel_setting(&mut self) -> &'static str {
        if self.major_version() >= 16 { "debug_parallel_query" } else { "force_parallel_mode" }
    }

    /// The process that serves this session.
    pub fn pid(&mut self) -> i64 {
        self.number("select pg_backend_pid()")
    }
}

fn short(sql: &str) -> String {
    if sql.len() <= 2000 { sql.to_owned() } else { format!("{} ... ({} bytes)", &sql[..200], sql.len()) }
}
