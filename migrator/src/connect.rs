//! Connections to PostgreSQL.

use std::io::ErrorKind;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor as _, PgConnection, Row as _};

use crate::conninfo::{self, Session, Surroundings};
use crate::context::Context;
use crate::db;
use crate::error::{Doing, Error, is_passing, server_error};
use crate::pooler::{self, Between};
use crate::proof;

const CONNECT_TRIES: u32 = 5;
const CONNECT_PAUSE: Duration = Duration::from_millis(200);

/// Connects to the database of `--database-url` or `DATABASE_URL`.
pub async fn connect(ctx: &Context) -> Result<PgConnection, Error> {
    connect_to(given(ctx)?, ctx).await
}

fn given(ctx: &Context) -> Result<&str, Error> {
    match ctx.database_url.as_deref().filter(|url| !url.is_empty()) {
        Some(url) => Ok(url),
        // as psql without an argument
        None if conninfo::in_environment(&surroundings()) => Ok("postgres://"),
        None => Err(Error::usage(
            "no database given",
            "Set DATABASE_URL or pass --database-url postgres://USER@HOST:PORT/DATABASE; or set PGHOST, PGDATABASE and so on, or PGSERVICE, as for psql.",
        )),
    }
}

/// Settings of the role, the database or the server that would end the tool's work half-way. In the start-up packet they are
/// in force before the first statement; a server knows some of them only from 14 or 17 on.
const UNLIMITED: [&str; 3] = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
/// Compiling a query over the catalogue takes longer than it runs: 217 of the 271 ms that the server worked for a `scan`.
const PIN_SESSION: &str = "set search_path = pg_catalog, pg_temp; set jit = off; \
    select pg_catalog.set_config(s.name, '0', false) from pg_catalog.pg_settings s where s.name in ('statement_timeout', 'lock_timeout', \
      'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout') and s.setting <> '0'";

/// Connects to any URL, waiting a little for a server that is just starting, and refuses a store that is not what was
/// installed.
pub async fn connect_to(url: &str, ctx: &Context) -> Result<PgConnection, Error> {
    let servers = parse_url(url)?;
    let mut connection = first_of(&servers, Kept::Session, CONNECT_TRIES, ctx).await?;
    db::execute(&mut connection, PIN_SESSION, "pinning the settings of the session").await?;
    proof::check(&mut connection).await?;
    Ok(connection)
}

/// A connection for single transactions that depend on no setting: a pooler may give each of them another server process.
pub async fn reader(ctx: &Context) -> Result<PgConnection, Error> {
    read_from(ctx, CONNECT_TRIES).await
}

/// The same for somebody who asks again by himself, and says so.
pub async fn reader_again(ctx: &Context) -> Result<PgConnection, Error> {
    read_from(ctx, 1).await
}

async fn read_from(ctx: &Context, tries: u32) -> Result<PgConnection, Error> {
    let servers = parse_url(given(ctx)?)?;
    let mut connection = first_of(&servers, Kept::Transaction, tries, ctx).await?;
    proof::check(&mut connection).await?;
    Ok(connection)
}

/// For how long a connection has to keep its server process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Session,
    Transaction,
}

/// The first server that answers and will do.
async fn first_of(servers: &Candidates, kept: Kept, tries: u32, ctx: &Context) -> Result<PgConnection, Error> {
    let mut failed = None;
    for options in &servers.options {
        let target = describe(options);
        let opened = match kept {
            Kept::Session => session(options, &target, ctx).await,
            Kept::Transaction => transaction(options, &target, tries, ctx).await,
        };
        match opened {
            Ok(mut connection) => {
                if fits(&mut connection, servers.session).await? {
                    return Ok(connection);
                }
                failed = Some(Error::Connect {
                    target,
                    reason: "it is not what target_session_attrs asks for".into(),
                    hint: "Name another server, or leave target_session_attrs out.".into(),
                    // a switch-over takes its time
                    is_passing: true,
                });
            }
            Err(error) => {
                if servers.options.len() > 1 && tries > 1 {
                    ctx.out.note(error.to_string());
                }
                failed = Some(error);
            }
        }
    }
    Err(failed.unwrap_or_else(|| Error::usage("no database given", "Set DATABASE_URL.")))
}

