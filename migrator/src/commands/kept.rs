//! The way back after `uninstall --keep-events`: a new installation takes the kept events over, as they are.

use sqlx::PgConnection;

use crate::db;
use crate::engine_sql::SCHEMA;
use crate::error::{Doing, Error};
use crate::script::Step;
use crate::store::ROLES;

/// The name of the kept schema while the new one is made.
const ASIDE: &str = "_domain_events_kept";

/// How many events are there.
pub async fn count(conn: &mut PgConnection) -> Result<i64, Error> {
    sqlx::query_scalar("select count(*) from domain_events.events")
        .fetch_one(conn)
        .await
        .doing("counting the kept events")
}

/// What users have put on the kept table and the new one has not: each by its name. Read while the schema has its own name; what
/// an uninstall leaves there is named, and all else is theirs.
const THEIRS: &str = "\
with schema as (select n.oid, n.nspowner from pg_catalog.pg_namespace n where n.nspname = 'domain_events'),
events as (select c.* from pg_catalog.pg_class c join schema s on s.oid = c.relnamespace where c.relname = 'events' and c.relkind = 'r'),
kept (classid, objid) as (
  select 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid from pg_catalog.pg_class c join schema s on s.oid = c.relnamespace
   where c.relname = 'events' and c.relkind = 'r' or c.relname = 'events_global_position_seq' and c.relkind = 'S'
  union all
  select 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid from pg_catalog.pg_proc p join schema s on s.oid = p.pronamespace
   where p.proname = '_refuse_change' and p.pronargs = 0
  union all
  select 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid from pg_catalog.pg_type t join schema s on s.oid = t.typnamespace
   where t.typname in ('events', '_events', 'event_origin', '_event_origin')
), dependent as (
  select d.classid, d.objid, d.objsubid from pg_catalog.pg_depend d join schema s on d.refobjid = s.oid
   where d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and d.deptype in ('n', 'a')
  union
  select d.classid, d.objid, d.objsubid from pg_catalog.pg_depend d join kept k on d.refclassid = k.classid and d.refobjid = k.objid
   where d.deptype in ('n', 'a', 'P', 'S')
)
select case when w.ev_class <> e.oid then pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, w.ev_class, 0)
            else pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) end
  from dependent d
 cross join events e
  left join pg_catalog.pg_rewrite w on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and w.oid = d.objid
  left join pg_catalog.pg_constraint k on d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = d.objid
  left join pg_catalog.pg_attrdef a on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and a.oid = d.objid
  left join pg_catalog.pg_trigger g on d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass and g.oid = d.objid
 where not exists (select from kept o where o.classid = d.classid and o.objid = d.objid)
   and not coalesce(a.adrelid = e.oid, false)
   and not coalesce(g.tgrelid = e.oid and g.tgname in ('events_append_only', 'events_append_only_truncate'), false)
   and not coalesce(k.conrelid = e.oid and (k.contype = 'n' or k.conname in ('events_pkey', 'uk_aggregate_version', 'events_event_id_key', 'events_aggregate_version_check'))
                    or k.conname = 'event_origin_check' and k.contypid in (select o.objid from kept o), false)
   and not (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and exists (select from pg_catalog.pg_index i where i.indexrelid = d.objid and i.indrelid = e.oid))
union
select pg_catalog.format('index %s with settings of its own', i.indexrelid::pg_catalog.regclass)
  from pg_catalog.pg_index i join events e on e.oid = i.indrelid join pg_catalog.pg_class c on c.oid = i.indexrelid
 where c.reltablespace <> 0 or i.indisclustered or i.indisreplident
    or exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and coalesce(a.attstattarget, -1) <> -1)
union
select pg_catalog.format('column %I of table domain_events.events', a.attname)
  from pg_catalog.pg_attribute a join events e on e.oid = a.attrelid
 where a.attnum > 0 and not a.attisdropped
   and (coalesce(a.attstattarget, -1) <> -1 or pg_catalog.array_to_string(a.attoptions, ',') ~ 'n_distinct'
        or a.attname not in ('global_position', 'transaction_id', 'event_id', 'aggregate_type', 'aggregate_id', 'aggregate_version', 'event_type',
                             'event_name', 'event_data', 'metadata', 'correlation_id', 'causation_id', 'caused_by', 'schema_version', 'occurred_at',
                             'recorded_at', 'origin'))
