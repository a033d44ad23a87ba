//! A live MySQL or MariaDB: connecting, and reading its schema in one READ ONLY snapshot.
//!
//! Definitions come as `SHOW CREATE ..` gives them, so that a server and a dump go through one parser; what that text does
//! not hold (the order of triggers, sql_mode, collation) comes from information_schema.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{ConnectOptions, Connection, Executor, Row};

use crate::error::{Doing, Error};
use crate::url;
use domain_events_mysql::dump::{Session, Statement};
use domain_events_mysql::source::{Fold, Server, Source};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Whether a source is a live MySQL or MariaDB.
pub fn is_url(source: &str) -> bool {
    source.starts_with("mysql://") || source.starts_with("mariadb://")
}

/// Connects. The session is plain: no `sql_mode`, UTC, utf8mb4, and nothing can be written.
pub async fn connect(url: &str) -> Result<MySqlConnection, Error> {
    let options = parse_url(url)?;
    let target = describe(&options);
    let fail = |reason: String, hint: &str| Error::Connect {
        target: target.clone(),
        reason,
        hint: hint.into(),
        is_passing: false,
    };
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await;
    let mut conn = match connected {
        Ok(Ok(conn)) => conn,
        Ok(Err(error)) => return Err(fail(plain(&error), hint(&error))),
        Err(_) => return Err(fail("no answer within 15 seconds".into(), "Check host and port in the URL.")),
    };
    execute(&mut conn, "set session sql_mode = ''", "preparing the session").await?;
    Ok(conn)
}

/// Reads the schema of the connection's database. `file` is what problems and findings call it.
pub async fn read(conn: &mut MySqlConnection, file: &str) -> Result<Source, Error> {
    execute(conn, "set session transaction isolation level repeatable read", "preparing the session").await?;
    execute(conn, "start transaction with consistent snapshot, read only", "beginning a transaction").await?;
    let source = read_in_transaction(conn, file).await;
    // the first error is the one to report
    let ended = execute(conn, "commit", "ending the transaction").await;
    source.and_then(|source| ended.map(|()| source))
}

/// Connects and reads.
pub async fn from_url(url: &str) -> Result<Source, Error> {
    let file = describe(&parse_url(url)?);
    let mut conn = connect(url).await?;
    let source = read(&mut conn, &file).await?;
    // nothing is open any more
    conn.close().await.ok();
    Ok(source)
}

async fn read_in_transaction(conn: &mut MySqlConnection, file: &str) -> Result<Source, Error> {
    let doing = "reading information_schema";
    let rows = fetch(conn, "select version(), database()", doing).await?;
    let (version, database) = rows.first().map_or((None, None), |row| (text(row, 0), text(row, 1)));
    let (Some(version), Some(database)) = (version, database) else {
        return Err(Error::usage("the URL names no database", "Write mysql://USER:PASSWORD@HOST:PORT/DATABASE."));
    };
    let mut fold = Fold::default();
    fold.came_from(Server { mariadb: version.contains("MariaDB"), version }, database.clone());
    let mut reader = Reader { conn, file, database, fold };
    reader.tables().await?;
    reader.routines().await?;
    reader.triggers().await?;
    reader.events().await?;
    Ok(reader.fold.finish())
}

struct Reader<'c> {
    conn: &'c mut MySqlConnection,
    file: &'c str,
    database: String,
    fold: Fold,
}

