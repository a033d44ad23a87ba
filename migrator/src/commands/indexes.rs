//! Indexes of the store that not every application needs: `install --index`.

use sqlx::PgConnection;

use crate::apply;
use crate::cli::Index;
use crate::context::Context;
use crate::db;
use crate::error::{Doing, Error};
use crate::script::Step;
use domain_events_sql::quote::quote_literal;

/// Longest wait for transactions that are older than an index.
const PATIENCE: &str = "10min";

impl Index {
    /// Its name in schema domain_events.
    pub fn index_name(self) -> &'static str {
        match self {
            Self::Correlation => "events_by_correlation",
            Self::Time => "events_by_time",
            Self::Type => "events_by_type",
        }
    }

    /// What it is over: columns alone, which the proof of a lesser owner's store lets pass. Times rise with the positions, so that a few pages tell where an hour lies.
    fn definition(self) -> &'static str {
        match self {
            Self::Correlation => "using btree (correlation_id, global_position)",
            Self::Time => "using brin (recorded_at) with (pages_per_range = 32, autosummarize = on)",
            Self::Type => "using btree (event_type, global_position)",
        }
    }

    fn comment(self) -> &'static str {
        match self {
            Self::Correlation => "Finds the events of one business operation: where correlation_id = ..",
            Self::Time => "Finds the events of a time: where recorded_at >= .. and recorded_at < ..",
            Self::Type => {
                "Finds the events of one type in the order of positions: where event_type = .. order by global_position"
            }
        }
    }

    fn build(self) -> String {
        format!("create index concurrently {} on domain_events.events {};", self.index_name(), self.definition())
    }
}

/// The statements, in the order of the command line.
pub fn steps(wanted: &[Index]) -> Vec<Step> {
    wanted.iter().map(|index| Step::new(format!("index {}", index.index_name()), index.build())).collect()
}

/// Builds those that are not there; nobody waits for them. Gives their names.
pub async fn make(conn: &mut PgConnection, wanted: &[Index], ctx: &Context) -> Result<Vec<String>, Error> {
    if wanted.is_empty() {
        return Ok(vec![]);
    }
    apply::alone(conn, async |conn| {
        let mut made = vec![];
        for index in wanted {
            if one(conn, *index, ctx).await? {
                made.push(format!("domain_events.{}", index.index_name()));
            }
        }
        Ok(made)
    })
    .await
}

async fn one(conn: &mut PgConnection, index: Index, ctx: &Context) -> Result<bool, Error> {
    let name = index.index_name();
    let doing = format!("building index {name}");
    let is_valid: Option<bool> = sqlx::query_scalar(
        "select x.indisvalid from pg_catalog.pg_class o join pg_catalog.pg_index x on x.indexrelid = o.oid \
          where o.relnamespace = (select n.oid from pg_catalog.pg_namespace n where n.nspname = 'domain_events') and o.relname = $1",
    )
    .bind(name)
    .fetch_optional(&mut *conn)
    .await
    .doing(&doing)?;
    match is_valid {
        Some(true) => return Ok(false),
        // what an interrupted run has left
        Some(false) => db::execute(conn, &format!("drop index concurrently domain_events.{name}"), &doing).await?,
        None => {}
    }
    let bar = ctx.out.progress(0, doing.clone());
    db::execute(conn, &format!("set lock_timeout = '{PATIENCE}'"), "setting lock_timeout").await?;
    let built = db::execute(conn, &index.build(), &doing).await;
    db::execute(conn, "set lock_timeout = 0", "setting lock_timeout").await?;
    bar.finish_and_clear();
    built?;
    let comment = quote_literal(index.comment());
    db::execute(conn, &format!("comment on index domain_events.{name} is {comment}"), &doing).await?;
    Ok(true)
}

/// Which of them are there: name, and whether it is complete.
pub async fn present(conn: &mut PgConnection) -> Result<Vec<(String, bool)>, Error> {
    let names: Vec<String> =
        [Index::Correlation, Index::Time, Index::Type].iter().map(|index| index.index_name().to_owned()).collect();
    sqlx::query_as(
        "select o.relname::text, x.indisvalid from pg_catalog.pg_class o join pg_catalog.pg_index x on x.indexrelid = o.oid \
          where o.relnamespace = (select n.oid from pg_catalog.pg_namespace n where n.nspname = 'domain_events') and o.relname = any ($1) order by 1",
    )
    .bind(names)
    .fetch_all(conn)
    .await
    .doing("reading the indexes")
}
