-- Captures and ported triggers: whether every change still becomes an event.

-- "pg_restore --disable-triggers" leaves no trigger ALWAYS.
create function domain_events._how_to_enable(relation oid, name text, capture_id int, is_always boolean) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((
    select format('; its owner runs: alter table %s enable %strigger %I', domain_events._qualified_name(t.tgrelid),
                  case when is_always then 'always ' else '' end, t.tgname)
      from pg_trigger t
     where t.tgrelid = relation and starts_with(t.tgname, name) and t.tgqual is null and t.tgattr = ''
       and t.tgfoid = to_regprocedure(format('domain_events.%I()', 'capture_' || capture_id)) limit 1), '');
end
$$;

comment on function domain_events._how_to_enable(oid, text, int, boolean) is
  'The end of a finding on a capture''s trigger: how it is enabled, when it is there';

-- The planner expects a thousand partitions of every table, and would compile for half a second what runs for
-- milliseconds.
create function domain_events._capture_findings(
  out code text, out severity text, out object text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set jit = off
as $$
  with restored as materialized (
    select c.capture_id, domain_events._relation_named(c.table_name) as target from domain_events.capture_config c
     where not exists (select from pg_class r where r.oid = c.relation)
       and c.capture_id = domain_events._restored_capture(domain_events._relation_named(c.table_name))
  )
  select 'redaction_without_column', 'error', c.table_name,
         format('the redaction rule for %s matches no column; all values are redacted until capture is enabled anew',
                k.column_name)
    from domain_events.capture_config c
    join domain_events.capture_columns k on k.capture_id = c.capture_id and k.redacted
    join pg_class r on r.oid = c.relation
   where k.attnum is null or not exists (
     select from pg_attribute a
      where a.attrelid = c.relation and a.attnum > 0 and not a.attisdropped and a.attgenerated <> 'v'
        and case when c.relation_oid = c.relation::oid and c.store_oid = 'domain_events.events'::regclass::oid
                 then a.attnum = k.attnum else a.attname = k.column_name end)
  union all
  select 'captured_table_missing', 'error', c.table_name,
         case when coalesce(here.relation, domain_events._relation_named(c.enabled_as)) is null
                then 'the captured table no longer exists'
              when not (select domain_events._succeeds(r.relowner, c.table_owner) from pg_class r
                         where r.oid = here.relation)
                then 'the captured table was dropped, and the one that has its name now belongs to another owner, '
                     'for whom its capture does not go on; the store''s owner ends it: '
                     'domain_events.forget_dropped_tables()'
              else 'the captured table was dropped, and the one that has its name now has no trigger of the capture: '
                   'its changes are not recorded until enable_capture() is called with the same arguments' end
    from domain_events.capture_config c, domain_events._relation_named(c.table_name) as here(relation)
   where not exists (select from pg_class r where r.oid = c.relation)
     and c.capture_id not in (select s.capture_id from restored s)
  union all
  -- As tools leave it that copy a table, and then give the copy its name.
  select 'captured_table_replaced', 'error', c.enabled_as,
         format('capture was enabled for a table that is called %s now, and the table that has its name is not '
                'captured: its changes are not recorded; its owner calls domain_events.disable_capture(%L), '
                'then enable_capture(%L, aggregate_type => %L) with the other arguments it had: the streams go on',
                domain_events._qualified_name(r.oid), r.oid::regclass, other.oid::regclass, c.aggregate_type)
    from domain_events.capture_config c
    join pg_class r on r.oid = c.relation
    join pg_class other on other.oid = domain_events._relation_named(c.enabled_as) and other.relkind in ('r', 'p')
   where other.oid <> r.oid
     and not exists (select from domain_events.capture_config o
                      where o.relation = any (domain_events._with_ancestors(other.oid)))
  union all
  select 'captured_table_restored', 'warning', c.table_name,
         format('the captured table was dropped and restored: its capture goes on with the next write, '
                'and rows may differ from their streams until: select * from domain_events.tell_rows(%L)',
                s.target)
    from domain_events.capture_config c join restored s on s.capture_id = c.capture_id
  union all
  select 'capture_identity_missing', 'error', c.table_name,
         format('column %s is part of the aggregate id and is gone: every write becomes a dead letter or fails',
                k.column_name)
    from domain_events.capture_config c
    join domain_events.capture_columns k on k.capture_id = c.capture_id and k.identity_position is not null
    join pg_class r on r.oid = c.relation
   where not exists (
     select from pg_attribute a
      where a.attrelid = c.relation and a.attnum > 0 and not a.attisdropped and a.attgenerated <> 'v'
        and case when c.relation_oid = c.relation::oid and c.store_oid = 'domain_events.events'::regclass::oid
                 then a.attnum = k.attnum else a.attname = k.column_name end)
  union all
  select 'capture_identity_missing', 'error', c.table_name,
         'a column of the aggregate id was dropped: streams get other ids than before'
    from domain_events.capture_config c
    join pg_class r on r.oid = c.relation
   where (select count(k.identity_position) < greatest(max(k.identity_position), 1)
            from domain_events.capture_columns k where k.capture_id = c.capture_id)
  union all
  select 'capture_table_changed', 'info', c.table_name,
         'columns were added, dropped or renamed; capture follows with the next write'
    from domain_events.capture_config c
    join pg_class r on r.oid = c.relation
   where c.relation_oid = c.relation::oid
     and exists (
       select from (select a.attnum, a.attname from pg_attribute a
                     where a.attrelid = c.relation and a.attnum > 0 and not a.attisdropped
                       and a.attgenerated <> 'v') as a
         full join (select k.attnum, k.column_name from domain_events.capture_columns k
                     where k.capture_id = c.capture_id and k.attnum is not null) as k
           on k.attnum = a.attnum and k.column_name = a.attname
        where a.attnum is null or k.attnum is null)
  union all
  -- As after "pg_restore --disable-triggers", which leaves none ALWAYS.
  select 'capture_trigger_missing', 'error', c.table_name,
         'the capture trigger is missing, disabled or altered: changes are not recorded'
         || domain_events._how_to_enable(r.oid, ' domain_events_capture', c.capture_id, c.replication = 'always')
    from domain_events.capture_config c
    join pg_class r on r.oid = c.relation
   where not exists (select from pg_trigger t
                      where t.tgrelid = c.relation and starts_with(t.tgname, ' domain_events_capture')
                        and t.tgenabled = case c.replication when 'always' then 'A'::"char" else 'O'::"char" end
                        and t.tgtype = 29 and t.tgqual is null and t.tgattr = ''
                        and t.tgfoid = to_regprocedure(format('domain_events.%I()', 'capture_' || c.capture_id)))
  union all
  select 'capture_trigger_missing', 'error', domain_events._qualified_name(t.tgrelid),
         format('the capture trigger of this partition of %s is disabled, or does not fire where that of the table '
                'does: changes are not recorded; its owner runs: alter table %s enable %strigger %I',
                c.table_name, domain_events._qualified_name(t.tgrelid),
                case c.replication when 'always' then 'always ' else '' end, t.tgname)
    from domain_events.capture_config c
    join pg_class r on r.oid = c.relation and r.relkind = 'p'
    cross join lateral domain_events._partition_tree(c.relation) as leaf
    join pg_trigger t on t.tgrelid = leaf.relid and starts_with(t.tgname, ' domain_events_capture')
                         and t.tgenabled <> 'A' and (t.tgenabled <> 'O' or c.replication = 'always')
                         and t.tgfoid = to_regprocedure(format('domain_events.%I()', 'capture_' || c.capture_id))
   where leaf.level > 0
  union all
  select 'truncate_trigger_missing', 'warning', domain_events._qualified_name(leaf.relid),
         'the truncate trigger is missing or disabled: TRUNCATE is not recorded'
         || domain_events._how_to_enable(leaf.relid, ' domain_events_truncate', c.capture_id, false)
    from domain_events.capture_config c
    join pg_class r on r.oid = c.relation
    cross join lateral domain_events._partition_tree(c.relation) as leaf
   where not exists (select from pg_trigger t
                      where t.tgrelid = leaf.relid and starts_with(t.tgname, ' domain_events_truncate')
                        and t.tgenabled in ('O', 'A')
                        and t.tgfoid = to_regprocedure(format('domain_events.%I()', 'capture_' || c.capture_id)))
  union all
  select 'capture_function_altered', 'error', c.table_name,
         format('domain_events.capture_%s() is not the function that the capture wrote', c.capture_id)
    from domain_events.capture_config c
    join pg_proc f on f.oid = to_regprocedure(format('domain_events.%I()', 'capture_' || c.capture_id))
    join pg_language l on l.oid = f.prolang
    join pg_class store on store.oid = 'domain_events.events'::regclass
   where f.proowner <> store.relowner
      or case when (select e.engine from domain_events.engine() as e) = 'native' then l.lanname <> 'c'
              or f.prosrc <> 'de_capture'
              else l.lanname <> 'plpgsql' or not f.prosecdef
                   or position('search_path=pg_catalog, pg_temp' in coalesce(replace(array_to_string(f.proconfig, '|'),
                       '"', ''), '')) = 0
                   or case c.state when 'active'
                             then not starts_with(f.prosrc, '-- Written by domain_events._write_capture_function();')
                                  or position('domain_events._write_event(' in f.prosrc) = 0
                                   else f.prosrc <> domain_events._silent_function(c.capture_id) end
         end
  union all
  select 'partition_gone', 'warning', k.table_name,
         format('the partition was detached from or dropped under %s; domain_events.follow_partitions() records it',
                c.table_name)
    from domain_events.capture_partitions k
    join domain_events.capture_config c on c.capture_id = k.capture_id
   where c.relation <> all (domain_events._with_ancestors(k.relation))
     and k.capture_id not in (select s.capture_id from restored s)
  union all
  select 'capture_without_configuration', 'error', domain_events._qualified_name(t.tgrelid),
         format('the table has a capture trigger but no capture: its changes are not recorded until '
                'domain_events.enable_capture(%L) is called again, with the arguments it had',
                coalesce(pg_partition_root(t.tgrelid), t.tgrelid)::regclass)
    from pg_trigger t join pg_proc p on p.oid = t.tgfoid and p.pronamespace = 'domain_events'::regnamespace
   where t.tgname ~ '^ domain_events_capture(_[0-9]+)?$' and t.tgparentid = 0 and t.tgenabled <> 'D'
     and not exists (select from domain_events.capture_config c
                      where c.relation = any (domain_events._with_ancestors(t.tgrelid)))
     and t.tgrelid not in (select s.target from restored s)
  union all
  select 'capture_taken_over', 'warning', c.table_name,
         format('it is a partition of %s, whose capture tells its rows; domain_events.follow_partitions(%2$L) ends '
                'this one',
                o.table_name, o.relation)
    from domain_events.capture_config c
   cross join lateral (select o.table_name, o.relation from domain_events.capture_config o
                        where o.relation <> c.relation and o.relation = any (domain_events._with_ancestors(c.relation))
                        limit 1) as o
  union all
  select 'capture_grant_outdated', 'warning', c.table_name,
         case when r.oid is null then 'who owned the dropped table may still use its trigger function, '
                                      'and cannot be dropped: the store''s owner calls '
                                      'domain_events.forget_dropped_tables()'
              else format('the table has another owner now, who can make no partitions of it until '
                          'domain_events.follow_partitions(%L)',
                          c.relation) end
    from domain_events._outdated_grants() as g
    join domain_events.capture_config c on c.capture_id = g
    left join pg_class r on r.oid = c.relation
   where c.capture_id not in (select s.capture_id from restored s)
  union all
  select 'capture_paused', 'warning', c.table_name, 'capture is paused: changes are not recorded'
    from domain_events.capture_config c where c.state = 'paused'
  union all
  select 'capture_failures_pending', 'warning', f.table_name,
         format('%s events wait for domain_events.retry_capture_failures()', count(*))
    from domain_events.capture_failures f where f.stored_version is null group by f.table_name
$$;

comment on function domain_events._capture_findings() is
  'Captures whose table, columns, triggers or function are not as they should be, and what they could not store';

-- The journal says how each object was left; the newest entry of a plan that was not taken back decides. Everybody who
-- may apply plans writes entries about any object: they decide against nobody's whom their writer cannot act for.
create function domain_events._migration_findings(
  out code text, out severity text, out object text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  with entry as (
    select j.plan_id, j.object_kind, j.object, j.after_state, j.done_at, j.entry, p.applied_by
      from domain_events.migration_journal j join domain_events.migration_plans p on p.plan_id = j.plan_id
     where j.object_kind in ('trigger', 'function') and p.state in ('applied', 'finished')
  ), newest as (
    select distinct on (e.object_kind, e.object, e.applied_by) e.*
      from entry e order by e.object_kind, e.object, e.applied_by, e.done_at desc, e.entry desc
  ), left_as as (
    select n.* from newest n
     where not exists (select from newest later
                        where later.object_kind = n.object_kind and later.object = n.object
                          and (later.done_at, later.entry) > (n.done_at, n.entry)
                          and later.applied_by <> n.applied_by
                          and domain_events._answers_for(later.applied_by, n.applied_by))
  ), trigger as (
    select format('%s on %I.%I', t.tgname, n.nspname, c.relname) as object, t.tgenabled::text as enabled
      from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
     where not t.tgisinternal
  ), function as (
    select format('%I.%I(%s)', n.nspname, f.proname, pg_get_function_identity_arguments(f.oid)) as object, f.oid
      from pg_proc f join pg_namespace n on n.oid = f.pronamespace
     where f.prokind in ('f', 'p') and n.nspname not in ('pg_catalog', 'information_schema', 'domain_events')
  )
  select 'legacy_trigger_back', 'error', l.object,
         format('plan %s %s it, and now it fires again: events may be written twice, or with wrong versions', l.plan_id,
                case when l.after_state is null then 'dropped' else 'disabled' end)
    from left_as l join trigger t on t.object = l.object
   where l.object_kind = 'trigger' and t.enabled <> 'D' and (l.after_state is null or l.after_state ->> 'enabled' = 'D')
  union all
  select 'ported_trigger_missing', 'error', l.object,
         format('plan %s made it, and it is missing or disabled: legacy events get no version', l.plan_id)
    from left_as l left join trigger t on t.object = l.object
   where l.object_kind = 'trigger' and l.after_state is not null and l.after_state ->> 'enabled' <> 'D'
     and coalesce(t.enabled, 'D') = 'D'
     -- Its table is a view by now, which assigns the versions.
     and not exists (select from domain_events.adoptions a
                      where a.state <> 'withdrawn' and l.object = '~domain_events_version on ' || a.source)
  union all
  select 'ported_function_altered', 'error', l.object,
         format('plan %s wrote it, and it was replaced or dropped since', l.plan_id)
    from left_as l left join function f on f.object = l.object
   where l.object_kind = 'function' and l.after_state is not null
     and (f.oid is null or md5(pg_get_functiondef(f.oid)) <> l.after_state ->> 'fingerprint')
$$;

comment on function domain_events._migration_findings() is
  'What "domain-events apply" left and is not so any more: old triggers that are back, new ones that are gone, '
  'functions that were replaced';

-- An adopted table: its view stores events only as long as these triggers are there.
create function domain_events._adopted_table_findings(
  out code text, out severity text, out object text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp
as $$
  with adopted as (
    select a.adoption_id, a.source, a.event_table, a.state, a.began_at, a.head_function from domain_events.adoptions a
     where a.state <> 'withdrawn'
  )
  select 'adopted_table_missing', 'error', a.source, 'the table with its legacy columns no longer exists'
    from adopted a where a.event_table is not null and not exists (select from pg_class c where c.oid = a.event_table)
  union all
  select 'adoption_guard_missing', 'error', a.source,
         format('trigger %s is missing or disabled: rows can be written past the store', wanted)
    from adopted a
    join pg_class c on c.oid = a.event_table
   cross join unnest('{~domain_events_written,~domain_events_held,~domain_events_kept}'::name[]) as wanted
   where not exists (select from pg_trigger t
                      where t.tgrelid = c.oid and t.tgname = wanted and t.tgenabled in ('O', 'A'))
  union all
  select 'adoption_trigger_missing', 'error', a.source,
         'its events are being moved, and trigger events_adopt_first of domain_events.events is missing or disabled: '
         'versions may be given twice'
    from adopted a
   where a.state = 'moving' and a.head_function is not null
     and not exists (select from pg_trigger t
                      where t.tgrelid = 'domain_events.events'::regclass and t.tgname = 'events_adopt_first'
                        and t.tgenabled in ('O', 'A'))
  union all
  -- Who works on it holds the lock of locks::lock_for_session() in the command line: "pgde", 1.
  select 'adoption_unfinished', 'warning', a.source,
         format('its events are being moved since %s, and nobody moves them: run "domain-events apply" with the same '
                'plan again, or "domain-events rollback"',
                a.began_at)
    from adopted a
   where a.state = 'moving'
     and not exists (select from pg_locks l
                      where l.locktype = 'advisory' and l.classid = x'70676465'::int::oid and l.objid = 1
                        and l.objsubid = 2 and l.granted
                        and l.database = (select d.oid from pg_database d where d.datname = current_database()))
$$;

comment on function domain_events._adopted_table_findings() is
  'Adopted event tables whose triggers are not as they should be, or whose events are still being moved';

create function domain_events.check_infrastructure(
  out code text, out severity text, out object text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select f.* from domain_events._object_findings() as f
  union all select f.* from domain_events._reader_findings() as f
  union all select f.* from domain_events._engine_findings() as f
  union all select f.* from domain_events._counter_findings() as f
  union all select f.* from domain_events._privilege_findings() as f
  union all select f.* from domain_events._capture_findings() as f
  union all select f.* from domain_events._migration_findings() as f
  union all select f.* from domain_events._adopted_table_findings() as f
$$;

comment on function domain_events.check_infrastructure() is
  'What is wrong with the store''s functions, triggers, keys and rights, with captures and with ported triggers, '
  'one row per finding. No row: all is well.';