union
select v.what || ' of table domain_events.events' from events e
 cross join lateral (values ('row level security', e.relrowsecurity or e.relforcerowsecurity), ('storage parameters', coalesce(array(select o from pg_catalog.unnest(e.reloptions) o order by o), '{}')
                                                       <> '{autovacuum_analyze_scale_factor=0.02,autovacuum_vacuum_scale_factor=0.02}'),
                            ('tablespace', e.reltablespace <> 0), ('replica identity', e.relreplident <> 'd')) as v(what, is_set)
 where v.is_set
union
select pg_catalog.format('right of %s to %s %s', case r.grantee when 0 then 'everybody' else pg_catalog.pg_get_userbyid(r.grantee) end,
                         pg_catalog.lower(r.privilege_type), r.object)
  from (select 'table domain_events.events' as object, e.relowner as owner, x.*, x.privilege_type = 'SELECT' and x.grantor = e.relowner as is_made_again
          from events e, pg_catalog.aclexplode(e.relacl) x
        union all
        select pg_catalog.format('column %I of table domain_events.events', a.attname), e.relowner, x.*, false
          from events e join pg_catalog.pg_attribute a on a.attrelid = e.oid, pg_catalog.aclexplode(a.attacl) x
        union all
        select 'sequence domain_events.' || c.relname, c.relowner, x.*, false
          from schema s join pg_catalog.pg_class c on c.relnamespace = s.oid and c.relname = 'events_global_position_seq', pg_catalog.aclexplode(c.relacl) x
        union all
        select 'schema domain_events', s.nspowner, x.*, x.grantee = 0 and x.privilege_type = 'USAGE'
          from schema s join pg_catalog.pg_namespace n on n.oid = s.oid, pg_catalog.aclexplode(n.nspacl) x
        union all
        select 'type domain_events.event_origin', t.typowner, x.*, x.grantee = 0
          from schema s join pg_catalog.pg_type t on t.typnamespace = s.oid and t.typname = 'event_origin', pg_catalog.aclexplode(t.typacl) x) as r
 where r.grantee <> r.owner and not r.is_made_again
   and (r.grantee = 0 or pg_catalog.pg_get_userbyid(r.grantee) <> all ($1))
 order by 1";

/// Indexes, and the rights to read that the table's owner gave: what they are called, and how they are made again.
const MADE_AGAIN: &str = "\
with events as (select c.oid, c.relowner, c.relacl from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                 where n.nspname = 'domain_events' and c.relname = 'events' and c.relkind = 'r')
select 'index ' || i.indexrelid::pg_catalog.regclass::pg_catalog.text,
       pg_catalog.concat(pg_catalog.pg_get_indexdef(i.indexrelid), ';',
                         case when o.description is not null then pg_catalog.format(E'\ncomment on index %s is %L;', i.indexrelid::pg_catalog.regclass, o.description) end)
  from pg_catalog.pg_index i join events e on e.oid = i.indrelid
  left join pg_catalog.pg_description o on o.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass and o.objoid = i.indexrelid and o.objsubid = 0
 where not exists (select from pg_catalog.pg_constraint k where k.conindid = i.indexrelid and k.conrelid = e.oid)
   and i.indexrelid is distinct from pg_catalog.to_regclass('domain_events.events_transaction_id_idx')
union all
select 'the right of ' || g.grantee || ' to read the events',
       pg_catalog.format('grant select on domain_events.events to %s%s;', g.grantee, case when g.is_grantable then ' with grant option' else '' end)
  from (select case x.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end as grantee, x.is_grantable
          from events e, pg_catalog.aclexplode(e.relacl) x
         where x.privilege_type = 'SELECT' and x.grantor = e.relowner and x.grantee <> e.relowner
           and (x.grantee = 0 or pg_catalog.pg_get_userbyid(x.grantee) <> all ($1))) as g
 order by 1";

