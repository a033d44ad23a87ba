//! Connections, transactions and locks.

use std::io::ErrorKind;
use std::str::FromStr;
use std::time::Duration;

use rand::RngExt;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use crate::blockers::{self, Blocker, Mode};
use crate::conninfo::{self, Session, Surroundings};
use crate::context::Context;
use crate::error::{Doing, Error, server_error};
use crate::judge::ast;
use crate::pooler::{self, Between};
use crate::proof;

/// First key of the tool's own advisory lock: the bytes of "pgde". The second key is free for kinds of work.
const LOCK_CLASS: i32 = 0x7067_6465;
/// Second key: whatever changes the installation or the triggers of a database.
const LOCK_CHANGE: i32 = 1;
/// Tries of a transaction that could not get its locks.
const LOCK_TRIES: u32 = 10;

/// What the text of a value depends on.
const RENDERING: &str = "set local timezone = 'UTC'; set local datestyle = 'ISO, YMD'; set local intervalstyle = 'postgres'; \
     set local extra_float_digits = 1; set local bytea_output = 'hex'";

/// Where names are looked for: only in the catalogue. An empty path would find types and tables of `pg_temp` first.
pub const PATH: &str = "pg_catalog, pg_temp";

const CONNECT_TRIES: u32 = 5;
const CONNECT_PAUSE: Duration = Duration::from_millis(200);

