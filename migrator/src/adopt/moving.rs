//! Moving events into their positions, batch by batch. Each batch is a transaction that notes how far it came, so that a mover
//! that was killed goes on from there; memory is that of one batch.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};

use super::Legacy;
use crate::as_owner::{self, Owner};
use crate::error::{Doing, Error};
use domain_events_sql::quote::quote_literal;
use domain_events_sql::quote::quoted;

/// Places that are sent in one statement.
const PLACES: usize = 10_000;

/// A row of domain_events.adoptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// Its number.
    pub adoption_id: i64,
    /// moving, moved or withdrawn.
    pub state: String,
    /// First position of its block.
    pub first_position: i64,
    /// Last position of its block; one less than the first where nothing was reserved.
    pub last_position: i64,
    /// The place that belongs to the first position.
    pub first_place: i64,
    /// Every event from this place on was moved.
    pub moved_down_to: Option<i64>,
    /// Events moved.
    pub moved: i64,
}

impl FromRow<'_, PgRow> for Adoption {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            adoption_id: row.try_get("adoption_id")?,
            state: row.try_get("state")?,
            first_position: row.try_get("first_position")?,
            last_position: row.try_get("last_position")?,
            first_place: row.try_get("first_place")?,
            moved_down_to: row.try_get("moved_down_to")?,
            moved: row.try_get("moved")?,
        })
    }
}

impl Adoption {
    /// The place that belongs to the last position.
    pub fn last_place(&self) -> i64 {
        self.first_place + (self.last_position - self.first_position)
    }

    /// Where the next batch ends: before this place.
    pub fn before(&self) -> i64 {
        self.moved_down_to.unwrap_or_else(|| self.last_place() + 1)
    }
}

/// What a batch came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Events that were new to the store.
    pub stored: i64,
    /// Rows that were read.
    pub rows: i64,
    /// The first place among them: the next batch ends before it.
    pub down_to: Option<i64>,
}

/// What a reservation gives.
pub(crate) const RESERVED: &str =
    "select adoption_id, state, first_position, last_position, first_place, moved_down_to, moved from";

/// The reservation as SQL, for a transaction of its own: `domain_events.events` is locked against writers until it ends.
/// `first` and `last` are SQL expressions of type bigint, `event_table` and `head_function` qualified names.
pub fn reserve_sql(
    source: &str,
    event_table: Option<&str>,
    (first, last): (&str, &str),
    head_function: Option<&str>,
    plan_id: Option<&str>,
) -> String {
    let literal = |text: Option<&str>| text.map_or("null".into(), quote_literal);
    format!(
        "{RESERVED} domain_events._begin_adoption({}, {}::regclass, {first}, {last}, {}, {})",
        quote_literal(source),
        literal(event_table),
        literal(head_function),
        literal(plan_id),
    )
}

/// Reserves positions for old events whose places are `first` to `last`; none of them where `last` is less.
pub async fn reserve(
    conn: &mut PgConnection,
    source: &str,
    event_table: Option<&str>,
    first: i64,
    last: i64,
    head_function: Option<&str>,
    plan_id: Option<&str>,
) -> Result<Adoption, Error> {
    let (first, last) =
        if last < first { ("null".to_owned(), "null".to_owned()) } else { (first.to_string(), last.to_string()) };
    sqlx::query_as(sqlx::AssertSqlSafe(reserve_sql(source, event_table, (&first, &last), head_function, plan_id)))
        .fetch_one(conn)
        .await
        .doing(format!("reserving positions for the events of {source}"))
}

