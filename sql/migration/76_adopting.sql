-- The steps of an adoption as the command line takes them, and how values of a legacy table become those of an event.

create function domain_events._begin_adoption(
  source text, event_table regclass, first_place bigint, last_place bigint, head_function text,
  plan_id text default null
) returns domain_events.adoptions
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  adoption domain_events.adoptions;
begin
  if last_place < first_place then
    raise exception 'the last place, %, lies before the first, %', last_place, first_place
      using errcode = '22023', hint = 'Reserve as many positions as there are old events; null and null for none.';
  elsif last_place::numeric - first_place + 1 > 1000000000000 or first_place < -4000000000000000000 then
    raise exception 'a block of % positions is too large', last_place::numeric - first_place + 1
      using errcode = '22023', detail = 'Positions come from one sequence, and every event to come needs one.',
            hint = 'At most 1,000,000,000,000: number the old events without such gaps.';
  end if;
  -- The one short lock: no writer is between drawing its position and storing its event.
  lock table domain_events.events in share row exclusive mode;
  if head_function is not null then
    perform domain_events._check_head_function(head_function, event_table);
    if not domain_events._is_own_function(head_function) then
      perform domain_events._invite_guest(head_function);
    end if;
    if exists (select from pg_trigger t
                where t.tgrelid = 'domain_events.events'::regclass and t.tgname = 'events_adopt_first') then
      alter table domain_events.events enable trigger events_adopt_first;
    else
      create trigger events_adopt_first before insert on domain_events.events
        for each row when (new.aggregate_version = 1) execute function domain_events._adopt_first();
      comment on trigger events_adopt_first on domain_events.events is
        'Counts old events that are not moved yet; enabled while a legacy table is being '
                                   'moved';
    end if;
  end if;
  -- Its transaction has a number before the positions are drawn: see monitoring/82_integrity_incremental.sql.
  insert into domain_events.adoptions as a (source, event_table, plan_id, first_position, last_position, first_place,
                                            head_function)
  select _begin_adoption.source, _begin_adoption.event_table, _begin_adoption.plan_id, p.last + 1,
         p.last + coalesce(_begin_adoption.last_place - _begin_adoption.first_place + 1, 0),
         coalesce(_begin_adoption.first_place, 1), _begin_adoption.head_function
    from domain_events._newest_position() as p(last)
  returning * into adoption;
  if adoption.last_position >= adoption.first_position then
    perform setval('domain_events.events_global_position_seq', adoption.last_position);
  end if;
  return adoption;
end
$$;

comment on function domain_events._begin_adoption(text, regclass, bigint, bigint, text, text) is
  'Reserves a block of positions for the old events between two places, none if they are null, '
  'and from now on counts those that are not moved yet, as head_function tells them. '
  'Locks domain_events.events against writers until the transaction ends: keep it short.';

create function domain_events._adopt_events(adoption_id bigint, batch domain_events.events[], down_to bigint)
  returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  adoption domain_events.adoptions;
  other domain_events.events;
  stored bigint;
begin
  select * into adoption from domain_events.adoptions a where a.adoption_id = _adopt_events.adoption_id for update;
  if not found or adoption.state = 'moved' then
    raise exception 'adoption % moves no events', adoption_id
      using errcode = '55000', hint = 'See table domain_events.adoptions.';
  end if;
  select b.* into other from unnest(batch) as b
   where (b.global_position between adoption.first_place
            and adoption.first_place + adoption.last_position - adoption.first_position) is not true
   limit 1;
  if found then
    raise exception 'adoption % has no position for place %', adoption_id, other.global_position
      using errcode = '22023',
            detail = format('Positions %s to %s are reserved, from place %s on.', adoption.first_position,
                            adoption.last_position, adoption.first_place),
            hint = 'Reserve a block with domain_events._begin_adoption().';
  end if;
  select b.* into other from unnest(batch) as b where starts_with(b.aggregate_type, 'domain_events.') limit 1;
  if found then
    raise exception 'aggregate type "%" is reserved', other.aggregate_type
      using errcode = '22023', hint = 'Types that start with "domain_events." are the store''s own.';
  end if;
  perform domain_events._check_adopted_sizes(batch);
  insert into domain_events.events
    (global_position, event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data,
     metadata, correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at, origin)
  select adoption.first_position + b.global_position - adoption.first_place, b.event_id, b.aggregate_type,
         b.aggregate_id, b.aggregate_version, b.event_type, b.event_name, b.event_data,
         b.metadata, b.correlation_id, b.causation_id, b.caused_by, b.schema_version, b.occurred_at, b.recorded_at,
         'adopted'
    from unnest(batch) as b
   order by b.global_position
  on conflict do nothing;
  get diagnostics stored = row_count;
  if stored < coalesce(cardinality(batch), 0) then
    -- Those that were there already: moved before, or written through the view. Anything else is another event.
    select b.* into other
      from unnest(batch) as b
     where not exists (select from domain_events.events e
                        where e.aggregate_type = b.aggregate_type and e.aggregate_id = b.aggregate_id
                          and e.aggregate_version = b.aggregate_version
                          and e.event_type = b.event_type and e.event_data = b.event_data)
     limit 1;
    if found then
      raise exception 'version % of stream (%, %) is another event in the store', other.aggregate_version,
            other.aggregate_type, other.aggregate_id
        using errcode = '23505', constraint = 'uk_aggregate_version', schema = 'domain_events', table = 'events',
              detail = format('The old event is %s with id %s.', other.event_type, other.event_id),
              hint = 'The stream was written in both places. Take the adoption back: domain-events rollback';
    end if;
  end if;
  update domain_events.adoptions a
     set moved = a.moved + stored, moved_down_to = coalesce(_adopt_events.down_to, a.moved_down_to)
   where a.adoption_id = _adopt_events.adoption_id;
  return stored;
