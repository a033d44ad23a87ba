//! Adopting again: the store still holds the streams of an adoption that was rolled back, and the table has gone on since.
//!
//! The store numbers by what it holds, so the newest event of each of its streams must be there before anybody is numbered by
//! it. For a stream that is not in the store yet `_adopt_head()` sees to that when it is first written; for one that is, the
//! switch does, under the locks that keep writers of both places out. Older events follow with all others. What was written
//! between the check and the locks is found again: rows of the table by their numbers, events of the store by their transactions.

use domain_events_sql::quote::quoted;
use sqlx::PgConnection;

use super::Legacy;
use crate::as_owner::{self, Owner};
use crate::error::{Doing, Error};

/// Streams that a switch brings up to date: writers of both places wait for it.
const MOST: usize = 10_000;

/// Type and id of a stream, as the store spells them.
pub type Stream = (String, String);

/// What is known of a table whose rows were found to be fit.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// The last number among the rows.
    pub last: Option<i64>,
    /// What the check saw, as a pg_snapshot.
    pub snapshot: String,
    /// The types of the streams.
    pub types: Vec<String>,
    /// Streams of the store whose newest event is in the table alone.
    pub behind: Vec<Stream>,
}

impl Legacy {
    /// Whether the store holds an event of the table already. For a READ ONLY transaction of the caller's.
    pub async fn is_known(&self, conn: &mut PgConnection) -> Result<bool, Error> {
        let table = self.view_name();
        let owner = Owner::of_table(conn, &table).await?;
        let sql = format!(
            "select exists (select from {table} t join domain_events.events e on e.aggregate_type = {} and e.aggregate_id = {} \
               and e.aggregate_version = t.{})",
            self.type_of("t"),
            self.id_of("t"),
            quoted(&self.mapping.aggregate_version),
        );
        let doing = format!("looking for events of {table} in the store");
        let (known,): (bool,) = as_owner::row(conn, &owner, &sql, "known bool", &[], &doing).await?;
        Ok(known)
    }

    /// The types of the streams among the rows.
    pub(super) async fn types(&self, conn: &mut PgConnection, owner: &Owner) -> Result<Vec<String>, Error> {
        if self.mapping.aggregate_type.is_none() {
            return Ok(self.mapping.constant_type.clone().into_iter().collect());
        }
        let table = self.view_name();
        let sql = format!("select distinct ({})::text from {table} t", self.type_of("t"));
        let doing = format!("reading the types of {table}");
        let types: Vec<(String,)> = as_owner::rows(conn, owner, &sql, "kind text", &[], &doing).await?;
        Ok(types.into_iter().map(|(kind,)| kind).collect())
    }

    /// The streams that the store holds without their newest event. `rows` is a table, or a query in parentheses.
    pub(super) async fn behind(
        &self,
        conn: &mut PgConnection,
        owner: &Owner,
        rows: &str,
    ) -> Result<Vec<Stream>, Error> {
        let table = self.view_name();
        let sql = format!(
            "select l.kind, l.id
               from (select ({})::text as kind, ({})::text as id, pg_catalog.max(t.{})::bigint as newest from {rows} t group by {}) l
                    cross join lateral (select pg_catalog.max(e.aggregate_version) as newest from domain_events.events e
                                         where e.aggregate_type = l.kind and e.aggregate_id = l.id) s
              where s.newest < l.newest limit {}",
            self.type_of("t"),
            self.id_of("t"),
            quoted(&self.mapping.aggregate_version),
            self.stream_columns("t").join(", "),
            MOST + 1,
        );
        let doing = format!("comparing the streams of {table} with the store");
        let behind: Vec<Stream> = as_owner::rows(conn, owner, &sql, "kind text, id text", &[], &doing).await?;
        if behind.len() > MOST {
            return Err(Error::refused(
                "54000",
                format!(
                    "more than {MOST} streams of {table} have gone on since an adoption that was rolled back left them in the store"
                ),
                "Every writer would wait until the store has their newest events; nothing was changed. Choose shim; or, where the store holds nothing else: domain-events uninstall --drop-events, install it again, and adopt.",
            ));
        }
        Ok(behind)
    }

    /// Brings the newest old events of these streams into the store. For the transaction of the switch, which has reserved their
    /// positions and locked the table and `domain_events.events`; `new` are what [`Legacy::check_new_rows`] found.
    pub async fn bring_newest(
        &self,
        conn: &mut PgConnection,
        plan_id: &str,
        checked: &Checked,
        new: Vec<Stream>,
    ) -> Result<(), Error> {
        self.expect_not_written_meanwhile(conn, plan_id, checked).await?;
        let (kinds, ids): (Vec<String>, Vec<String>) = checked.behind.iter().cloned().chain(new).unzip();
        let left: Option<Stream> = sqlx::query_as(
            "select u.kind, u.id from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) as u(kind, id) \
              where not domain_events._adopt_head(u.kind, u.id) limit 1",
        )
        .bind(kinds)
        .bind(ids)
        .fetch_optional(conn)
        .await
        .doing(format!("bringing the newest events of {} into the store", self.view_name()))?;
        let Some((kind, id)) = left else { return Ok(()) };
        Err(Error::refused(
            "55000",
            format!("the newest event of stream ({kind}, {id}) of {} could not be told", self.view_name()),
            "Rows of one stream spell its type or id differently; nothing was changed.",
        ))
    }

    /// Refuses where the store was written since the check in the place of a row of the table.
    async fn expect_not_written_meanwhile(
        &self,
        conn: &mut PgConnection,
        plan_id: &str,
        checked: &Checked,
    ) -> Result<(), Error> {
        // numbers of transactions mean nothing after a restore: those to come are of no transaction of this server
        let other: Option<(String, String, i64)> = sqlx::query_as(
            "select n.aggregate_type::text, n.aggregate_id::text, n.version \
               from (select e.aggregate_type, e.aggregate_id, pg_catalog.min(e.aggregate_version) as version from domain_events.events e \
                      where e.transaction_id >= pg_catalog.pg_snapshot_xmin($1::pg_snapshot) \
                        and e.transaction_id < pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()) \
                        and not pg_catalog.pg_visible_in_snapshot(e.transaction_id, $1::pg_snapshot) \
                        and e.aggregate_type = any ($2) group by 1, 2) n \
                    cross join (select a as adoption from domain_events.adoptions a \
                                 where a.plan_id = $3 and a.event_table = pg_catalog.to_regclass($4) order by a.adoption_id desc limit 1) x \
                    cross join lateral domain_events._ask_head(x.adoption, n.aggregate_type, n.aggregate_id) h \
              where h.aggregate_version >= n.version limit 1",
        )
        .bind(&checked.snapshot)
        .bind(&checked.types)
        .bind(plan_id)
        .bind(self.side_name())
        .fetch_optional(conn)
        .await
        .doing(format!("looking for new events of {} in the store", self.view_name()))?;
        let Some((kind, id, version)) = other else { return Ok(()) };
        Err(self.written_in_both(version, &kind, &id))
    }

    /// The refusal of a stream that has one version in both places.
    pub(super) fn written_in_both(&self, version: i64, kind: &str, id: &str) -> Error {
        Error::refused(
            "23505",
            format!(
                "version {version} of stream ({kind}, {id}) is another event in the store than in {}",
                self.view_name()
            ),
            "The stream was written in both places, for example by a capture of the same type. Give one of them another type; nothing was changed.",
        )
    }
}
