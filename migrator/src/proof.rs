//! The proof that schema `domain_events` holds what was installed. A store may belong to a lesser role than the connected
//! one, and whatever such a role has put there in place of a function, a view or a table would run with the greater rights.
//! So every verb looks first, in PostgreSQL's catalogue alone.

use sqlx::PgConnection;

use crate::as_owner;
use crate::db;
use crate::engine_sql::{PROOF, SCHEMA};
use crate::error::{Doing, Error};
use crate::store;

/// So many differences are named.
const NAMED: usize = 20;

/// Whether the schema holds anything of a role that is neither the connected one nor a superuser; whether it looks like a
/// store, and like the events that an uninstall has kept.
const OWNERS: &str = "\
select coalesce(pg_catalog.bool_or(o.owner <> r.oid and not u.rolsuper), false),
       exists (select from pg_catalog.pg_proc p where p.pronamespace = n.oid and p.proname = 'engine' and p.pronargs = 0) and h.events,
       exists (select from pg_catalog.pg_proc p where p.pronamespace = n.oid and p.proname = '_refuse_change' and p.pronargs = 0) and h.events
  from pg_catalog.pg_namespace n
 cross join lateral (select exists (select from pg_catalog.pg_class c where c.relnamespace = n.oid and c.relname = 'events') as events) h
 cross join lateral (
   select n.nspowner as owner
   union select c.relowner from pg_catalog.pg_class c where c.relnamespace = n.oid
   union select p.proowner from pg_catalog.pg_proc p where p.pronamespace = n.oid
   union select t.typowner from pg_catalog.pg_type t where t.typnamespace = n.oid) o
  join pg_catalog.pg_roles u on u.oid = o.owner and u.rolname <> 'domain_events_guest'
  join pg_catalog.pg_roles r on r.rolname = current_user
 where n.nspname = 'domain_events'
 group by n.oid, h.events";

/// Refuses a store that is not what was installed, before anything of it is run or planned.
pub async fn check(conn: &mut PgConnection) -> Result<(), Error> {
    // The database's owner may have set another path.
    let begin = format!("begin isolation level repeatable read, read only; {}; {}", db::UNLIMITED, db::SETTINGS);
    db::execute(conn, &begin, "beginning a read-only transaction").await?;
    let checked = check_in_transaction(conn).await;
    db::rollback(conn).await?;
    checked
}

/// Keeps the store of a lesser role what it is until the caller's transaction ends, and proves it again. For the few verbs whose
/// statements no other role may run: nobody makes or changes a function meanwhile, and nobody uses the store.
pub async fn hold(conn: &mut PgConnection) -> Result<(), Error> {
    let doing = "holding the store of another role";
    if !as_owner::is_lesser_store(conn).await? {
        return Ok(());
    }
    db::execute(conn, "lock table pg_catalog.pg_proc in share row exclusive mode", doing).await?;
    let relations = store::tables(conn).await?;
    if !relations.is_empty() {
        let lock = format!("lock table {} in access exclusive mode", relations.join(", "));
        db::execute(conn, &lock, doing).await?;
    }
    db::pin_settings(conn).await?;
    check_in_transaction(conn).await
}

async fn check_in_transaction(conn: &mut PgConnection) -> Result<(), Error> {
    let doing = "proving that the store is what was installed";
    let owners: Option<(bool, bool, bool)> =
        sqlx::query_as(OWNERS).persistent(false).fetch_optional(&mut *conn).await.doing(doing)?;
    let Some((true, is_store, is_kept)) = owners else { return Ok(()) };
    let mut strange: Vec<(String, String)> =
        sqlx::query_as(PROOF).persistent(false).fetch_all(conn).await.doing(doing)?;
    if !is_store {
        strange.retain(|(object, problem)| problem != "is missing" && is_read(object, is_kept));
    }
    if strange.is_empty() {
        return Ok(());
    }
    let mut named: Vec<_> = strange.iter().take(NAMED).map(|(object, problem)| format!("{object} {problem}")).collect();
    if strange.len() > NAMED {
        named.push(format!("and {} more", strange.len() - NAMED));
    }
    Err(Error::refused(
        "55000",
        format!("schema \"{SCHEMA}\" does not hold what was installed ({}); nothing of it was run", named.join("; ")),
        "Connect as the store's owner, or look at what differs and undo it, then run the command again. Privileges the owner puts right by: select domain_events.grant_privileges()",
    ))
}

/// Another application's schema of that name, or events that were kept, may hold what they like, but for what the tool reads.
fn is_read(object: &str, is_kept: bool) -> bool {
    match object.rsplit(' ').next().unwrap_or_default() {
        // Kept events get another default for their ids, and other columns are another application's.
        "events" => is_kept && object != "column event_id of events",
        "_refuse_change()" => is_kept,
        name => ["event_tables", "capture_config", "migration_journal", "migration_plans"].contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::is_read;

    #[test]
    fn what_another_application_keeps_there_is_its_own() {
        for object in ["table events", "view orders", "function f()", "column a of events", "trigger t on orders"] {
            assert!(!is_read(object, false), "{object}");
        }
        for object in ["view event_tables", "rule r on capture_config", "column a of migration_plans"] {
            assert!(is_read(object, false), "{object}");
        }
        assert!(is_read("rule r on events", true));
        assert!(!is_read("column event_id of events", true));
    }
}
