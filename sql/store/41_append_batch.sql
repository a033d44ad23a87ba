-- Appending a batch, to one stream or to several, all or nothing.

-- One element of append_events(): the parameters of append_event() as a JSON object.
create function domain_events._event_from_json(
  element jsonb, ordinal bigint, default_type text, default_id text
) returns domain_events.events
language plpgsql volatile
as $$
declare
  unknown text;
begin
  if jsonb_typeof(element) is distinct from 'object' then
    raise exception 'element % of events must be a JSON object, not %', ordinal, coalesce(jsonb_typeof(element), 'null')
      using errcode = '22023', hint = 'For example {"event_type": "UserUpdated", "event_data": {}}.';
  end if;
  select k into unknown from jsonb_object_keys(element) as k
   where k not in ('aggregate_type', 'aggregate_id', 'event_type', 'event_data', 'event_name', 'metadata', 'event_id',
                   'caused_by', 'correlation_id', 'causation_id', 'occurred_at', 'schema_version')
   limit 1;
  if unknown is not null then
    raise exception 'element % of events has the unknown key "%"', ordinal, unknown
      using errcode = '22023',
            hint = 'The keys are the parameters of append_event(); expected_version goes with the call.';
  end if;
  if element ->> 'aggregate_type' <> default_type or element ->> 'aggregate_id' <> default_id then
    raise exception 'element % of events names another stream than the call', ordinal
      using errcode = '22023', hint = 'Use append_events(events, expected) for several streams.';
  end if;
  begin
    return domain_events._new_event(
      coalesce(element ->> 'aggregate_type', default_type), coalesce(element ->> 'aggregate_id', default_id),
      element ->> 'event_type', coalesce(element -> 'event_data', '{}'), element ->> 'event_name',
      nullif(element -> 'metadata', 'null'), (element ->> 'event_id')::uuid, element ->> 'caused_by',
      element ->> 'correlation_id', element ->> 'causation_id', (element ->> 'occurred_at')::timestamptz,
      coalesce((element ->> 'schema_version')::int, 1));
  exception when invalid_text_representation or invalid_datetime_format or datetime_field_overflow
  or numeric_value_out_of_range then
    raise exception 'element % of events has a value of the wrong type', ordinal
      using errcode = '22023', detail = sqlerrm,
            hint = 'event_id is a UUID, occurred_at a timestamp with time zone, schema_version an integer.';
  end;
end
$$;

comment on function domain_events._event_from_json(jsonb, bigint, text, text) is
  'Turns one element of append_events() into an event; 22023 names the element and what is wrong with it';

-- True for a batch that is there already; one that is stored in part is an error.
create function domain_events._is_stored(batch domain_events.events[]) returns boolean
language plpgsql volatile
as $$
declare
  given int;
  different int;
  stored int;
begin
  select count(e.event_id), count(distinct e.event_id) into given, different from unnest(batch) as e;
  if given = 0 then
    return false;
  elsif given <> different then
    raise exception 'an event_id appears twice in one batch'
      using errcode = '22023', hint = 'Give each event an id of its own, or none.';
  end if;
  select count(*) into stored from unnest(batch) as e join domain_events.events s on s.event_id = e.event_id;
  if stored > 0 and stored < cardinality(batch) then
    raise exception 'the batch is stored in part: % of its % events', stored, cardinality(batch)
      using errcode = '23505', constraint = 'events_event_id_key', schema = 'domain_events', table = 'events',
            hint = 'Repeat a batch unchanged, or use new event ids.';
  end if;
  return stored > 0;
end
$$;

comment on function domain_events._is_stored(domain_events.events[]) is
  'True when every event_id of a batch is stored; raises 23505 when some are, 22023 when one is given twice';

-- The events of one stream in one statement. Null when another writer got in between: then nothing is stored.
create function domain_events._insert_batch(part domain_events.events[]) returns domain_events.events[]
language plpgsql volatile
as $$
declare
  stored domain_events.events[];
  is_behind boolean;
  signal text;
