-- What can be checked at any time, by anybody who may read.

create function domain_events.check_integrity(
  aggregate_type text default null,
  out code text, out severity text, out stream_type text, out stream_id text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp
as $$
  with stream as (
    select e.aggregate_type, e.aggregate_id, count(*) as events, count(distinct e.aggregate_version) as versions,
           min(e.aggregate_version) as first, max(e.aggregate_version) as newest
      from domain_events.events e
     where check_integrity.aggregate_type is null or e.aggregate_type = check_integrity.aggregate_type
     group by e.aggregate_type, e.aggregate_id
  )
  select 'duplicate_version', 'error', s.aggregate_type, s.aggregate_id, format('%s events share %s versions', s.events, s.versions)
    from stream s where s.events <> s.versions
  union all
  select 'version_gap', 'error', s.aggregate_type, s.aggregate_id, format('%s versions between %s and %s', s.versions, s.first, s.newest)
    from stream s where s.newest - s.first + 1 <> s.versions or s.first <> 1
  union all
  select 'order_against_time', 'error', b.aggregate_type, b.aggregate_id, format('version %s is not newer than version %s', b.aggregate_version, b.aggregate_version - 1)
    from (select e.aggregate_type, e.aggregate_id, e.aggregate_version, e.recorded_at, e.global_position,
                 lag(e.recorded_at) over w as before, lag(e.global_position) over w as position_before
            from domain_events.events e
           where check_integrity.aggregate_type is null or e.aggregate_type = check_integrity.aggregate_type
          window w as (partition by e.aggregate_type, e.aggregate_id order by e.aggregate_version)) as b
   where b.recorded_at <= b.before or b.global_position <= b.position_before
$$;

comment on function domain_events.check_integrity(text) is
  'What is wrong with the stored versions, one row per finding: duplicates, gaps, order against time. No row: all is well.';

create function domain_events.check_infrastructure(
  out code text, out severity text, out object text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select 'redaction_without_column', 'error', c.table_name,
         format('the redaction rule for %s matches no column; all values are redacted until capture is enabled anew', k.column_name)
    from domain_events.capture_config c
    join domain_events.capture_columns k on k.capture_id = c.capture_id and k.redacted
   where not exists (
     select from pg_attribute a
      where a.attrelid = c.relation and a.attnum > 0 and not a.attisdropped
        and case when c.relation_oid = c.relation::oid and c.store_oid = 'domain_events.events'::regclass::oid
                 then a.attnum = k.attnum else a.attname = k.column_name end)
  union all
  select 'captured_table_missing', 'error', c.table_name, 'the captured table no longer exists'
    from domain_events.capture_config c
   where not exists (select from pg_class r where r.oid = c.relation)
  union all
  select 'capture_trigger_missing', 'error', c.table_name, 'the capture trigger is missing or disabled: changes are not recorded'
    from domain_events.capture_config c
    join pg_class r on r.oid = c.relation
   where not exists (select from pg_trigger t where t.tgrelid = c.relation and t.tgname = ' domain_events_capture'
                        and t.tgenabled = case c.replication when 'always' then 'A'::"char" else 'O'::"char" end)
  union all
  select 'truncate_trigger_missing', 'warning', domain_events._qualified_name(leaf.relid), 'the truncate trigger is missing or disabled: TRUNCATE is not recorded'
    from domain_events.capture_config c
    join pg_class r on r.oid = c.relation
    cross join lateral (select p.relid from pg_partition_tree(c.relation) as p union select c.relation) as leaf
   where not exists (select from pg_trigger t where t.tgrelid = leaf.relid and t.tgname = ' domain_events_truncate' and t.tgenabled in ('O', 'A'))
  union all
  select 'partition_gone', 'warning', k.table_name, format('the partition was detached from or dropped under %s; domain_events.follow_partitions() records it', c.table_name)
    from domain_events.capture_partitions k
    join domain_events.capture_config c on c.capture_id = k.capture_id
   where not exists (select from domain_events._present_partitions(k.capture_id) as p where p.relation = k.relation or p.table_name = k.table_name)
  union all
  select 'capture_without_configuration', 'error', domain_events._qualified_name(t.tgrelid), 'the table has a capture trigger but no capture: its changes are not recorded'
    from pg_trigger t
   where t.tgname = ' domain_events_capture' and t.tgparentid = 0
     and not exists (select from domain_events.capture_config c where c.relation = t.tgrelid)
  union all
  select 'append_only_disabled', 'error', 'domain_events.events', format('trigger %s is missing or disabled', wanted)
    from unnest('{events_append_only,events_append_only_truncate}'::name[]) as wanted
   where not exists (select from pg_trigger t where t.tgrelid = 'domain_events.events'::regclass and t.tgname = wanted and t.tgenabled = 'A')
  union all
  select 'unique_key_missing', 'error', 'domain_events.events', format('constraint %s is missing', wanted)
    from unnest('{events_pkey,uk_aggregate_version,events_event_id_key}'::name[]) as wanted
   where not exists (select from pg_constraint k where k.conrelid = 'domain_events.events'::regclass and k.conname = wanted)
  union all
  select 'capture_paused', 'warning', c.table_name, 'capture is paused: changes are not recorded'
    from domain_events.capture_config c where c.state = 'paused'
  union all
  select 'capture_failures_pending', 'warning', f.table_name, format('%s events wait for domain_events.retry_capture_failures()', count(*))
    from domain_events.capture_failures f where f.stored_version is null group by f.table_name
$$;

comment on function domain_events.check_infrastructure() is
  'What is wrong with the store''s triggers, keys and captures, one row per finding. No row: all is well.';
