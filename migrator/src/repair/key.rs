//! The unique key that was missing, made without keeping anybody from reading or writing.

use sqlx::PgConnection;

use super::Subject;
use crate::apply;
use crate::context::Context;
use crate::db;
use crate::error::{Doing, Error};
use crate::judge::Severity;
use domain_events_sql::quote::quote_ident;

/// Longest wait for transactions that are older than the index.
const PATIENCE: &str = "10min";

/// What is to be said where no unique key is just over the stream and its version: of a partitioned table it holds the
/// partition key as well.
pub async fn lacking(conn: &mut PgConnection, subject: &Subject) -> Result<(Severity, String), Error> {
    let named: Vec<String> = subject.stream_columns().into_iter().chain([subject.version_column.clone()]).collect();
    let (partitioned, wider): (bool, Option<String>) = sqlx::query_as(
        "select c.relkind = 'p',
                (select i.relname::text from pg_catalog.pg_index x join pg_catalog.pg_class i on i.oid = x.indexrelid
                  where x.indrelid = c.oid and x.indisunique and x.indisvalid and x.indpred is null
                    and $2 <@ array(select a.attname::text from pg_catalog.pg_attribute a
                                     where a.attrelid = c.oid and a.attnum = any (x.indkey))
                  order by 1 limit 1)
           from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass($1)",
    )
    .bind(&subject.table)
    .bind(&named)
    .fetch_one(&mut *conn)
    .await
    .doing(format!("reading the keys of {}", subject.table))?;
    let nothing = "no unique key over the stream and its version: nothing keeps two events from one version";
    Ok(match wider {
        Some(key) if partitioned => (
            Severity::Info,
            format!(
                "unique key {key} holds the partition key as well: it keeps two events from one version within a partition alone"
            ),
        ),
        _ if partitioned => (
            Severity::Warning,
            format!(
                "{nothing} (of a partitioned table it holds the partition key too; it is built on each partition first, then on the table)"
            ),
        ),
        _ => (Severity::Warning, format!("{nothing} (--add-key makes it)")),
    })
}

/// Makes the unique key over the stream and its version; returns its name, or none if there is one.
pub async fn add(conn: &mut PgConnection, subject: &Subject, ctx: &Context) -> Result<Option<String>, Error> {
    if subject.unique_key.is_some() || subject.is_store() {
        return Ok(None);
    }
    apply::alone(conn, async |conn| concurrently(conn, subject, ctx).await).await
}

async fn concurrently(conn: &mut PgConnection, subject: &Subject, ctx: &Context) -> Result<Option<String>, Error> {
    let columns: Vec<String> = subject.stream_columns().into_iter().chain([subject.version_column.clone()]).collect();
    let (schema, name, partitioned, valid, same): (String, String, bool, Option<bool>, bool) = sqlx::query_as(
        "select n.nspname::text, i.name, c.relkind = 'p',
                (select x.indisvalid from pg_catalog.pg_class o join pg_catalog.pg_index x on x.indexrelid = o.oid
                  where o.relnamespace = n.oid and o.relname = i.name),
                exists (select from pg_catalog.pg_class o join pg_catalog.pg_index x on x.indexrelid = o.oid
                         where o.relnamespace = n.oid and o.relname = i.name and x.indrelid = c.oid and x.indisunique
                           and x.indpred is null
                           and $2 = array(select a.attname::text
                                            from pg_catalog.unnest(x.indkey::int2[]) with ordinality as k(number, n)
                                            join pg_catalog.pg_attribute a
                                              on a.attrelid = c.oid and a.attnum = k.number order by k.n))
           from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          cross join lateral (select pg_catalog.left('uk_' || c.relname::text, 40) || '_version' as name) i
          where c.oid = pg_catalog.to_regclass($1)",
    )
    .bind(&subject.table)
    .bind(&columns)
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
        // made by an earlier run with the same file
        Some(true) if same => return Ok(None),
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
    let bar = ctx.out.progress(0, format!("building {index}"));
    db::execute(conn, &format!("set lock_timeout = '{PATIENCE}'"), "setting lock_timeout").await?;
    let built = db::execute(
        conn,
        &format!(
            "create unique index concurrently {} on {} ({})",
            quote_ident(&name),
            subject.table,
            columns.iter().map(|c| quote_ident(c)).collect::<Vec<_>>().join(", ")
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
    Ok(Some(name))
}

async fn drop_index(conn: &mut PgConnection, index: &str) -> Result<(), Error> {
    db::execute(conn, &format!("drop index concurrently if exists {index}"), &format!("dropping {index}")).await
}