begin
  with head as materialized (
    select coalesce(max(h.aggregate_version), 0) as version, max(h.global_position) as position,
           greatest(clock_timestamp(), max(h.recorded_at) + interval '1 microsecond') as recorded_at
      from (select e.aggregate_version, e.recorded_at, e.global_position from domain_events.events e
             where e.aggregate_type = part[1].aggregate_type and e.aggregate_id = part[1].aggregate_id
             order by e.aggregate_version desc limit 1) as h
  ), inserted as (
    insert into domain_events.events
      (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, metadata,
       correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at, origin)
    select coalesce(e.event_id, domain_events.uuid_v7()), e.aggregate_type, e.aggregate_id, head.version + e.ordinality,
           e.event_type, e.event_name, e.event_data, e.metadata, e.correlation_id, e.causation_id, e.caused_by,
           e.schema_version, coalesce(e.occurred_at, r.recorded_at), r.recorded_at, domain_events._appended()
      from head, unnest(part) with ordinality as e
     cross join lateral (select head.recorded_at + (e.ordinality - 1) * interval '1 microsecond' as recorded_at) as r
     order by e.ordinality
    on conflict do nothing
    returning events.*
  )
  select array_agg(i::domain_events.events order by i.aggregate_version),
         min(i.global_position) <= (select h.position from head as h)
    into stored, is_behind from inserted as i;
  if coalesce(cardinality(stored), 0) < cardinality(part) then
    raise exception 'batch' using errcode = 'DE001', constraint = '_batch';  -- undoes what was inserted
  elsif is_behind then
    perform domain_events._check_positions(stored[1].global_position);
  end if;
  return stored;
exception when sqlstate 'DE001' then
  get stacked diagnostics signal = constraint_name;
  if signal <> '_batch' then
    raise;  -- the code of somebody else's error
  end if;
  return null;
end
$$;

comment on function domain_events._insert_batch(domain_events.events[]) is
  'Inserts events of one stream and returns them as stored; null, and nothing stored, '
  'when a version or an event_id was taken meanwhile';

-- As _insert_batch(), one by one: what keeps an event from being stored is then an error.
create function domain_events._insert_singly(part domain_events.events[]) returns domain_events.events[]
language plpgsql volatile
as $$
declare
  stored domain_events.events[];
  one domain_events.events;
  event domain_events.events;
  version bigint := domain_events._stream_version(part[1].aggregate_type, part[1].aggregate_id);
  before timestamptz;
  last bigint;
  signal text;
begin
  select e.recorded_at, e.global_position into before, last
    from domain_events.events e
   where e.aggregate_type = part[1].aggregate_type and e.aggregate_id = part[1].aggregate_id
     and e.aggregate_version = version;
  foreach event in array part loop
    version := version + 1;
    before := greatest(clock_timestamp(), before + interval '1 microsecond');
    one := domain_events._insert_strictly(
      event.event_id, event.aggregate_type, event.aggregate_id, version, event.event_type, event.event_name,
      event.event_data, event.metadata, event.correlation_id, event.causation_id, event.caused_by, event.schema_version,
      event.occurred_at, before);
    if one.aggregate_version is null then
      raise exception 'batch' using errcode = 'DE001', constraint = '_batch';  -- undoes what was inserted
    elsif one.global_position <= last then
      perform domain_events._check_positions(one.global_position);
    end if;
    stored := stored || one;
  end loop;
  return stored;
exception when sqlstate 'DE001' then
  get stacked diagnostics signal = constraint_name;
  if signal <> '_batch' then
    raise;  -- the code of somebody else's error
  end if;
  return null;
end
$$;

comment on function domain_events._insert_singly(domain_events.events[]) is
  'Inserts events of one stream and returns them as stored; null, and nothing stored, '
  'when a version or an event_id was taken meanwhile, an error for whatever else is in the way';

-- The events of one stream, for a stream that is held. Null when the whole batch turns out to be stored: somebody's
-- first attempt ended meanwhile, and an expectation that it changed is not missed.
create function domain_events._append_part_held(
  part domain_events.events[], expected_version bigint, batch domain_events.events[]
) returns domain_events.events[]
language plpgsql volatile
as $$
declare
  stored domain_events.events[];
  actual bigint;
  snapshot_is_fixed boolean := current_setting('transaction_isolation') not in ('read committed', 'read uncommitted');
