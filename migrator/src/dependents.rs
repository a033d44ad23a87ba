//! What outside schema `domain_events` would break, or be dropped along, if the schema went away.

use sqlx::PgConnection;

use crate::as_owner;
use crate::error::{Doing, Error};

/// Captured tables that still exist: qualified name, and whether the connected role may drop triggers there.
const CAPTURED_TABLES: &str = "\
select pg_catalog.format('%I.%I', n.nspname, r.relname), pg_catalog.pg_has_role(r.relowner, 'usage')
  from pg_catalog.unnest($1::bigint[]) c(relation)
  join pg_catalog.pg_class r on r.oid::bigint = c.relation
  join pg_catalog.pg_namespace n on n.oid = r.relnamespace
 order by 1";

/// Registered legacy tables and the functions beside them that read their versions, as far as the connected role may drop these.
const READERS: &str = "\
select pg_catalog.format('%I.%I', n.nspname, r.relname), \
       pg_catalog.format('%I.%I(pg_catalog.oid, pg_catalog.text[], pg_catalog.int4)', fn.nspname, f.proname)
  from rows from (pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[])) as t(source, reader, fingerprint)
  join pg_catalog.pg_class r on r.oid::bigint = t.source
  join pg_catalog.pg_namespace n on n.oid = r.relnamespace
  join pg_catalog.pg_proc f on f.proname = t.reader and f.proowner = r.relowner and pg_catalog.md5(f.prosrc) = t.fingerprint
  join pg_catalog.pg_namespace fn on fn.oid = f.pronamespace
 where f.proargtypes::pg_catalog.text = '26 1009 23' and pg_catalog.pg_has_role(f.proowner, 'usage')
 order by 1";

/// Tables with our triggers that the connected role owns, outermost partition roots and leaves alike.
pub const LOCKABLE_TABLES: &str = "\
select distinct pg_catalog.format('%I.%I', n.nspname, r.relname)
  from pg_catalog.pg_trigger t
  join pg_catalog.pg_proc p on p.oid = t.tgfoid
  join pg_catalog.pg_class r on r.oid = t.tgrelid
  join pg_catalog.pg_namespace n on n.oid = r.relnamespace
 where p.pronamespace = 'domain_events'::pg_catalog.regnamespace and n.nspname <> 'domain_events'
   and pg_catalog.pg_has_role(r.relowner, 'usage')
 order by 1";

const TRIGGERS: &str = "\
select t.tgname::text, pg_catalog.format('%I.%I', n.nspname, r.relname)
  from pg_catalog.pg_trigger t
  join pg_catalog.pg_proc p on p.oid = t.tgfoid
  join pg_catalog.pg_class r on r.oid = t.tgrelid
  join pg_catalog.pg_namespace n on n.oid = r.relnamespace
 where p.pronamespace = 'domain_events'::pg_catalog.regnamespace and n.nspname <> 'domain_events'
   and not t.tgisinternal and t.tgparentid = 0 and pg_catalog.pg_has_role(r.relowner, 'usage')
 order by 2, 1";

const EVENT_TRIGGERS: &str = "\
select e.evtname::text from pg_catalog.pg_event_trigger e join pg_catalog.pg_proc p on p.oid = e.evtfoid
 where p.pronamespace = 'domain_events'::pg_catalog.regnamespace order by 1";

/// Users' objects that `drop schema .. cascade` would take along: views, foreign keys, functions with our row types. The
/// triggers of captured tables are ours.
const OBJECTS: &str = "\
with ours (classid, objid) as (
  select 'pg_catalog.pg_class'::pg_catalog.regclass, oid from pg_catalog.pg_class
   where relnamespace = 'domain_events'::pg_catalog.regnamespace
  union all
  select 'pg_catalog.pg_proc'::pg_catalog.regclass, oid from pg_catalog.pg_proc
   where pronamespace = 'domain_events'::pg_catalog.regnamespace
  union all
  select 'pg_catalog.pg_type'::pg_catalog.regclass, oid from pg_catalog.pg_type
   where typnamespace = 'domain_events'::pg_catalog.regnamespace
), dependent as (
  select distinct d.classid, d.objid, d.objsubid
    from pg_catalog.pg_depend d
    join ours o on d.refclassid = o.classid and d.refobjid = o.objid
   where d.deptype in ('n', 'a')
)
select distinct case when w.ev_class is null then pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
                     else pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, w.ev_class, 0) end
  from dependent d
  left join pg_catalog.pg_class c on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and c.oid = d.objid
  left join pg_catalog.pg_proc p on d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and p.oid = d.objid
  left join pg_catalog.pg_type t on d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass and t.oid = d.objid
  left join pg_catalog.pg_rewrite w on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and w.oid = d.objid
  left join pg_catalog.pg_constraint k on d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = d.objid
  left join pg_catalog.pg_attrdef a on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and a.oid = d.objid
  left join pg_catalog.pg_policy y on d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass and y.oid = d.objid
  left join pg_catalog.pg_trigger g on d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass and g.oid = d.objid
  left join pg_catalog.pg_class rc on rc.oid = coalesce(w.ev_class, a.adrelid, y.polrelid, g.tgrelid)
 where not exists (select from ours o where o.classid = d.classid and o.objid = d.objid)
   and coalesce(c.relnamespace, p.pronamespace, t.typnamespace, k.connamespace, rc.relnamespace) is not null
   and coalesce(c.relnamespace, p.pronamespace, t.typnamespace, k.connamespace, rc.relnamespace)
       <> 'domain_events'::pg_catalog.regnamespace
   and not coalesce(g.tgfoid in (select oid from pg_catalog.pg_proc
                                  where pronamespace = 'domain_events'::pg_catalog.regnamespace), false)
 order by 1";