impl Reader<'_> {
    async fn tables(&mut self) -> Result<(), Error> {
        let sql = "select table_name, table_type from information_schema.tables where table_schema = database() \
                   order by table_type, table_name";
        for row in fetch(self.conn, sql, "reading information_schema.tables").await? {
            let (Some(name), Some(kind)) = (text(&row, 0), text(&row, 1)) else { continue };
            match kind.as_str() {
                "VIEW" => self.fold.view_named(name),
                "SEQUENCE" => {}
                _ => {
                    let sql = format!("show create table {}", quote(&name));
                    let definition = match fetch(self.conn, &sql, format!("reading table {name}")).await {
                        Ok(rows) => rows.first().and_then(|row| text(row, 1)),
                        Err(error) => {
                            self.refused("table", &name, &error);
                            continue;
                        }
                    };
                    self.take("table", &name, definition, None, None);
                }
            }
        }
        Ok(())
    }

    async fn triggers(&mut self) -> Result<(), Error> {
        let sql = "select trigger_name, action_order from information_schema.triggers where trigger_schema = database() \
                   order by event_object_table, action_timing, event_manipulation, action_order";
        for row in fetch(self.conn, sql, "reading information_schema.triggers").await? {
            let Some(name) = text(&row, 0) else { continue };
            let order = text(&row, 1).and_then(|n| n.parse().ok());
            if self.program("trigger", &name, "SQL Original Statement").await? {
                self.fold.order_last(order);
            }
        }
        Ok(())
    }

    async fn routines(&mut self) -> Result<(), Error> {
        let sql = "select routine_name, routine_type from information_schema.routines where routine_schema = database() \
                   order by routine_type, routine_name";
        for row in fetch(self.conn, sql, "reading information_schema.routines").await? {
            let (Some(name), Some(kind)) = (text(&row, 0), text(&row, 1)) else { continue };
            match kind.as_str() {
                "FUNCTION" => self.program("function", &name, "Create Function").await?,
                "PROCEDURE" => self.program("procedure", &name, "Create Procedure").await?,
                other => {
                    let object = Some(format!("{} {name}", other.to_ascii_lowercase()));
                    self.fold.problem(self.file, 0, object, "Oracle's packages are not read".to_owned());
                    false
                }
            };
        }
        Ok(())
    }

    async fn events(&mut self) -> Result<(), Error> {
        let sql =
            "select event_name from information_schema.events where event_schema = database() order by event_name";
        for row in fetch(self.conn, sql, "reading information_schema.events").await? {
            let Some(name) = text(&row, 0) else { continue };
            self.program("event", &name, "Create Event").await?;
        }
        Ok(())
    }

    /// Takes one program; whether its text was there.
    async fn program(&mut self, kind: &str, name: &str, column: &str) -> Result<bool, Error> {
        let sql = format!("show create {kind} {}", quote(name));
        match fetch(self.conn, &sql, format!("reading {kind} {name}")).await {
            Ok(rows) => {
                let row = rows.first();
                let named = |column: &str| row.and_then(|row| named(row, column));
                let (definition, mode, collation) = (named(column), named("sql_mode"), named("collation_connection"));
                Ok(self.take(kind, name, definition, mode, collation))
            }
            Err(error) => {
                self.refused(kind, name, &error);
                Ok(false)
            }
        }
    }

    fn take(
        &mut self,
        kind: &str,
        name: &str,
        definition: Option<String>,
        mode: Option<String>,
        collation: Option<String>,
    ) -> bool {
        let Some(definition) = definition else {
            let reason = "its text may not be read by this user: connect as its definer, or ask for SHOW_ROUTINE (MySQL 8) or \
                          SELECT on mysql.proc (MariaDB)";
            self.fold.problem(self.file, 0, Some(format!("{kind} {name}")), reason.to_owned());
            return false;
        };
        let session = Session {
            sql_mode: Some(mode.unwrap_or_default().to_ascii_uppercase()),
            collation,
            database: Some(self.database.clone()),
            ..Session::default()
        };
        let statement = Statement { text: definition, line: 1, column: 1, session: Arc::new(session) };
        let before = self.fold.programs();
        self.fold.statement(self.file, &statement);
        self.fold.programs() > before
    }

    fn refused(&mut self, kind: &str, name: &str, error: &Error) {
        self.fold.problem(self.file, 0, Some(format!("{kind} {name}")), error.to_string());
    }
}