begin
  for attempt in 1 .. 100 loop
    -- Under a fixed snapshot the newest version may be invisible: there the insert comes first and is the proof.
    actual := domain_events._stream_version(part[1].aggregate_type, part[1].aggregate_id);
    if snapshot_is_fixed or expected_version is null or expected_version = actual then
      stored := case attempt when 1 then domain_events._insert_batch(part) else domain_events._insert_singly(part) end;
    end if;
    if stored is not null then
      actual := stored[1].aggregate_version - 1;
      if expected_version <> actual then
        perform domain_events._raise_version(part[1].aggregate_type, part[1].aggregate_id, expected_version, actual);
      end if;
      return stored;
    elsif domain_events._is_stored(batch) then
      return null;
    elsif actual = 0 and domain_events._adopt_head(part[1].aggregate_type, part[1].aggregate_id) then
      continue;  -- see migration/75_adoptions.sql
    elsif expected_version <> actual then
      perform domain_events._raise_version(part[1].aggregate_type, part[1].aggregate_id, expected_version, actual);
    end if;
    perform domain_events._check_positions();
  end loop;
  perform domain_events._raise_contended(part[1].aggregate_type, part[1].aggregate_id);
end
$$;

comment on function domain_events._append_part_held(domain_events.events[], bigint, domain_events.events[]) is
  'Stores the events of one held stream; null when the batch they belong to is stored already';

create function domain_events._append_part(
  part domain_events.events[], expected_version bigint, batch domain_events.events[]
) returns domain_events.events[]
language plpgsql volatile
as $$
declare
  is_locked boolean := false;
  stored domain_events.events[];
begin
  if (pg_current_xact_id_if_assigned() is not null
      and domain_events._is_own(part[1].aggregate_type, part[1].aggregate_id))
     or domain_events._keep_lock(part[1].aggregate_type, part[1].aggregate_id, 1) then
    return domain_events._append_part_held(part, expected_version, batch);
  end if;
  begin
    is_locked := domain_events._lock_briefly(part[1].aggregate_type, part[1].aggregate_id)
                 or domain_events._wait_briefly(part[1].aggregate_type, part[1].aggregate_id);
    if not is_locked then
      perform domain_events._queue(part[1].aggregate_type, part[1].aggregate_id);
    end if;
    stored := domain_events._append_part_held(part, expected_version, batch);
  exception when others or query_canceled or assert_failure then
    if is_locked then
      perform domain_events._unlock(part[1].aggregate_type, part[1].aggregate_id);
    end if;
    raise;
  end;
  if is_locked then
    perform domain_events._unlock(part[1].aggregate_type, part[1].aggregate_id);
  end if;
  return stored;
end
$$;

comment on function domain_events._append_part(domain_events.events[], bigint, domain_events.events[]) is
  'Holds the stream of these events, until the transaction ends or for the insert only, and stores them';

create function domain_events._append_batch(
  events jsonb, default_type text, default_id text, expected jsonb
) returns setof domain_events.events
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  batch domain_events.events[];
  part domain_events.events[];
  stored domain_events.events[];
  stream record;
  is_repeated boolean;
  actual bigint;