/// Functions whose text calls the store: the server tracks no dependency there. True where an enabled trigger runs them, so
/// that users' writes would fail.
const CALLERS: &str = "\
select p.oid::pg_catalog.regprocedure::text,
       exists (select from pg_catalog.pg_trigger t where t.tgfoid = p.oid and t.tgenabled <> 'D')
  from pg_catalog.pg_proc p
 where p.pronamespace <> 'domain_events'::pg_catalog.regnamespace
   and p.prosrc ~ 'domain_events\\s*\\.\\s*(next_aggregate_version|append_events?|set_context|fold_stream|read_stream|read_all)\\s*\\('
 order by 1";

/// Everything outside the schema that has to do with it.
#[derive(Debug, Default)]
pub struct Dependents {
    /// Triggers of captured tables that the connected role may drop: name and table.
    pub triggers: Vec<(String, String)>,
    /// Our event triggers.
    pub event_triggers: Vec<String>,
    /// Users' objects the server would drop along.
    pub objects: Vec<String>,
    /// Functions that enabled triggers run and that call the store.
    pub called_by_triggers: Vec<String>,
    /// Other functions that call the store.
    pub mentions: Vec<String>,
    /// Applied plans whose triggers need the store.
    pub plans: Vec<String>,
}

/// Captured tables that still exist, and whether the connected role may drop triggers there.
pub async fn captured_tables(conn: &mut PgConnection) -> Result<Vec<(String, bool)>, Error> {
    let doing = "reading the captured tables";
    let sql = "select c.relation::oid::int8 from domain_events.capture_config c";
    let oids: Vec<(i64,)> = as_owner::store_rows(conn, sql, "relation int8", &[], doing).await?;
    let oids: Vec<i64> = oids.into_iter().map(|(oid,)| oid).collect();
    sqlx::query_as(CAPTURED_TABLES).bind(oids).fetch_all(conn).await.doing(doing)
}

/// Registered legacy tables with the functions that read them, as far as the connected role may drop these.
pub async fn readers(conn: &mut PgConnection) -> Result<Vec<(String, String)>, Error> {
    let doing = "reading the registered event tables";
    let sql = "select t.source::oid::int8, t.reader::text, t.fingerprint::text from domain_events.event_tables t";
    let columns = "source int8, reader text, fingerprint text";
    let known: Vec<(Option<i64>, Option<String>, Option<String>)> =
        as_owner::store_rows(conn, sql, columns, &[], doing).await?;
    let sources: Vec<Option<i64>> = known.iter().map(|k| k.0).collect();
    let readers: Vec<Option<String>> = known.iter().map(|k| k.1.clone()).collect();
    let fingerprints: Vec<Option<String>> = known.into_iter().map(|k| k.2).collect();
    sqlx::query_as(READERS).bind(sources).bind(readers).bind(fingerprints).fetch_all(conn).await.doing(doing)
}

/// Users' objects that would be dropped along with the schema.
pub async fn objects(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    sqlx::query_scalar(OBJECTS).fetch_all(conn).await.doing("reading what depends on the store")
}

/// Reads them all.
pub async fn read(conn: &mut PgConnection) -> Result<Dependents, Error> {
    let doing = "reading what depends on the store";
    let callers: Vec<(String, bool)> = sqlx::query_as(CALLERS).fetch_all(&mut *conn).await.doing(doing)?;
    let journal: bool =
        sqlx::query_scalar("select pg_catalog.to_regclass('domain_events.migration_plans') is not null")
            .fetch_one(&mut *conn)
            .await
            .doing(doing)?;
    let plans = if journal {
        let sql = "select plan_id from domain_events.migration_plans \
              where state <> 'rolled_back' and plan_id not like 'repair-%' order by applied_at";
        let plans: Vec<(String,)> = as_owner::store_rows(conn, sql, "plan_id text", &[], doing).await?;
        plans.into_iter().map(|(plan,)| plan).collect()
    } else {
        Vec::new()
    };
    Ok(Dependents {
        triggers: sqlx::query_as(TRIGGERS).fetch_all(&mut *conn).await.doing(doing)?,
        event_triggers: sqlx::query_scalar(EVENT_TRIGGERS).fetch_all(&mut *conn).await.doing(doing)?,
        objects: objects(&mut *conn).await?,
        called_by_triggers: callers.iter().filter(|(_, enabled)| *enabled).map(|(name, _)| name.clone()).collect(),
        mentions: callers.into_iter().filter(|(_, enabled)| !enabled).map(|(name, _)| name).collect(),
        plans,
    })
}

impl Dependents {
    /// Refuses to go on while something of the user would be dropped or would fail from then on.
    pub fn check(&self) -> Result<(), Error> {
        if !self.plans.is_empty() {
            return Err(Error::refused(
                "2BP01",
                format!("triggers ported by plan {} need the store; nothing was changed", self.plans.join(", ")),
                "Undo it first: domain-events rollback",
            ));
        }
        if !self.called_by_triggers.is_empty() {
            return Err(Error::refused(
                "2BP01",
                format!(
                    "enabled triggers run {}, which calls the store; nothing was changed",
                    self.called_by_triggers.join(", ")
                ),
                "Users' writes would fail without the store: disable or drop these triggers first.",
            ));
        }
        if !self.objects.is_empty() {
            return Err(Error::refused(
                "2BP01",
                format!("other objects depend on the store: {}; nothing was changed", self.objects.join(", ")),
                "Drop them first; they would be dropped along with the store.",
            ));
        }
        Ok(())
    }
}
