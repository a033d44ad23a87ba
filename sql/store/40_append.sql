-- Appending one event. Internal functions pin no search_path of their own, which would cost 1.3 us each: their callers
-- do.

create function domain_events._raise_version(
  aggregate_type text, aggregate_id text, expected_version bigint, actual bigint
) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'stream (%, %) is not at the expected version', aggregate_type, aggregate_id
    using errcode = '23000',
          detail = format('expected %s, actual %s', expected_version, actual),
          hint = 'Read the stream again and decide anew.';
end
$$;

comment on function domain_events._raise_version(text, text, bigint, bigint) is
  'Raises 23000: the stream is at another version';

-- Postgres would say 23505, as if the event were there already. With "drawn", what was drawn is not above the stream's
-- last.
create function domain_events._check_positions(drawn bigint default null) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  -- In this order: what another session stores in between has drawn its position from what is read then.
  newest bigint := (select max(e.global_position) from domain_events.events e);
  last bigint := pg_sequence_last_value('domain_events.events_global_position_seq');
begin
  if drawn is not null or last < newest then
    raise exception 'the position sequence is behind the events'
      using errcode = '55000',
            detail = format('Position %s was drawn, and events are stored up to position %s: '
                            'the sequence was set back, or events were restored or replicated without it.',
                            coalesce(drawn, last), newest),
            hint = 'Run: ' || domain_events._advance_positions();
  end if;
end
$$;

comment on function domain_events._check_positions(bigint) is
  'Raises 55000 when the position sequence is behind the events, or a position was drawn that cannot be';

-- In an expression of the captures, whose event has been stored.
create function domain_events._refuse_position() returns bigint
language plpgsql volatile
as $$
begin
  perform domain_events._check_positions(currval('domain_events.events_global_position_seq'));
end
$$;

comment on function domain_events._refuse_position() is
  '_check_positions() of the position that this session has drawn last';

create function domain_events._advance_positions() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select 'select setval(''domain_events.events_global_position_seq'', (select max(global_position) from '
             'domain_events.events));'
             ::text $$;

comment on function domain_events._advance_positions() is
  'The statement that mends a sequence of positions which is behind the events';

-- The insert of last resort, after one that met a conflict which neither the version nor the event_id explains: it says
-- what is wrong. Only here a row costs a subtransaction.
create function domain_events._insert_strictly(
  event_id uuid, aggregate_type text, aggregate_id text, aggregate_version bigint, event_type text, event_name text,
  event_data jsonb, metadata jsonb, correlation_id text, causation_id text, caused_by text, schema_version int,
  occurred_at timestamptz, recorded_at timestamptz, origin text default 'appended'
) returns domain_events.events
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  stored domain_events.events;
  key_schema text;
  key_name text;
begin
  insert into domain_events.events
    (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, metadata,
     correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at, origin)
  values (coalesce(event_id, domain_events.uuid_v7()), aggregate_type, aggregate_id, aggregate_version, event_type,
          event_name, event_data, metadata, correlation_id, causation_id, caused_by, schema_version,
          coalesce(occurred_at, recorded_at), recorded_at, origin)
  on conflict on constraint uk_aggregate_version do nothing
  returning * into stored;
  -- Under a fixed snapshot another writer's event may be invisible.
  if not found and current_setting('transaction_isolation') in ('read committed', 'read uncommitted')
     and not exists (select from domain_events.events e
                      where e.aggregate_type = _insert_strictly.aggregate_type
                        and e.aggregate_id = _insert_strictly.aggregate_id
                        and e.aggregate_version = _insert_strictly.aggregate_version) then
    raise exception 'something on domain_events.events keeps events from being stored'
      using errcode = '55000',
            detail = 'Its INSERT raised no error and stored nothing: a trigger, a rule or a policy.',
            hint = E'Drop what was added to the table; see \\d domain_events.events.';
  end if;
  return stored;
exception when unique_violation then
  get stacked diagnostics key_schema = schema_name, key_name = constraint_name;
  if key_schema is distinct from 'domain_events' or key_name not in ('events_pkey', 'events_event_id_key') then
    raise;  -- somebody else's key
  elsif key_name = 'events_pkey' then
    perform domain_events._check_positions(currval('domain_events.events_global_position_seq'));
  end if;
  return null;
