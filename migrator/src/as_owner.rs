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
//! A role that owns the objects itself needs none of them, and they are run as they are. What only the superuser may do and comes to
//! the owner's code all the same, as a call of the store that tries a reader, goes by [`execute`] too, in the superuser's own name.

use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};

use crate::db::{self, PATH, quote_literal};
use crate::engine_sql::SCHEMA;
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

/// A role by a condition over `o`, its row in pg_roles: its name, its number, and whether the connected role has to act as it.
/// Only a superuser has to: what any other role lends to the code of tables that it works on are its own few rights.
const FIND: &str = "select pg_catalog.quote_ident(o.rolname), o.oid::pg_catalog.int8, me.rolsuper and o.oid operator(pg_catalog.<>) me.oid \
       from pg_catalog.pg_roles o join pg_catalog.pg_roles me on me.rolname operator(pg_catalog.=) current_user where ";

/// A relation by its name: its number and name now, its owner, and its schema where the owner may not use it.
const RELATION: &str = "select c.oid::pg_catalog.int8 as oid, pg_catalog.format('%I.%I', n.nspname, c.relname) as name, \
         pg_catalog.quote_ident(o.rolname) as owner, o.oid::pg_catalog.int8 as owner_oid, me.rolsuper as by_superuser, \
         me.rolsuper and o.oid operator(pg_catalog.<>) me.oid as is_other, \
         case when not pg_catalog.has_schema_privilege(o.oid, n.oid, 'usage') then pg_catalog.quote_ident(n.nspname) end as closed \
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace \
    join pg_catalog.pg_roles o on o.oid operator(pg_catalog.=) c.relowner \
    join pg_catalog.pg_roles me on me.rolname operator(pg_catalog.=) current_user \
   where c.oid operator(pg_catalog.=) pg_catalog.to_regclass($1)::pg_catalog.oid";

/// How often a relation is looked for that becomes another one each time before it is held.
const TRIES: u32 = 5;

#[derive(Debug, PartialEq, Eq)]
struct Relation {
    oid: i64,
    name: String,
    owner: String,
    owner_oid: i64,
    by_superuser: bool,
    is_other: bool,
    closed: Option<String>,
}

impl FromRow<'_, PgRow> for Relation {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row as _;
        Ok(Self {
            oid: row.try_get("oid")?,
            name: row.try_get("name")?,
            owner: row.try_get("owner")?,
            owner_oid: row.try_get("owner_oid")?,
            by_superuser: row.try_get("by_superuser")?,
            is_other: row.try_get("is_other")?,
            closed: row.try_get("closed")?,
        })
    }
}

impl Relation {
    async fn find(conn: &mut PgConnection, table: &str) -> Result<Self, Error> {
        let found: Option<Self> = sqlx::query_as(RELATION)
            .bind(table)
            .persistent(false)
            .fetch_optional(conn)
            .await
            .doing(format!("looking for the owner of {table}"))?;
        found.ok_or_else(|| {
            Error::refused(
                "42P01",
                format!("{table} does not exist, or is not what it was when this command began"),
                "Nothing of it was read or changed. Run the command again.",
            )
        })
    }

    /// Keeps the relation what it is until the transaction ends: readers and writers go on. LOCK TABLE would take no other kind of
    /// relation, and demands rights on what a view reads; a statement that is prepared and never planned locks any, and runs no code.
    async fn hold(&self, conn: &mut PgConnection) -> Result<(), Error> {
        let hold =
            format!("prepare domain_events_hold as select from only {}; deallocate domain_events_hold", self.name);
        db::execute(conn, &hold, &format!("holding {}", self.name)).await
    }

    fn owner(self) -> Owner {
        let role = Role { name: self.owner, oid: self.owner_oid, closed: self.closed };
        Owner { other: self.is_other.then_some(role) }
    }
}

impl Owner {
    /// The connected role, which acts as itself.
    pub fn own() -> Self {
        Self::default()
    }