/// A statement without rows, as text: the servers do not prepare all of them.
async fn execute(conn: &mut MySqlConnection, sql: &str, doing: &str) -> Result<(), Error> {
    conn.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.map(drop).doing(doing)
}

async fn fetch(conn: &mut MySqlConnection, sql: &str, doing: impl Into<String>) -> Result<Vec<MySqlRow>, Error> {
    conn.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.doing(doing)
}

/// A value as text, whatever its type: information_schema has blobs where one expects words.
fn text(row: &MySqlRow, index: usize) -> Option<String> {
    let bytes: Option<Vec<u8>> = row.try_get_unchecked(index).ok().flatten();
    bytes.map(|b| String::from_utf8_lossy(&b).into_owned())
}

fn named(row: &MySqlRow, column: &str) -> Option<String> {
    use sqlx::Column;
    let index = row.columns().iter().position(|c| c.name().eq_ignore_ascii_case(column))?;
    text(row, index)
}

fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn parse_url(url: &str) -> Result<MySqlConnectOptions, Error> {
    let bad = |reason: String| {
        Error::Connect {
        target: "the MySQL database".into(),
        reason,
        hint: "Its URL looks like mysql://USER:PASSWORD@HOST:PORT/DATABASE, or mysql://USER@localhost/DATABASE?socket=PATH; \
               write special characters of the password as %XX."
            .into(),
        is_passing: false,
    }
    };
    let rest = url.strip_prefix("mysql://").or_else(|| url.strip_prefix("mariadb://"));
    let Some(rest) = rest else { return Err(bad("the URL must start with mysql:// or mariadb://".into())) };
    url::check(url).map_err(|why| bad(format!("the URL is not valid: {why}")))?;
    let options = MySqlConnectOptions::from_str(&format!("mysql://{rest}"))
        .map_err(|e| bad(format!("the URL is not valid: {e}")))?;
    if options.get_database().is_none_or(str::is_empty) {
        return Err(bad("the URL names no database".into()));
    }
    Ok(options.pipes_as_concat(false).no_engine_substitution(false).disable_statement_logging())
}

/// The database and where it is, without the password.
pub fn describe(options: &MySqlConnectOptions) -> String {
    let place = match options.get_socket() {
        Some(socket) => format!("socket {}", socket.display()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    format!("database \"{}\" at {place} as \"{}\"", options.get_database().unwrap_or_default(), options.get_username())
}

fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(e) => e.to_string(),
        sqlx::Error::Database(e) => e.message().to_owned(),
        other => other.to_string(),
    }
}

fn hint(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::Io(_) => "Is the server running? Check host, port and socket in the URL.",
        sqlx::Error::Tls(_) => "The server's certificate was not taken: see ?ssl-mode and ?ssl-ca of the URL.",
        sqlx::Error::Database(e) if e.code().as_deref() == Some("28000") => {
            "User or password are wrong, or the user may not come from this host."
        }
        sqlx::Error::Database(e) if e.code().as_deref() == Some("42000") => {
            "The database does not exist, or the user may not use it."
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_of_the_source_holds_no_password() {
        let options = parse_url("mariadb://me:s3cret@db.example:3307/shop").expect("a good URL");
        assert_eq!(describe(&options), "database \"shop\" at db.example:3307 as \"me\"");
        let options = parse_url("mysql://me@localhost/shop?socket=/run/m.sock").expect("a good URL");
        assert_eq!(describe(&options), "database \"shop\" at socket /run/m.sock as \"me\"");
    }

    #[test]
    fn a_bad_url_says_what_a_good_one_looks_like() {
        for url in ["postgres://x/y", "mysql://h", "mysql://h:port/x", "shop", "mysql://h/"] {
            let error = parse_url(url).expect_err(url);
            assert!(error.hint().is_some_and(|hint| hint.contains("mysql://USER")), "{url}");
        }
    }
}
