//! Where tables come from: a live MySQL or MariaDB server, or a dump. Rows come one by one from either.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sha2::{Digest, Sha256};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{ConnectOptions, Decode, Row as _, ValueRef};

use super::record::Record;
use crate::error::Error;
use crate::files;
use crate::url;
use domain_events_mysql::dump::{Charset, Dump, Next, Piece, Value};
use domain_events_mysql::schema::{self, Schema, Table};
use domain_events_mysql::types::Codec;

/// A source of tables.
#[derive(Debug)]
pub enum Source {
    /// A file.
    Dump {
        /// Its path.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// Time zone of TIMESTAMP values where the dump names none.
        zone: String,
    },
    /// A server, in one snapshot that lasts as long as the connection.
    Live {
        /// The connection.
        conn: Box<MySqlConnection>,
        /// Host and database, for people and the journal.
        name: String,
        /// The query that is being read.
        query: String,
    },
}

impl Source {
    /// Opens `mysql://..` or a file.
    pub async fn open(from: &str, zone: &str) -> Result<Self, Error> {
        if from.starts_with("mysql://") || from.starts_with("mariadb://") {
            return live(from).await;
        }
        if from.contains("://") {
            return Err(Error::usage(
                format!("import reads MySQL and MariaDB, not {}", url::scheme(from)),
                "Name a URL mysql://USER:PASSWORD@HOST:PORT/DATABASE, or the file of a dump.",
            ));
        }
        let path = PathBuf::from(from);
        // its definitions are read first, then its rows
        let size = files::expect_regular(&path)?.len();
        // an offset follows a time at once, and can be reckoned with here
        let zone = if zone.eq_ignore_ascii_case("utc") { "+00:00" } else { zone };
        Ok(Self::Dump { path, size, zone: zone.into() })
    }

    /// What it is called in the journal: no password is in it.
    pub fn name(&self) -> String {
        match self {
            Self::Dump { path, .. } => {
                let whole = path.canonicalize().unwrap_or_else(|_| path.clone());
                whole.display().to_string()
            }
            Self::Live { name, .. } => name.clone(),
        }
    }

    /// What a file must still be when an import goes on: its size and a hash of its beginning and end. Empty for a server.
    pub fn fingerprint(&self) -> Result<String, Error> {
        let Self::Dump { path, size, .. } = self else { return Ok(String::new()) };
        let wrong = |e| Error::io(path.display().to_string(), e);
        let mut file = File::open(path).map_err(wrong)?;
        let mut part = vec![];
        Read::by_ref(&mut file).take(1 << 20).read_to_end(&mut part).map_err(wrong)?;
        if *size > 1 << 21 {
            use std::io::{Seek, SeekFrom};
            file.seek(SeekFrom::End(-(1 << 20))).map_err(wrong)?;
            file.read_to_end(&mut part).map_err(wrong)?;
        }
        let hash: String = Sha256::digest(&part).iter().take(8).map(|b| format!("{b:02x}")).collect();
        Ok(format!("{size}-{hash}"))
    }

