//! The update of one batch.

use sqlx::PgConnection;

use super::Subject;
use crate::db;
use crate::error::{Doing, Error};
use crate::plan::Plan;

/// The part of the map that a batch is.
pub(super) const BATCH: &str = "m.repair_id = $1 and m.event_table = $2 and m.batch = $3";

/// Moves a batch from one column of the map to the other. A unique key is checked row by row: with one, every version first
/// goes where no version is.
pub(super) async fn renumber(
    conn: &mut PgConnection,
    plan: &Plan,
    subject: &Subject,
    number: i32,
    to: &str,
    from: &str,
) -> Result<i64, Error> {
    let version = crate::db::quote_ident(&subject.version_column);
    let (table, row, data_type) = (&subject.table, subject.is_row_of(), &subject.version_type);
    let change = format!("{BATCH} and m.{to} is distinct from m.{from} and {row}");
    let expected: i64 = sqlx::query_scalar(&format!(
        "select pg_catalog.count(*) from domain_events.repaired_versions m where {BATCH} and m.{to} is distinct from m.{from}"
    ))
    .bind(&plan.plan_id)
    .bind(table)
    .bind(number)
    .fetch_one(&mut *conn)
    .await
    .doing("reading the map")?;
    let mut statements = vec![];
    if has_unique_index(conn, subject).await? {
        statements.push(format!(
            "update {table} t set {version} = (m.{to} + h.highest)::{data_type} from domain_events.repaired_versions m,
                    (select greatest(pg_catalog.max(m.old_version), pg_catalog.max(m.new_version)) as highest
                       from domain_events.repaired_versions m where {BATCH}) h where {change}"
        ));
    }
    statements.push(format!(
        "update {table} t set {version} = m.{to}::{data_type} from domain_events.repaired_versions m where {change}"
    ));
    // a trigger that was allowed finds its names as it does when the application updates
    let path = if has_update_trigger(conn, subject).await? { "default" } else { "''" };
    db::execute(conn, &format!("set local search_path = {path}"), "setting the search path").await?;
    for statement in statements {
        sqlx::query(&statement)
            .bind(&plan.plan_id)
            .bind(table)
            .bind(number)
            .execute(&mut *conn)
            .await
            .doing(format!("renumbering batch {number} of {table}"))?;
    }
    // a trigger may drop an update, or put the old row in the place of the new one
    let kept: i64 = sqlx::query_scalar(&format!(
        "select pg_catalog.count(*) from domain_events.repaired_versions m left join {table} t on {row}
          where {BATCH} and t.{version}::numeric is distinct from m.{to}::numeric"
    ))
    .bind(&plan.plan_id)
    .bind(table)
    .bind(number)
    .fetch_one(&mut *conn)
    .await
    .doing(format!("reading batch {number} of {table} again"))?;
    if kept > 0 {
        return Err(Error::refused(
            "55000",
            format!("{table} did not take the new versions of {kept} events"),
            "A trigger of the table keeps the old ones. Nothing of this batch was changed.",
        ));
    }
    db::execute(conn, "set local search_path = ''", "setting the search path").await?;
    Ok(expected)
}

/// Whether an update of the table runs code of the user.
async fn has_update_trigger(conn: &mut PgConnection, subject: &Subject) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select exists (select from pg_catalog.pg_trigger t where not t.tgisinternal and t.tgenabled <> 'D' and t.tgtype & 16 <> 0 \
            and t.tgrelid in (select $1::regclass union select r.relid from pg_catalog.pg_partition_tree($1::regclass) r))",
    )
    .bind(&subject.table)
    .fetch_one(conn)
    .await
    .doing("reading the triggers")
}

/// Whether an index finds the events of a stream; without one, every batch reads the whole table.
pub async fn has_stream_index(conn: &mut PgConnection, subject: &Subject) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select exists (select from pg_catalog.pg_index i join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attname = $2 \
           where i.indrelid = $1::regclass and i.indisvalid and i.indpred is null and a.attnum = any ((i.indkey::int2[])[0:1]))",
    )
    .bind(&subject.table)
    .bind(&subject.id_column)
    .fetch_one(conn)
    .await
    .doing("reading the indexes")
}

/// Whether some unique index, of whatever kind, holds the version.
async fn has_unique_index(conn: &mut PgConnection, subject: &Subject) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select exists (select from pg_catalog.pg_index i join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attname = $2 \
           where i.indrelid = $1::regclass and i.indisunique and (a.attnum = any (i.indkey::int2[]) or i.indexprs is not null))",
    )
    .bind(&subject.table)
    .bind(&subject.version_column)
    .fetch_one(conn)
    .await
    .doing("reading the unique keys")
}
