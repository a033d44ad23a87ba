-- From events back to the row.
--
-- A key is held by one row at a time once a statement has ended, yet within "set id = id + 1" the events of a stream
-- say: the next row came before the first one left. So the fold keeps the occupants in order of arrival; who leaves is
-- the first.

create function domain_events.fold_stream(aggregate_type text, aggregate_id text, up_to_version bigint default null)
  returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  occupants jsonb[] := '{}';
  in_table text;
  newest bigint;
  event record;
  table_events domain_events.events[];
  told jsonb;
begin
  perform domain_events._check_read(fold_stream.aggregate_type, fold_stream.aggregate_id);
  if up_to_version < 1 then
    raise exception 'up_to_version must be positive, not %', up_to_version
      using errcode = '22023', hint = 'Leave it out for the newest version.';
  end if;
  select max(e.aggregate_version) into newest from domain_events.events e
   where e.aggregate_type = fold_stream.aggregate_type and e.aggregate_id = fold_stream.aggregate_id;
  -- A truncation is between the events of lower and of higher positions: the table was locked.
  table_events := array(
    select t from domain_events.events t
     where t.aggregate_type = 'domain_events.Table' and t.origin = 'captured'
       and (t.event_type in ('TableTruncated', 'PartitionDetached', 'PartitionDropped')
            -- The capture of the table above has taken over.
            or t.event_type = 'CaptureDisabled' and t.event_data ->> 'continues_as' <> fold_stream.aggregate_type)
       and t.event_data ->> 'aggregate_type' = fold_stream.aggregate_type
       and (up_to_version is null or up_to_version >= newest
            or t.global_position < (select e.global_position from domain_events.events e
                                     where e.aggregate_type = fold_stream.aggregate_type
                                       and e.aggregate_id = fold_stream.aggregate_id
                                       and e.aggregate_version = up_to_version))
     order by t.global_position);

  for event in
    select case when e.metadata @> '{"late": true}' then domain_events._turn(e.aggregate_version, e.metadata)
                else array[e.aggregate_version, 0, 1] end as turn,
           e.event_data as data, e.metadata @> '{"complete": true}' as complete, e.metadata ->> 'in_table' as in_table,
           -- What was retried happened when the store was at that position.
           case when jsonb_exists(e.metadata, 'failure_id') and jsonb_typeof(e.metadata -> 'after_position') = 'number'
                then (e.metadata ->> 'after_position')::numeric + 0.5 else e.global_position end as moment
      from domain_events.events e
     where e.aggregate_type = fold_stream.aggregate_type and e.aggregate_id = fold_stream.aggregate_id
       and e.origin = 'captured' and (up_to_version is null or e.aggregate_version <= up_to_version)
    union all
    select null, null, null, null, 1e30  -- now, after all of them
     order by turn
  loop
    while (table_events[1]).global_position < event.moment loop
      told := (table_events[1]).event_data;
      -- Rows without a mark are those of the table that had the type to itself.
      if (case when jsonb_exists(told, 'only_in') then told -> 'only_in' @> coalesce(to_jsonb(in_table), 'null')
               when jsonb_exists(told, 'partition') then told ->> 'partition' = in_table
               else true end) then
        occupants := '{}';
      end if;
      table_events := table_events[2:];
    end loop;
    in_table := coalesce(event.in_table, in_table);
    if jsonb_exists(event.data, 'new_aggregate_id')
       or (jsonb_exists(event.data, 'old_values') and not jsonb_exists(event.data, 'new_values')) then
      occupants := occupants[2:];                                    -- rekeyed away, or deleted
    elsif event.complete then
      occupants := array[event.data -> 'new_values'];                -- the whole row again, whatever was missed
    elsif jsonb_exists(event.data, 'new_values') and not jsonb_exists(event.data, 'old_values') then
      occupants := occupants || array[event.data -> 'new_values'];   -- created, or rekeyed to here
    elsif jsonb_exists(event.data, 'new_values') then
      occupants := array[coalesce(occupants[1], '{}') || (event.data -> 'new_values')] || occupants[2:];
    end if;
  end loop;
  return occupants[1];
end
$$;

comment on function domain_events.fold_stream(text, text, bigint) is
  'The captured columns of the row at that version (default: the newest); null once deleted, '
  'rekeyed away or truncated, and for a stream that does not exist';
