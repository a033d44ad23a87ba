//! Whether the rows of a legacy table can become events of the store: versions 1, 2, 3 .. in every stream, and no other event
//! in their place.

use sqlx::PgConnection;

use super::Legacy;
use super::again::{Checked, Stream as Behind};
use crate::as_owner::{self, Owner};
use crate::db;
use crate::error::{Doing, Error};
use domain_events_sql::quote::quoted;

/// Type, id, number of events and newest version of a stream.
type Stream = (Option<String>, Option<String>, i64, Option<i64>);

/// Positions that may be reserved for an event, on average: the numbers of the old ones may have gaps.
const SPREAD: i64 = 100;
/// How far before the last one a number may have been drawn by a transaction that was still open: a session draws it when it
/// inserts, or a handful ahead of that.
const LATE: i64 = 10_000;
/// Positions that may be reserved whatever the number of events.
const FREE: i64 = 10_000_000;

impl Legacy {
    /// Refuses the table if one of its rows cannot be moved. For a READ ONLY transaction of the caller's, in which all
    /// statements see the same.
    pub async fn check_rows(&self, conn: &mut PgConnection) -> Result<Checked, Error> {
        db::pin_settings(conn).await?;
        let table = self.view_name();
        let doing = || format!("checking the events of {table}");
        let order = quoted(&self.mapping.order_by);
        let may_read: bool =
            sqlx::query_scalar("select pg_catalog.has_table_privilege($1::text, 'domain_events.events', 'select')")
                .bind(&self.owner)
                .fetch_one(&mut *conn)
                .await
                .doing(doing())?;
        if !may_read {
            return Err(Error::refused(
                "42501",
                format!("role {} owns {table} and may not read the event store", self.owner),
                format!("Let an administrator run: grant domain_events_reader to {};", quoted(&self.owner)),
            ));
        }
        let snapshot: String = sqlx::query_scalar("select pg_catalog.pg_current_snapshot()::text")
            .fetch_one(&mut *conn)
            .await
            .doing(doing())?;
        let owner = Owner::of_table(conn, &table).await?;
        self.check_streams(conn, &owner, &table).await?;
        let (events, first, last): (i64, Option<i64>, Option<i64>) = as_owner::row(
            conn,
            &owner,
            &format!(
                "select pg_catalog.count(*), pg_catalog.min(t.{order})::bigint, pg_catalog.max(t.{order})::bigint from {table} t"
            ),
            "events bigint, first bigint, last bigint",
            &[],
            &doing(),
        )
        .await?;
        if let (Some(first), Some(last)) = (first, last)
            && last.saturating_sub(first) > events.saturating_mul(SPREAD).saturating_add(FREE)
        {
            return Err(Error::refused(
                "54000",
                format!("the numbers of {table} in column {order} reach from {first} to {last} for {events} events"),
                "Their order would take as many positions of the store. Add a column that counts them without such gaps, and name it in the mapping (order_by).",
            ));
        }
        self.check_store(conn, &owner, &table).await?;
        let types = self.types(conn, &owner).await?;
        let behind = self.behind(conn, &owner, &table).await?;
        Ok(Checked { last, snapshot, types, behind })
    }

