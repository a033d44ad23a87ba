-- From events back to the row.
--
-- A key is held by one row at a time once a statement has ended, yet within "set id = id + 1" the events of a stream say: the
-- next row came before the first one left. So the fold keeps the occupants in order of arrival; who leaves is the first.

create function domain_events.fold_stream(aggregate_type text, aggregate_id text, up_to_version bigint default null) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  occupants jsonb[] := '{}';
  newest bigint;
  event record;
  truncations bigint[];
  data jsonb;
begin
  perform domain_events._check_read(fold_stream.aggregate_type, fold_stream.aggregate_id);
  if up_to_version < 1 then
    raise exception 'up_to_version must be positive, not %', up_to_version
      using errcode = '22023', hint = 'Leave it out for the newest version.';
  end if;
  select max(e.aggregate_version) into newest from domain_events.events e
   where e.aggregate_type = fold_stream.aggregate_type and e.aggregate_id = fold_stream.aggregate_id;
  -- A truncation is between the events of lower and of higher positions: the table was locked.
  truncations := array(
    select t.global_position from domain_events.events t
     where t.aggregate_type = 'domain_events.Table' and t.event_type = 'TableTruncated'
       and t.event_data ->> 'aggregate_type' = fold_stream.aggregate_type and not jsonb_exists(t.event_data, 'partition')
       and (up_to_version is null or up_to_version >= newest
            or t.global_position < (select e.global_position from domain_events.events e
                                     where e.aggregate_type = fold_stream.aggregate_type
                                       and e.aggregate_id = fold_stream.aggregate_id and e.aggregate_version = up_to_version))
     order by 1);

  for event in
    select e.event_data, e.metadata @> '{"complete": true}' as complete,
           -- What was retried happened when the store was at that position.
           case when jsonb_exists(e.metadata, 'failure_id') and jsonb_typeof(e.metadata -> 'after_position') = 'number'
                then (e.metadata ->> 'after_position')::numeric + 0.5 else e.global_position end as moment
      from domain_events.events e
     cross join lateral domain_events._late_after(e.metadata) as f(late_after)
     where e.aggregate_type = fold_stream.aggregate_type and e.aggregate_id = fold_stream.aggregate_id
       and (up_to_version is null or e.aggregate_version <= up_to_version)
     order by coalesce(f.late_after + 0.5, e.aggregate_version),
              -- What fired late within a transaction fired from the inside out; what was retried keeps its order.
              case when f.late_after is null or (jsonb_exists(e.metadata, 'failure_id') and not jsonb_exists(e.metadata, 'queued'))
                   then e.aggregate_version else -e.aggregate_version end
  loop
    data := event.event_data;
    while truncations[1] < event.moment loop
      truncations := truncations[2:];
      occupants := '{}';
    end loop;
    if jsonb_exists(data, 'new_aggregate_id') or (jsonb_exists(data, 'old_values') and not jsonb_exists(data, 'new_values')) then
      occupants := occupants[2:];                              -- rekeyed away, or deleted
    elsif event.complete and not jsonb_exists(data, 'old_aggregate_id') then
      occupants := array[data -> 'new_values'];                -- the whole row again, whatever was missed
    elsif jsonb_exists(data, 'new_values') and not jsonb_exists(data, 'old_values') then
      occupants := occupants || array[data -> 'new_values'];   -- created, or rekeyed to here
    elsif jsonb_exists(data, 'new_values') then
      occupants := array[coalesce(occupants[1], '{}') || (data -> 'new_values')] || occupants[2:];
    end if;
  end loop;
  return case when truncations = '{}' then occupants[1] end;
end
$$;

comment on function domain_events.fold_stream(text, text, bigint) is
  'The captured columns of the row at that version (default: the newest); null once deleted, rekeyed away or truncated, and for a stream that does not exist';