    /// The connected superuser in the place of another role: what [`execute`] runs for it, and whatever code of others that comes
    /// to, cannot leave a trigger, a cursor or a setting behind. Any other role acts as it is.
    pub async fn confined(conn: &mut PgConnection) -> Result<Self, Error> {
        let found: Option<(String, i64)> = sqlx::query_as(
            "select pg_catalog.quote_ident(r.rolname), r.oid::pg_catalog.int8 from pg_catalog.pg_roles r \
              where r.rolname operator(pg_catalog.=) current_user and r.rolsuper",
        )
        .persistent(false)
        .fetch_optional(conn)
        .await
        .doing("looking for the connected role")?;
        Ok(Self { other: found.map(|(name, oid)| Role { name, oid, closed: None }) })
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

    /// The owner of a relation, by its qualified name, for the rest of the caller's transaction: until then the name means the same
    /// relation, whose owner cannot put another in its place.
    pub async fn of_table(conn: &mut PgConnection, table: &str) -> Result<Self, Error> {
        let mut found = Relation::find(conn, table).await?;
        for _ in 0..TRIES {
            if !found.by_superuser {
                return Ok(found.owner());
            }
            // waits for whoever is about to give the name to another
            found.hold(conn).await?;
            let held = Relation::find(conn, table).await?;
            if held == found {
                return Ok(held.owner());
            }
            found = held;
        }
        Err(Error::locked(
            format!("{table} becomes another relation again and again"),
            "Nothing of it was read or changed. Run the command again.",
        ))
    }

    /// The owner of a function, by its qualified name and its arguments; none if there is no such function.
    pub async fn of_function(conn: &mut PgConnection, identity: &str) -> Result<Option<Self>, Error> {
        let condition = "o.oid operator(pg_catalog.=) (select p.proowner from pg_catalog.pg_proc p \
             join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) p.pronamespace \
             where p.proname operator(pg_catalog.=) ((pg_catalog.parse_ident($1, false))[2])::pg_catalog.name \
               and pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)) operator(pg_catalog.=) $1)";
        Self::find(conn, condition, identity, &format!("looking for the owner of {identity}")).await
    }

    /// A role by its name, unquoted.
    pub async fn named(conn: &mut PgConnection, role: &str) -> Result<Self, Error> {
        let condition = "o.rolname operator(pg_catalog.=) $1::pg_catalog.name";
        let found = Self::find(conn, condition, role, &format!("looking for role {role}")).await?;
        found.ok_or_else(|| {
            Error::refused("42704", format!("role {role} does not exist"), "Nothing was run. Run the command again.")
        })
    }

    /// In whose name the store is asked: its owner's, where the connected role is a superuser and the owner is none. Such an owner
    /// can put other code into the store at any moment, whatever was proven before.
    pub async fn of_store(conn: &mut PgConnection) -> Result<Self, Error> {
        Self::of_any_store(conn).await?.ok_or_else(|| {
            Error::refused(
                "3F000",
                "pg_domain_events is not installed in this database, or not any more",
                "Run: domain-events install",
            )
        })
    }

    async fn of_any_store(conn: &mut PgConnection) -> Result<Option<Self>, Error> {
        let condition = "o.oid operator(pg_catalog.=) (select n.nspowner from pg_catalog.pg_namespace n \
             where n.nspname operator(pg_catalog.=) $1::pg_catalog.name)";
        let found = Self::find(conn, condition, SCHEMA, "looking whose the event store is").await?;
        let Some(Self { other: Some(role) }) = &found else { return Ok(found) };
        let superuser: bool = sqlx::query_scalar(
            "select r.rolsuper from pg_catalog.pg_roles r where r.oid::pg_catalog.int8 operator(pg_catalog.=) $1",
        )
        .bind(role.oid)
        .persistent(false)
        .fetch_one(conn)
        .await
        .doing("looking whose the event store is")?;
        Ok(if superuser { Some(Self::own()) } else { found })
    }

    async fn find(conn: &mut PgConnection, condition: &str, value: &str, doing: &str) -> Result<Option<Self>, Error> {
        let found: Option<(String, i64, bool)> = sqlx::query_as(&format!("{FIND}{condition}"))
            .bind(value)
            .persistent(false)
            .fetch_optional(conn)
            .await
            .doing(doing)?;
        Ok(found.map(|(name, oid, is_other)| Self { other: is_other.then_some(Role { name, oid, closed: None }) }))
    }
}

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
        let read = sqlx::query_as(&format!("select o.* from {} o order by o.ctid", act.outcome()))
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

async fn plainly<'a, T>(
    conn: &mut PgConnection,
    sql: &'a str,
    arguments: impl Iterator<Item = Option<&'a str>>,
    doing: &str,
) -> Result<Vec<T>, Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let query = sqlx::query_as(sql).persistent(false);
    arguments.fold(query, |query, argument| query.bind(argument)).fetch_all(conn).await.doing(doing)
}

