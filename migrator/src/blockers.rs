//! Who holds the locks that could not be had.

use sqlx::PgConnection;

use crate::error::{Doing, Error};

/// A lock that a step takes on a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Lets readers in and writers not.
    ShareRowExclusive,
    /// Lets nobody in.
    AccessExclusive,
}

impl Mode {
    /// As LOCK TABLE calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ShareRowExclusive => "share row exclusive",
            Self::AccessExclusive => "access exclusive",
        }
    }
}

/// A transaction that holds such a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocker {
    /// Of a session.
    Session {
        /// Its server process.
        pid: i32,
        /// What is known of it.
        about: String,
    },
    /// Prepared, and held by no session.
    Prepared(String),
}

/// The oldest transactions that hold a lock in the way of these.
pub async fn of(conn: &mut PgConnection, wanted: &[(&str, Mode)]) -> Result<Vec<Blocker>, Error> {
    if wanted.is_empty() {
        return Ok(vec![]);
    }
    let (tables, modes): (Vec<String>, Vec<String>) =
        wanted.iter().map(|(table, mode)| ((*table).to_owned(), mode.name().to_owned())).unzip();
    let found: Vec<(Option<i32>, Option<String>, Option<String>)> = sqlx::query_as(
        "with asked as ( \
           select pg_catalog.to_regclass(w.name)::oid as relation, w.mode from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) as w (name, mode)), \
         wanted as ( \
           select a.relation, a.mode from asked a union select t.relid::oid, a.mode from asked a, pg_catalog.pg_partition_tree(a.relation) as t) \
         select l.pid, p.gid, \
                case when l.pid is not null then pg_catalog.concat_ws(', ', \
                  'role \"' || a.usename || '\"', 'application \"' || nullif(a.application_name, '') || '\"', a.state, \
                  'in a transaction for ' || pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - a.xact_start)::text) end \
           from (select distinct k.pid, k.virtualtransaction from pg_catalog.pg_locks k join wanted w on w.relation = k.relation \
                  where k.locktype = 'relation' and k.granted and k.pid is distinct from pg_catalog.pg_backend_pid() \
                    and k.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()) \
                    and (w.mode = 'access exclusive' or k.mode not in ('AccessShareLock', 'RowShareLock'))) l \
           left join pg_catalog.pg_stat_activity a on a.pid = l.pid \
           left join lateral (select x.gid from pg_catalog.pg_locks t join pg_catalog.pg_prepared_xacts x on x.transaction = t.transactionid \
                               where t.locktype = 'transactionid' and t.pid is null and t.virtualtransaction = l.virtualtransaction limit 1) p \
             on l.pid is null \
          order by a.xact_start nulls last, l.pid limit 3",
    )
    .bind(tables)
    .bind(modes)
    .fetch_all(conn)
    .await
    .doing("looking for who holds the lock")?;
    Ok(found
        .into_iter()
        .filter_map(|(pid, prepared, about)| match (pid, prepared) {
            (Some(pid), _) => Some(Blocker::Session { pid, about: about.unwrap_or_default() }),
            (None, Some(name)) => Some(Blocker::Prepared(name)),
            (None, None) => None,
        })
        .collect())
}

/// For the middle of a sentence; nothing where nobody is known.
pub fn held_by(blockers: &[Blocker]) -> String {
    if blockers.is_empty() {
        return String::new();
    }
    let named: Vec<String> = blockers
        .iter()
        .map(|blocker| match blocker {
            Blocker::Session { pid, about } if about.is_empty() => format!("server process {pid}"),
            Blocker::Session { pid, about } => format!("server process {pid} ({about})"),
            Blocker::Prepared(name) => format!("the prepared transaction \"{name}\""),
        })
        .collect();
    format!(", held by {}", named.join(" and by "))
}

/// What to do about the first of them.
pub fn hint(blockers: &[Blocker]) -> String {
    match blockers.first() {
        Some(Blocker::Session { pid, .. }) => format!(
            "Wait until that transaction has ended, or end it: select pg_terminate_backend({pid}); or raise --lock-timeout."
        ),
        Some(Blocker::Prepared(name)) => {
            let name = domain_events_sql::quote::quote_literal(name);
            format!("End it: commit prepared {name}; or: rollback prepared {name};")
        }
        None => "A long transaction holds the table: see pg_stat_activity, or raise --lock-timeout.".into(),
    }
}
