//! Statements on users' tables, views and functions, run with their owner's rights.
//!
//! Whoever owns a table has code in it: index expressions and predicates, checks, defaults, statistics, policies, triggers, the
//! functions of its types. PostgreSQL runs that code as whoever plans or executes a statement on the table, and a superuser
//! who runs this tool would lend it everything. `set role` is no way out: the code may `reset role`, and is the superuser
//! again; `set session authorization` neither. Both are refused to code that a SECURITY DEFINER function runs, and in
//! what PostgreSQL calls a security-restricted operation. So there are three ways, and no statement on an object of users goes
//! around them (`SECURITY.md`):
//!
//! | way | for | what keeps the code in |
//! |---|---|---|
//! | [`rows`] | reading | a SECURITY DEFINER function of the owner, in a savepoint that is rolled back once the rows are here: nothing of what the code did is left, neither a deferred trigger, which PostgreSQL below 18 fires at commit as whoever commits, nor a cursor with hold, nor a setting |
//! | [`execute`] | changes that stay | `refresh materialized view`, PostgreSQL's own way to run code as the owner of a relation: it undoes settings, and refuses deferred triggers, cursors with hold and temporary tables |
//! | [`staged`], [`staged_rows`] | changes in a transaction that is rolled back | a SECURITY DEFINER function, made anew for every call, since its owner may alter it; what was deferred runs in it |
//!
//! A role that owns the objects itself needs none of them, and they are run as they are.

use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};

use crate::db::{self, PATH, quote_literal};
use crate::error::{Doing, Error};

/// The role that owns an object, as far as the connected role has to act as another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    // none where the connected role acts as itself
    other: Option<Role>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Role {
    // quoted
    name: String,
    oid: i64,
    // the schema of the table, quoted, where the role may not use it
    closed: Option<String>,
}

impl Role {
    /// Lets the role find its own table. Undone with the savepoint or the transaction, or by [`Role::close`].
    fn open(&self) -> String {
        self.closed.as_ref().map_or_else(String::new, |s| format!("grant usage on schema {s} to {};", self.name))
    }

    fn close(&self) -> String {
        self.closed.as_ref().map_or_else(String::new, |s| format!("revoke usage on schema {s} from {};", self.name))
    }
}

/// What our own statements depend on, for a transaction in which the owner's code may have set something.
const PIN: &str = "set local search_path = pg_catalog, pg_temp; set local standard_conforming_strings = on; set local client_encoding = 'UTF8'";

/// Names of what is made for one statement.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Only a superuser has to act as others: what any other role lends to the code of tables that it works on are its own few rights.
const FIND: &str = "select pg_catalog.quote_ident(o.rolname), o.oid::pg_catalog.int8 \
       from pg_catalog.pg_roles o join pg_catalog.pg_roles me on me.rolname operator(pg_catalog.=) current_user \
      where o.oid operator(pg_catalog.<>) me.oid and me.rolsuper";

impl Owner {
    /// The connected role, which acts as itself.
    pub fn own() -> Self {
        Self::default()
    }

    /// Whether statements run as another role than the connected one.
    pub fn is_other(&self) -> bool {
        self.other.is_some()
    }

    /// Lets the owner use what is the connected role's; nothing to run where that is the same role.
    pub fn grant(&self, right: &str, object: &str) -> String {
        self.other.as_ref().map_or_else(String::new, |role| format!("grant {right} on {object} to {}", role.name))
    }

    /// Takes back what [`Self::grant`] gave.
    pub fn revoke(&self, right: &str, object: &str) -> String {
        self.other.as_ref().map_or_else(String::new, |role| format!("revoke {right} on {object} from {}", role.name))
    }

    /// Its number; none for the connected role itself.
    pub fn oid(&self) -> Option<i64> {
        self.other.as_ref().map(|role| role.oid)
    }