/// Connects to the database of `--database-url` or `DATABASE_URL`.
pub async fn connect(ctx: &Context) -> Result<PgConnection, Error> {
    match ctx.database_url.as_deref().filter(|url| !url.is_empty()) {
        Some(url) => connect_to(url, ctx).await,
        // as psql without an argument
        None if conninfo::in_environment(&surroundings()) => connect_to("postgres://", ctx).await,
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
    let mut connection = first_of(&servers, ctx).await?;
    execute(&mut connection, PIN_SESSION, "pinning the settings of the session").await?;
    proof::check(&mut connection).await?;
    Ok(connection)
}

/// The first server that answers and will do.
async fn first_of(servers: &Candidates, ctx: &Context) -> Result<PgConnection, Error> {
    let mut failed = None;
    for options in &servers.options {
        let target = describe(options);
        match session(options, &target, ctx).await {
            Ok(mut connection) => {
                if fits(&mut connection, servers.session).await? {
                    return Ok(connection);
                }
                failed = Some(Error::Connect {
                    target,
                    reason: "it is not what target_session_attrs asks for".into(),
                    hint: "Name another server, or leave target_session_attrs out.".into(),
                });
            }
            Err(error) => {
                if servers.options.len() > 1 {
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
    let (standby, read_only): (bool, bool) = sqlx::query_as(
        "select pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only') = 'on'",
    )
    .persistent(false)
    .fetch_one(connection)
    .await
    .doing("asking the server whether it is the primary")?;
    Ok(match wanted {
        Session::Any => true,
        Session::Writable => !standby && !read_only,
        Session::ReadOnly => standby || read_only,
        Session::Primary => !standby,
        Session::Standby => standby,
    })
}

/// A connection that keeps its server process.
async fn session(options: &PgConnectOptions, target: &str, ctx: &Context) -> Result<PgConnection, Error> {
    let mark = format!("{:016x}", rand::random::<u64>());
    let unlimited = UNLIMITED.map(|name| (name, "0".to_owned()));
    // not the search path: what the role's own would be, scan asks the session
    let with_options = options.clone().options(unlimited.into_iter().chain([(pooler::MARK, mark.clone())]));
    let failed = |error| connect_error(target.to_owned(), &error);
    let mut connection = match open(&with_options, target, ctx).await {
        Ok(mut connection) => {
            if pooler::is_marked(&mut connection, &mark).await.map_err(failed)? {
                return Ok(connection);
            }
            connection
        }
        Err(error) if pooler::refuses_options(&error) => open(options, target, ctx).await.map_err(failed)?,
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
async fn open(options: &PgConnectOptions, target: &str, ctx: &Context) -> Result<PgConnection, sqlx::Error> {
    let mut pause = CONNECT_PAUSE;
    let mut attempt = 1;
    loop {
        match options.connect().await {
            Err(error) if attempt < CONNECT_TRIES && is_transient(&error) => {
                ctx.out.note(format!("{target} does not answer ({}); trying again", plain(&error)));
                tokio::time::sleep(jitter(pause)).await;
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
    Error::Connect { target, reason, hint: hint.into() }
}

// "error communicating with database: " adds nothing to what follows it.
fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(e) => e.to_string(),
        other => other.to_string(),
    }
}

/// Runs one or more statements that carry no parameters.
pub async fn execute(conn: &mut PgConnection, sql: &str, doing: &str) -> Result<(), Error> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(conn).await.doing(doing)?;
    Ok(())
}

/// Begins a transaction in which the server itself refuses every write; end it with `rollback`.
pub async fn begin_read_only(conn: &mut PgConnection) -> Result<(), Error> {
    execute(conn, "begin isolation level repeatable read, read only", "beginning a read-only transaction").await
}

/// Makes the rest of the transaction independent of the role's settings: names come out qualified and find nothing by path.
pub async fn pin_settings(conn: &mut PgConnection) -> Result<(), Error> {
    let pin = format!("set local search_path = {PATH}; set local standard_conforming_strings = on");
    execute(conn, &pin, "pinning the settings").await
}

/// Pins what the text of a value depends on, so that a key reads the same in every session.
pub async fn pin_rendering(conn: &mut PgConnection) -> Result<(), Error> {
    execute(conn, RENDERING, "pinning the settings").await
}

/// Ends the current transaction without keeping anything.
pub async fn rollback(conn: &mut PgConnection) -> Result<(), Error> {
    execute(conn, "rollback", "rolling back").await
}

/// Takes the tool's advisory lock until the transaction ends, or fails with exit code 5.
pub async fn lock_for_transaction(conn: &mut PgConnection) -> Result<(), Error> {
    try_lock(conn, "select pg_catalog.pg_try_advisory_xact_lock($1, $2)").await
}

/// Takes the tool's advisory lock until the session ends, or fails with exit code 5.
pub async fn lock_for_session(conn: &mut PgConnection) -> Result<(), Error> {
    try_lock(conn, "select pg_catalog.pg_try_advisory_lock($1, $2)").await
}

async fn try_lock(conn: &mut PgConnection, sql: &'static str) -> Result<(), Error> {
    let got: bool = sqlx::query_scalar(sql)
        .bind(LOCK_CLASS)
        .bind(LOCK_CHANGE)
        .fetch_one(&mut *conn)
        .await
        .doing("taking the tool's advisory lock")?;
    if got {
        return Ok(());
    }
    let holder: Option<i32> = sqlx::query_scalar(
        "select pid from pg_catalog.pg_locks where locktype = 'advisory' and classid = $1::text::oid and objid = $2::text::oid \
         and objsubid = 2 and granted and database = (select oid from pg_catalog.pg_database \
         where datname = pg_catalog.current_database()) limit 1",
    )
    .bind(LOCK_CLASS.to_string())
    .bind(LOCK_CHANGE.to_string())
    .fetch_optional(conn)
    .await
    .doing("looking for the holder of the advisory lock")?;
    let who = holder.map(|pid| format!(" (server process {pid})")).unwrap_or_default();
    Err(Error::locked(
        format!("another domain-events command is changing this database{who}"),
        "Wait until it has ended, then run the command again.",
    ))
}

/// Runs `work` in a transaction with a `lock_timeout`; when a lock is not to be had, rolls back, pauses and tries again.
pub async fn with_lock_retry<T>(
    conn: &mut PgConnection,
    lock_timeout_ms: u32,
    ctx: &Context,
    work: impl AsyncFnMut(&mut PgConnection) -> Result<T, Error>,
) -> Result<T, Error> {
    with_locks(conn, &[], lock_timeout_ms, ctx, work).await
}

/// The same, for work that wants these locks: who holds one of them is named when it was not to be had.
pub async fn with_locks<T>(
    conn: &mut PgConnection,
    wanted: &[(&str, Mode)],
    lock_timeout_ms: u32,
    ctx: &Context,
    mut work: impl AsyncFnMut(&mut PgConnection) -> Result<T, Error>,
) -> Result<T, Error> {
    // those of the last try at which there were any: they may be gone a moment later
    let mut blockers: Vec<Blocker> = vec![];
    for attempt in 1.. {
        execute(conn, &format!("begin; set local lock_timeout = {lock_timeout_ms}"), "beginning a transaction").await?;
        let error = match work(conn).await {
            Ok(value) => match execute(conn, "commit", "committing").await {
                Ok(()) => return Ok(value),
                Err(error) => error,
            },
            Err(error) => error,
        };
        // a broken connection cannot be rolled back, and need not be: report the first error
        let rolled_back = rollback(conn).await.is_ok();
        if rolled_back && error.sqlstate().as_deref() == Some("25006") {
            return Err(read_only(conn, error).await);
        }
        if !rolled_back || !is_lock_failure(&error) {
            return Err(error);
        }
        let found = blockers::of(conn, wanted).await?;
        if !found.is_empty() {
            blockers = found;
        }
        let held = blockers::held_by(&blockers);
        if attempt == LOCK_TRIES {
            return Err(Error::locked(
                format!("{error}, {LOCK_TRIES} times within {lock_timeout_ms} ms each{held}; nothing was changed"),
                blockers::hint(&blockers),
            ));
        }
        ctx.out.note(format!("{error}{held}; trying again ({attempt} of {LOCK_TRIES})"));
        tokio::time::sleep(jitter(Duration::from_millis(50) * 2u32.pow(attempt.min(4)))).await;
    }
    Err(Error::locked("no attempt was made", ""))
}

/// Why the server takes no writes, and what to do about it.
async fn read_only(conn: &mut PgConnection, error: Error) -> Error {
    let known: Result<(bool, bool, String, String), _> = sqlx::query_as(
        "select pg_catalog.pg_is_in_recovery(), s.setting = 'on', s.source, pg_catalog.current_database()::text \
           from pg_catalog.pg_settings s where s.name = 'default_transaction_read_only'",
    )
    .fetch_one(conn)
    .await;
    let (why, hint) = match known {
        Ok((true, ..)) => (
            "the server is a standby".to_owned(),
            "Give the URL of the primary; status, scan, plan, verify and monitor work here too.".to_owned(),
        ),
        Ok((false, true, source, database)) => (
            format!("default_transaction_read_only is on ({source})"),
            format!(
                "Somebody made it so on purpose: ask, then take it back (alter database {} reset default_transaction_read_only; or alter role, or alter system), \
                 or for this command alone: PGOPTIONS='-c default_transaction_read_only=off'",
                quote_ident(&database)
            ),
        ),
        _ => return error,
    };
    Error::refused("25006", format!("{error}: {why}; nothing was changed"), hint)
}

/// Whether waiting and trying again can help: lock not available, or chosen as the victim of a deadlock.
pub fn is_lock_failure(error: &Error) -> bool {
    matches!(error.sqlstate().as_deref(), Some("55P03" | "40P01"))
}

fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..1.5))
}

/// Refuses what is not one name, with its schema or without: names of a plan file or of the journal stand in statements.
pub fn expect_name(name: &str) -> Result<(), Error> {
    let sql = format!("lock table {name} in access share mode");
    let trees = ast::parse(&sql).unwrap_or_default();
    let only =
        trees.len() == 1 && ast::node(&trees[0], "LockStmt").is_some_and(|l| ast::list(l, "relations").len() == 1);
    let range = trees.first().map(|tree| ast::find(tree, "RangeVar")).unwrap_or_default();
    let spelt = range.first().is_some_and(|range| {
        let parts = [ast::text(range, "catalogname"), ast::text(range, "schemaname"), ast::text(range, "relname")];
        let quoted: Vec<String> = parts.into_iter().filter(|p| !p.is_empty()).map(quote_ident).collect();
        let canonical = format!("lock table {} in access share mode", quoted.join("."));
        ast::parse(&canonical)
            .is_ok_and(|other| other.first().map(ast::without_positions) == trees.first().map(ast::without_positions))
    });
    if only && spelt {
        return Ok(());
    }
    Err(Error::refused("42602", format!("{name} is not the name of a table"), "Make the plan again."))
}

/// A quoted identifier.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A quoted literal, right under any setting of `standard_conforming_strings`.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// The body of a function or a DO block, quoted whatever names and texts stand in it: between dollars, for people to read, or
/// as a literal where the body itself would end there.
pub fn quote_body(tag: &str, body: &str) -> String {
    let mark = format!("${tag}$");
    let quoted = format!("{mark}{body}{mark}");
    // the scanner takes the first mark that it meets, also one that the end of the body and the mark make together
    let end = quoted[mark.len()..].find(&mark);
    if end == Some(body.len()) { quoted } else { quote_literal(body) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_body_ends_before_its_end() {
        let texts =
            ["begin end", "$shim$", "a$shim$b", "ends in $shim", "$$shim$", "$1$shim$\\'", "é$shim", "'", "\\", ""];
        for body in texts.iter().chain([&"$mysql$", &"$do$;select 1;$do$"]) {
            let sql = format!("do {}", quote_body("shim", body));
            let parsed = crate::judge::ast::parse(&sql).expect(body);
            let [only] = parsed.as_slice() else { panic!("{sql}: {} statements", parsed.len()) };
            let texts = crate::judge::ast::find(only, "String");
            assert!(texts.iter().any(|s| crate::judge::ast::text(s, "sval") == *body), "{sql}");
        }
        assert_eq!(quote_body("shim", "a $x$ $$ '"), "$shim$a $x$ $$ '$shim$");
    }

    #[test]
    fn a_name_is_one_name() {
        for name in ["t", "a.t", "\"a b\".\"t;--\"", "\"a.b\"", "é.\"x\"\"y\""] {
            assert!(expect_name(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "t, u",
            "t in share mode; select 1 --",
            "only t",
            "t in exclusive mode nowait --",
            "t; select 1",
            "a.t /*",
            "1",
        ] {
            assert!(expect_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn identifiers_and_literals_are_quoted() {
        assert_eq!(quote_ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\b"), " E'a\\\\b'");
    }

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
