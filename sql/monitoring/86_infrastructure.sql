-- Whether the store is as it was installed, and its captures and ported triggers as they were left.

-- What the installation put here, as text of its own: store/95_fingerprints.sql writes the function anew at its end.
-- Not a table, so that a dump restores it once.
create function domain_events._expected_objects(out kind text, out object text, out fingerprint text)
  returns setof record
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select null::text, null::text, null::text where false $$;

comment on function domain_events._expected_objects() is
  'Functions and event triggers of this installation with the fingerprints they had when it was made, '
  'and the functions that everybody may execute';

-- Only what is the same on every server version and after a restore.
create function domain_events._function_fingerprint(function oid) returns text
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  select md5(concat_ws('|', l.lanname, p.prosrc, p.probin, p.prosecdef, p.provolatile, p.proisstrict, p.proretset,
                       format_type(p.prorettype, null), replace(array_to_string(p.proconfig, '|'), '"', '')))
    from pg_proc p join pg_language l on l.oid = p.prolang where p.oid = function
$$;

comment on function domain_events._function_fingerprint(oid) is
  'Changes with the body, the language and the properties of a function';

create function domain_events._present_functions(out object text, out function oid, out fingerprint text,
                                                 out is_native boolean) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  select p.oid::regprocedure::text, p.oid, domain_events._function_fingerprint(p.oid),
         -- The native engine's own: C functions of its library, and the two whose text says which engine it is.
         (select e.engine from domain_events.engine() as e) = 'native'
           and (p.prosrc ~ '^de_[a-z_]+$' and p.probin ~ 'pg_domain_events$'
                and p.prolang = (select l.oid from pg_language l where l.lanname = 'c')
                or p.proname = 'engine' and p.prosrc ~ '''native'''
                or p.proname = '_write_capture_function' and p.prosrc ~ 'de_capture')
    from pg_proc p
   where p.pronamespace = 'domain_events'::regnamespace
$$;

comment on function domain_events._present_functions() is 'The functions of the store as they are now';

