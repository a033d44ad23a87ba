-- The privileged end of capture: stores a finished event.

create function domain_events._captured_position(aggregate_type text, aggregate_id text) returns bigint
language sql stable
as $$
  select e.global_position from domain_events.events e
   where e.aggregate_type = _captured_position.aggregate_type and e.aggregate_id = _captured_position.aggregate_id
     and e.origin = 'captured'
   order by e.aggregate_version desc limit 1
$$;

comment on function domain_events._captured_position(text, text) is
  'Position of the stream''s newest captured event, which alone says something of a row; null when there is none';

create function domain_events._is_end(event_data jsonb) returns boolean
language sql immutable
as $$ select jsonb_exists(event_data, 'new_aggregate_id')
             or (jsonb_exists(event_data, 'old_values') and not jsonb_exists(event_data, 'new_values')) $$;

comment on function domain_events._is_end(jsonb) is
  'True for a captured event after which its stream has no row: deleted, or rekeyed away';

-- A row may go, come or change unseen: under session_replication_role = replica, with triggers disabled, by logical
-- replication, a crash of an unlogged table, a rewrite. The next event of the row then carries it whole, and what the
-- stream says counts no more. An INSERT: the stream has a row, by all that was told; its end was not. Where rows share
-- a stream that is as it should be.
create function domain_events._is_live(aggregate_type text, aggregate_id text) returns boolean
language plpgsql volatile
as $$
begin
  return coalesce((
    -- What ended late may have ended another row than the newest.
    select case when e.metadata @> '{"late": true}'
                  then domain_events.fold_stream(_is_live.aggregate_type, _is_live.aggregate_id) is not null
                else not domain_events._is_end(e.event_data) end
      from domain_events.events e
     where e.aggregate_type = _is_live.aggregate_type and e.aggregate_id = _is_live.aggregate_id
       and e.origin = 'captured'
     order by e.aggregate_version desc limit 1), false);
end
$$;

comment on function domain_events._is_live(text, text) is 'Whether a stream has a row, by its newest captured event';

-- An UPDATE: the row version that it replaced was made after the stream's newest event, so either that was no change,
-- or it was not told. What the stream says of the row is gathered from the newest events back to one that has it whole.
-- Where that is far, the row is told whole once more, which costs less, and is what the next look comes upon.
create function domain_events._is_told(aggregate_type text, aggregate_id text, old_row jsonb, whole_row_after bigint,
                                       is_one_row boolean) returns boolean
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  event record;
  told jsonb := '{}';
begin
  for event in
    select e.event_data as data, e.metadata, e.global_position as position, e.aggregate_version as version
      from domain_events.events e
     where e.aggregate_type = _is_told.aggregate_type and e.aggregate_id = _is_told.aggregate_id
       and e.origin = 'captured'
     order by e.aggregate_version desc limit 100
  loop
    if event.position <= whole_row_after then
      return false;
    elsif not is_one_row then
      -- The end of one of its rows leaves the others. The fold knows, as far as it is to be had.
      return event.version > 200 or domain_events.fold_stream(aggregate_type, aggregate_id) is not null;
    elsif event.metadata @> '{"late": true}' then
      return domain_events.fold_stream(aggregate_type, aggregate_id)::text is not distinct from old_row::text;
    elsif domain_events._is_end(event.data) then
      return false;
    end if;
    told := (event.data -> 'new_values') || told;
    if event.metadata @> '{"complete": true}' or not jsonb_exists(event.data, 'old_values') then
      return told::text = old_row::text;
    end if;
  end loop;
  return false;
end
$$;

comment on function domain_events._is_told(text, text, jsonb, bigint, boolean) is
  'Whether the stream says of a row what it was before an UPDATE; false also where it has no row, '
  'or one has to read far back';

-- Every captured row comes through here: what other functions do (the context) is written out, and search_path is
-- the caller's pinned one, which together is about 15 us of 50 a row.
create function domain_events._write_event(
  aggregate_type text, aggregate_id text, event_type text, event_name text, event_data jsonb, metadata jsonb,
  operation text default null, whole_row_after bigint default null, occurred_at timestamptz default null,
  caused_by text default null, correlation_id text default null, causation_id text default null,
  is_held boolean default false, end_types text[] default null, made_by xid default null
) returns bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  head_version bigint;
  head_position bigint;
  head_origin text;
  head_type text;
  head_by xid;
  last_position bigint;
  drawn bigint;
  head_recorded_at timestamptz;
  recorded timestamptz;
