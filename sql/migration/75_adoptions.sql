-- Events of a legacy table, or of another server, become events of the store: "domain-events plan --adopt" and
-- "domain-events import".
--
-- A block of positions is reserved for the old events in one short lock, so that they keep their order inside it and
-- every new event starts above it. From then on the store is written at once, while the old events are still being
-- moved into the block: the next version of a stream has to count both places. It does, at no cost for anybody else:
-- whoever would insert version 1 of a stream meets the trigger below, which first moves the newest old event of that
-- stream, if there is one, and lets the writer look again. Every writer of both engines looks again when its insert
-- stored nothing, as it does when another writer was faster. So a stream's newest event is in the store before anything
-- is appended to it; its older ones follow in their own time; the mover goes from the last place to the first, so that
-- it keeps to that as well. The trigger is enabled only while something is moved.
--
-- What an old event looks like as an event is told by a function of the legacy table's owner that runs with that
-- owner's rights: the privileged part here only inserts finished events, and only into the block. That owner may alter
-- the function at any moment, also between a look at it and its call; so where the store's owner is somebody else, a
-- function of domain_events_guest calls it, a role that may do nothing else. Whoever tells or moves an old event gives
-- its place among the old ones instead of a position, which becomes its position in the block. A serial number of
-- theirs will do, as long as places rise with the versions within a stream.

create table domain_events.adoptions (
  adoption_id    bigint generated always as identity,
  source         text not null,
  event_table    regclass,
  plan_id        text,
  state          text not null default 'moving',
  first_position bigint not null,
  last_position  bigint not null,
  first_place    bigint not null,
  head_function  text,
  moved_down_to    bigint,
  moved          bigint not null default 0,
  events         bigint,
  began_by       text not null default domain_events._session_user(),
  began_at       timestamptz not null default pg_catalog.clock_timestamp(),
  ended_at       timestamptz,
  constraint adoptions_pkey primary key (adoption_id),
  constraint adoptions_state_check check (state in ('moving', 'moved', 'withdrawn')),
  constraint adoptions_positions_check check (first_position > 0 and last_position >= first_position - 1)
);

comment on table domain_events.adoptions is
  'Where events came from that were not appended here: one row per adopted legacy table or import, '
  'with the positions reserved for its events';
comment on column domain_events.adoptions.adoption_id is 'The adoption';
comment on column domain_events.adoptions.source is 'Where the events come from, for people';
comment on column domain_events.adoptions.event_table is
  'The table with the legacy columns that the store lacks, one row per event; null for an import without it';
comment on column domain_events.adoptions.plan_id is 'The plan it belongs to, in migration_plans';
comment on column domain_events.adoptions.state is
  'moving; moved: every old event is in the store; withdrawn: the legacy table was given back, '
  'what had been moved stays';
comment on column domain_events.adoptions.first_position is 'First position reserved for the old events';
comment on column domain_events.adoptions.last_position is 'Last position reserved for the old events';
comment on column domain_events.adoptions.first_place is
  'The place among the old events that first_position belongs to';
comment on column domain_events.adoptions.head_function is
  'Function (aggregate_type text, aggregate_id text, last_place bigint) that returns the newest event of a stream up '
  'to a place; null when nobody writes these streams meanwhile';
comment on column domain_events.adoptions.moved_down_to is
  'Every old event from this place on was moved: the newest of a stream comes before its others';
comment on column domain_events.adoptions.moved is 'Events moved so far';
comment on column domain_events.adoptions.events is
  'Events at its positions when it ended: none is added or removed later';
comment on column domain_events.adoptions.began_by is 'Who began it';
comment on column domain_events.adoptions.began_at is 'When it began';
comment on column domain_events.adoptions.ended_at is 'When the last old event was moved';
comment on sequence domain_events.adoptions_adoption_id_seq is 'Numbers of adoptions';
comment on constraint adoptions_pkey on domain_events.adoptions is 'An adoption has a number';
comment on constraint adoptions_state_check on domain_events.adoptions is 'moving, moved or withdrawn';
comment on constraint adoptions_positions_check on domain_events.adoptions is
  'A block of positions, which may be empty';

create function domain_events._check_head_function(head_function text, event_table regclass) returns void
language plpgsql stable
as $$
begin
  if not exists (select from pg_proc p join pg_class c on c.oid = _check_head_function.event_table
                  where p.oid = to_regprocedure(_check_head_function.head_function || '(text, text, bigint)')
                    and p.prosecdef and p.proowner = c.relowner) then
    raise exception 'function %(text, text, bigint) is not a SECURITY DEFINER function of the owner of %',
          head_function, event_table
      using errcode = '55000',
            hint = 'It tells the newest old event of a stream; "domain-events plan --adopt" writes it.';
  end if;
end
$$;

comment on function domain_events._check_head_function(text, regclass) is
  'Raises 55000 unless the function runs with the rights of the legacy table''s owner';