create function domain_events._object_findings(
  out code text, out severity text, out object text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  select 'function_missing', 'error', e.object, 'the installation made it and it is gone'
    from domain_events._expected_objects() as e
    left join domain_events._present_functions() as p on p.object = e.object
   where e.kind = 'function' and p.object is null
  union all
  select 'function_altered', 'error', e.object, 'it is not the function that was installed'
    from domain_events._expected_objects() as e
    join domain_events._present_functions() as p on p.object = e.object
   where e.kind = 'function' and p.fingerprint <> e.fingerprint and not p.is_native
  union all
  select 'function_owner', 'error', p.function::regprocedure::text,
         format('runs with the rights of its owner %s, who is neither the store''s owner nor a superuser',
                pg_get_userbyid(f.proowner))
    from domain_events._present_functions() as p
    join pg_proc f on f.oid = p.function and f.prosecdef
    join pg_class store on store.oid = 'domain_events.events'::regclass
    join pg_roles r on r.oid = f.proowner
   -- see migration/75_adoptions.sql
   where f.proowner <> store.relowner and not r.rolsuper and f.proname <> '_ask_as_guest'
  union all
  -- What mends it is told: "pg_restore --disable-triggers" leaves the triggers enabled, and no longer ALWAYS.
  select 'append_only_disabled', 'error', 'domain_events.events',
         format('trigger %s is %s: stored events can be changed; the store''s owner runs: '
                '%salter table domain_events.events enable always trigger %1$s',
                wanted.name,
                case when t.oid is null then 'missing' when t.is_ours then 'disabled, or not enabled always'
                     else 'altered' end,
                case when t.is_ours then ''
                     else format('create %strigger %s %s on domain_events.events for each statement execute function '
                                 'domain_events._refuse_change(); ',
                                 case when t.oid is not null then 'or replace ' else '' end, wanted.name,
                                      wanted.event) end)
    from (values ('events_append_only'::name, 26, 'before delete or update'),
          ('events_append_only_truncate', 34, 'before truncate')) as wanted(name, type, event)
    left join lateral (
      select g.oid, g.tgenabled, g.tgtype = wanted.type and g.tgqual is null
             and g.tgfoid = to_regprocedure('domain_events._refuse_change()') as is_ours
        from pg_trigger g where g.tgrelid = 'domain_events.events'::regclass and g.tgname = wanted.name) as t on true
   where (t.is_ours and t.tgenabled = 'A') is not true
  union all
  select 'trigger_unknown', 'warning', 'domain_events.events',
         format('trigger %s is not the store''s: it runs with every event', t.tgname)
    from pg_trigger t
   where t.tgrelid = 'domain_events.events'::regclass and not t.tgisinternal
     and t.tgname not in ('events_append_only', 'events_append_only_truncate')
     and not (t.tgname = 'events_adopt_first' and t.tgfoid = to_regprocedure('domain_events._adopt_first()'))
  union all
  select 'unique_key_missing', 'error', 'domain_events.events', format('constraint %s is missing', wanted)
    from unnest('{events_pkey,uk_aggregate_version,events_event_id_key}'::name[]) as wanted
   where not exists (select from pg_constraint k join pg_index i on i.indexrelid = k.conindid
                      where k.conrelid = 'domain_events.events'::regclass and k.conname = wanted and i.indisvalid)
  union all
  -- A session that draws positions in advance gives later events lower ones; native guesses the next one.
  select 'sequence_altered', 'error', 'domain_events.events_global_position_seq',
         format('it counts by %s with a cache of %s%s: positions do not rise with the versions of a stream any more; '
                'the store''s owner runs: alter sequence domain_events.events_global_position_seq increment 1 cache 1 '
                'no cycle',
                s.seqincrement, s.seqcache, case when s.seqcycle then ' and begins again at its end' else '' end)
    from pg_sequence s
   where s.seqrelid = to_regclass('domain_events.events_global_position_seq')
     and (s.seqincrement, s.seqcache, s.seqcycle) <> (1, 1, false)
  union all
  select 'event_trigger_missing', 'warning', e.object,
         'the event trigger is missing or disabled: what it refuses or records passes in silence'
         || coalesce((select format('; a superuser runs: alter event trigger %I enable', t.evtname)
                        from pg_event_trigger t where t.evtname = e.object), '')
    from domain_events._expected_objects() as e
   where e.kind = 'event trigger'
     -- The owner of a managed database, who is no superuser, can make none: a dump of a store that had them is as one
     -- of their own.
     and (exists (select from pg_class store join pg_roles r on r.oid = store.relowner
                   where store.oid = 'domain_events.events'::regclass and r.rolsuper)
          or exists (select from pg_event_trigger t join pg_proc f on f.oid = t.evtfoid
                      where f.pronamespace = 'domain_events'::regnamespace))
     and not exists (select from pg_event_trigger t where t.evtname = e.object and t.evtenabled in ('O', 'A'))
$$;

comment on function domain_events._object_findings() is
  'Functions, triggers, keys, indexes and the sequence of the store that are not as they were installed';

-- What readers of the whole store go by: see reading/74_ticks.sql.
create function domain_events._reader_findings(
  out code text, out severity text, out object text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  select 'position_before_transaction', 'error', 'domain_events.events',
         'a position is drawn before the transaction has its number, so readers lose events; the store''s owner runs: '
         'alter table domain_events.events alter column global_position set default nextval(case when '
         'pg_catalog.pg_current_xact_id() is not null then ''domain_events.events_global_position_seq''::regclass end)'
   where not exists (
     select from pg_attribute c join pg_attrdef d on d.adrelid = c.attrelid and d.adnum = c.attnum
      where c.attrelid = 'domain_events.events'::regclass and c.attname = 'global_position'
        and pg_get_expr(d.adbin, d.adrelid)
            ~ '^nextval\(\s*CASE\s+WHEN \((pg_catalog\.)?pg_current_xact_id\(\) IS NOT NULL\)'
              '\s+THEN ''domain_events\.events_global_position_seq''::regclass\s+ELSE NULL::regclass\s+END\)$')
  union all
  select 'reader_index_missing', 'error', 'domain_events.events',
         'readers look through the whole table for what is committed late; the store''s owner runs: create index '
         'concurrently events_transaction_id_idx on domain_events.events (transaction_id, global_position)'
   where not exists (
     select from pg_index i
      where i.indrelid = 'domain_events.events'::regclass and i.indisvalid and i.indpred is null
        and (select array_agg(a.attname order by k.place)
               from unnest(i.indkey::int2[]) with ordinality as k(number, place)
               join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number)
            = '{transaction_id,global_position}'::name[])
  union all
  -- Numbers of another cluster: of events that were replicated, or restored into a store in use.
  select 'foreign_transactions', 'warning', 'domain_events.events',
         format('event %s is of transaction %s, which this server has not come to: it was replicated or restored into '
                'a store in use, and readers of all events do not see it; when no more of them come, an admin of the '
                'store runs: select domain_events.begin_era()', f.global_position, f.transaction_id)
    from domain_events._newest_era() as era
   -- Among the newest: below the boundary there may be any number of them.
   cross join lateral (
     select n.* from (select e.* from domain_events.events e where e.global_position > era.boundary
                       order by e.global_position desc limit 10000) as n
      where n.transaction_id >= pg_snapshot_xmax(pg_current_snapshot())
        and n.transaction_id is distinct from pg_current_xact_id_if_assigned()
      order by n.global_position desc limit 1) as f
   where era.cluster = domain_events._cluster()
  union all
  -- After a restore: until an era has begun nothing is read.
  select 'readers_wait', 'warning', 'domain_events.events',
         format('after the restore readers of all events wait for a moment in which nobody writes, and %s has written '
                'in a transaction that is open%s: end it, or commit it',
                coalesce('process ' || l.pid, 'the prepared transaction ' || quote_literal(p.gid),
                         'a prepared transaction'),
                coalesce(' since ' || to_char(coalesce(a.xact_start, p.prepared) at time zone 'UTC',
                                              'YYYY-MM-DD HH24:MI:SS') || ' UTC', ''))
    from domain_events._newest_era() as era
   cross join pg_locks l
    left join pg_stat_activity a on a.pid = l.pid
    left join pg_prepared_xacts p on l.virtualtransaction = '-1/' || p.transaction
   where era.cluster <> domain_events._cluster() and domain_events._cluster() <> 0
     and l.relation = 'domain_events.events'::regclass and l.mode = 'RowExclusiveLock' and l.granted
     and l.database = (select d.oid from pg_database d where d.datname = current_database())
     and l.pid is distinct from pg_backend_pid()
     and (coalesce(a.xact_start, p.prepared) < clock_timestamp() - interval '2 s') is not false
$$;

comment on function domain_events._reader_findings() is
  'What keeps readers of the whole store from an event, or makes them search for long';

create function domain_events._engine_findings(
  out code text, out severity text, out object text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp
as $$
  with engine as (
    select e.engine, e.version, x.extversion,
           (select count(*) from domain_events._present_functions() as p join pg_proc f on f.oid = p.function
                                                where f.prolang = (select l.oid from pg_language l
                                                                    where l.lanname = 'c')) as c_functions
      from domain_events.engine() as e left join pg_extension x on x.extname = 'pg_domain_events'
  )
  select 'engine_disagrees', 'error', 'domain_events.engine()', d.detail
    from engine e
   cross join lateral (values
     (e.engine = 'native' and e.extversion is null,
      'the engine says native, and the extension pg_domain_events is not installed'),
     (e.engine = 'native' and e.extversion is distinct from e.version and e.extversion is not null,
      format('the engine says version %s, the extension %s: alter extension pg_domain_events update', e.version,
             e.extversion)),
     (e.engine = 'native' and e.c_functions = 0, 'the engine says native, and no function is'),
     (e.engine = 'portable' and e.extversion <> 'portable',
      format('the engine says portable, and the extension is at version %s', e.extversion)),
     (e.engine = 'portable' and e.c_functions > 0,
      format('the engine says portable, and %s functions are written in C', e.c_functions))
   ) as d(is_found, detail)
   where d.is_found
$$;

comment on function domain_events._engine_findings() is
  'Where engine(), the extension and the functions disagree on which engine runs';