    /// The owner of a relation, by its qualified name; the connected role itself where there is no such relation.
    pub async fn of_table(conn: &mut PgConnection, table: &str) -> Result<Self, Error> {
        let condition = "o.oid operator(pg_catalog.=) (select c.relowner from pg_catalog.pg_class c \
             where c.oid operator(pg_catalog.=) pg_catalog.to_regclass($1)::pg_catalog.oid)";
        let doing = format!("looking for the owner of {table}");
        let mut owner = Self::find(conn, condition, table, &doing).await?;
        if let Some(role) = &mut owner.other {
            role.closed = sqlx::query_scalar(
                "select pg_catalog.quote_ident(n.nspname) from pg_catalog.pg_namespace n join pg_catalog.pg_class c \
                     on c.relnamespace operator(pg_catalog.=) n.oid \
                  where c.oid operator(pg_catalog.=) pg_catalog.to_regclass($1)::pg_catalog.oid \
                    and not pg_catalog.has_schema_privilege($2::pg_catalog.int8::pg_catalog.oid, n.oid, 'usage')",
            )
            .bind(table)
            .bind(role.oid)
            .fetch_optional(conn)
            .await
            .doing(doing)?;
        }
        Ok(owner)
    }

    /// The owner of a function, by its qualified name and its arguments.
    pub async fn of_function(conn: &mut PgConnection, identity: &str) -> Result<Self, Error> {
        let condition = "o.oid operator(pg_catalog.=) (select p.proowner from pg_catalog.pg_proc p \
             join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) p.pronamespace \
             where p.proname operator(pg_catalog.=) ((pg_catalog.parse_ident($1, false))[2])::pg_catalog.name \
               and pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)) operator(pg_catalog.=) $1)";
        Self::find(conn, condition, identity, &format!("looking for the owner of {identity}")).await
    }

    /// A role by its name, unquoted.
    pub async fn named(conn: &mut PgConnection, role: &str) -> Result<Self, Error> {
        let condition = "o.rolname operator(pg_catalog.=) $1::pg_catalog.name";
        Self::find(conn, condition, role, &format!("looking for role {role}")).await
    }

    async fn find(conn: &mut PgConnection, condition: &str, value: &str, doing: &str) -> Result<Self, Error> {
        let found: Option<(String, i64)> =
            sqlx::query_as(&format!("{FIND} and {condition}")).bind(value).fetch_optional(conn).await.doing(doing)?;
        Ok(Self { other: found.map(|(name, oid)| Role { name, oid, closed: None }) })
    }
}

