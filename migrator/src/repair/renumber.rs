//! The update of one batch.

use sqlx::PgConnection;

use super::Subject;
use crate::apply::journal;
use crate::as_owner::{self, Owner};
use crate::db::{self, PATH};
use crate::error::{Doing, Error};
use crate::plan::Plan;

/// The part of the map that a batch is.
pub(super) const BATCH: &str = "m.repair_id = $1 and m.event_table = $2 and m.batch = $3";

/// The batch's part of the map for the owner of the table, who may read it and nothing else of the store.
pub(super) const MAP: &str = "pg_temp.domain_events_map";

/// Copies the batch's part of the map, until the transaction ends.
pub(super) async fn own_map(
    conn: &mut PgConnection,
    owner: &Owner,
    plan: &Plan,
    subject: &Subject,
    number: i32,
) -> Result<(), Error> {
    let doing = format!("reading batch {number} of the map");
    let make = "create temporary table domain_events_map (aggregate_type text collate \"C\", aggregate_id text collate \"C\", \
         row_key text, old_version numeric, new_version bigint) on commit drop";
    db::execute(conn, make, &doing).await?;
    let trusted = journal::trusted("m.written_by");
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "insert into {MAP} select m.aggregate_type, m.aggregate_id, m.row_key, m.old_version, m.new_version \
           from domain_events.repaired_versions m where {BATCH} and {trusted}"
    )))
    .bind(&plan.plan_id)
    .bind(&subject.table)
    .bind(number)
    .execute(&mut *conn)
    .await
    .doing(&doing)?;
    let foreign: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select m.written_by from domain_events.repaired_versions m where {BATCH} and not {trusted} limit 1"
    )))
    .bind(&plan.plan_id)
    .bind(&subject.table)
    .bind(number)
    .fetch_optional(&mut *conn)
    .await
    .doing(&doing)?;
    if let Some(writer) = foreign {
        return Err(journal::foreign(&format!("a part of the map of repair {}", plan.plan_id), &writer));
    }
    db::execute(conn, &format!("analyze {MAP}; {}", owner.grant("select", MAP)), &doing).await
}

/// Moves a batch from one column of the map to the other. A unique key is checked row by row: with one, every version first
/// goes where no version is.
pub(super) async fn renumber(
    conn: &mut PgConnection,
    owner: &Owner,
    subject: &Subject,
    number: i32,
    to: &str,
    from: &str,
) -> Result<i64, Error> {
    let version = domain_events_sql::quote::quote_ident(&subject.version_column);
    let (table, row, data_type) = (&subject.table, subject.is_row_of(), &subject.version_type);
    let change = format!("m.{to} is distinct from m.{from} and {row}");
    let expected: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select pg_catalog.count(*) from {MAP} m where m.{to} is distinct from m.{from}"
    )))
    .fetch_one(&mut *conn)
    .await
    .doing("reading the map")?;
    let mut statements = vec![];
    if has_unique_index(conn, subject).await? {
        statements.push(format!(
            "update {table} t set {version} = (m.{to} + h.highest)::{data_type} from {MAP} m,
                    (select greatest(pg_catalog.max(m.old_version), pg_catalog.max(m.new_version)) as highest
                       from {MAP} m) h where {change}"
        ));
    }
    statements.push(format!("update {table} t set {version} = m.{to}::{data_type} from {MAP} m where {change}"));
    // a trigger that was allowed finds its names as it does when the application updates
    let path = if has_update_trigger(conn, subject).await? { own_path(conn).await? } else { PATH.to_owned() };
    for statement in statements {
        as_owner::execute_in(conn, owner, &path, &statement, &format!("renumbering batch {number} of {table}")).await?;
    }
    // a trigger may drop an update, or put the old row in the place of the new one
    let sql = format!(
        "select pg_catalog.count(*) from {MAP} m left join {table} t on {row}
          where t.{version}::numeric is distinct from m.{to}::numeric"
    );
    let doing = format!("reading batch {number} of {table} again");
    let (kept,): (i64,) = as_owner::row(conn, owner, &sql, "kept bigint", &[], &doing).await?;
    if kept > 0 {
        return Err(Error::refused(
            "55000",
            format!("{table} did not take the new versions of {kept} events"),
            "A trigger of the table keeps the old ones. Nothing of this batch was changed.",
        ));
    }
    Ok(expected)
}

/// The search path that the connected role has without the tool.
async fn own_path(conn: &mut PgConnection) -> Result<String, Error> {
    sqlx::query_scalar("select s.reset_val from pg_catalog.pg_settings s where s.name = 'search_path'")
        .fetch_one(conn)
        .await
        .doing("reading the search path")
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

/// Whether an index finds the events of a stream, by one of the columns with its id; without one, every batch reads the whole
/// table.
pub async fn has_stream_index(conn: &mut PgConnection, subject: &Subject) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select exists (select from pg_catalog.pg_index i join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attname = any ($2) \
           where i.indrelid = $1::regclass and i.indisvalid and i.indpred is null and a.attnum = any ((i.indkey::int2[])[0:1]))",
    )
    .bind(&subject.table)
    .bind(subject.id_columns.iter().map(|(column, _)| column.as_str()).collect::<Vec<_>>())
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
