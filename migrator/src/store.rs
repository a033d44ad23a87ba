//! What of pg_domain_events a database holds, as any role can see it.

use clap::ValueEnum;
use sqlx::PgConnection;

use crate::as_owner;
use crate::engine_sql::{EXTENSION, SCHEMA, VERSION};
use crate::error::{Doing, Error};

/// The three roles of the store.
pub const ROLES: [&str; 3] = ["domain_events_reader", "domain_events_writer", "domain_events_admin"];

/// Which implementation of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The extension pg_domain_events: hot paths in Rust
    Native,
    /// Plain SQL and PL/pgSQL: for servers where no library can be installed
    Portable,
}

impl Engine {
    /// The name as `domain_events.engine()` gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Portable => "portable",
        }
    }
}

/// The schema `domain_events` of this database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is none.
    Nothing,
    /// There is one that is no event store.
    Foreign {
        /// Its owner.
        owner: String,
        /// It holds table `events` and its guard alone, as `uninstall --keep-events` leaves it.
        kept_events: bool,
    },
    /// The store.
    Store {
        /// Owner of the schema.
        owner: String,
        /// The connected role has the owner's rights.
        mine: bool,
        /// `native` or `portable`.
        engine: String,
        /// Its version.
        version: String,
        /// Version of the extension, when the objects belong to one.
        extension: Option<String>,
    },
}

/// What the connected role may do here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Powers {
    /// Name of the role.
    pub role: String,
    /// It is a superuser.
    pub superuser: bool,
    /// It may create roles.
    pub create_role: bool,
    /// The server offers the native engine in this tool's version.
    pub native_offered: bool,
    /// The role may create that extension.
    pub native_allowed: bool,
    /// Those of the three roles that do not exist.
    pub missing_roles: Vec<String>,
}

impl Found {
    /// The engine, when the store is installed in this tool's version.
    pub fn engine(&self) -> Option<Engine> {
        match self {
            Self::Store { engine, .. } if engine == Engine::Native.name() => Some(Engine::Native),
            Self::Store { .. } => Some(Engine::Portable),
            _ => None,
        }
    }

    /// Refuses a schema that is not the store, or not in this tool's version, or of another role.
    pub fn check_changeable(&self, powers: &Powers) -> Result<(), Error> {
        match self {
            Self::Nothing => Ok(()),
            Self::Foreign { owner, kept_events: true } if *owner == powers.role => Ok(()),
            Self::Foreign { owner, kept_events: true } => Err(Error::refused(
                "42P06",
                format!(
                    "schema \"{SCHEMA}\" holds events that an uninstall has kept, and belongs to role \"{owner}\"; nothing was changed"
                ),
                format!("Connect as \"{owner}\": install takes them over. The engine can be switched afterwards."),
            )),
            Self::Foreign { owner, .. } => Err(Error::refused(
                "42P06",
                format!(
                    "schema \"{SCHEMA}\" already exists, belongs to role \"{owner}\" and is not an event store; nothing was changed"
                ),
                "Rename that schema, or use another database.",
            )),
            Self::Store { owner, mine: false, .. } => Err(Error::refused(
                "42P06",
                format!(
                    "schema \"{SCHEMA}\" holds an event store that belongs to role \"{owner}\", not to \"{}\"; nothing was changed",
                    powers.role
                ),
                format!("Connect as \"{owner}\" or as a member of that role."),
            )),
            Self::Store { version, .. } if version != VERSION => Err(Error::refused(
                "55000",
                format!("version {version} is installed, this tool is {VERSION}; nothing was changed"),
                format!("Use domain-events {version} with this database."),
            )),
            Self::Store { .. } => Ok(()),
        }
    }

    /// Refuses everything but a store in this tool's version; for verbs that need one.
    pub fn check_usable(&self) -> Result<(), Error> {
        match self {
            Self::Store { version, .. } if version == VERSION => Ok(()),
            Self::Store { version, .. } => Err(Error::refused(
                "55000",
                format!("version {version} is installed, this tool is {VERSION}"),
                format!("Use domain-events {version} with this database."),
            )),
            _ => Err(Error::refused(
                "3F000",
                "pg_domain_events is not installed in this database",
                "Run: domain-events install",
            )),
        }
    }
}

/// Every table of the store, as a statement names it.
pub async fn tables(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    sqlx::query_scalar(
        "select pg_catalog.format('%I.%I', n.nspname, c.relname) from pg_catalog.pg_class c \
           join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
          where n.nspname = $1 and c.relkind in ('r', 'p') order by c.relname",
    )
    .bind(SCHEMA)
    .fetch_all(conn)
    .await
    .doing("reading the tables of the store")
}

