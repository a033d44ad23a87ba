//! How far an import came, in `domain_events.imports`: written in the transaction of each batch.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};

use crate::error::{Doing, Error};

/// A row of domain_events.imports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Import {
    /// Its number.
    pub import_id: i64,
    /// What the source was when it began.
    pub fingerprint: String,
    /// loading or finished.
    pub state: String,
    /// The reservation of positions, for events.
    pub adoption_id: Option<i64>,
    /// What decides how rows are read.
    pub options: String,
    /// Rows of the source that are dealt with.
    pub rows_read: i64,
    /// Rows stored.
    pub rows_stored: i64,
    /// Numbers of the rows that were rejected.
    pub rejected: Vec<i64>,
    /// Bytes of the reject file.
    pub rejects_bytes: i64,
}

impl FromRow<'_, PgRow> for Import {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            import_id: row.try_get("import_id")?,
            fingerprint: row.try_get("fingerprint")?,
            state: row.try_get("state")?,
            adoption_id: row.try_get("adoption_id")?,
            options: row.try_get("options")?,
            rows_read: row.try_get("rows_read")?,
            rows_stored: row.try_get("rows_stored")?,
            rejected: row.try_get("rejected")?,
            rejects_bytes: row.try_get("rejects_bytes")?,
        })
    }
}

const COLUMNS: &str =
    "import_id, fingerprint, state, adoption_id, options, rows_read, rows_stored, rejected, rejects_bytes";

/// The import of a table of a source into a target, if there is one.
pub async fn find(
    conn: &mut PgConnection,
    source: &str,
    source_table: &str,
    target: &str,
) -> Result<Option<Import>, Error> {
    sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select {COLUMNS} from domain_events.imports where source = $1 and source_table = $2 and target = $3 \
         order by import_id desc limit 1"
    )))
    .bind(source)
    .bind(source_table)
    .bind(target)
    .fetch_optional(conn)
    .await
    .doing("reading the journal of imports")
}

/// An import that did not end, from any source, into a target.
pub async fn unfinished(conn: &mut PgConnection, target: &str) -> Result<Option<String>, Error> {
    sqlx::query_scalar(
        "select source from domain_events.imports where target = $1 and state <> 'finished' order by import_id desc limit 1",
    )
    .bind(target)
    .fetch_optional(conn)
    .await
    .doing("reading the journal of imports")
}

/// Notes a new import.
pub async fn begin(
    conn: &mut PgConnection,
    (source, source_table, target): (&str, &str, &str),
    fingerprint: &str,
    adoption_id: Option<i64>,
    options: &str,
) -> Result<Import, Error> {
    sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "insert into domain_events.imports (source, source_table, target, fingerprint, adoption_id, options) \
         values ($1, $2, $3, $4, $5, $6) returning {COLUMNS}"
    )))
    .bind(source)
    .bind(source_table)
    .bind(target)
    .bind(fingerprint)
    .bind(adoption_id)
    .bind(options)
    .fetch_one(conn)
    .await
    .doing("writing the journal of imports")
}

/// Notes a batch, in its transaction. `rejected` are the numbers of its rejected rows.
pub async fn advance(
    conn: &mut PgConnection,
    import: &Import,
    rows_read: i64,
    rows_stored: i64,
    rejected: &[i64],
    rejects_bytes: i64,
) -> Result<(), Error> {
    sqlx::query(
        "update domain_events.imports set rows_read = $2, rows_stored = $3, rejected = rejected || $4, rejects_bytes = $5, \
         changed_at = pg_catalog.clock_timestamp() where import_id = $1",
    )
    .bind(import.import_id)
    .bind(rows_read)
    .bind(rows_stored)
    .bind(rejected)
    .bind(rejects_bytes)
    .execute(conn)
    .await
    .doing("writing the journal of imports")?;
    Ok(())
}

/// Notes the end.
pub async fn finish(conn: &mut PgConnection, import: &Import) -> Result<(), Error> {
    sqlx::query(
        "update domain_events.imports set state = 'finished', changed_at = pg_catalog.clock_timestamp(), \
         ended_at = pg_catalog.clock_timestamp() where import_id = $1",
    )
    .bind(import.import_id)
    .execute(conn)
    .await
    .doing("writing the journal of imports")?;
    Ok(())
}