begin
  if aggregate_id is null then
    raise exception 'a column of the aggregate id is null'
      using errcode = '22004', hint = 'Capture by columns that are not null: enable_capture(.., aggregate_id => ..).';
  end if;
  if caused_by is null then
    caused_by := coalesce(domain_events._context('domain_events.actor'), domain_events._session_user());
    correlation_id := domain_events._context('domain_events.correlation_id');
    causation_id := domain_events._context('domain_events.causation_id');
    if current_setting('domain_events.metadata', true) <> '' then
      metadata := domain_events._context_metadata() || metadata;
    end if;
  end if;
  if not is_held and not domain_events._is_own(aggregate_type, aggregate_id)
     and not domain_events._keep_lock(aggregate_type, aggregate_id, 1) then
    return domain_events._write_briefly_held(aggregate_type, aggregate_id, event_type, event_name, event_data, metadata,
                                             operation, whole_row_after, occurred_at, caused_by, correlation_id,
                                             causation_id, end_types, made_by);
  end if;
  for attempt in 1 .. 100 loop
    select e.aggregate_version, e.global_position, e.origin, e.event_type, e.xmin, e.recorded_at
      into head_version, head_position, head_origin, head_type, head_by, head_recorded_at
      from domain_events.events e
     where e.aggregate_type = _write_event.aggregate_type and e.aggregate_id = _write_event.aggregate_id
     order by e.aggregate_version desc limit 1;
    last_position := head_position;
    if operation in ('INSERT', 'UPDATE') and head_position > whole_row_after and head_origin <> 'captured' then
      head_position := domain_events._captured_position(aggregate_type, aggregate_id);
    end if;
    if operation = 'UPDATE' and ((head_position <= whole_row_after) is not false
                                 or head_type = any (end_types) or age(made_by) < age(head_by)) then
      return null;
    elsif operation = 'INSERT' and (head_position <= whole_row_after
                                    or end_types is not null and not jsonb_exists(metadata, 'late')
                                       and domain_events._is_live(aggregate_type, aggregate_id)) then
      metadata := metadata || '{"complete": true}';
    end if;
    recorded := greatest(clock_timestamp(), head_recorded_at + interval '1 microsecond');
    if attempt > 1 then
      if (domain_events._insert_strictly(null, aggregate_type, aggregate_id, coalesce(head_version, 0) + 1, event_type,
                                         event_name,
            event_data, metadata, correlation_id, causation_id, caused_by, 1, occurred_at, recorded,
            'captured')).aggregate_version is not null then
        return coalesce(head_version, 0) + 1;
      end if;
      continue;
    end if;
    insert into domain_events.events
      (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, metadata,
       correlation_id, causation_id, caused_by, occurred_at, recorded_at, origin)
    values
      (domain_events.uuid_v7(), aggregate_type, aggregate_id, coalesce(head_version, 0) + 1, event_type, event_name,
       event_data, metadata, correlation_id, causation_id, caused_by, coalesce(occurred_at, recorded), recorded,
       'captured')
    on conflict do nothing
    returning global_position into drawn;
    if found then
      if drawn < last_position then
        perform domain_events._check_positions(drawn);
      end if;
      return coalesce(head_version, 0) + 1;
    end if;
    perform domain_events._check_positions();
    -- Another writer committed this version first: look again.
  end loop;
  perform domain_events._raise_contended(aggregate_type, aggregate_id);
end
$$;

comment on function domain_events._write_event(text, text, text, text, jsonb, jsonb, text, bigint, timestamptz, text,
                                               text, text, boolean, text[], xid) is
  'Stores an event of a capture as its stream''s next version and returns that. '
  'Nothing is stored when an UPDATE needs the whole row (null: the stream''s newest position is at most '
  'whole_row_after), or may need it: its newest event is of end_types, or older than the transaction that made the '
  'row; _is_told() knows. With end_types an INSERT, too, is looked at. A given caused_by means a given context, '
  'otherwise the session''s is taken.';

-- Under a fixed snapshot the catalogue shows the columns as they were when the transaction began, and the row has those
-- of now: a value would be lost, or take the name of a redacted column. What shows is the row of the catalogue: it was
-- replaced since. A new column replaces that of the table, which many other things do as well.
create function domain_events._check_snapshot(relations oid[]) returns void
language plpgsql volatile
as $$
begin
  -- A partition by now: another capture may tell its rows.
  if exists (select from pg_class c
              where c.oid = any (relations) and not c.relispartition and pg_partition_root(c.oid) <> c.oid) then
    raise exception 'could not serialize access: the captured table became a partition after the transaction began'
      using errcode = '40001', hint = 'Repeat the transaction.';
  end if;
  if exists (select from pg_attribute a
              where a.attrelid = any (relations) and a.attnum > 0 and a.xmax <> '0'
                and domain_events._xact_status(a.xmax) = 'committed')
     or exists (select from pg_class c
                 where c.oid = any (relations) and c.xmax <> '0' and domain_events._xact_status(c.xmax) = 'committed'
                   and exists (select from generate_series(c.relnatts + 1, c.relnatts + 100) as n
                                where has_column_privilege(c.oid, n::int2, 'select') is not null)) then
    raise exception 'could not serialize access: the columns of the captured table changed after the transaction began'
      using errcode = '40001', hint = 'Repeat the transaction.';
  end if;
end
$$;

comment on function domain_events._check_snapshot(oid[]) is
  'Raises 40001 when the columns of these relations changed after the transaction''s fixed snapshot';

-- Once the transaction keeps its share of locks: the stream is held while the event is inserted. see the head of
-- store/30_versions.sql.
create function domain_events._write_briefly_held(
  aggregate_type text, aggregate_id text, event_type text, event_name text, event_data jsonb, metadata jsonb,
  operation text, whole_row_after bigint, occurred_at timestamptz, caused_by text, correlation_id text,
  causation_id text, end_types text[], made_by xid
) returns bigint
language plpgsql volatile
as $$
declare
  is_locked boolean := false;
  written bigint;
begin
  begin
    is_locked := domain_events._lock_briefly(aggregate_type, aggregate_id)
                 or domain_events._wait_briefly(aggregate_type, aggregate_id);
    if not is_locked then
      perform domain_events._queue(aggregate_type, aggregate_id);
    end if;
    written := domain_events._write_event(aggregate_type, aggregate_id, event_type, event_name, event_data, metadata,
      operation, whole_row_after, occurred_at, caused_by, correlation_id, causation_id, true, end_types, made_by);
  exception when others or query_canceled or assert_failure then
    if is_locked then
      perform domain_events._unlock(aggregate_type, aggregate_id);
    end if;
    raise;
  end;
  if is_locked then
    perform domain_events._unlock(aggregate_type, aggregate_id);
  end if;
  return written;
end
$$;

comment on function domain_events._write_briefly_held(text, text, text, text, jsonb, jsonb, text, bigint, timestamptz,
                                                      text, text, text, text[], xid) is
  '_write_event() with the stream held for the insert only, and given back on error too';