begin
  if events is null then
    raise exception 'events must not be null'
      using errcode = '22004', hint = 'Give a JSON array of objects.';
  elsif jsonb_typeof(events) <> 'array' then
    raise exception 'events must be a JSON array, not %', jsonb_typeof(events)
      using errcode = '22023', hint = 'For example [{"event_type": "UserUpdated", "event_data": {}}].';
  end if;
  batch := array(select domain_events._event_from_json(e.element, e.ordinal, default_type, default_id)
                   from jsonb_array_elements(events) with ordinality as e(element, ordinal) order by e.ordinal);
  stored := batch;
  is_repeated := domain_events._is_stored(batch);

  -- Stream by stream in one order, each held and written before the next one is locked: two calls over the same streams
  -- queue behind each other whatever the order of their events, and nobody holds a later stream while waiting for an
  -- earlier one. Streams that are only checked take part in the order.
  if not is_repeated then
    for stream in
      select s.aggregate_type, s.aggregate_id, max(s.version) as expected_version,
             array_agg(s.ordinal order by s.ordinal) filter (where s.ordinal is not null) as ordinals
        from (select e.aggregate_type, e.aggregate_id, e.ordinality as ordinal, null::bigint as version
                from unnest(batch) with ordinality as e
              union all
              select x.aggregate_type collate "C", x.aggregate_id collate "C", null, x.version
                from jsonb_to_recordset(expected) as x(aggregate_type text, aggregate_id text, version bigint)) as s
       group by s.aggregate_type, s.aggregate_id
       order by s.aggregate_type, s.aggregate_id
    loop
      perform domain_events._check_stream(stream.aggregate_type, stream.aggregate_id);
      perform domain_events._check_expected_version(stream.expected_version);
      if stream.ordinals is not null then
        part := domain_events._append_part(array(select batch[n] from unnest(stream.ordinals) with ordinality as o(n, i)
                                                  order by i),
                                           stream.expected_version, batch);
        if part is null then
          is_repeated := true;
          exit;
        end if;
        for i in 1 .. cardinality(part) loop
          stored[stream.ordinals[i]] := part[i];
        end loop;
      elsif stream.expected_version is not null then
        -- Nothing is inserted that would prove the version: it proves itself.
        actual := domain_events._next_own_version(stream.aggregate_type, stream.aggregate_id) - 1;
        if actual <> stream.expected_version then
          is_repeated := domain_events._is_stored(batch);
          exit when is_repeated;
          perform domain_events._raise_version(stream.aggregate_type, stream.aggregate_id, stream.expected_version,
                                               actual);
        end if;
      end if;
    end loop;
  end if;
  if is_repeated then
    return query select s.* from generate_subscripts(batch, 1) as n, domain_events._append(batch[n], null) as s
                  order by n;
  else
    return query select s.* from unnest(stored) as s;
  end if;
end
$$;

comment on function domain_events._append_batch(jsonb, text, text, jsonb) is
  'Appends a batch, all or nothing, stream by stream in sorted order';

create function domain_events.append_events(
  aggregate_type text, aggregate_id text, events jsonb, expected_version bigint default null
) returns setof domain_events.events
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform domain_events._check_stream(aggregate_type, aggregate_id);
  perform domain_events._check_writable();
  perform domain_events._check_expected_version(expected_version);
  return query select * from domain_events._append_batch(
    events, aggregate_type, aggregate_id,
    jsonb_build_array(jsonb_build_object('aggregate_type', aggregate_type, 'aggregate_id', aggregate_id,
                                         'version', expected_version)));
end
$$;

comment on function domain_events.append_events(text, text, jsonb, bigint) is
  'Appends a JSON array of events to one stream, all or nothing. Elements are keyed as the parameters of '
  'append_event().';

create function domain_events.append_events(events jsonb, expected jsonb default '[]')
  returns setof domain_events.events
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform domain_events._check_writable();
  if expected is null then
    raise exception 'expected must not be null'
      using errcode = '22004', hint = 'Leave it out to append whatever the versions are.';
  elsif jsonb_typeof(expected) <> 'array'
     or exists (select from jsonb_array_elements(expected) as x
                 where jsonb_typeof(x) <> 'object' or x ->> 'aggregate_type' is null or x ->> 'aggregate_id' is null
                    or coalesce(jsonb_typeof(x -> 'version'), 'null') not in ('number', 'null')) then
    raise exception 'expected must be a JSON array of {aggregate_type, aggregate_id, version}'
      using errcode = '22023', hint = 'For example [{"aggregate_type": "User", "aggregate_id": "1", "version": 4}].';
  end if;
  return query select * from domain_events._append_batch(events, null, null, expected);
end
$$;

comment on function domain_events.append_events(jsonb, jsonb) is
  'Appends events to several streams, all or nothing. expected: [{aggregate_type, aggregate_id, version}], '
  'streams without an event are checked only.';