async fn fits(connection: &mut PgConnection, wanted: Session) -> Result<bool, Error> {
    if wanted == Session::Any {
        return Ok(true);
    }
    // by the simple protocol: behind a pooler, what is prepared may be another process's
    let doing = "asking the server whether it is the primary";
    let ask = "select pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only') = 'on'";
    let row = connection.fetch_one(sqlx::raw_sql(ask)).await.doing(doing)?;
    let (standby, read_only): (bool, bool) = (row.try_get(0).doing(doing)?, row.try_get(1).doing(doing)?);
    Ok(match wanted {
        Session::Any => true,
        Session::Writable => !standby && !read_only,
        Session::ReadOnly => standby || read_only,
        Session::Primary => !standby,
        Session::Standby => standby,
    })
}

/// A connection that may change its server process with each transaction.
async fn transaction(
    options: &PgConnectOptions,
    target: &str,
    tries: u32,
    ctx: &Context,
) -> Result<PgConnection, Error> {
    let with_options = options.clone().options(UNLIMITED.map(|name| (name, "0")));
    match open(&with_options, target, tries, ctx).await {
        Err(error) if pooler::refuses_options(&error) => open(options, target, tries, ctx).await,
        opened => opened,
    }
    .map_err(|error| connect_error(target.to_owned(), &error))
}

/// A connection that keeps its server process.
async fn session(options: &PgConnectOptions, target: &str, ctx: &Context) -> Result<PgConnection, Error> {
    let mark = format!("{:016x}", rand::random::<u64>());
    let unlimited = UNLIMITED.map(|name| (name, "0".to_owned()));
    // not the search path: what the role's own would be, scan asks the session
    let with_options = options.clone().options(unlimited.into_iter().chain([(pooler::MARK, mark.clone())]));
    let failed = |error| connect_error(target.to_owned(), &error);
    let mut connection = match open(&with_options, target, CONNECT_TRIES, ctx).await {
        Ok(mut connection) => {
            if pooler::is_marked(&mut connection, &mark).await.map_err(failed)? {
                return Ok(connection);
            }
            connection
        }
        Err(error) if pooler::refuses_options(&error) => {
            open(options, target, CONNECT_TRIES, ctx).await.map_err(failed)?
        }
        Err(error) => return Err(failed(error)),
    };
    match pooler::between(&mut connection, options).await.map_err(failed)? {
        Between::Session => Ok(connection),
        Between::Transaction => Err(Error::refused(
            "0A000",
            format!(
                "{target} is behind a connection pooler that does not keep one server process for a connection (pool_mode = transaction or statement); nothing was sent to the database"
            ),
            "The application may use that pooler; the tool needs a session: give the URL of the server itself, or of a database of the pooler with pool_mode = session.",
        )),
    }
}

/// Connects, and tries again while the server does not answer.
async fn open(
    options: &PgConnectOptions,
    target: &str,
    tries: u32,
    ctx: &Context,
) -> Result<PgConnection, sqlx::Error> {
    let mut pause = CONNECT_PAUSE;
    let mut attempt = 1;
    loop {
        match options.connect().await {
            Err(error) if attempt < tries && is_transient(&error) => {
                ctx.out.note(format!("{target} does not answer ({}); trying again", plain(&error)));
                tokio::time::sleep(db::jitter(pause)).await;
                pause *= 2;
                attempt += 1;
            }
            done => return done,
        }
    }
}

/// The servers that a description names.
struct Candidates {
    options: Vec<PgConnectOptions>,
    session: Session,
}