/// Reads what is installed, from the catalogue alone: a foreign schema may be closed to us. For a transaction of the caller's.
pub async fn inspect(conn: &mut PgConnection) -> Result<Found, Error> {
    let doing = "reading what is installed";
    let row: Option<(String, bool, bool, bool, Option<String>)> = sqlx::query_as(
        "select pg_catalog.pg_get_userbyid(n.nspowner)::text, \
                pg_catalog.pg_has_role(n.nspowner, 'usage'), \
                holds_events and exists (select from pg_catalog.pg_proc \
                  where pronamespace = n.oid and proname = 'engine' and pronargs = 0), \
                holds_events and exists (select from pg_catalog.pg_proc \
                  where pronamespace = n.oid and proname = '_refuse_change' and pronargs = 0), \
                (select extversion from pg_catalog.pg_extension where extname = $1) \
           from pg_catalog.pg_namespace n \
          cross join lateral (select exists (select from pg_catalog.pg_class \
             where relnamespace = n.oid and relname = 'events' and relkind = 'r') as holds_events) h \
          where n.nspname = $2",
    )
    .bind(EXTENSION)
    .bind(SCHEMA)
    .persistent(false)
    .fetch_optional(&mut *conn)
    .await
    .doing(doing)?;
    let Some((owner, mine, ours, guarded, extension)) = row else {
        return Ok(Found::Nothing);
    };
    if !ours {
        return Ok(Found::Foreign { owner, kept_events: guarded });
    }
    let (engine, version) = self::engine(conn).await?;
    Ok(Found::Store { owner, mine, engine, version, extension })
}

/// Which engine a store has, and of which version, as it says itself; for a transaction of the caller's.
pub async fn engine(conn: &mut PgConnection) -> Result<(String, String), Error> {
    let doing = "asking for the engine";
    let sql = "select e.engine::text, e.version::text from domain_events.engine() as e";
    let rows = as_owner::store_rows(conn, sql, "engine text, version text", &[], doing).await?;
    rows.into_iter().next().ok_or(sqlx::Error::RowNotFound).doing(doing)
}

/// Whether a role may administer captures, so that it can be acted as where a table of its own is concerned.
pub async fn may_capture(conn: &mut PgConnection, role: i64) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select coalesce(pg_catalog.bool_and(pg_catalog.has_function_privilege($1::bigint::oid, p.oid, 'execute')), false) \
           from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace \
          where n.nspname = 'domain_events' \
            and p.proname in ('enable_capture', 'disable_capture', 'pause_capture', 'resume_capture', 'baseline_capture', '_command')",
    )
    .bind(role)
    .fetch_one(conn)
    .await
    .doing("reading the rights of a table's owner")
}

/// Schemas that hold a store and have got another name.
pub async fn renamed(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    sqlx::query_scalar(
        "select n.nspname::text from pg_catalog.pg_namespace n \
          where exists (select from pg_catalog.pg_class c join pg_catalog.pg_constraint k on k.conrelid = c.oid \
             where c.relnamespace = n.oid and c.relname = 'events' and k.conname = 'uk_aggregate_version') \
            and (select pg_catalog.count(*) from pg_catalog.pg_proc p where p.pronamespace = n.oid \
               and p.proname in ('_refuse_change', '_write_event', 'enable_capture', 'engine')) >= 4 \
          order by 1",
    )
    .fetch_all(conn)
    .await
    .doing("looking for a store of another name")
}

/// Reads what the connected role may do.
pub async fn powers(conn: &mut PgConnection) -> Result<Powers, Error> {
    let (role, superuser, create_role, native_offered, native_allowed, missing_roles) = sqlx::query_as(
        "select r.rolname::text, r.rolsuper, r.rolsuper or r.rolcreaterole, v.version is not null, \
                coalesce(r.rolsuper or not v.superuser or v.trusted, false) \
                  and pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create'), \
                array(select w from pg_catalog.unnest($3::text[]) w \
                       where not exists (select from pg_catalog.pg_roles where rolname = w)) \
           from pg_catalog.pg_roles r \
           left join pg_catalog.pg_available_extension_versions v on v.name = $1 and v.version = $2 \
          where r.rolname = current_user",
    )
    .bind(EXTENSION)
    .bind(VERSION)
    .bind(ROLES.map(str::to_owned).to_vec())
    .fetch_one(conn)
    .await
    .doing("reading the rights of the connected role")?;
    Ok(Powers { role, superuser, create_role, native_offered, native_allowed, missing_roles })
}