/// Makes, in a transaction that is not READ ONLY yet, what [`rows`] needs to read these tables in it.
pub async fn begin_read_only(conn: &mut PgConnection, tables: &[&str]) -> Result<(), Error> {
    let mut owners: Vec<Role> = vec![];
    for table in tables {
        if let Some(other) = Owner::of_table(conn, table).await?.other
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
    let Some(other) = &owner.other else { return plainly(conn, sql, arguments, doing).await };
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
    sqlx::query_as(&format!("select r.* from pg_temp.{}($1, $2, $3, $4) as r({columns})", reader_name(other)))
        .bind(sql)
        .bind(argument(0))
        .bind(argument(1))
        .bind(argument(2))
        .persistent(false)
        .fetch_all(conn)
        .await
        .doing(doing)
}

async fn plainly<T>(conn: &mut PgConnection, sql: &str, arguments: &[&str], doing: &str) -> Result<Vec<T>, Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let query = sqlx::query_as(sql).persistent(false);
    arguments.iter().fold(query, |query, argument| query.bind(*argument)).fetch_all(conn).await.doing(doing)
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

/// Makes the rest of the transaction independent of what the owner's code may have set.
pub async fn pin(conn: &mut PgConnection, owner: &Owner) -> Result<(), Error> {
    if owner.is_other() {
        db::execute(conn, PIN, "pinning the settings").await?;
        forget_statements(conn, "pinning the settings").await?;
    }
    Ok(())
}

/// Texts as one text that `::text[]` reads.
pub fn array<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> String {
    let quoted = texts.map(|text| match text {
        None => "null".to_owned(),
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    });
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}

/// User code may have prepared other statements under the names of ours, which no rollback undoes: none is used twice.
async fn forget_statements(conn: &mut PgConnection, doing: &str) -> Result<(), Error> {
    use sqlx::Connection as _;
    conn.clear_cached_statements().await.doing(doing)?;
    db::execute(conn, "deallocate all", doing).await
}

/// Carries out statements that stay, as the owner, inside the caller's transaction; gives the number of rows that the last
/// of them changed. What a constraint would leave for the commit is checked at once.
pub async fn execute(conn: &mut PgConnection, owner: &Owner, sql: &str, doing: &str) -> Result<u64, Error> {
    execute_in(conn, owner, PATH, sql, doing).await
}

/// The same, with another `search_path` for the statement.
pub async fn execute_in(
    conn: &mut PgConnection,
    owner: &Owner,
    path: &str,
    sql: &str,
    doing: &str,
) -> Result<u64, Error> {
    let Some(other) = &owner.other else {
        if path == PATH {
            return Ok(sqlx::raw_sql(sql).execute(conn).await.doing(doing)?.rows_affected());
        }
        let look = |path: &str| format!("select pg_catalog.set_config('search_path', {}, true)", quote_literal(path));
        db::execute(conn, &look(path), doing).await?;
        let done = sqlx::raw_sql(sql).execute(&mut *conn).await.doing(doing)?;
        db::execute(conn, &look(PATH), doing).await?;
        return Ok(done.rows_affected());
    };
    let role = &other.name;
    let schema = format!("domain_events_as_owner_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    // a name that nobody else has: what is looked up in it was made here
    let schema = format!("{schema}_{:016x}", rand::random::<u64>());
    let body = format!(
        "declare changed pg_catalog.int8; begin set constraints all immediate; perform pg_catalog.set_config('search_path', {path}, true); \
         execute {sql}; get diagnostics changed = row_count; insert into {schema}.outcome values (changed); return null; end",
        path = quote_literal(path),
        sql = quote_literal(sql),
    );
    let run = format!(
        "{open}create schema {schema}; grant usage on schema {schema} to {role}; \
         create table {schema}.outcome (changed pg_catalog.int8); grant insert on {schema}.outcome to {role}; \
         create function {schema}.run() returns pg_catalog.int4 language plpgsql volatile as {body}; \
         create materialized view {schema}.act as select {schema}.run() as nothing with no data; \
         alter materialized view {schema}.act owner to {role}; \
         refresh materialized view {schema}.act",
        open = other.open(),
        body = quote_literal(&body),
    );
    db::execute(conn, &run, doing).await?;
    forget_statements(conn, doing).await?;
    // the table is ours: the owner may insert into it, and nothing else
    let changed: Option<i64> = sqlx::query_scalar(&format!("select pg_catalog.max(o.changed) from {schema}.outcome o"))
        .persistent(false)
        .fetch_one(&mut *conn)
        .await
        .doing(doing)?;
    db::execute(
        conn,
        &format!("set local client_min_messages = warning; drop schema {schema} cascade; {}", other.close()),
        "dropping what ran as the owner",
    )
    .await?;
    Ok(changed.unwrap_or_default().unsigned_abs())
}

/// Carries out a statement as the owner in a transaction that the caller rolls back, whatever happens; gives the number of
/// rows that it changed. What it leaves for the commit is run too.
pub async fn staged(conn: &mut PgConnection, owner: &Owner, sql: &str) -> Result<u64, sqlx::Error> {
    let Some(other) = &owner.other else {
        let sql = format!("{sql};\nset constraints all immediate");
        return Ok(sqlx::raw_sql(&sql).execute(conn).await?.rows_affected());
    };
    // made anew: in the call before, its owner may have altered it
    let name = format!("pg_temp.domain_events_stage_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let make = format!(
        "{PIN}; {open}\
         create function {name}(pg_catalog.text) returns pg_catalog.int8 language plpgsql volatile security definer \
         as 'declare changed pg_catalog.int8; begin execute $1; get diagnostics changed = row_count; set constraints all immediate; return changed; end'; \
         revoke all on function {name}(pg_catalog.text) from public; alter function {name}(pg_catalog.text) owner to {role}",
        open = other.open(),
        role = other.name,
    );
    sqlx::raw_sql(&make).execute(&mut *conn).await?;
    let changed: i64 =
        sqlx::query_scalar(&format!("select {name}($1)")).bind(sql).persistent(false).fetch_one(&mut *conn).await?;
    sqlx::raw_sql(PIN).execute(&mut *conn).await?;
    use sqlx::Connection as _;
    conn.clear_cached_statements().await?;
    sqlx::raw_sql("deallocate all").execute(&mut *conn).await?;
    Ok(changed.unsigned_abs())
}

/// Reads rows as the owner in a transaction that the caller rolls back; what it has done so far is seen.
pub async fn staged_rows<T>(
    conn: &mut PgConnection,
    owner: &Owner,
    sql: &str,
    columns: &str,
    doing: &str,
) -> Result<Vec<T>, Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    if owner.is_other() {
        db::execute(conn, PIN, doing).await?;
    }
    rows(conn, owner, sql, columns, &[], doing).await
}