end
$$;

comment on function domain_events._insert_strictly(uuid, text, text, bigint, text, text, jsonb, jsonb, text, text, text,
                                                   int, timestamptz, timestamptz, text) is
  'Stores an event of this version and returns it; null when the version or the event_id is taken, '
  'an error for whatever else keeps it from being stored';

-- The heart of every append, for a stream that is held. "event" is finished but for version, position and recorded_at.
create function domain_events._append_held(event domain_events.events, expected_version bigint)
  returns domain_events.events
language plpgsql volatile
as $$
declare
  stored domain_events.events;
  head record;
  -- Under these levels the newest event may be invisible; there an insert is the only proof of a version.
  snapshot_is_fixed boolean := current_setting('transaction_isolation') not in ('read committed', 'read uncommitted');
  mismatch boolean;
  recorded timestamptz;
begin
  for attempt in 1 .. 100 loop
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

    select e.aggregate_version, e.recorded_at, e.global_position into head
      from domain_events.events e
     where e.aggregate_type = event.aggregate_type and e.aggregate_id = event.aggregate_id
     order by e.aggregate_version desc limit 1;
    mismatch := expected_version <> coalesce(head.aggregate_version, 0);

    if attempt > 1 and (snapshot_is_fixed or mismatch is not true) then
      recorded := greatest(clock_timestamp(), head.recorded_at + interval '1 microsecond');
      stored := domain_events._insert_strictly(
        event.event_id, event.aggregate_type, event.aggregate_id, coalesce(head.aggregate_version, 0) + 1,
        event.event_type, event.event_name, event.event_data, event.metadata, event.correlation_id, event.causation_id,
        event.caused_by, event.schema_version, event.occurred_at, recorded);
      if stored.aggregate_version is not null and mismatch is not true then
        return stored;
      end if;
    elsif snapshot_is_fixed or mismatch is not true then
      insert into domain_events.events
        (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, metadata,
         correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at, origin)
      select coalesce(event.event_id, domain_events.uuid_v7()), event.aggregate_type, event.aggregate_id,
             coalesce(head.aggregate_version, 0) + 1, event.event_type, event.event_name, event.event_data,
             event.metadata, event.correlation_id, event.causation_id, event.caused_by, event.schema_version,
             coalesce(event.occurred_at, now.recorded_at), now.recorded_at, domain_events._appended()
        from (select greatest(clock_timestamp(), head.recorded_at + interval '1 microsecond') as recorded_at) as now
      on conflict do nothing
      returning * into stored;
      if found and mismatch is not true and (stored.global_position > head.global_position) is not false then
        return stored;
      elsif found and mismatch is not true then
        perform domain_events._check_positions(stored.global_position);
      elsif not found then
        perform domain_events._check_positions();
      end if;
    end if;
    if mismatch then
      -- A stream that is being adopted is not empty: see migration/75_adoptions.sql.
      continue when head.aggregate_version is null
               and domain_events._adopt_head(event.aggregate_type, event.aggregate_id);
      perform domain_events._raise_version(event.aggregate_type, event.aggregate_id, expected_version,
                                           coalesce(head.aggregate_version, 0));
    end if;
    -- Another writer committed this version, or this event_id, first: look again.
  end loop;
  perform domain_events._raise_contended(event.aggregate_type, event.aggregate_id);
end
$$;

comment on function domain_events._append_held(domain_events.events, bigint) is
  'Stores one event as the next version of its held stream, or returns the stored one of the same event_id';

create function domain_events._append(event domain_events.events, expected_version bigint) returns domain_events.events
language plpgsql volatile
as $$
declare
  is_locked boolean := false;
  stored domain_events.events;
begin
  if (pg_current_xact_id_if_assigned() is not null and domain_events._is_own(event.aggregate_type, event.aggregate_id))
     or domain_events._keep_lock(event.aggregate_type, event.aggregate_id, 1) then
    return domain_events._append_held(event, expected_version);
  end if;
  -- A lock of the session can be given back at once; an error must give it back too.
  begin
    is_locked := domain_events._lock_briefly(event.aggregate_type, event.aggregate_id)
                 or domain_events._wait_briefly(event.aggregate_type, event.aggregate_id);
    if not is_locked then
      perform domain_events._queue(event.aggregate_type, event.aggregate_id);
    end if;
    stored := domain_events._append_held(event, expected_version);
  exception when others or query_canceled or assert_failure then
    if is_locked then
      perform domain_events._unlock(event.aggregate_type, event.aggregate_id);
    end if;
    raise;
  end;
  if is_locked then
    perform domain_events._unlock(event.aggregate_type, event.aggregate_id);
  end if;
  return stored;
