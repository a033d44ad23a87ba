//! The unique key that was missing, made without keeping anybody from reading or writing.

use sqlx::PgConnection;

use super::Subject;
use crate::apply;
use crate::context::Context;
use crate::db;
use crate::error::{Doing, Error};
use domain_events_sql::quote::quote_ident;

/// Longest wait for transactions that are older than the index.
const PATIENCE: &str = "10min";

/// Makes the unique key over the stream and its version; returns its name, or none if there is one.
pub async fn add(conn: &mut PgConnection, subject: &Subject, ctx: &Context) -> Result<Option<String>, Error> {
    if subject.unique_key.is_some() || subject.is_store() {
        return Ok(None);
    }
    apply::alone(conn, async |conn| concurrently(conn, subject, ctx).await).await.map(Some)
}

async fn concurrently(conn: &mut PgConnection, subject: &Subject, ctx: &Context) -> Result<String, Error> {
    let (schema, name, partitioned, valid): (String, String, bool, Option<bool>) = sqlx::query_as(
        "select n.nspname::text, i.name, c.relkind = 'p',
                (select x.indisvalid from pg_catalog.pg_class o join pg_catalog.pg_index x on x.indexrelid = o.oid
                  where o.relnamespace = n.oid and o.relname = i.name)
           from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          cross join lateral (select pg_catalog.left('uk_' || c.relname::text, 40) || '_version' as name) i
          where c.oid = pg_catalog.to_regclass($1)",
    )
    .bind(&subject.table)
    .fetch_one(&mut *conn)
    .await
    .doing(format!("reading {}", subject.table))?;
    if partitioned {
        return Err(Error::refused(
            "0A000",
            format!("{} is partitioned: a unique index cannot be built there without locks", subject.table),
            "Build it on each partition concurrently, then on the table with CREATE UNIQUE INDEX .. ON ONLY, and attach them; the partition key must be part of it.",
        ));
    }
    let index = format!("{}.{}", quote_ident(&schema), quote_ident(&name));
    match valid {
        Some(true) => {
            return Err(Error::refused(
                "42P07",
                format!("{index} exists already and is another index"),
                "Rename it, then run the command again.",
            ));
        }
        // what an interrupted run has left
        Some(false) => drop_index(conn, &index).await?,
        None => {}
    }
    let columns: Vec<String> =
        subject.stream_columns().iter().chain([&subject.version_column]).map(|c| quote_ident(c)).collect();
    let bar = ctx.out.progress(0, format!("building {index}"));
    db::execute(conn, &format!("set lock_timeout = '{PATIENCE}'"), "setting lock_timeout").await?;
    let built = db::execute(
        conn,
        &format!(
            "create unique index concurrently {} on {} ({})",
            quote_ident(&name),
            subject.table,
            columns.join(", ")
        ),
        &format!("building {index}"),
    )
    .await;
    bar.finish_and_clear();
    if let Err(error) = built {
        // best effort: what stays is invalid, and the next run drops it
        let _ = drop_index(conn, &index).await;
        return Err(match error.sqlstate().as_deref() {
            Some("23505") => Error::refused(
                "23505",
                format!("{} got doubled versions again while the key was built", subject.table),
                "Its writers still assign them. Port them first, which needs no key: domain-events plan --strategy TRIGGER=shim, then apply; then run repair again, with --add-key.",
            ),
            _ => error,
        });
    }
    db::execute(conn, "reset lock_timeout", "setting lock_timeout").await?;
    Ok(name)
}

async fn drop_index(conn: &mut PgConnection, index: &str) -> Result<(), Error> {
    db::execute(conn, &format!("drop index concurrently if exists {index}"), &format!("dropping {index}")).await
}