    /// Refuses what was written since [`Legacy::check_rows`], if it cannot be moved; returns those of its streams that the store
    /// holds without their newest event. For the transaction that locks the table: it reads the new rows and their streams alone.
    pub async fn check_new_rows(&self, conn: &mut PgConnection, checked: &Checked) -> Result<Vec<Behind>, Error> {
        let (table, order) = (self.view_name(), quoted(&self.mapping.order_by));
        let new = match checked.last {
            Some(last) => format!("t.{order} > {}", last.saturating_sub(LATE)),
            None => "true".into(),
        };
        let (stream, row) = (self.stream_columns("t"), self.stream_columns("r"));
        let same: Vec<String> = stream.iter().zip(&row).map(|(s, r)| format!("{s} = {r}")).collect();
        let missing: Vec<String> = stream.iter().map(|c| format!("{c} is null")).collect();
        let owner = Owner::of_table(conn, &table).await?;
        self.check_streams(
            conn,
            &owner,
            &format!(
                "(select r.* from (select distinct {} from {table} t where {new}) t join {table} r on {}
                  union all select t.* from {table} t where {new} and ({}))",
                stream.join(", "),
                same.join(" and "),
                missing.join(" or "),
            ),
        )
        .await?;
        let rows = format!("(select t.* from {table} t where {new})");
        self.check_store(conn, &owner, &rows).await?;
        self.behind(conn, &owner, &rows).await
    }

    /// Refuses rows that are not versions 1, 2, 3 .. of their streams. `rows` is a table, or a query in parentheses.
    async fn check_streams(&self, conn: &mut PgConnection, owner: &Owner, rows: &str) -> Result<(), Error> {
        let table = self.view_name();
        let stream = self.stream_columns("t");
        let version = quoted(&self.mapping.aggregate_version);
        let missing: Vec<String> = stream.iter().map(|c| format!("{c} is null")).collect();
        let sql = format!(
            "select ({})::text, ({})::text, pg_catalog.count(*), pg_catalog.max(t.{version})::bigint from {rows} t group by {stream}
             having pg_catalog.min(t.{version}) is distinct from 1 or pg_catalog.max(t.{version}) <> pg_catalog.count(*) or {} limit 1",
            if stream.len() == 2 { stream[0].as_str() } else { "null" },
            stream.last().map(String::as_str).unwrap_or("null"),
            missing.join(" or "),
            stream = stream.join(", "),
        );
        let columns = "kind text, id text, events bigint, newest bigint";
        let broken: Vec<Stream> =
            as_owner::rows(conn, owner, &sql, columns, &[], &format!("checking the events of {table}")).await?;
        if let Some((kind, id, events, newest)) = broken.into_iter().next() {
            let (Some(id), Some(newest)) = (id, newest) else {
                return Err(Error::refused(
                    "55000",
                    format!("an event of {table} belongs to no stream, or has no version"),
                    "Give it a type, an id and a version, or delete it; nothing was changed.",
                ));
            };
            let name = kind.map_or(id.clone(), |k| format!("{k}, {id}"));
            return Err(Error::refused(
                "55000",
                format!(
                    "stream ({name}) of {table} has {events} events and newest version {newest}: it does not count 1, 2, 3 .."
                ),
                "Port its writers by shim, then repair it: domain-events repair; nothing was changed.",
            ));
        }
        Ok(())
    }

    /// Refuses rows in whose place the store has another event. `rows` is a table, or a query in parentheses.
    async fn check_store(&self, conn: &mut PgConnection, owner: &Owner, rows: &str) -> Result<(), Error> {
        let (table, version) = (self.view_name(), quoted(&self.mapping.aggregate_version));
        let sql = format!(
            "select e.aggregate_type::text, e.aggregate_id::text, e.aggregate_version from {rows} t
               join domain_events.events e on e.aggregate_type = {} and e.aggregate_id = {} and e.aggregate_version = t.{version}
              where e.event_type <> {} or e.event_data <> {} limit 1",
            self.type_of("t"),
            self.id_of("t"),
            self.event_type_of("t"),
            self.data_of("t"),
        );
        let columns = "kind text, id text, version bigint";
        let other: Vec<(String, String, i64)> =
            as_owner::rows(conn, owner, &sql, columns, &[], &format!("checking the events of {table}")).await?;
        if let Some((kind, id, version)) = other.into_iter().next() {
            return Err(self.written_in_both(version, &kind, &id));
        }
        Ok(())
    }

    pub(super) fn stream_columns(&self, row: &str) -> Vec<String> {
        let columns = self.mapping.aggregate_type.iter().chain([&self.mapping.aggregate_id]);
        columns.map(|c| Self::of(row, c)).collect()
    }
}
