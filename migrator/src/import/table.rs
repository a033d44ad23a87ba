//! A table with its rows: made, loaded, then given its keys.

use sqlx::PgConnection;

use super::batch;
use super::generated;
use super::journal::{self, Import};
use super::rejects::Rejects;
use super::rows::Loader;
use super::source::Source;
use super::{Options, Outcome};
use crate::as_owner::Owner;
use crate::context::Context;
use crate::db;
use crate::error::{Doing, Error};
use crate::locks;
use domain_events_mysql::ddl::{self, Ddl};
use domain_events_mysql::schema::Table;
use domain_events_sql::quote::{quote_ident, quote_literal};

/// Imports one table; its foreign keys are made by `link`, when every table is there.
pub async fn import(
    conn: &mut PgConnection,
    source: &mut Source,
    table: &Table,
    options: &Options,
    rejects: &mut Rejects,
    ctx: &Context,
) -> Result<Outcome, Error> {
    let target = format!("{}.{}", quote_ident(&options.schema), quote_ident(&table.name));
    let mut outcome = Outcome { source: table.name.clone(), target: target.clone(), ..Outcome::default() };
    let original = table;
    let adapted;
    let how =
        format!("zero dates {:?}, zone {}, keys first {}", options.zero_dates, options.time_zone, options.keys_first);
    let import = match journal::find(conn, &source.name(), &table.name, &target).await? {
        Some(found) if found.state == "finished" && found.fingerprint == source.fingerprint()? => {
            (outcome.already, outcome.verified) = (true, true);
            outcome.rows = found.rows_read.unsigned_abs();
            outcome.stored = found.rows_stored.unsigned_abs();
            outcome.rejected = found.rejected.len() as u64;
            return Ok(outcome);
        }
        Some(found) if found.state != "finished" => {
            check_same(&found, &source.fingerprint()?, &how, &target)?;
            ctx.out.note(format!("import of {} goes on after row {}", table.name, found.rows_read));
            adapted = ddl::with_plain(original, &generated::plain_in(conn, &target, original).await?);
            *rejects = Rejects::open(rejects.path(), found.rejects_bytes.unsigned_abs(), found.rejected.len() as u64);
            found
        }
        _ => {
            expect_free(conn, &target).await?;
            db::execute(conn, "begin", "beginning a transaction").await?;
            adapted = ddl::with_plain(original, &generated::plain(conn, original, &options.schema).await?);
            let made = ddl::ddl(&adapted, &options.schema);
            let first = made.unique_keys.iter().filter(|_| options.keys_first);
            for sql in made.table.iter().chain(first) {
                db::execute(conn, sql, &format!("making table {target}")).await?;
            }
            let key = (source.name(), table.name.clone());
            let begun = journal::begin(conn, (&key.0, &key.1, &target), &source.fingerprint()?, None, &how).await?;
            db::execute(conn, "commit", "committing").await?;
            begun
        }
    };
    let table = &adapted;
    let made = ddl::ddl(table, &options.schema);
    outcome.notes.extend(made.notes.iter().cloned().chain(generated::notes(original, table)));
    if !options.no_rows {
        let length = source.length(table).await?;
        let bar = ctx.out.progress(length, format!("importing {}", table.name));
        let rows = source.rows(table).await?;
        let loaded = Loader::new(table, &target, options).load(conn, rows, &import, rejects, &bar).await;
        bar.finish_and_clear();
        let loaded = loaded?;
        (outcome.rows, outcome.stored, outcome.rejected) = loaded;
    }
    let stored = complete(conn, &target, &made, table, &import, options, ctx).await?;
    outcome.verified = options.no_rows || stored == outcome.stored && outcome.rows == outcome.stored + outcome.rejected;
    Ok(outcome)
}

/// An import goes on with the same source and options only.
pub fn check_same(found: &Import, fingerprint: &str, how: &str, target: &str) -> Result<(), Error> {
    let hint = format!(
        "Drop what the unfinished import left ({target}) and its row {} of domain_events.imports, or go on as it began.",
        found.import_id
    );
    if found.fingerprint != fingerprint {
        return Err(Error::drift("the dump is not the file that the unfinished import began with", hint));
    }
    if found.options != how {
        return Err(Error::usage(format!("the unfinished import began with other options: {}", found.options), hint));
    }
    Ok(())
}

/// The name must be free.
pub async fn expect_free(conn: &mut PgConnection, target: &str) -> Result<(), Error> {
    let there: bool = sqlx::query_scalar("select pg_catalog.to_regclass($1) is not null")
        .bind(target)
        .fetch_one(&mut *conn)
        .await
        .doing("looking for the table")?;
    if !there {
        return Ok(());
    }
    let other = journal::unfinished(conn, target).await?;
    let hint = match other {
        Some(source) => format!("An import of it from {source} did not end: go on with the same --from."),
        None => "Import into another schema with --schema, or drop or rename the table first.".into(),
    };
    Err(Error::refused("42P07", format!("{target} exists already"), hint))
}