    /// The tables: those named of a server, all of a dump.
    pub async fn schema(&mut self, wanted: &[String]) -> Result<Schema, Error> {
        match self {
            Self::Dump { path, .. } => {
                let mut dump = dump_of(path)?;
                let mut schema = Schema::default();
                while let Some(piece) = dump.piece().map_err(|e| Error::io(path.display().to_string(), e))? {
                    match piece {
                        Piece::Statement(s) => schema.take(&s.text, s.line, &s.session),
                        Piece::Problem(p) => {
                            schema.unread.push(schema::Unread { line: p.line, table: None, reason: p.reason });
                        }
                        Piece::Insert(_) => {}
                    }
                }
                Ok(schema)
            }
            Self::Live { conn, .. } => {
                let mut schema = Schema::default();
                for name in wanted {
                    let sql = format!("show create table {}", quoted(name));
                    let row = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.as_str()))
                        .fetch_one(conn.as_mut())
                        .await
                        .map_err(|e| failed("reading a table", &e))?;
                    let text = String::from_utf8_lossy(bytes(&row, 1)?.unwrap_or_default()).into_owned();
                    match schema::parse_table(&text) {
                        Ok(table) => schema.tables.push(table),
                        Err(unread) => schema.unread.push(unread),
                    }
                }
                Ok(schema)
            }
        }
    }

    /// The rows of a table in the order of its primary key, or of the dump.
    pub async fn rows<'a>(&'a mut self, table: &'a Table) -> Result<Rows<'a>, Error> {
        let record = Record::new(table);
        Ok(match self {
            Self::Dump { path, zone, .. } => Rows {
                record,
                table,
                from: From::Dump {
                    dump: Box::new(dump_of(path)?),
                    path: path.clone(),
                    zone: zone.clone(),
                    open: false,
                },
            },
            Self::Live { conn, query, .. } => {
                let columns: Vec<_> =
                    table.columns.iter().filter(|c| c.generated.is_none()).map(|c| quoted(&c.name)).collect();
                let key: Vec<_> = table.primary_key().into_iter().map(quoted).collect();
                let order = if key.is_empty() { String::new() } else { format!(" order by {}", key.join(", ")) };
                *query = format!("select {} from {}{order}", columns.join(", "), quoted(&table.name));
                // the text protocol: every value is what the server prints
                let stream = sqlx::raw_sql(sqlx::AssertSqlSafe(query.as_str())).fetch(conn.as_mut());
                Rows { record, table, from: From::Live { stream, number: 0 } }
            }
        })
    }

    /// How many rows a table has, or how many bytes a dump: the length of a progress bar.
    pub async fn length(&mut self, table: &Table) -> Result<u64, Error> {
        match self {
            Self::Dump { size, .. } => Ok(*size),
            Self::Live { conn, .. } => {
                let sql = format!("select count(*) from {}", quoted(&table.name));
                let row = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.as_str()))
                    .fetch_one(conn.as_mut())
                    .await
                    .map_err(|e| failed("counting rows", &e))?;
                Ok(std::str::from_utf8(bytes(&row, 0)?.unwrap_or_default())
                    .ok()
                    .and_then(|t| t.parse().ok())
                    .unwrap_or(0))
            }
        }
    }
}

async fn live(url: &str) -> Result<Source, Error> {
    let connect = |reason: String, hint: &str| Error::Connect {
        target: "the MySQL server".into(),
        reason,
        hint: hint.into(),
        is_passing: false,
    };
    url::check(url).map_err(|why| {
        connect(
            format!("the URL is not valid: {why}"),
            "A URL looks like mysql://USER:PASSWORD@HOST:PORT/DATABASE; write special characters as %XX.",
        )
    })?;
    let options = MySqlConnectOptions::from_str(&url.replacen("mariadb://", "mysql://", 1)).map_err(|e| {
        connect(
            e.to_string(),
            "A URL looks like mysql://USER:PASSWORD@HOST:PORT/DATABASE; write special characters as %XX.",
        )
    })?;
    let Some(database) = options.get_database().map(str::to_owned) else {
        return Err(Error::usage("the MySQL URL names no database", "Append it: mysql://USER@HOST/DATABASE"));
    };
    let mut conn = options.disable_statement_logging().connect().await.map_err(|e| {
        connect(
            e.to_string(),
            "Check host, port, user and password in the URL, and that the server allows this machine.",
        )
    })?;
    for sql in [
        "set session time_zone = '+00:00', sql_mode = '', net_write_timeout = 3600",
        "set names utf8mb4",
        "set session transaction isolation level repeatable read",
        "start transaction with consistent snapshot",
    ] {
        sqlx::raw_sql(sql).execute(&mut conn).await.map_err(|e| failed("beginning a snapshot", &e))?;
    }
    let place = url.split("://").nth(1).unwrap_or_default();
    let place = place.rsplit_once('@').map_or(place, |(_, host)| host);
    let host = place.split(['/', '?']).next().unwrap_or_default();
    Ok(Source::Live { conn: Box::new(conn), name: format!("mysql://{host}/{database}"), query: String::new() })
}

