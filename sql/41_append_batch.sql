-- Appending a batch, to one stream or to several, all or nothing.

-- One element of append_events(): the parameters of append_event() as a JSON object.
create function domain_events._event_from_json(
  element jsonb, ordinal bigint, default_type text, default_id text
) returns domain_events.events
language plpgsql volatile set search_path = pg_catalog, pg_temp
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
      using errcode = '22023', hint = 'The keys are the parameters of append_event(); expected_version goes with the call.';
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
  exception when invalid_text_representation or invalid_datetime_format or datetime_field_overflow or numeric_value_out_of_range then
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
language plpgsql volatile set search_path = pg_catalog, pg_temp
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

-- The events of a batch as rows, each with its stream's newest version and its place behind it. Null when another writer got in
-- between: then nothing is stored, and the caller looks again.
create function domain_events._insert_batch(batch domain_events.events[]) returns domain_events.events[]
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  stored domain_events.events[];
begin
  with element as (
    select e.*, row_number() over (partition by e.aggregate_type, e.aggregate_id order by e.ordinality) as nth
      from unnest(batch) with ordinality as e
  ), head as materialized (
    select s.aggregate_type, s.aggregate_id, coalesce(h.aggregate_version, 0) as version,
           greatest(clock_timestamp(), h.recorded_at + interval '1 microsecond') as recorded_at
      from (select distinct e.aggregate_type, e.aggregate_id from element e) as s
      left join lateral (select e.aggregate_version, e.recorded_at from domain_events.events e
                          where e.aggregate_type = s.aggregate_type and e.aggregate_id = s.aggregate_id
                          order by e.aggregate_version desc limit 1) as h on true
  ), inserted as (
    insert into domain_events.events
      (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, metadata,
       correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at)
    select coalesce(e.event_id, domain_events.uuid_v7()), e.aggregate_type, e.aggregate_id, head.version + e.nth,
           e.event_type, e.event_name, e.event_data, e.metadata, e.correlation_id, e.causation_id, e.caused_by,
           e.schema_version, coalesce(e.occurred_at, r.recorded_at), r.recorded_at
      from element e
      join head on head.aggregate_type = e.aggregate_type and head.aggregate_id = e.aggregate_id
     cross join lateral (select head.recorded_at + (e.nth - 1) * interval '1 microsecond' as recorded_at) as r
     order by e.ordinality
    on conflict do nothing
    returning events.*
  )
  select array_agg(i::domain_events.events order by i.global_position) into stored from inserted as i;
  if coalesce(cardinality(stored), 0) < cardinality(batch) then
    raise exception 'batch' using errcode = 'DE001';  -- undoes what was inserted
  end if;
  return stored;
exception when sqlstate 'DE001' then
  return null;
end
$$;

comment on function domain_events._insert_batch(domain_events.events[]) is
  'Inserts a batch in one statement and returns it as stored; null, and nothing stored, when a version or an event_id was taken meanwhile';

create function domain_events._append_batch(
  events jsonb, default_type text, default_id text, expected jsonb
) returns setof domain_events.events
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  batch domain_events.events[];
  stored domain_events.events[];
  stream record;
  all_held boolean := true;
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

  -- Every stream, the check-only ones too, is held in one order whatever the order of the call: two calls over the same
  -- streams wait for each other instead of deadlocking.
  for stream in
    select e.aggregate_type, e.aggregate_id from unnest(batch) as e
    union
    select x.aggregate_type collate "C", x.aggregate_id collate "C"
      from jsonb_to_recordset(expected) as x(aggregate_type text, aggregate_id text)
    order by 1, 2
  loop
    perform domain_events._check_stream(stream.aggregate_type, stream.aggregate_id);
    all_held := domain_events._keep_lock(stream.aggregate_type, stream.aggregate_id, 1) and all_held;
  end loop;

  loop
    if domain_events._is_stored(batch) then
      return query select s.* from unnest(batch) with ordinality as e, domain_events._append(batch[e.ordinality], null) as s
                   order by e.ordinality;
      return;
    end if;
    for stream in
      select x.aggregate_type, x.aggregate_id, x.version,
             exists (select from unnest(batch) as e
                      where e.aggregate_type = x.aggregate_type and e.aggregate_id = x.aggregate_id) as is_written
        from jsonb_to_recordset(expected) as x(aggregate_type text, aggregate_id text, version bigint)
       where x.version is not null
    loop
      perform domain_events._check_version(stream.aggregate_type, stream.aggregate_id, stream.version, stream.is_written);
    end loop;
    if cardinality(batch) = 0 then
      return;
    end if;

    if not all_held then
      return query select * from domain_events._append_sorted(batch, expected);
      return;
    end if;
    stored := domain_events._insert_batch(batch);
    if stored is not null then
      -- The expectations were checked before: see that nothing got in between.
      for stream in
        select x.aggregate_type, x.aggregate_id, x.version, min(s.aggregate_version) - 1 as actual
          from jsonb_to_recordset(expected) as x(aggregate_type text, aggregate_id text, version bigint)
          join unnest(stored) as s on s.aggregate_type = x.aggregate_type and s.aggregate_id = x.aggregate_id
         group by 1, 2, 3
      loop
        perform domain_events._compare_versions(stream.aggregate_type, stream.aggregate_id, stream.version, stream.actual);
      end loop;
      return query select s.* from unnest(stored) as s;
      return;
    end if;
  end loop;