/// The adoptions of a plan.
pub async fn of_plan(conn: &mut PgConnection, plan_id: &str) -> Result<Vec<(Adoption, Option<String>)>, Error> {
    let rows: Vec<(i64, Option<String>)> = sqlx::query_as(
        "select a.adoption_id, pg_catalog.format('%I.%I', n.nspname, c.relname) from domain_events.adoptions a \
           left join (pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace) on c.oid = a.event_table \
          where a.plan_id = $1 order by 1",
    )
    .bind(plan_id)
    .fetch_all(&mut *conn)
    .await
    .doing("reading the adoptions")?;
    let mut adoptions = vec![];
    for (id, table) in rows {
        adoptions.push((read(conn, id).await?, table));
    }
    Ok(adoptions)
}

/// An adoption as it is now.
pub async fn read(conn: &mut PgConnection, adoption_id: i64) -> Result<Adoption, Error> {
    sqlx::query_as(
        "select adoption_id, state, first_position, last_position, first_place, moved_down_to, moved \
           from domain_events.adoptions where adoption_id = $1",
    )
    .bind(adoption_id)
    .fetch_one(conn)
    .await
    .doing("reading the adoption")
}

/// Counts the events of the block and ends the adoption: `moved`, or `withdrawn` if the table was given back. For a
/// transaction of its own: `domain_events.events` is locked against writers until it ends.
pub async fn end(conn: &mut PgConnection, adoption: &Adoption, state: &str, events: i64) -> Result<(), Error> {
    sqlx::query("select domain_events._end_adoption($1, $2, $3)")
        .bind(adoption.adoption_id)
        .bind(state)
        .bind(events)
        .execute(conn)
        .await
        .doing("ending the adoption")?;
    Ok(())
}

/// How many events are in the block of an adoption.
pub async fn count(conn: &mut PgConnection, adoption: &Adoption) -> Result<i64, Error> {
    sqlx::query_scalar(
        "select pg_catalog.count(*) from domain_events.events e where e.global_position between $1 and $2",
    )
    .bind(adoption.first_position)
    .bind(adoption.last_position)
    .fetch_one(conn)
    .await
    .doing("counting the adopted events")
}

