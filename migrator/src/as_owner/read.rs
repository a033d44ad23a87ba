//! Reading rows as their owner.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};

use super::forget_statements;
use super::owner::{Owner, Relation, Role};
use crate::db;
use crate::error::{Doing, Error};
use domain_events_sql::quote::quote_literal;

/// Begins a READ ONLY transaction in which [`rows`] can read these tables and the store.
pub async fn begin_read_only(conn: &mut PgConnection, tables: &[&str]) -> Result<(), Error> {
    let mut owners: Vec<Role> = Owner::of_any_store(conn).await?.and_then(|owner| owner.other).into_iter().collect();
    for table in tables {
        if let Some(other) = Relation::find(conn, table).await?.owner().other
            && !owners.contains(&other)
        {
            owners.push(other);
        }
    }
    if owners.is_empty() {
        return db::begin_read_only(conn).await;
    }
    let doing = "preparing to read as the owner of the tables";
    db::execute(conn, "begin isolation level repeatable read, read write", doing).await?;
    db::pin_settings(conn).await?;
    for owner in &owners {
        db::execute(conn, &format!("{}{}", owner.open(), reader(owner)), doing).await?;
    }
    // what has become another's meanwhile has no reader, and is not read
    for table in tables {
        Owner::of_table(conn, table).await?;
    }
    db::execute(conn, "set transaction read only", doing).await
}

fn reader_name(owner: &Role) -> String {
    format!("domain_events_read_as_{}", owner.oid)
}

/// The function that reads as an owner. Text arguments: the statement casts them.
fn reader(owner: &Role) -> String {
    let name = reader_name(owner);
    let arguments = "pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text";
    format!(
        "drop function if exists pg_temp.{name}({arguments}); \
         create function pg_temp.{name}({arguments}) returns setof pg_catalog.record \
         language plpgsql volatile security definer \
         as 'begin return query execute $1 using $2, $3, $4; end'; \
         revoke all on function pg_temp.{name}({arguments}) from public; \
         alter function pg_temp.{name}({arguments}) owner to {role}",
        role = owner.name,
    )
}

/// Reads rows of a user's table as its owner, inside the caller's transaction. `columns` are the names and types of what the
/// statement gives, built-in ones; `arguments`, at most three, are its $1 to $3, all of them texts.
pub async fn rows<T>(
    conn: &mut PgConnection,
    owner: &Owner,
    sql: &str,
    columns: &str,
    arguments: &[&str],
    doing: &str,
) -> Result<Vec<T>, Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let Some(other) = &owner.other else { return plainly(conn, sql, given(arguments), doing).await };
    let savepoint = "savepoint domain_events_rows";
    // a function of the owner's that runs with the owner's rights is none of anybody else's, whatever its text
    let there: bool = sqlx::query_scalar(
        "select exists (select from pg_catalog.pg_proc p where p.pronamespace operator(pg_catalog.=) pg_catalog.pg_my_temp_schema() \
            and p.proname operator(pg_catalog.=) $1::pg_catalog.name and p.proowner::pg_catalog.int8 operator(pg_catalog.=) $2 and p.prosecdef)",
    )
    .bind(reader_name(other))
    .bind(other.oid)
    .fetch_one(&mut *conn)
    .await
    .doing(doing)?;
    let prepare = if there { savepoint.to_owned() } else { format!("{savepoint}; {}{}", other.open(), reader(other)) };
    db::execute(conn, &prepare, doing).await?;
    let read = call(conn, other, sql, columns, arguments, doing).await?;
    db::execute(
        conn,
        "rollback to savepoint domain_events_rows; release savepoint domain_events_rows",
        "forgetting what reading did",
    )
    .await?;
    forget_statements(conn, doing).await?;
    Ok(read)
}

async fn call<T>(
    conn: &mut PgConnection,
    other: &Role,
    sql: &str,
    columns: &str,
    arguments: &[&str],
    doing: &str,
) -> Result<Vec<T>, Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let argument = |n: usize| arguments.get(n).copied();
    sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select r.* from pg_temp.{}($1, $2, $3, $4) as r({columns})",
        reader_name(other)
    )))
    .bind(sql)
    .bind(argument(0))
    .bind(argument(1))
    .bind(argument(2))
    .persistent(false)
    .fetch_all(conn)
    .await
    .doing(doing)
}

pub(super) async fn plainly<'a, T>(
    conn: &mut PgConnection,
    sql: &'a str,
    arguments: impl Iterator<Item = Option<&'a str>>,
    doing: &str,
) -> Result<Vec<T>, Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).persistent(false);
    arguments.fold(query, |query, argument| query.bind(argument)).fetch_all(conn).await.doing(doing)
}

pub(super) fn given<'a>(arguments: &'a [&'a str]) -> impl Iterator<Item = Option<&'a str>> {
    arguments.iter().map(|argument| Some(*argument))
}

/// The only row of [`rows`].
pub async fn row<T>(
    conn: &mut PgConnection,
    owner: &Owner,
    sql: &str,
    columns: &str,
    arguments: &[&str],
    doing: &str,
) -> Result<T, Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let read = rows(conn, owner, sql, columns, arguments, doing).await?;
    read.into_iter().next().ok_or(sqlx::Error::RowNotFound).doing(doing)
}

/// Opens a cursor over rows that the owner reads, in a transaction of [`begin_read_only`]. They are read with the first FETCH;
/// [`pin`] has to follow it.
pub async fn declare(
    conn: &mut PgConnection,
    owner: &Owner,
    cursor: &str,
    sql: &str,
    columns: &str,
    doing: &str,
) -> Result<(), Error> {
    let query = match &owner.other {
        None => sql.to_owned(),
        Some(other) => format!(
            "select r.* from pg_temp.{}({}, null, null, null) as r({columns})",
            reader_name(other),
            quote_literal(sql)
        ),
    };
    db::execute(conn, &format!("declare {cursor} no scroll cursor for {query}"), doing).await
}

/// Texts as one text that `::text[]` reads.
pub fn array<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> String {
    let quoted = texts.map(|text| match text {
        None => "null".to_owned(),
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    });
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}
