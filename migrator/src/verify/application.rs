//! What the application wrote into an event table by itself: the shim numbers its rows too, so their versions must be such that
//! it would give the same.

use sqlx::PgConnection;

use super::check::Case;
use super::tried::Tried;
use crate::as_owner::{self, Owner};
use crate::db;
use crate::error::Error;
use crate::judge::stream::is_time;
use crate::judge::{Strategy, VersionSource};
use crate::source::{Column, Relation};
use domain_events_sql::quote::quote_ident;

/// Rows among which streams are chosen.
const SAMPLE: u32 = 10_000;
/// Streams that are looked at.
const STREAMS: u32 = 200;

/// Compares the rows that are there with what the shim would have made of them: the versions of a stream go on by one, and rise
/// with the order of writing, where the table tells it; a row of a transaction that ended later may come before another. A stream
/// in which a version stands twice was wrong before.
pub async fn compare(conn: &mut PgConnection, case: &Case<'_>) -> Result<Tried, Error> {
    let mut tried = Tried::default();
    let counted = matches!(
        case.port.version_source,
        VersionSource::Literal | VersionSource::MaxPlusOne | VersionSource::MaxPlusOneLocked
    );
    let Some(version) = case.known.version_column.as_deref().filter(|_| counted) else { return Ok(tried) };
    if case.port.strategy != Strategy::Shim || case.known.stream.is_empty() {
        return Ok(tried);
    }
    let owner = Owner::of_table(conn, &case.event_table.quoted).await?;
    // without an index on the stream this reads the table
    db::execute(conn, "savepoint application; set local statement_timeout = '10s'", "reading the application's rows")
        .await?;
    let query = query(case.event_table, &case.known.stream, version);
    let (columns, doing) = ("streams bigint, others bigint, example text", "reading the application's rows");
    let read: Result<(i64, i64, Option<String>), Error> =
        as_owner::row(conn, &owner, &query, columns, &[], doing).await;
    db::execute(conn, "rollback to savepoint application", doing).await?;
    let (streams, others, example) = match read {
        Ok(read) => read,
        Err(error) => {
            tried.notes.push(format!("the rows that are in {} were not looked at: {error}", case.event_table.quoted));
            return Ok(tried);
        }
    };
    let Some(example) = example.filter(|_| others > 0) else { return Ok(tried) };
    let told = format!(
        "in {others} of {streams} streams of {} the rows do not count as the shim does: stream {example}",
        case.event_table.quoted
    );
    // rows that were deleted leave gaps, in few streams
    if others * 2 >= streams && !case.is_said_to_hold_events() {
        tried.differences.push(told)
    } else {
        tried.notes.push(told)
    }
    Ok(tried)
}

fn query(relation: &Relation, stream: &[String], version: &str) -> String {
    let columns: Vec<String> = stream.iter().map(|c| quote_ident(c)).collect();
    let names: Vec<String> = columns.iter().map(|c| format!("e.{c}")).collect();
    let joined: Vec<String> = columns.iter().map(|c| format!("s.{c} operator(pg_catalog.=) e.{c}")).collect();
    let (columns, names, joined) = (columns.join(", "), names.join(", "), joined.join(" and "));
    let (quoted, version) = (&relation.quoted, quote_ident(version));
    let order = written(relation).map_or_else(String::new, |column| format!("e.{}, ", quote_ident(column)));
    format!(
        "with s as (select {columns} from (select {columns} from {quoted} limit {SAMPLE}) e
                    group by {columns} having pg_catalog.count(*) > 1 limit {STREAMS}),
              r as (select pg_catalog.concat_ws(', ', {names}) as stream, e.{version}::bigint as version,
                           pg_catalog.row_number() over w as place, pg_catalog.lag(e.{version}::bigint) over w as before
                      from {quoted} e join s on {joined} window w as (partition by {names} order by {order}e.{version})),
              g as (select stream,
                           pg_catalog.string_agg(version::text, ', ' order by place) filter (where place <= 12) as versions,
                           pg_catalog.max(version) - pg_catalog.min(version) >= pg_catalog.count(*)
                             or pg_catalog.count(*) filter (where before > version) * 2 >= pg_catalog.count(*) as other,
                           pg_catalog.count(distinct version) < pg_catalog.count(*) as doubled from r group by stream)
         select pg_catalog.count(*), pg_catalog.count(*) filter (where other),
                pg_catalog.min(stream || ' has ' || versions) filter (where other)
           from g where not doubled"
    )
}

/// The column that tells in which order rows were written: a number of the server's, or the time. Where rows lie tells nothing
/// after an UPDATE or a CLUSTER.
fn written(relation: &Relation) -> Option<&str> {
    let timed = |c: &&Column| is_time(c) && c.default.is_some();
    let columns = || relation.columns.iter();
    columns().find(|c| c.is_numbered()).or_else(|| columns().find(timed)).map(|c| c.name.as_str())
}
