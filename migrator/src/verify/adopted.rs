//! Proving an adoption: every row that the view shows is an event of the store, column by column.

use sqlx::PgConnection;

use super::tried::Tried;
use crate::adopt::Legacy;
use crate::as_owner::{self, Owner};
use crate::db;
use crate::error::{Doing, Error};
use crate::judge::{Strategy, VersionSource, codes};
use crate::plan::Port;
use domain_events_sql::quote::quote_ident;

/// Differences that are told one by one.
const SHOWN: i64 = 20;

/// A table that no statement of the database writes, as a port.
pub fn port(table: &str) -> Port {
    Port {
        code: codes::PORTED.code.into(),
        trigger: None,
        table: Some(table.to_owned()),
        function: None,
        line: None,
        event_table: Some(table.to_owned()),
        event_type: None,
        version_source: VersionSource::AssignedOnEventTable,
        strategy: Strategy::Shim,
        allowed: vec![],
        reasons: vec![],
        declared_differences: vec![],
        not_compared: vec![],
    }
}

/// Compares the rows of the legacy columns with the events of the store. For a transaction of the caller's.
pub async fn compare(conn: &mut PgConnection, legacy: &Legacy) -> Result<Tried, Error> {
    db::pin_settings(conn).await?;
    db::pin_rendering(conn).await?;
    let view: bool = sqlx::query_scalar(
        "select exists (select from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass($1) and c.relkind = 'v')",
    )
    .bind(legacy.view_name())
    .fetch_one(&mut *conn)
    .await
    .doing("looking for the view")?;
    if !view {
        return Err(Error::refused(
            "0A000",
            "the table is not adopted yet: its rows are compared once the plan is applied",
            "",
        ));
    }
    let differs: Vec<String> = legacy
        .compared("d", "e")
        .into_iter()
        .map(|(column, differs)| format!("when {differs} then '{column}'"))
        .collect();
    let from = format!(
        "{} d left join domain_events.events e on e.aggregate_type = {} and e.aggregate_id = {} and e.aggregate_version = d.{}",
        legacy.view_name(),
        legacy.stream_of("d").0,
        legacy.stream_of("d").1,
        quote_ident(&legacy.mapping.aggregate_version),
    );
    let case = format!("case when e.event_id is null then 'no event' {} end", differs.join(" "));
    let owner = Owner::of_table(conn, &legacy.view_name()).await?;
    let count = format!("select pg_catalog.count(e.event_id) from {from}");
    let (events,): (i64,) = as_owner::row(conn, &owner, &count, "events bigint", &[], "counting the rows").await?;
    let sql = format!(
        "select pg_catalog.format('version %s of stream (%s, %s): %s differs', d.{}, {}, {}, x.what)
           from {from} cross join lateral (select {case} as what) x where x.what is not null limit {SHOWN}",
        quote_ident(&legacy.mapping.aggregate_version),
        legacy.stream_of("d").0,
        legacy.stream_of("d").1,
    );
    let found: Vec<(String,)> =
        as_owner::rows(conn, &owner, &sql, "difference text", &[], "comparing the rows").await?;
    let found: Vec<String> = found.into_iter().map(|(difference,)| difference).collect();
    Ok(Tried { changes: 0, events: events as usize, differences: found, ..Tried::default() })
}