-- Nobody else can put another function in its place: neither its owner, nor who owns its schema and may drop it.
create function domain_events._is_own_function(head_function text) returns boolean
language sql stable
as $$
  select exists (select from pg_catalog.pg_proc p
                   join pg_catalog.pg_namespace n on n.oid = p.pronamespace
                   join pg_catalog.pg_roles o on o.oid = n.nspowner
                   join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
                   join pg_catalog.pg_class store on store.oid = 'domain_events.events'::pg_catalog.regclass
                  where p.oid = pg_catalog.to_regprocedure(head_function || '(text, text, bigint)')
                    and p.proowner = store.relowner
                    and (o.rolsuper or o.oid = store.relowner
                         or o.rolname = 'pg_database_owner' and d.datdba = store.relowner))
$$;

comment on function domain_events._is_own_function(text) is
  'Whether a function that tells of old events is the store''s owner''s, and nobody else can replace it';

-- Run by a superuser, to whom the store belongs: only he can make a role that nobody else has.
create function domain_events._invite_guest(head_function text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  function record;
  statement text;
begin
  if not (select r.rolsuper from pg_roles r where r.rolname = current_user) then
    raise exception 'function % is another role''s than %, to whom the event store belongs', head_function, current_user
      using errcode = '42501',
            detail = 'It would have to be called with the rights of the store''s owner, who is no superuser.',
            hint = format('Let %I own the legacy table and its schema.', current_user);
  end if;
  begin
    if to_regrole('domain_events_guest') is null then
      create role domain_events_guest nologin;
    end if;
  exception when duplicate_object or unique_violation then
    null;  -- made at this moment for another database
  end;
  if exists (select from pg_roles r where r.rolname = 'domain_events_guest'
                and (r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls
                     or r.rolcanlogin))
     or exists (select from pg_auth_members m join pg_roles r on r.oid = m.member
                 where m.member = to_regrole('domain_events_guest')
                       or m.roleid = to_regrole('domain_events_guest') and not r.rolsuper) then
    raise exception 'role domain_events_guest has rights, or members'
      using errcode = '42501',
            detail = 'It calls functions of users for the store and must be able to do nothing else.',
            hint = 'Revoke its memberships and attributes, and revoke it from its members.';
  end if;
  select p.oid::regprocedure as name, p.pronamespace::regnamespace as schema into function
    from pg_proc p where p.oid = to_regprocedure(head_function || '(text, text, bigint)');
  execute format('grant usage on schema %s to domain_events_guest; grant execute on function %s to domain_events_guest',
                 function.schema, function.name);
  if to_regprocedure('domain_events._ask_as_guest(text, text, text, bigint)') is null then
    create function domain_events._ask_as_guest(head_function text, aggregate_type text, aggregate_id text,
                                                last_place bigint) returns domain_events.events
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
    as $guest$
    declare
      head domain_events.events;
    begin
      execute format('select * from %s($1, $2, $3)', head_function)
        into head using aggregate_type, aggregate_id, last_place;
      return head;
    end
    $guest$;
    comment on function domain_events._ask_as_guest(text, text, text, bigint) is
      'Calls a function of a legacy table''s owner with the '
      'rights of domain_events_guest: none. '
      'There while the table is being moved';
    for statement in
      select unnest(g.take_back) from domain_events._given_privileges() as g
       where g.object = 'domain_events._ask_as_guest(text, text, text, bigint)'::regprocedure and g.kind = 'routine'
    loop
      execute statement;
    end loop;
    alter function domain_events._ask_as_guest(text, text, text, bigint) owner to domain_events_guest;
  end if;
end
$$;

comment on function domain_events._invite_guest(text) is
  'Lets a role without rights call a function that tells of old events. Raises 42501 where the store''s owner is no '
  'superuser, or the role has rights';

create function domain_events._check_adopted_sizes(batch domain_events.events[]) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  event domain_events.events;
begin
  for event in
    select * from unnest(batch) as e
     where coalesce(pg_column_size(e.metadata #> '{}'), 0) + pg_column_size(e.event_data #> '{}')
           + octet_length(concat(e.event_name, e.caused_by, e.correlation_id, e.causation_id)) > 20000
  loop
    begin
      perform domain_events._check_size(event.event_data, event.metadata,
                                        octet_length(concat(event.event_name, event.caused_by, event.correlation_id,
                                                            event.causation_id)));
    exception when invalid_parameter_value then
      raise exception 'version % of stream (%, %) is too large: more than 256 MB as text', event.aggregate_version,
            event.aggregate_type, event.aggregate_id
        using errcode = '22023', detail = 'No dump could hold it.',
              hint = 'Make it shorter in the legacy table, or leave the table where it is: domain-events rollback';
    end;
  end loop;
end
$$;

comment on function domain_events._check_adopted_sizes(domain_events.events[]) is
  'Raises 22023 for an old event that is too large to be dumped';

-- The function is asked in whatever transaction first writes to a stream. All that it leaves behind is undone with the
-- block: at the commit deferred triggers and cursors WITH HOLD would run with the writer's rights. Prepared statements
-- outlive that; whoever executes one by its name, a driver, would run the other's.
create function domain_events._ask_head(adoption domain_events.adoptions, aggregate_type text, aggregate_id text)
  returns domain_events.events
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  head domain_events.events;
  last_place bigint := adoption.first_place + adoption.last_position - adoption.first_position;
  known text[] := domain_events._prepared_statements();
  raised_by text;
begin
  begin
    if domain_events._is_own_function(adoption.head_function) then
      execute format('select * from %s($1, $2, $3)', adoption.head_function)
        into head using aggregate_type, aggregate_id, last_place;
    else
      execute 'select * from domain_events._ask_as_guest($1, $2, $3, $4)'
        into head using adoption.head_function, aggregate_type, aggregate_id, last_place;
    end if;
    raise exception 'told' using errcode = 'DE001', constraint = '_told';
  exception when sqlstate 'DE001' then
    get stacked diagnostics raised_by = constraint_name;
    if raised_by <> '_told' then
      raise;
    end if;
  end;
  perform domain_events._forget_prepared(known);
  return head;
end
$$;

comment on function domain_events._ask_head(domain_events.adoptions, text, text) is
  'The newest old event of a stream as the adoption''s function tells it, with its place for a position, or null. '
  'Undoes whatever else that function did';

-- Called where a stream seems to be empty, while events are being moved.
create function domain_events._adopt_head(aggregate_type text, aggregate_id text) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  adoption domain_events.adoptions;
  head domain_events.events;
  snapshot_is_fixed boolean := current_setting('transaction_isolation') not in ('read committed', 'read uncommitted');
begin
  -- Numbers come from a sequence, which no snapshot hides: an adoption that began behind a fixed snapshot is noticed.
  if snapshot_is_fixed
     and (select s.is_called and s.last_value > coalesce((select max(a.adoption_id) from domain_events.adoptions a), 0)
            from domain_events.adoptions_adoption_id_seq s) then
    raise exception 'could not serialize access to stream (%, %)', _adopt_head.aggregate_type, _adopt_head.aggregate_id
      using errcode = '40001', detail = 'A legacy event table was adopted since this transaction''s snapshot.',
            hint = 'Repeat the transaction.';
  end if;
  for adoption in
    select * from domain_events.adoptions a where a.state = 'moving' and a.head_function is not null
     order by a.adoption_id desc
  loop
    perform domain_events._check_head_function(adoption.head_function, adoption.event_table);
    head := domain_events._ask_head(adoption, _adopt_head.aggregate_type, _adopt_head.aggregate_id);
    continue when head.aggregate_version is null;
    head.global_position := adoption.first_position + head.global_position - adoption.first_place;
    if head.aggregate_type <> _adopt_head.aggregate_type or head.aggregate_id <> _adopt_head.aggregate_id
       or head.global_position not between adoption.first_position and adoption.last_position then
      raise exception 'adoption % gives an event that is not one of stream (%, %)', adoption.adoption_id,
                      _adopt_head.aggregate_type, _adopt_head.aggregate_id
        using errcode = '55000', detail = format('Function %s returned it.', adoption.head_function),
              hint = 'Take the adoption back: domain-events rollback';
    end if;
    perform domain_events._check_adopted_sizes(array[head]);
    insert into domain_events.events
      (global_position, event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data,
       metadata, correlation_id, causation_id, caused_by, schema_version, occurred_at, recorded_at, origin)
    values (head.global_position, head.event_id, head.aggregate_type, head.aggregate_id, head.aggregate_version,
            head.event_type, head.event_name, head.event_data, head.metadata, head.correlation_id, head.causation_id,
            head.caused_by, head.schema_version, head.occurred_at, head.recorded_at, 'adopted')
    on conflict do nothing;
    if not found and not snapshot_is_fixed
       and not exists (select from domain_events.events e
                        where e.aggregate_type = _adopt_head.aggregate_type
                          and e.aggregate_id = _adopt_head.aggregate_id) then
      raise exception 'adoption % gives an event for stream (%, %) whose place or id another one has',
            adoption.adoption_id,
                      _adopt_head.aggregate_type, _adopt_head.aggregate_id
        using errcode = '55000', detail = format('Function %s returned it.', adoption.head_function),
              hint = 'Take the adoption back: domain-events rollback';
    end if;
    return true;
  end loop;
  return false;
end
$$;

comment on function domain_events._adopt_head(text, text) is
  'Moves the newest old event of a stream into the store and returns true; '
  'false when no legacy table that is being moved has the stream. Raises 40001 where a fixed snapshot is too old to '
  'know.';

create function domain_events._adopt_first() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from domain_events.adoptions a
              where a.state = 'moving' and new.global_position between a.first_position and a.last_position) then
    return new;
  elsif domain_events._adopt_head(new.aggregate_type, new.aggregate_id) then
    return null;  -- the writer looks again, and finds the stream's newest event
  end if;
  return new;
end
$$;

comment on function domain_events._adopt_first() is
  'Trigger: before version 1 of a stream is stored, its newest old event is, while a legacy table is being moved';

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
  'An event of the same stream, version and content that is there already is passed over, another one raises 23505.';

create function domain_events._end_adoption(adoption_id bigint, state text, events bigint) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  update domain_events.adoptions a
     set state = _end_adoption.state, ended_at = clock_timestamp(), events = _end_adoption.events
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