/// Nobody puts anything on the kept table from here on.
pub async fn hold(conn: &mut PgConnection) -> Result<(), Error> {
    db::execute(conn, "lock table domain_events.events in access exclusive mode", "locking the kept events").await
}

/// What has to be made again on the new table; refuses while there is anything that cannot be.
pub async fn made_again(conn: &mut PgConnection) -> Result<Vec<Step>, Error> {
    let doing = "reading what hangs on the kept events";
    let roles = ROLES.map(str::to_owned).to_vec();
    let theirs: Vec<String> = sqlx::query_scalar(THEIRS).bind(&roles).fetch_all(&mut *conn).await.doing(doing)?;
    if !theirs.is_empty() {
        return Err(Error::refused(
            "2BP01",
            format!("on the kept events there is what would be lost: {}; nothing was changed", theirs.join(", ")),
            "Note how each is made, drop or revoke it, install, and make it again. Plain indexes and rights to read are kept by install itself.",
        ));
    }
    let again: Vec<(String, String)> =
        sqlx::query_as(MADE_AGAIN).bind(&roles).fetch_all(&mut *conn).await.doing(doing)?;
    Ok(again.into_iter().map(|(title, sql)| Step::new(title, sql)).collect())
}

/// Installs between two steps: the kept schema goes aside, and gives its events to the new store.
pub fn around(install: Vec<Step>, made_again: Vec<Step>) -> Vec<Step> {
    let aside =
        format!("lock table {SCHEMA}.events in access exclusive mode;\nalter schema {SCHEMA} rename to {ASIDE};");
    let mut steps = vec![Step::new("the kept events, out of the way", aside)];
    steps.extend(install);
    steps.push(Step::new("the kept events, into the store", take_over()));
    steps.push(Step::new("what had kept them", format!("drop schema {ASIDE} cascade;")));
    steps.extend(made_again);
    steps
}

/// Every column as it was. Positions that were drawn are not drawn again; what was adopted or imported is known by a block
/// of positions, of which the first installation had a row each.
fn take_over() -> String {
    format!(
        "do $take_over$
declare
  kept bigint;
  taken bigint;
begin
  insert into {SCHEMA}.events (global_position, transaction_id, event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name,
                               event_data, metadata, correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at, origin)
  select k.global_position, k.transaction_id, k.event_id, k.aggregate_type, k.aggregate_id, k.aggregate_version, k.event_type, k.event_name,
         k.event_data, k.metadata, k.correlation_id, k.causation_id, k.caused_by, k.schema_version, k.occurred_at, k.recorded_at, k.origin::text
    from {ASIDE}.events k order by k.global_position;
  get diagnostics taken = row_count;
  select count(*) into kept from {ASIDE}.events;
  if taken <> kept then
    raise exception '% of % kept events were taken over', taken, kept
      using errcode = '55000', hint = 'Nothing was changed. Look for rules and triggers on the kept table.';
  end if;
  perform pg_catalog.setval('{SCHEMA}.events_global_position_seq', drawn.position)
    from (select greatest((select max(e.global_position) from {SCHEMA}.events e),
                          pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass('{ASIDE}.events_global_position_seq'))) as position) as drawn
   where drawn.position is not null;
  -- Their transactions may be those of another cluster.
  perform pg_catalog.setval('{SCHEMA}.installed_in', 0);
  insert into {SCHEMA}.adoptions (source, state, first_position, last_position, first_place, moved, events, ended_at)
  select 'kept events that had been ' || b.origin, 'moved', min(b.global_position), max(b.global_position), 1, count(*), count(*), pg_catalog.clock_timestamp()
    from (select e.global_position, e.origin::text as origin,
                 row_number() over (order by e.global_position) - row_number() over (partition by e.origin order by e.global_position) as block
            from {SCHEMA}.events e) as b
   where b.origin in ('imported', 'adopted') group by b.origin, b.block order by 3;
end
$take_over$;"
    )
}