end
$$;

comment on function domain_events._adopt_events(bigint, domain_events.events[], bigint) is
  'Stores old events, with their places for positions, and notes how far the mover came; returns how many were new. '
  'An event of the same stream, version and content that is there already is passed over, another one raises 23505. '
  'Waits for writers that have moved the newest event of a stream: set lock_timeout far below deadlock_timeout.';

create function domain_events._end_adoption(adoption_id bigint, state text, events bigint) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  update domain_events.adoptions a
     set state = _end_adoption.state, ended_at = clock_timestamp(), events = _end_adoption.events,
         ended_in = pg_current_xact_id(), ended_cluster = domain_events._cluster()
   where a.adoption_id = _end_adoption.adoption_id;
  if not found then
    raise exception 'there is no adoption %', adoption_id
      using errcode = '55000', hint = 'See table domain_events.adoptions.';
  end if;
  if exists (select from pg_trigger t
              where t.tgrelid = 'domain_events.events'::regclass and t.tgname = 'events_adopt_first'
                and t.tgenabled <> 'D')
     and not exists (select from domain_events.adoptions a where a.state = 'moving' and a.head_function is not null)
           then
    alter table domain_events.events disable trigger events_adopt_first;
    drop function if exists domain_events._ask_as_guest(text, text, text, bigint);
  end if;
end
$$;

comment on function domain_events._end_adoption(bigint, text, bigint) is
  'Ends an adoption as moved or withdrawn, with the number of events at its positions; '
  'with the last one, the store is written again without looking for old events. '
  'Locks domain_events.events against writers until the transaction ends.';

-- Old payloads and ids, as the store's types. Pure functions of their arguments.
create function domain_events._as_payload(value text) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  payload jsonb;
begin
  begin
    payload := coalesce(value::jsonb, '{}');
    if pg_column_size(payload) <= domain_events._small(100000000)
       or domain_events._too_large(payload, 'jsonb', 100000000) is null then
      return payload;
    end if;
  exception when data_exception or program_limit_exceeded then
    null;
  end;
  -- No JSON, or more than jsonb or a line of COPY can hold: the text itself.
  return domain_events._bounded_text(value, 'text', 100000000);
end
$$;

comment on function domain_events._as_payload(text) is
  'A legacy payload as jsonb: what is no JSON, or too large as jsonb prints it, becomes a JSON string, '
  'which is the unrepresentable marker when that is too large; null becomes an empty object';

create function domain_events._as_metadata(value jsonb) returns jsonb
language sql immutable parallel safe
as $$
  select case when jsonb_typeof(value) = 'object' then value
              when value is null or jsonb_typeof(value) = 'null' then '{}'::jsonb
              else jsonb_build_object('value', value) end
$$;

comment on function domain_events._as_metadata(jsonb) is 'Legacy metadata as an object: {"value": ..} where it is none';

create function domain_events._as_event_type(value text) returns text
language sql immutable parallel safe
as $$ select case when value = '' or value is null then 'Event' when octet_length(value) <= 255 then value
                  else pg_catalog.left(value, 60) end $$;

comment on function domain_events._as_event_type(text) is
  'A legacy event type as the store accepts it: cut where it is over 255 bytes, Event where there is none';

create function domain_events._as_event_id(value text, source text, key text) returns uuid
language sql immutable parallel safe
as $$
  select case when value ~* '^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$' then value::uuid
              else pg_catalog.encode(
                     pg_catalog.set_bit(pg_catalog.set_bit(pg_catalog.set_bit(
                     pg_catalog.set_bit(pg_catalog.set_bit(pg_catalog.set_bit(
                     substring(pg_catalog.sha256(pg_catalog.convert_to(source || '/' || key, 'UTF8')) from 1 for 16),
                     52, 0), 53, 0), 54, 0), 55, 1), 70, 0), 71, 1), 'hex')::uuid end
$$;

comment on function domain_events._as_event_id(text, text, text) is
  'A legacy event''s id: its own where it is a UUID, else one made from source and key, '
  'always the same (a UUID of version 8)';