// Keys, triggers and sequences, and the end in the journal.
async fn complete(
    conn: &mut PgConnection,
    target: &str,
    made: &Ddl,
    table: &Table,
    import: &Import,
    options: &Options,
    ctx: &Context,
) -> Result<u64, Error> {
    let bar = ctx.out.progress(0, format!("building keys of {}", table.name));
    let done = async {
        batch::begin(conn, Some(target)).await?;
        let unique = made.unique_keys.iter().filter(|_| !options.keys_first);
        for sql in unique.chain(&made.keys).chain(&made.triggers) {
            match db::execute(conn, sql, &format!("completing table {target}")).await {
                Err(error) if error.sqlstate().as_deref() == Some("23505") => {
                    return Err(Error::refused(
                        "23505",
                        format!("{error}: {}", error.detail().unwrap_or_default()),
                        format!(
                            "Rows of the source contradict its own key: drop table {target} and row {} of domain_events.imports, and \
                             import with --keys-first, which rejects them.",
                            import.import_id
                        ),
                    ));
                }
                Err(error) if !locks::is_lock_failure(&error) => {
                    let hint = format!(
                        "The rows are in. Mend the cause and run the same command again, it goes on there; or drop table {target} and row \
                         {} of domain_events.imports.",
                        import.import_id
                    );
                    return Err(Error::refused("55000", error.to_string(), hint));
                }
                done => done?,
            }
        }
        for column in &made.identities {
            let next = table.auto_increment.unwrap_or(1);
            let sql = format!(
                "select pg_catalog.setval(pg_catalog.pg_get_serial_sequence({}, {}), \
                 greatest({next}, coalesce((select max({}) from {target}), 0) + 1), false)",
                quote_literal(target),
                quote_literal(column),
                quote_ident(column)
            );
            db::execute(conn, &sql, &format!("setting the sequence of {target}")).await?;
        }
        let stored: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select pg_catalog.count(*) from {target}")))
            .fetch_one(&mut *conn)
            .await
            .doing("counting the rows")?;
        journal::finish(conn, import).await?;
        db::execute(conn, "commit", "committing").await?;
        db::execute(conn, &format!("analyze {target}"), "analysing the table").await?;
        Ok(stored.unsigned_abs())
    }
    .await;
    bar.finish_and_clear();
    done
}

/// Makes the foreign keys of a table, now that the others are there: a note for each that cannot be.
pub async fn link(conn: &mut PgConnection, table: &Table, schema: &str) -> Result<Vec<String>, Error> {
    let mut notes = vec![];
    for (other, sql) in ddl::ddl(table, schema).foreign_keys {
        let target = format!("{}.{}", quote_ident(schema), quote_ident(&other));
        let is_table: bool = sqlx::query_scalar(
            "select exists (select from pg_catalog.pg_class where oid = pg_catalog.to_regclass($1) and relkind in ('r', 'p'))",
        )
        .bind(&target)
        .fetch_one(&mut *conn)
        .await
        .doing("looking for a table")?;
        if !is_table {
            notes.push(format!(
                "{}: its foreign key to {other} is left out, because that table is not imported",
                table.name
            ));
            continue;
        }
        let own = format!("{}.{}", quote_ident(schema), quote_ident(&table.name));
        match foreign_key(conn, &own, &target, &sql, true).await {
            Ok(true) => {}
            Ok(false) => notes.push(format!(
                "{}: its foreign key to {other} is not valid: its rows are not compared with a table of another role",
                table.name
            )),
            Err(error) if error.sqlstate().as_deref() == Some("42710") => {}
            Err(error) if batch::is_rows_fault(&error) => {
                foreign_key(conn, &own, &target, &sql, false).await?;
                notes.push(format!("{}: its foreign key to {other} is not valid: {error}", table.name));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(notes)
}

/// Makes a foreign key of a table of the import; whether its rows were compared. With a table of another role they never are: that
/// would run code of it.
async fn foreign_key(
    conn: &mut PgConnection,
    own: &str,
    other: &str,
    sql: &str,
    compared: bool,
) -> Result<bool, Error> {
    batch::begin(conn, Some(own)).await?;
    let made = async {
        let valid = compared && !Owner::of_table(conn, other).await?.is_other();
        let sql = if valid { sql.to_owned() } else { format!("{sql} not valid") };
        db::execute(conn, &sql, &format!("making a foreign key of {own}")).await?;
        db::execute(conn, "commit", "committing").await?;
        Ok(valid)
    }
    .await;
    if made.is_err() {
        // a broken connection has nothing to roll back; the first error is what counts
        let _ = db::rollback(conn).await;
    }
    made
}
