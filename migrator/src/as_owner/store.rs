//! Asking and telling the store in the name of its owner.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};

use super::change::Act;
use super::owner::Owner;
use super::read::{given, plainly, rows};
use crate::db;
use crate::error::{Doing, Error};
use domain_events_sql::quote::quote_literal;

/// Whether the store is a lesser role's than the connected one; false where there is none.
pub async fn is_lesser_store(conn: &mut PgConnection) -> Result<bool, Error> {
    Ok(Owner::of_any_store(conn).await?.is_some_and(|owner| owner.is_other()))
}

/// Refuses where only the store's owner may do what follows: statements that stay mix what is the store's with what is the
/// connected role's.
pub async fn expect_own_store(conn: &mut PgConnection, verb: &str) -> Result<(), Error> {
    match Owner::of_any_store(conn).await?.and_then(|owner| owner.other) {
        None => Ok(()),
        Some(role) => Err(Error::refused(
            "42501",
            format!("the event store belongs to role {}, whose code a superuser does not run to {verb}", role.name),
            format!("Run it as {0}, the owner of schema domain_events, or as a member of that role.", role.name),
        )),
    }
}

/// Asks the store, within the caller's transaction or as a statement by itself; `columns` are names and types of what comes.
pub async fn store_rows<T>(
    conn: &mut PgConnection,
    sql: &str,
    columns: &str,
    arguments: &[&str],
    doing: &str,
) -> Result<Vec<T>, Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let owner = Owner::of_store(conn).await?;
    if !owner.is_other() {
        return plainly(conn, sql, given(arguments), doing).await;
    }
    rows(conn, &owner, &typed(sql, columns), columns, arguments, doing).await
}

/// What a query that counts says.
pub async fn store_count(conn: &mut PgConnection, sql: &str, doing: &str) -> Result<i64, Error> {
    let rows: Vec<(i64,)> = store_rows(conn, sql, "count int8", &[], doing).await?;
    Ok(rows.first().map_or(0, |(count,)| *count))
}

/// The rows that [`store_rows`] gives, in a transaction of its own, which is rolled back.
pub async fn ask_store<T>(
    conn: &mut PgConnection,
    sql: &str,
    columns: &str,
    arguments: &[Option<&str>],
    doing: &str,
) -> Result<Vec<T>, Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let owner = Owner::of_store(conn).await?;
    if !owner.is_other() {
        return plainly(conn, sql, arguments.iter().copied(), doing).await;
    }
    let sql = with_arguments(&typed(sql, columns), arguments);
    in_transaction(conn, "rollback", async |conn| rows(conn, &owner, &sql, columns, &[], doing).await).await
}

/// The same, and what the store writes meanwhile stays.
pub async fn tell_store<T>(
    conn: &mut PgConnection,
    sql: &str,
    columns: &str,
    arguments: &[Option<&str>],
    doing: &str,
) -> Result<Vec<T>, Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let owner = Owner::of_store(conn).await?;
    let Some(other) = &owner.other else { return ask_store(conn, sql, columns, arguments, doing).await };
    let sql = with_arguments(&typed(sql, columns), arguments);
    in_transaction(conn, "commit", async |conn| {
        let statements = |outcome: &str| format!("execute {};", quote_literal(&format!("insert into {outcome} {sql}")));
        let act = Act::begin(conn, other, columns, statements, doing).await?;
        let read = sqlx::query_as(sqlx::AssertSqlSafe(format!("select o.* from {} o order by o.ctid", act.outcome())))
            .persistent(false)
            .fetch_all(&mut *conn)
            .await
            .doing(doing)?;
        act.end(conn, other).await?;
        Ok(read)
    })
    .await
}

async fn in_transaction<T>(
    conn: &mut PgConnection,
    end: &str,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Error>,
) -> Result<T, Error> {
    db::execute(conn, "begin", "beginning a transaction").await?;
    let done = async {
        db::pin_settings(conn).await?;
        work(conn).await
    }
    .await;
    match done {
        Ok(value) => db::execute(conn, end, "ending a transaction").await.map(|()| value),
        Err(error) => {
            // a broken connection has nothing to roll back; the first error is what counts
            let _ = db::rollback(conn).await;
            Err(error)
        }
    }
}

/// A query whose columns are of exactly these types: what the store gives may be of a domain.
fn typed(sql: &str, columns: &str) -> String {
    let columns: Vec<(&str, &str)> = columns.split(", ").filter_map(|c| c.split_once(' ')).collect();
    let names: Vec<String> = (0..columns.len()).map(|n| format!("c{n}")).collect();
    let casts: Vec<String> = names.iter().zip(&columns).map(|(name, (_, kind))| format!("q.{name}::{kind}")).collect();
    format!("select {} from ({sql}) as q({})", casts.join(", "), names.join(", "))
}

/// The query with its arguments, which are texts or null, in the place of $1 to $9.
fn with_arguments(sql: &str, arguments: &[Option<&str>]) -> String {
    let mut parts = sql.split('$');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let number = part.chars().next().and_then(|c| c.to_digit(10)).and_then(|n| (n as usize).checked_sub(1));
        match number.and_then(|n| arguments.get(n)) {
            Some(argument) => {
                let text = argument.map_or("null".to_owned(), quote_literal);
                whole.push_str(&format!("{text}::pg_catalog.text{}", &part[1..]));
            }
            None => {
                whole.push('$');
                whole.push_str(part);
            }
        }
    }
    whole
}
