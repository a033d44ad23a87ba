//! Where events come from: a connection that is made again when it is lost.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::query;
use crate::as_owner;
use crate::connect;
use crate::context::Context;
use crate::db;
use crate::error::{Doing as _, Error};
use crate::store;

/// Pauses before a server is asked again that went away, and before a statement is repeated.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A store that is read.
pub struct Source<'c> {
    ctx: &'c Context,
    connection: Option<PgConnection>,
    // whether a server that goes away is waited for
    is_patient: bool,
}

impl<'c> Source<'c> {
    /// Connects to a store that may be read. `is_patient`: a server that goes away later is waited for.
    pub async fn open(ctx: &'c Context, is_patient: bool) -> Result<Self, Error> {
        let mut connection = connect::reader(ctx).await?;
        look(&mut connection, ctx, true).await?;
        Ok(Self { ctx, connection: Some(connection), is_patient })
    }

    /// The rows of a message, which may be sent again after a failure that passes.
    pub async fn rows(&mut self, message: &str, doing: &str) -> Result<Vec<PgRow>, Error> {
        let mut pause = FIRST_PAUSE;
        let mut is_told = false;
        loop {
            let error = match self.attempt(message, doing).await {
                Ok(rows) => {
                    if is_told {
                        self.ctx.out.note("connected again");
                    }
                    return Ok(rows);
                }
                Err(error) => error,
            };
            if !self.is_patient || !error.is_passing() {
                return Err(error);
            }
            if self.connection.is_none() && !is_told {
                self.ctx.out.note(format!("{error}; trying again until the server is back"));
                is_told = true;
            }
            tokio::time::sleep(db::jitter(pause)).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// The same of a message that needs a tick, which a standby may not have got yet: whoever is patient waits for the first.
    pub async fn rows_of_tick(&mut self, message: &str, doing: &str) -> Result<Vec<PgRow>, Error> {
        let mut is_told = false;
        loop {
            let error = match self.rows(message, doing).await {
                Err(error) if self.is_patient && is_without_tick(&error) => error,
                done => return done,
            };
            if !is_told {
                self.ctx.out.note(format!("{error}; waiting for one"));
                is_told = true;
            }
            tokio::time::sleep(db::jitter(FIRST_PAUSE * 5)).await;
        }
    }

    async fn attempt(&mut self, message: &str, doing: &str) -> Result<Vec<PgRow>, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = connect::reader_again(self.ctx).await?;
                look(&mut connection, self.ctx, false).await?;
                connection
            }
        };
        let read = sqlx::raw_sql(sqlx::AssertSqlSafe(message)).fetch_all(&mut connection).await.doing(doing);
        // what the server itself has refused leaves a connection that can be used
        if !read.as_ref().is_err_and(Error::is_of_connection) {
            self.connection = Some(connection);
        }
        read
    }

    /// The only value that a message gives.
    pub async fn value(&mut self, message: &str, doing: &str) -> Result<Option<String>, Error> {
        let rows = self.rows(message, doing).await?;
        rows.first().map_or(Ok(None), |row| row.try_get(0)).doing(doing)
    }
}

/// The store has no other reason for this code where no cursor was given.
fn is_without_tick(error: &Error) -> bool {
    matches!(error, Error::Database { .. }) && error.sqlstate().as_deref() == Some("55000")
}

/// Refuses what is no store of this version, or may not be read.
async fn look(conn: &mut PgConnection, ctx: &Context, is_first: bool) -> Result<(), Error> {
    let doing = "looking at the store";
    let begin = format!("begin isolation level repeatable read, read only; {}; {}", db::UNLIMITED, db::SETTINGS);
    db::execute(conn, &begin, doing).await?;
    let looked = async {
        // a superuser would run what the owner of the store has put there, with every look at what is new
        as_owner::expect_own_store(conn, "show its events").await?;
        store::inspect(conn).await?.check_usable()?;
        let rows = sqlx::raw_sql(query::SITUATION).fetch_all(&mut *conn).await.doing(doing)?;
        let told = |n: usize| -> Result<bool, Error> {
            let value: Option<String> = rows.first().map_or(Ok(None), |row| row.try_get(n)).doing(doing)?;
            Ok(value.as_deref() == Some("true"))
        };
        Ok::<_, Error>((told(0)?, told(1)?))
    }
    .await;
    // a connection that was refused is given up with its transaction
    let (may_read, takes_no_writes) = looked?;
    db::rollback(conn).await?;
    if !may_read {
        return Err(Error::refused(
            "42501",
            "this role may not read the event store",
            "Connect as a member of domain_events_reader.",
        ));
    }
    if takes_no_writes && is_first {
        ctx.out.note(
            "this server or session takes no writes: events are shown up to where somebody has last read on the primary, \
             or called domain_events.take_tick()",
        );
    }
    Ok(())
}