end
$$;

comment on function domain_events._append_batch(jsonb, text, text, jsonb) is
  'Appends a batch, all or nothing; every stream of it is held first, in sorted order';

-- More streams than a transaction keeps locks for: one by one, in the order of the streams, so that two such calls queue
-- behind each other's rows, and returned in the order given.
create function domain_events._append_sorted(batch domain_events.events[], expected jsonb) returns setof domain_events.events
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  element record;
  stored domain_events.events[] := array_fill(null::domain_events.events, array[cardinality(batch)]);
begin
  for element in
    select e.ordinality as ordinal,
           x.version + row_number() over (partition by e.aggregate_type, e.aggregate_id order by e.ordinality) - 1 as expected_version
      from unnest(batch) with ordinality as e
      left join jsonb_to_recordset(expected) as x(aggregate_type text, aggregate_id text, version bigint)
             on x.aggregate_type = e.aggregate_type and x.aggregate_id = e.aggregate_id
     order by e.aggregate_type, e.aggregate_id, e.ordinality
  loop
    stored[element.ordinal] := domain_events._append(batch[element.ordinal], element.expected_version);
  end loop;
  return query select s.* from unnest(stored) as s;
end
$$;

comment on function domain_events._append_sorted(domain_events.events[], jsonb) is
  'Stores a batch event by event in the order of its streams and returns it in its own';

create function domain_events._compare_versions(
  aggregate_type text, aggregate_id text, expected_version bigint, actual bigint
) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if expected_version <> actual then
    raise exception 'stream (%, %) is not at the expected version', aggregate_type, aggregate_id
      using errcode = '23000',
            detail = format('expected %s, actual %s', expected_version, actual),
            hint = 'Read the stream again and decide anew.';
  end if;
end
$$;

comment on function domain_events._compare_versions(text, text, bigint, bigint) is
  'Raises 23000 unless the stream is at the expected version; null expects nothing';

create function domain_events._check_version(
  aggregate_type text, aggregate_id text, expected_version bigint, is_written boolean
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform domain_events._check_expected_version(expected_version);
  if not is_written then
    -- Check-only: nothing is inserted that would prove the version under a fixed snapshot, so it proves itself.
    perform domain_events._compare_versions(aggregate_type, aggregate_id, expected_version,
                                            domain_events._next_own_version(aggregate_type, aggregate_id) - 1);
  elsif current_setting('transaction_isolation') in ('read committed', 'read uncommitted') then
    perform domain_events._compare_versions(aggregate_type, aggregate_id, expected_version,
                                            domain_events._stream_version(aggregate_type, aggregate_id));
  end if;
end
$$;

comment on function domain_events._check_version(text, text, bigint, boolean) is
  'Raises 23000 unless a stream of a batch is at the expected version';

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
  'Appends a JSON array of events to one stream, all or nothing. Elements are keyed as the parameters of append_event().';

create function domain_events.append_events(events jsonb, expected jsonb default '[]') returns setof domain_events.events
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
  'Appends events to several streams, all or nothing. expected: [{aggregate_type, aggregate_id, version}], streams without an event are checked only.';