fn given<'a>(arguments: &'a [&'a str]) -> impl Iterator<Item = Option<&'a str>> {
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
    let statements = |outcome: &str| {
        format!(
            "perform pg_catalog.set_config('search_path', {path}, true); execute {sql}; get diagnostics changed = row_count; \
             insert into {outcome} values (changed);",
            path = quote_literal(path),
            sql = quote_literal(sql),
        )
    };
    let act = Act::begin(conn, other, "changed pg_catalog.int8", statements, doing).await?;
    // the table is ours: the owner may insert into it, and nothing else
    let changed: Option<i64> =
        sqlx::query_scalar(&format!("select pg_catalog.max(o.changed) from {} o", act.outcome()))
            .persistent(false)
            .fetch_one(&mut *conn)
            .await
            .doing(doing)?;
    act.end(conn, other).await?;
    Ok(changed.unwrap_or_default().unsigned_abs())
}

/// Statements that were run as an owner by `refresh materialized view`, until what that needed is dropped.
struct Act {
    schema: String,
}

impl Act {
    /// Runs statements of PL/pgSQL, which may insert into a table of these columns.
    async fn begin(
        conn: &mut PgConnection,
        other: &Role,
        columns: &str,
        statements: impl Fn(&str) -> String,
        doing: &str,
    ) -> Result<Self, Error> {
        let role = &other.name;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // a name that nobody else has: what is looked up in it was made here
        let schema = format!("domain_events_as_owner_{}_{number}_{:016x}", std::process::id(), rand::random::<u64>());
        let act = Self { schema };
        let (schema, outcome) = (&act.schema, act.outcome());
        let body = format!(
            "declare changed pg_catalog.int8; begin set constraints all immediate; {} return null; end",
            statements(&outcome)
        );
        let run = format!(
            "{open}create schema {schema}; grant usage on schema {schema} to {role}; \
             create table {outcome} ({columns}); grant insert on {outcome} to {role}; \
             create function {schema}.run() returns pg_catalog.int4 language plpgsql volatile as {body}; \
             create materialized view {schema}.act as select {schema}.run() as nothing with no data; \
             alter materialized view {schema}.act owner to {role}; \
             refresh materialized view {schema}.act",
            open = other.open(),
            body = quote_literal(&body),
        );
        db::execute(conn, &run, doing).await?;
        forget_statements(conn, doing).await?;
        Ok(act)
    }

    /// The table with what came of it.
    fn outcome(&self) -> String {
        format!("{}.outcome", self.schema)
    }

    async fn end(self, conn: &mut PgConnection, other: &Role) -> Result<(), Error> {
        let drop =
            format!("set local client_min_messages = warning; drop schema {} cascade; {}", self.schema, other.close());
        db::execute(conn, &drop, "dropping what ran as the owner").await
    }
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
