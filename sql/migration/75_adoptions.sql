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
  readers        text not null default 'wait',
  ended_in       xid8,
  ended_cluster  bigint,
  constraint adoptions_readers_check check (readers in ('wait', 'skip')),
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
comment on column domain_events.adoptions.readers is
  'Whether readers of the whole store wait until it has ended, or skip its events: see skip_adoption()';
comment on column domain_events.adoptions.ended_in is 'The transaction that ended it';
comment on column domain_events.adoptions.ended_cluster is
  'The system identifier of the server that this transaction''s number is of';
comment on sequence domain_events.adoptions_adoption_id_seq is 'Numbers of adoptions';
comment on constraint adoptions_pkey on domain_events.adoptions is 'An adoption has a number';
comment on constraint adoptions_state_check on domain_events.adoptions is 'moving, moved or withdrawn';
comment on constraint adoptions_readers_check on domain_events.adoptions is 'wait or skip';
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
