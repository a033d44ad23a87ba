//! Whose objects are, and in whose name statements on them run.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};

use crate::db;
use crate::engine_sql::SCHEMA;
use crate::error::{Doing, Error};

/// The role that owns an object, as far as the connected role has to act as another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    // none where the connected role acts as itself
    pub(super) other: Option<Role>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    // quoted
    pub(super) name: String,
    pub(super) oid: i64,
    // the schema of the table, quoted, where the role may not use it
    closed: Option<String>,
}

impl Role {
    /// Lets the role find its own table. Undone with the savepoint or the transaction, or by [`Role::close`].
    pub(super) fn open(&self) -> String {
        self.closed.as_ref().map_or_else(String::new, |s| format!("grant usage on schema {s} to {};", self.name))
    }

    pub(super) fn close(&self) -> String {
        self.closed.as_ref().map_or_else(String::new, |s| format!("revoke usage on schema {s} from {};", self.name))
    }
}

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
pub(super) struct Relation {
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
    pub(super) async fn find(conn: &mut PgConnection, table: &str) -> Result<Self, Error> {
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

    pub(super) fn owner(self) -> Owner {
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

    pub(super) async fn of_any_store(conn: &mut PgConnection) -> Result<Option<Self>, Error> {
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
        let found: Option<(String, i64, bool)> = sqlx::query_as(sqlx::AssertSqlSafe(format!("{FIND}{condition}")))
            .bind(value)
            .persistent(false)
            .fetch_optional(conn)
            .await
            .doing(doing)?;
        Ok(found.map(|(name, oid, is_other)| Self { other: is_other.then_some(Role { name, oid, closed: None }) }))
    }
}
