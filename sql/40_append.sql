-- Appending events: one, a batch to one stream, a batch to several.

-- The heart of every append, for a stream that is held. "event" is finished but for version, position and recorded_at.
create function domain_events._append_held(event domain_events.events, expected_version bigint) returns domain_events.events
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  stored domain_events.events;
  head record;
  -- Under these levels the newest event may be invisible; there an insert is the only proof of a version.
  snapshot_is_fixed boolean := current_setting('transaction_isolation') not in ('read committed', 'read uncommitted');
  mismatch boolean;
begin
  loop
    if event.event_id is not null then
      select * into stored from domain_events.events e where e.event_id = event.event_id;
      if found then
        if (stored.aggregate_type, stored.aggregate_id, stored.event_type, stored.event_data, stored.schema_version)
           = (event.aggregate_type, event.aggregate_id, event.event_type, event.event_data, event.schema_version) then
          return stored;
        end if;
        raise exception 'event_id % is already stored with other content', event.event_id
          using errcode = '23505', constraint = 'events_event_id_key', schema = 'domain_events', table = 'events',
                detail = format('Stored as version %s of stream (%s, %s), type %s.', stored.aggregate_version,
                                stored.aggregate_type, stored.aggregate_id, stored.event_type),
                hint = 'Use a new event_id for a new event; repeat an append unchanged.';
      end if;
    end if;

    select e.aggregate_version, e.recorded_at into head
      from domain_events.events e
     where e.aggregate_type = event.aggregate_type and e.aggregate_id = event.aggregate_id
     order by e.aggregate_version desc limit 1;
    mismatch := expected_version <> coalesce(head.aggregate_version, 0);

    if snapshot_is_fixed or mismatch is not true then
      insert into domain_events.events
        (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, metadata,
         correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at)
      select coalesce(event.event_id, domain_events.uuid_v7()), event.aggregate_type, event.aggregate_id,
             coalesce(head.aggregate_version, 0) + 1, event.event_type, event.event_name, event.event_data, event.metadata,
             event.correlation_id, event.causation_id, event.caused_by, event.schema_version,
             coalesce(event.occurred_at, now.recorded_at), now.recorded_at
        from (select greatest(clock_timestamp(), head.recorded_at + interval '1 microsecond') as recorded_at) as now
      on conflict do nothing
      returning * into stored;
      if found and mismatch is not true then
        return stored;
      end if;
    end if;
    if mismatch then
      raise exception 'stream (%, %) is not at the expected version', event.aggregate_type, event.aggregate_id
        using errcode = '23000',
              detail = format('expected %s, actual %s', expected_version, coalesce(head.aggregate_version, 0)),
              hint = 'Read the stream again and decide anew.';
    end if;
    -- Another writer committed this version, or this event_id, first: look again.
  end loop;
end
$$;

comment on function domain_events._append_held(domain_events.events, bigint) is
  'Stores one event as the next version of its held stream, or returns the stored one of the same event_id';

create function domain_events._append(event domain_events.events, expected_version bigint) returns domain_events.events
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  key bigint;
  is_locked boolean := false;
  stored domain_events.events;
begin
  if domain_events._keep_lock(event.aggregate_type, event.aggregate_id, 1) then
    return domain_events._append_held(event, expected_version);
  end if;
  -- A lock of the session can be given back at once; an error must give it back too.
  key := domain_events._stream_key(event.aggregate_type, event.aggregate_id);
  begin
    is_locked := pg_advisory_lock(key) is not null;
    stored := domain_events._append_held(event, expected_version);
  exception when others or query_canceled or assert_failure then
    if is_locked then
      perform pg_advisory_unlock(key);
    end if;
    raise;
  end;
  perform pg_advisory_unlock(key);
  return stored;
end
$$;

comment on function domain_events._append(domain_events.events, bigint) is
  'Holds the event''s stream, until the transaction ends or for the insert only, and stores the event';

create function domain_events._new_event(
  aggregate_type text, aggregate_id text, event_type text, event_data jsonb, event_name text, metadata jsonb,
  event_id uuid, caused_by text, correlation_id text, causation_id text, occurred_at timestamptz, schema_version int
) returns domain_events.events
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  event domain_events.events;
begin
  perform domain_events._check_stream(aggregate_type, aggregate_id);
  perform domain_events._check_writable();
  if event_type is null or event_data is null or schema_version is null then
    raise exception '% must not be null',
          case when event_type is null then 'event_type' when event_data is null then 'event_data' else 'schema_version' end
      using errcode = '22004', hint = 'Leave event_data and schema_version out to get their defaults.';
  elsif event_type = '' or octet_length(event_type) > 255 then
    raise exception 'event_type must have 1 to 255 bytes, not %', octet_length(event_type)
      using errcode = '22023', hint = 'Name what happened in the past tense, for example UserUpdated.';
  elsif schema_version < 1 then
    raise exception 'schema_version must be positive, not %', schema_version
      using errcode = '22023', hint = 'Count the shapes of a payload from 1.';
  elsif jsonb_typeof(metadata) <> 'object' then
    raise exception 'metadata must be a JSON object, not %', jsonb_typeof(metadata)
      using errcode = '22023', hint = 'For example {"source": "import"}.';
  end if;
  event.event_id := event_id;
  event.aggregate_type := aggregate_type;
  event.aggregate_id := aggregate_id;
  event.event_type := event_type;
  event.event_name := event_name;
  event.event_data := event_data;
  event.metadata := domain_events._context_metadata() || coalesce(metadata, '{}');
  event.correlation_id := coalesce(correlation_id, domain_events._context_text('domain_events.correlation_id'));
  event.causation_id := coalesce(causation_id, domain_events._context_text('domain_events.causation_id'));
  event.caused_by := coalesce(caused_by, domain_events._context_text('domain_events.actor'), session_user);
  event.schema_version := schema_version;
  event.occurred_at := occurred_at;
  return event;
end
$$;

comment on function domain_events._new_event(text, text, text, jsonb, text, jsonb, uuid, text, text, text, timestamptz, int) is
  'Checks the arguments of an append and fills in the context; no version yet';

create function domain_events.append_event(
  aggregate_type text, aggregate_id text, event_type text, event_data jsonb default '{}',
  event_name text default null, metadata jsonb default null, expected_version bigint default null,
  event_id uuid default null, caused_by text default null, correlation_id text default null,
  causation_id text default null, occurred_at timestamptz default null, schema_version int default 1
) returns domain_events.events
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform domain_events._check_expected_version(expected_version);
  return domain_events._append(
    domain_events._new_event(aggregate_type, aggregate_id, event_type, event_data, event_name, metadata, event_id,
                             caused_by, correlation_id, causation_id, occurred_at, schema_version),
    expected_version);
end
$$;

comment on function domain_events.append_event(text, text, text, jsonb, text, jsonb, bigint, uuid, text, text, text, timestamptz, int) is
  'Appends one event and returns it as stored. expected_version: null any, 0 the stream must not exist, n exactly n (23000). The same event_id with the same content returns the stored event, with other content 23505.';

create function domain_events._check_expected_version(expected_version bigint) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if expected_version < 0 then
    raise exception 'expected_version must not be negative: %', expected_version
      using errcode = '22023', hint = 'null means any version, 0 that the stream must not exist, n exactly n.';
  end if;
end
$$;

comment on function domain_events._check_expected_version(bigint) is 'Raises 22023 for a negative expected version';

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
