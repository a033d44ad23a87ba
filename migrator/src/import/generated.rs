//! Generated columns: as such where PostgreSQL takes the translated expression, else as plain columns that keep their values.

use sqlx::PgConnection;

use crate::db;
use crate::error::{Doing, Error};
use domain_events_mysql::ddl;
use domain_events_mysql::schema::Table;

/// The generated columns that have to become plain ones, found by making the table in the caller's transaction and taking it
/// back: an expression that is not translated, is not immutable, is of another type, or refers to another generated column.
pub async fn plain(conn: &mut PgConnection, table: &Table, schema: &str) -> Result<Vec<String>, Error> {
    let all: Vec<String> = table.columns.iter().filter(|c| c.generated.is_some()).map(|c| c.name.clone()).collect();
    let translated = |name: &String| table.column(name).is_some_and(|c| ddl::is_generated(c, table));
    let (maybe, mut plain): (Vec<String>, Vec<String>) = all.iter().cloned().partition(translated);
    if maybe.is_empty() || can_be_made(conn, &ddl::with_plain(table, &plain), schema).await? {
        return Ok(plain);
    }
    // one after the other: one that refers to another can be made only where that one is plain
    let mut kept: Vec<String> = vec![];
    for name in maybe {
        let others: Vec<String> = all.iter().filter(|n| **n != name && !kept.contains(n)).cloned().collect();
        if can_be_made(conn, &ddl::with_plain(table, &others), schema).await? {
            kept.push(name);
        } else {
            plain.push(name);
        }
    }
    Ok(plain)
}

async fn can_be_made(conn: &mut PgConnection, table: &Table, schema: &str) -> Result<bool, Error> {
    db::execute(conn, "savepoint generated", "setting a savepoint").await?;
    let mut made = Ok(());
    let ddl = ddl::ddl(table, schema);
    for sql in ddl.table.iter().take(1).chain(&ddl.triggers) {
        made = db::execute(conn, sql, "making a table with generated columns").await;
        if made.is_err() {
            break;
        }
    }
    match &made {
        // what else is wrong is told when the table is made
        Err(error) if error.sqlstate().is_none() => return made.map(|()| false),
        _ => db::execute(conn, "rollback to savepoint generated", "rolling back").await?,
    }
    db::execute(conn, "release savepoint generated", "releasing a savepoint").await?;
    Ok(made.is_ok())
}

/// The same of a table that an earlier run has made.
pub async fn plain_in(conn: &mut PgConnection, target: &str, table: &Table) -> Result<Vec<String>, Error> {
    let generated: Vec<String> = sqlx::query_scalar(
        "select attname::text from pg_catalog.pg_attribute where attrelid = pg_catalog.to_regclass($1) and attgenerated <> ''",
    )
    .bind(target)
    .fetch_all(conn)
    .await
    .doing("reading the table's generated columns")?;
    let here = table.columns.iter().filter(|c| c.generated.is_some() && !generated.contains(&c.name));
    Ok(here.map(|c| c.name.clone()).collect())
}

/// What is told of those that became plain.
pub fn notes(original: &Table, adapted: &Table) -> Vec<String> {
    let became_plain = original.columns.iter().zip(&adapted.columns).filter(|(o, a)| o.generated != a.generated);
    let note = |(o, _): (&domain_events_mysql::schema::Column, _)| {
        let text = o.generated.as_ref().map_or("", |(text, _)| text);
        format!(
            "{}.{}: is generated as {text}, which PostgreSQL does not take: it becomes a plain column with the values that the \
             source holds; a dump of mysqldump holds none, a live server does",
            original.name, o.name
        )
    };
    became_plain.map(note).collect()
}