fn failed(doing: &str, error: &sqlx::Error) -> Error {
    Error::refused(
        "58000",
        format!("{doing} of MySQL: {error}"),
        "Check that the role may SELECT the tables, and that the server runs.",
    )
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn bytes(row: &MySqlRow, index: usize) -> Result<Option<&[u8]>, Error> {
    let value = row.try_get_raw(index).map_err(|e| failed("reading a row", &e))?;
    if value.is_null() {
        return Ok(None);
    }
    <&[u8] as Decode<sqlx::MySql>>::decode(value)
        .map(Some)
        .map_err(|e| Error::refused("58000", format!("reading a row of MySQL: {e}"), ""))
}

enum From<'a> {
    Dump { dump: Box<Dump<File>>, path: PathBuf, zone: String, open: bool },
    Live { stream: BoxStream<'a, Result<MySqlRow, sqlx::Error>>, number: u64 },
}

/// The rows of one table.
pub struct Rows<'a> {
    record: Record,
    table: &'a Table,
    from: From<'a>,
}

/// What came next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A row; see `record`.
    Row,
    /// Something that is no row of the table, at `record().line`: why.
    Bad(String),
    /// The end.
    End,
}

impl Rows<'_> {
    /// The row that `next` has found.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The same, for one whose memory is taken.
    pub fn record_mut(&mut self) -> &mut Record {
        &mut self.record
    }

    /// How far it came, in the measure of `Source::length`.
    pub fn progress(&self) -> u64 {
        match &self.from {
            From::Dump { dump, .. } => dump.offset(),
            From::Live { number, .. } => *number,
        }
    }

    /// The next row.
    pub async fn next(&mut self) -> Result<Step, Error> {
        let record = &mut self.record;
        match &mut self.from {
            From::Live { stream, number } => {
                let Some(row) = stream.next().await else { return Ok(Step::End) };
                let row = row.map_err(|e| failed("reading a row", &e))?;
                *number += 1;
                record.line = *number;
                record.row.reset(*number);
                for (place, codec) in record.order.iter().zip(&record.codecs) {
                    let Some(place) = place else { continue };
                    record.row.push(match (bytes(&row, *place)?, codec) {
                        (None, _) => Value::Null,
                        (Some(bytes), Codec::Bytes | Codec::Bits(_)) => Value::Binary(bytes),
                        (Some(bytes), _) => Value::Text(bytes, Charset::Utf8),
                    });
                }
                Ok(Step::Row)
            }
            From::Dump { dump, path, zone, open } => {
                let wrong = |e| Error::io(path.display().to_string(), e);
                loop {
                    if !*open {
                        match dump.piece().map_err(wrong)? {
                            None => return Ok(Step::End),
                            Some(Piece::Insert(insert)) if insert.table == self.table.name => {
                                record.line = insert.line;
                                let order = record.reorder(self.table, insert.columns.as_deref());
                                if let Err(reason) = order {
                                    dump.skip_rows().map_err(wrong)?;
                                    return Ok(Step::Bad(reason));
                                }
                                record.zone = insert
                                    .session
                                    .time_zone
                                    .clone()
                                    .filter(|z| z != "SYSTEM")
                                    .unwrap_or_else(|| zone.clone());
                                *open = true;
                            }
                            Some(_) => continue,
                        }
                    }
                    match dump.row(&mut record.row).map_err(wrong)? {
                        Next::End => *open = false,
                        Next::Bad(bad) => {
                            *open = false;
                            record.line = bad.line;
                            return Ok(Step::Bad(bad.reason));
                        }
                        Next::Row => {
                            record.line = record.row.line();
                            let wanted = record.order.iter().flatten().max().map_or(0, |m| m + 1);
                            // mariadb-dump gives generated columns too
                            if record.row.len() == record.order.len() && record.order.contains(&None) {
                                record.order = (0..record.row.len()).map(Some).collect();
                            } else if record.row.len() != wanted {
                                return Ok(Step::Bad(format!("{} values for {wanted} columns", record.row.len())));
                            }
                            return Ok(Step::Row);
                        }
                    }
                }
            }
        }
    }
}

fn dump_of(path: &Path) -> Result<Dump<File>, Error> {
    Ok(Dump::new(File::open(path).map_err(|e| Error::io(path.display().to_string(), e))?))
}