impl Legacy {
    /// Finds the rows whose number among the inserts is not in the order of their versions: sessions draw the one before they
    /// are told the other. Their places go to a temporary table, whose name is returned. Reads every row of `from` up to `last`.
    pub async fn places(&self, conn: &mut PgConnection, from: &str, last: i64) -> Result<&'static str, Error> {
        const TABLE: &str = "pg_temp.domain_events_places";
        let doing = format!("putting the events of {} in order", self.view_name());
        let (order, version) = (quoted(&self.mapping.order_by), quoted(&self.mapping.aggregate_version));
        let mut stream: Vec<String> = self.mapping.aggregate_type.iter().map(|c| quoted(c)).collect();
        stream.push(quoted(&self.mapping.aggregate_id));
        let stream = stream.join(", ");
        let begin = format!(
            "begin; drop table if exists {TABLE}; create temporary table domain_events_places (number bigint, place bigint)"
        );
        crate::db::execute(conn, &begin, &doing).await?;
        let owner = Owner::of_table(conn, from).await?;
        let astray: Vec<(i64, i64)> = as_owner::rows(
            conn,
            &owner,
            &format!(
                "with numbered as (
                   select {stream}, t.{order} as number,
                          pg_catalog.row_number() over (partition by {stream} order by t.{order}) as by_number,
                          pg_catalog.row_number() over (partition by {stream} order by t.{version}) as by_version
                     from {from} t where t.{order} <= {last}
                 ), astray as (
                   select * from numbered n where n.by_number <> n.by_version
                 )
                 select a.number::bigint, b.number::bigint from astray a join astray b using ({stream}) where b.by_number = a.by_version"
            ),
            "number bigint, place bigint",
            &[],
            &doing,
        )
        .await?;
        for chunk in astray.chunks(PLACES) {
            let (numbers, places): (Vec<i64>, Vec<i64>) = chunk.iter().copied().unzip();
            sqlx::query(sqlx::AssertSqlSafe(format!("insert into {TABLE} select u.n, u.p from rows from (pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[])) as u(n, p)")))
                .bind(numbers)
                .bind(places)
                .execute(&mut *conn)
                .await
                .doing(&doing)?;
        }
        let end = format!(
            "create unique index on {TABLE} (number); create unique index on {TABLE} (place); {}; commit; analyze {TABLE}",
            owner.grant("select", TABLE)
        );
        crate::db::execute(conn, &end, &doing).await?;
        Ok(TABLE)
    }

    /// Stores the last rows of `from` (qualified; it has the legacy columns) whose place is before `before`, at most `rows`. From
    /// the last place to the first: the newest event of a stream comes first, and with it whoever appends knows the version.
    /// `places` is what [`Legacy::places`] gave, or none if the numbers themselves rise with the versions of each stream.
    pub async fn move_batch(
        &self,
        conn: &mut PgConnection,
        adoption: &Adoption,
        from: &str,
        places: Option<&str>,
        before: i64,
        rows: i64,
    ) -> Result<Moved, Error> {
        let order = quoted(&self.mapping.order_by);
        let first = adoption.first_place;
        // the places are the numbers, given to other rows: a range of the ones is one of the others
        let part = match places {
            Some(places) => format!(
                "select r_0 as old_row, r_0.{order}::bigint as place from span, {from} r_0 where r_0.{order} >= span.low and r_0.{order} < {before}
                    and not exists (select from {places} p where p.number = r_0.{order})
                 union all
                 select r_0, p.place::bigint from span, {places} p join {from} r_0 on r_0.{order} = p.number where p.place >= span.low and p.place < {before}"
            ),
            None => format!(
                "select r_0 as old_row, r_0.{order}::bigint as place from span, {from} r_0 where r_0.{order} >= span.low and r_0.{order} < {before}"
            ),
        };
        let owner = Owner::of_table(conn, from).await?;
        let parts = format!(
            "with span as materialized (
               select pg_catalog.min(n.number) as low
                 from (select t.{order} as number from {from} t where t.{order} >= {first} and t.{order} < {before} order by t.{order} desc limit {rows}) n
             ), part as materialized (
               {part}
             )"
        );
        let event = self.event_row("(part.old_row)", "part.place");
        let doing = format!("moving the events of {}", self.view_name());
        if owner.is_other() {
            // The owner's code gives texts, of built-in types once they are read. Nothing is created for it that stays: in every
            // session, a new schema makes each plan anew, and writers would do that at every batch.
            let read: Vec<(Option<String>, Option<i64>)> = as_owner::rows(
                conn,
                &owner,
                &format!("{parts} select case when part.place is not null then {event}::text end, span.low::bigint from span left join part on part.place is not null order by part.place"),
                "event text, low bigint",
                &[],
                &doing,
            )
            .await?;
            let down_to = read.first().and_then(|(_, low)| *low);
            let events: Vec<&str> = read.iter().filter_map(|(event, _)| event.as_deref()).collect();
            if events.is_empty() {
                return Ok(Moved { stored: 0, rows: 0, down_to });
            }
            let stored: i64 =
                sqlx::query_scalar("select domain_events._adopt_events($1, $2::text[]::domain_events.events[], $3)")
                    .bind(adoption.adoption_id)
                    .bind(&events)
                    .bind(down_to)
                    .fetch_one(conn)
                    .await
                    .doing(&doing)?;
            return Ok(Moved { stored, rows: events.len() as i64, down_to });
        }
        let (stored, rows, down_to): (i64, i64, Option<i64>) = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "{parts}
             select case when pg_catalog.count(*) > 0
                         then domain_events._adopt_events($1, pg_catalog.array_agg({event} order by part.place), (select low from span)::bigint) else 0 end,
                    pg_catalog.count(*), (select low from span)::bigint
               from part"
        )))
        .bind(adoption.adoption_id)
        .fetch_one(conn)
        .await
        .doing(&doing)?;
        Ok(Moved { stored, rows, down_to })
    }
}