fn surroundings() -> Surroundings<'static> {
    Surroundings { variable: &|name| std::env::var(name).ok(), file: &|path| std::fs::read_to_string(path).ok() }
}

fn parse_url(url: &str) -> Result<Candidates, Error> {
    let bad = |reason: String| {
        Error::Connect {
        target: "the database".into(),
        reason,
        hint: "A database URL looks like postgres://USER:PASSWORD@HOST:PORT/DATABASE; write special characters of the \
               password as %XX. What psql takes is taken too: postgres://USER@/DATABASE?host=/SOCKET, host=.. dbname=.., service=.."
            .into(),
        is_passing: false,
    }
    };
    if url.contains("://") && !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(bad("the URL must start with postgres:// or postgresql://".into()));
    }
    let servers = conninfo::read(url, &surroundings()).map_err(bad)?;
    let mut options = vec![];
    for url in &servers.urls {
        let one = PgConnectOptions::from_str(url).map_err(|e| bad(format!("the URL is not valid: {e}")))?;
        // the tool reports what it does by itself; a statement may hold users' data
        // and poolers refuse extra_float_digits, which nothing depends on
        options.push(one.application_name("domain-events").extra_float_digits(None).disable_statement_logging());
    }
    Ok(Candidates { options, session: servers.session })
}

fn describe(options: &PgConnectOptions) -> String {
    let place = match options.get_socket() {
        Some(socket) => format!("socket {} port {}", socket.display(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    format!("database \"{database}\" at {place} as \"{}\"", options.get_username())
}

fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(e) => {
            matches!(e.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
        }
        // the server is starting up
        other => server_error(other).is_some_and(|e| e.code() == "57P03"),
    }
}

fn connect_error(target: String, error: &sqlx::Error) -> Error {
    let hint = match error {
        sqlx::Error::Io(e) if e.kind() == ErrorKind::ConnectionRefused => {
            "Is the server running, and is the port right? Check host and port in the URL."
        }
        sqlx::Error::Io(e) if e.kind() == ErrorKind::NotFound => {
            "There is no such socket: check ?host= and the port in the URL (PGHOST and PGPORT fill what it leaves out)."
        }
        sqlx::Error::Io(_) => "Check the host name in the URL, and that this machine can reach it.",
        sqlx::Error::Tls(_) => "Check ?sslmode= and ?sslrootcert= in the URL.",
        other => match server_error(other).map(|e| e.code()) {
            Some("3D000") => "Check the database's name in the URL, or create the database.",
            Some("28P01" | "28000") => "Check user and password in the URL, and pg_hba.conf of the server.",
            Some("42501") => {
                "The role may not connect to this database. Let its owner or a superuser run: grant connect on database .. to ..;"
            }
            Some("55000") => "The database accepts no connections (datallowconn); name another one.",
            Some("53300") => "All connections are taken; try again when some are free.",
            _ => "Check the URL.",
        },
    };
    let reason = match server_error(error) {
        Some(e) => format!("{} (SQLSTATE {})", e.message(), e.code()),
        None => plain(error),
    };
    Error::Connect { target, reason, hint: hint.into(), is_passing: is_passing(error) }
}

// "error communicating with database: " adds nothing to what follows it.
fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(e) => e.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_of_the_target_holds_no_password() {
        let servers =
            parse_url("postgres://me:s3cret@db.example:5433/app").map_err(|e| e.to_string()).expect("a good URL");
        assert_eq!(describe(&servers.options[0]), "database \"app\" at db.example:5433 as \"me\"");
    }

    #[test]
    fn a_bad_url_says_what_a_good_one_looks_like() {
        for url in ["mysql://x", "app", "postgres://h:port/x"] {
            let Err(error) = parse_url(url) else { panic!("{url}") };
            assert!(error.hint().is_some_and(|hint| hint.contains("postgres://USER")), "{url}");
        }
    }
}
