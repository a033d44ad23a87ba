//! The store's side of an import of events: what it holds, and whether it is what the source had.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::checksum::{self, BUCKETS, Sums};
use crate::adopt::Adoption;
use crate::error::{Doing, Error};

/// Whether the store holds events outside a block of positions.
pub async fn holds_others(conn: &mut PgConnection, first: i64, last: i64) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select exists (select from domain_events.events e where e.global_position not between $1 and $2)",
    )
    .bind(first)
    .bind(last)
    .fetch_one(conn)
    .await
    .doing("looking for other events")
}

/// Buckets whose count differs between source and store, or whose sum does, if the sums can be compared.
pub async fn compare(
    conn: &mut PgConnection,
    adoption: &Adoption,
    sums: &Sums,
    summed: bool,
) -> Result<Vec<usize>, Error> {
    let part = |column: &str| format!("coalesce(e.{column}, pg_catalog.chr({}))", checksum::NULL);
    let columns = [
        "e.event_id::text".into(),
        "e.aggregate_type".into(),
        "e.aggregate_id".into(),
        "e.event_type".into(),
        part("event_name"),
        "e.event_data::text".into(),
        "e.metadata::text".into(),
        part("correlation_id"),
        part("causation_id"),
        part("caused_by"),
        "e.schema_version::text".into(),
        // whole seconds and microseconds by themselves: a double precision number has no room for both
        "(pg_catalog.date_part('epoch', pg_catalog.date_trunc('second', e.occurred_at))::bigint * 1000000 \
          + pg_catalog.date_part('microseconds', e.occurred_at)::bigint % 1000000)::text"
            .to_owned(),
    ];
    let rows: Vec<(i32, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select bucket, pg_catalog.count(*), pg_catalog.sum(hash)::text
           from (select (pg_catalog.hashtextextended(e.aggregate_id, pg_catalog.hashtextextended(e.aggregate_type, 0)) & {})::int as bucket,
                        pg_catalog.hashtextextended(pg_catalog.concat_ws(pg_catalog.chr({}), {}), e.aggregate_version) as hash
                   from domain_events.events e where e.global_position between $1 and $2) h
          group by bucket",
        BUCKETS - 1,
        checksum::SEPARATOR,
        columns.join(", "),
    )))
    .bind(adoption.first_position)
    .bind(adoption.last_position)
    .fetch_all(conn)
    .await
    .doing("comparing source and store")?;
    let stored: HashMap<usize, (u64, i128)> = rows
        .into_iter()
        .map(|(bucket, count, sum)| (bucket as usize, (count.unsigned_abs(), sum.parse().unwrap_or(i128::MIN))))
        .collect();
    let differs = |bucket: &usize| {
        let (count, sum) = stored.get(bucket).copied().unwrap_or_default();
        let (wanted, wanted_sum) = sums.get(*bucket);
        count != wanted || summed && sum != wanted_sum
    };
    Ok((0..BUCKETS).filter(differs).collect())
}

/// Streams of the block whose versions are not 1, 2, 3 .., with the store's older events, and how many: the first few.
pub async fn wrong_streams(conn: &mut PgConnection, adoption: &Adoption) -> Result<Vec<String>, Error> {
    sqlx::query_scalar(
        "select e.aggregate_type || ' ' || e.aggregate_id
           from domain_events.events e where e.global_position between $1 and $2
          group by e.aggregate_type, e.aggregate_id
         having pg_catalog.count(*) <> pg_catalog.max(e.aggregate_version) - pg_catalog.min(e.aggregate_version) + 1
             or pg_catalog.min(e.aggregate_version) > 1 and not exists (
                  select from domain_events.events o where o.aggregate_type = e.aggregate_type and o.aggregate_id = e.aggregate_id
                     and o.aggregate_version = pg_catalog.min(e.aggregate_version) - 1)
          limit 10",
    )
    .bind(adoption.first_position)
    .bind(adoption.last_position)
    .fetch_all(conn)
    .await
    .doing("checking the versions")
}

/// Streams of the block that fall into these buckets: the first few, to be looked at.
pub async fn streams_in(conn: &mut PgConnection, adoption: &Adoption, buckets: &[usize]) -> Result<Vec<String>, Error> {
    let buckets: Vec<i32> = buckets.iter().take(20).map(|b| *b as i32).collect();
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select distinct e.aggregate_type || ' ' || e.aggregate_id from domain_events.events e
          where e.global_position between $1 and $2
            and (pg_catalog.hashtextextended(e.aggregate_id, pg_catalog.hashtextextended(e.aggregate_type, 0)) & {})::int = any ($3)
          limit 20",
        BUCKETS - 1
    )))
    .bind(adoption.first_position)
    .bind(adoption.last_position)
    .bind(buckets)
    .fetch_all(conn)
    .await
    .doing("finding streams that differ")
}