end
$$;

comment on function domain_events._append(domain_events.events, bigint) is
  'Holds the event''s stream, until the transaction ends or for the insert only, and stores the event';

create function domain_events._check_event(
  aggregate_type text, aggregate_id text, event_type text, event_data jsonb, metadata jsonb, schema_version int
) returns void
language plpgsql stable
as $$
begin
  perform domain_events._check_stream(aggregate_type, aggregate_id);
  perform domain_events._check_writable();
  if event_type is null or event_data is null or schema_version is null then
    raise exception '% must not be null',
          case when event_type is null then 'event_type' when event_data is null then 'event_data'
               else 'schema_version' end
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
end
$$;

comment on function domain_events._check_event(text, text, text, jsonb, jsonb, int) is
  'Raises 22004, 22023 or 25006 unless the arguments of an append make an event';

-- What no line of COPY could hold could be dumped by nobody: see capture/51_expressions.sql. Callers need not ask for
-- an event of up to 20,000 bytes, whose text never has more than 190 MB: pg_column_size() of the document itself, which
-- #> gives decompressed.
create function domain_events._check_size(event_data jsonb, metadata jsonb, text_bytes int) returns void
language plpgsql stable
as $$
declare
  size bigint := 1073741824;
begin
  begin
    size := domain_events._copied_bytes(event_data::text) + coalesce(domain_events._copied_bytes(metadata::text),
                                                                     0) + 2::bigint * text_bytes;
  exception when program_limit_exceeded then
    null;
  end;
  if size > 268435456 then
    raise exception 'the event is too large: more than 256 MB as text'
      using errcode = '22023',
            hint = 'Keep large values elsewhere and refer to them. A number such as 1e100000 has 100,001 digits.';
  end if;
end
$$;

comment on function domain_events._check_size(jsonb, jsonb, int) is
  'Raises 22023 for an event whose data, metadata and further texts (of so many bytes) are too large to be dumped';

-- PL/pgSQL prepares every expression anew in every transaction, 0.3 us each: so one condition that is true of a good
-- event, and one row, instead of thirty small steps.
create function domain_events._new_event(
  aggregate_type text, aggregate_id text, event_type text, event_data jsonb, event_name text, metadata jsonb,
  event_id uuid, caused_by text, correlation_id text, causation_id text, occurred_at timestamptz, schema_version int
) returns domain_events.events
language plpgsql volatile
as $$
begin
  if (aggregate_type <> '' and aggregate_id <> '' and event_type <> '' and event_data is not null
      and schema_version >= 1
      and octet_length(aggregate_type) <= 255 and octet_length(aggregate_id) <= 1024 and octet_length(event_type) <= 255
      and not starts_with(aggregate_type, 'domain_events.') and (metadata is null or jsonb_typeof(metadata) = 'object')
      and not current_setting('transaction_read_only')::bool
      and coalesce(pg_column_size(metadata #> '{}'), 0) + pg_column_size(event_data #> '{}')
          + octet_length(concat(event_name, caused_by, correlation_id, causation_id)) <= 20000) is not true then
    perform domain_events._check_event(aggregate_type, aggregate_id, event_type, event_data, metadata, schema_version);
    perform domain_events._check_size(event_data, metadata,
                                      octet_length(concat(event_name, caused_by, correlation_id, causation_id)));
  end if;
  return row(
    null, null, event_id, aggregate_type, aggregate_id, null, event_type, event_name, event_data,
    case when current_setting('domain_events.metadata', true) <> '' then domain_events._context_metadata()
         || coalesce(metadata, '{}')
         else coalesce(metadata, '{}') end,
    coalesce(correlation_id, domain_events._context('domain_events.correlation_id')),
    coalesce(causation_id, domain_events._context('domain_events.causation_id')),
    coalesce(caused_by, domain_events._context('domain_events.actor'), domain_events._session_user()),
    schema_version, occurred_at, null, 'appended')::domain_events.events;
end
$$;

comment on function domain_events._new_event(text, text, text, jsonb, text, jsonb, uuid, text, text, text, timestamptz,
                                             int) is
  'Checks the arguments of an append and fills in the context; no version yet';

create function domain_events.append_event(
  aggregate_type text, aggregate_id text, event_type text, event_data jsonb default '{}',
  event_name text default null, metadata jsonb default null, expected_version bigint default null,
  event_id uuid default null, caused_by text default null, correlation_id text default null,
  causation_id text default null, occurred_at timestamptz default null, schema_version int default 1
) returns domain_events.events
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  stored domain_events.events;
  head_version bigint;
  head_position bigint;
  head_recorded_at timestamptz;
  recorded timestamptz;
begin
  -- The usual append, written out: one good event, nothing else asked for or set, the transaction's first, and the
  -- stream's lock is free. 1.8 times a bare INSERT instead of 2.5. Whatever is unusual goes the long way, with the same
  -- result. Each operator costs more to prepare (1,000 instructions) than to run.
  if '' <> all (array[aggregate_type, aggregate_id, event_type]) and schema_version >= 1
     and octet_length(concat(aggregate_type, event_type, aggregate_id, event_name)) <= 255
     and not starts_with(aggregate_type, 'domain_events.')
     and pg_column_size(event_data #> '{}') <= 20000
     and num_nulls(metadata, expected_version, event_id, caused_by, correlation_id, causation_id) = 6
     and ('' <> any (array[current_setting('domain_events.actor', true),
                           current_setting('domain_events.correlation_id', true),
                           current_setting('domain_events.causation_id', true),
                           current_setting('domain_events.metadata', true),
                           current_setting('domain_events._kept_locks', true)])) is not true
     and session_user = domain_events._planned_user()
     and current_setting('transaction_isolation') = 'read committed'
     and current_setting('transaction_read_only') = 'off'
     and pg_try_advisory_xact_lock(domain_events._stream_key(aggregate_type, aggregate_id))
     and set_config('domain_events._kept_locks', '1', true) is not null then
    select e.aggregate_version, e.recorded_at, e.global_position into head_version, head_recorded_at, head_position
      from domain_events.events e
     where e.aggregate_type = append_event.aggregate_type and e.aggregate_id = append_event.aggregate_id
     order by e.aggregate_version desc limit 1;
    recorded := greatest(clock_timestamp(), head_recorded_at + interval '1 microsecond');
    insert into domain_events.events
      (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, caused_by,
       schema_version, occurred_at, recorded_at, origin)
    values
      (domain_events.uuid_v7(), aggregate_type, aggregate_id, coalesce(head_version, 0) + 1, event_type, event_name,
       event_data, session_user, schema_version, coalesce(occurred_at, recorded), recorded, domain_events._appended())
    on conflict do nothing
    returning * into stored;
    -- The position may be taken, or too low, where the sequence was set back.
    if found and (stored.global_position > head_position) is not false then
      return stored;
    elsif found then
      perform domain_events._check_positions(stored.global_position);
    end if;
  end if;

  if expected_version < 0 then
    perform domain_events._check_expected_version(expected_version);
  end if;
  return domain_events._append(
    domain_events._new_event(aggregate_type, aggregate_id, event_type, event_data, event_name, metadata, event_id,
                             caused_by, correlation_id, causation_id, occurred_at, schema_version),
    expected_version);
end
$$;

comment on function domain_events.append_event(text, text, text, jsonb, text, jsonb, bigint, uuid, text, text, text,
                                               timestamptz, int) is
  'Appends one event and returns it as stored. expected_version: null any, 0 the stream must not exist, '
  'n exactly n (23000). The same event_id with the same content returns the stored event, with other content 23505.';

create function domain_events._check_expected_version(expected_version bigint) returns void
language plpgsql immutable
as $$
begin
  if expected_version < 0 then
    raise exception 'expected_version must not be negative: %', expected_version
      using errcode = '22023', hint = 'null means any version, 0 that the stream must not exist, n exactly n.';
  end if;
end
$$;

comment on function domain_events._check_expected_version(bigint) is 'Raises 22023 for a negative expected version';
