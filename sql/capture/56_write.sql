-- The privileged end of capture: stores a finished event, or keeps it as a failure.

create function domain_events._captured_position(aggregate_type text, aggregate_id text) returns bigint
language sql stable
as $$
  select e.global_position from domain_events.events e
   where e.aggregate_type = _captured_position.aggregate_type and e.aggregate_id = _captured_position.aggregate_id
     and e.origin = 'captured'
   order by e.aggregate_version desc limit 1
$$;

comment on function domain_events._captured_position(text, text) is 'Position of the stream''s newest captured event, which alone says something of a row; null when there is none';

create function domain_events._is_end(event_data jsonb) returns boolean
language sql immutable
as $$ select jsonb_exists(event_data, 'new_aggregate_id') or (jsonb_exists(event_data, 'old_values') and not jsonb_exists(event_data, 'new_values')) $$;

comment on function domain_events._is_end(jsonb) is 'True for a captured event after which its stream has no row: deleted, or rekeyed away';

-- A row may go, come or change unseen: under session_replication_role = replica, with triggers disabled, by logical replication, a
-- crash of an unlogged table, a rewrite. The next event of the row then carries it whole, and what the stream says counts no more.
-- An INSERT: the stream has a row, by all that was told; its end was not. Where rows share a stream that is as it should be.
create function domain_events._is_live(aggregate_type text, aggregate_id text) returns boolean
language plpgsql volatile
as $$
begin
  return coalesce((
    -- What ended late may have ended another row than the newest.
    select case when e.metadata @> '{"late": true}' then domain_events.fold_stream(_is_live.aggregate_type, _is_live.aggregate_id) is not null
                else not domain_events._is_end(e.event_data) end
      from domain_events.events e
     where e.aggregate_type = _is_live.aggregate_type and e.aggregate_id = _is_live.aggregate_id and e.origin = 'captured'
     order by e.aggregate_version desc limit 1), false);
end
$$;

comment on function domain_events._is_live(text, text) is 'Whether a stream has a row, by its newest captured event';

-- An UPDATE: the row version that it replaced was made after the stream's newest event, so either that was no change, or it was
-- not told. What the stream says of the row is gathered from the newest events back to one that has it whole. Where that is
-- far, the row is told whole once more, which costs less, and is what the next look comes upon.
create function domain_events._is_told(aggregate_type text, aggregate_id text, old_row jsonb, whole_row_after bigint, is_one_row boolean) returns boolean
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
     where e.aggregate_type = _is_told.aggregate_type and e.aggregate_id = _is_told.aggregate_id and e.origin = 'captured'
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
  'Whether the stream says of a row what it was before an UPDATE; false also where it has no row, or one has to read far back';

-- Every captured row comes through here: what other functions do (the context) is written out, and search_path is
-- the caller's pinned one, which together is about 15 us of 50 a row.
create function domain_events._write_event(
  aggregate_type text, aggregate_id text, event_type text, event_name text, event_data jsonb, metadata jsonb,
  operation text default null, whole_row_after bigint default null, occurred_at timestamptz default null,
  caused_by text default null, correlation_id text default null, causation_id text default null, is_held boolean default false,
  end_types text[] default null, made_by xid default null
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
    return domain_events._write_briefly_held(aggregate_type, aggregate_id, event_type, event_name, event_data, metadata, operation,
                                             whole_row_after, occurred_at, caused_by, correlation_id, causation_id, end_types, made_by);
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
    elsif operation = 'INSERT' and (head_position <= whole_row_after or end_types is not null and not jsonb_exists(metadata, 'late') and domain_events._is_live(aggregate_type, aggregate_id)) then
      metadata := metadata || '{"complete": true}';
    end if;
    recorded := greatest(clock_timestamp(), head_recorded_at + interval '1 microsecond');
    if attempt > 1 then
      if (domain_events._insert_strictly(null, aggregate_type, aggregate_id, coalesce(head_version, 0) + 1, event_type, event_name,
            event_data, metadata, correlation_id, causation_id, caused_by, 1, occurred_at, recorded, 'captured')).aggregate_version is not null then
        return coalesce(head_version, 0) + 1;
      end if;
      continue;
    end if;
    insert into domain_events.events
      (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, metadata,
       correlation_id, causation_id, caused_by, occurred_at, recorded_at, origin)
    values
      (domain_events.uuid_v7(), aggregate_type, aggregate_id, coalesce(head_version, 0) + 1, event_type, event_name, event_data,
       metadata, correlation_id, causation_id, caused_by, coalesce(occurred_at, recorded), recorded,
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

comment on function domain_events._write_event(text, text, text, text, jsonb, jsonb, text, bigint, timestamptz, text, text, text, boolean, text[], xid) is
  'Stores an event of a capture as its stream''s next version and returns that. Nothing is stored when an UPDATE needs the whole row (null: the stream''s newest position is at most whole_row_after), or may need it: its newest event is of end_types, or older than the transaction that made the row; _is_told() knows. With end_types an INSERT, too, is looked at. A given caused_by means a given context, otherwise the session''s is taken.';

-- When an event happened is told by when it fired: as a version of its stream, or as a dead letter after that version, in the order
-- of letters. What fired late happened right before another event, which had fired: before that of the next version, or
-- before a letter. Of several that belong before one event, those that fired later happened earlier.
--
-- A place, in the captures' variables, is a number: n is before the event of version n + 1, -n before the letter n.
create function domain_events._late_marks(place bigint) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select case when place >= 0 then jsonb_build_object('late', true, 'after_version', place)
              else coalesce((select jsonb_build_object('late', true, 'after_version', f.after_version, 'before_failure', f.failure_id)
                               from domain_events.capture_failures f where f.failure_id = - place), '{}') end
$$;

comment on function domain_events._late_marks(bigint) is 'What the metadata of an event says that belongs at a place which has been passed; nothing where place is null';

create function domain_events._turn(aggregate_version bigint, metadata jsonb) returns bigint[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  is_letter constant boolean := jsonb_typeof(metadata -> 'failure_id') = 'number' and jsonb_typeof(metadata -> 'after_version') = 'number';
  -- What the store has not marked is not to be trusted: events that somebody has forged must not keep the others from being read.
  fired bigint[] := case when is_letter then array[least((metadata ->> 'after_version')::numeric, 1e18), least((metadata ->> 'failure_id')::numeric, 1e18)]
                         else array[aggregate_version, 0] end;
  late constant jsonb := case when is_letter then metadata -> 'queued' else metadata end;
  after_version bigint;
begin
  if jsonb_typeof(late -> 'after_version') is distinct from 'number' then
    return fired || 1::bigint;
  end if;
  after_version := least((late ->> 'after_version')::numeric, 1e18);
  return case when jsonb_typeof(late -> 'before_failure') = 'number'
              then array[after_version, least((late ->> 'before_failure')::numeric, 1e18)]
              else array[after_version + 1, 0] end
         || array[0, - fired[1], - fired[2]];
end
$$;

comment on function domain_events._turn(bigint, jsonb) is 'By these numbers, in the order of arrays, the late events of a stream happened; those of an event in its place are its version, 0 and 1';

-- A change fires late when a later one of the same row has fired before it: a user's trigger may change another row of the
-- statement whose own change is still queued, or sort before the capture's. What says so is the row itself. Versions of a
-- row are told apart by where they are stored, never by their values, which may come back: what a transaction has made stays
-- in its place until it ends, or until the table is written anew. So an event that replaces a version of its own transaction,
-- while code of a user is running around it, notes its own place here, and what made that version and fires later finds it.
create unlogged table domain_events.row_steps (
  file           oid not null,
  place          tid not null,
  transaction_id xid8 not null,
  after_version  bigint,
  next_file      oid,
  next_place     tid,
  constraint row_steps_pkey primary key (file, place)
);

comment on table domain_events.row_steps is 'Row versions that a transaction made and replaced, for the length of a statement; what is left over from another transaction means nothing';
comment on column domain_events.row_steps.file is 'File node of the table or partition: another one once it is written anew';
comment on column domain_events.row_steps.place is 'Where the row version is';
comment on column domain_events.row_steps.transaction_id is 'The transaction';
comment on column domain_events.row_steps.after_version is 'Place of the event that told the end of the version, see _late_marks(); null when it made no event';
comment on column domain_events.row_steps.next_file is 'File node of the version that replaced it; null when it was deleted';
comment on column domain_events.row_steps.next_place is 'Where that is';

create function domain_events._note_step(relation oid, place tid, after_version bigint, next_relation oid, next_place tid) returns void
language plpgsql volatile
as $$
#variable_conflict use_column
begin
  insert into domain_events.row_steps (file, place, transaction_id, after_version, next_file, next_place)
  values (pg_relation_filenode(_note_step.relation), _note_step.place, pg_current_xact_id(), _note_step.after_version,
          pg_relation_filenode(_note_step.next_relation), _note_step.next_place)
  on conflict on constraint row_steps_pkey do update
    set transaction_id = excluded.transaction_id, after_version = excluded.after_version,
        next_file = excluded.next_file, next_place = excluded.next_place;
  -- Most are never asked for. Now and then one call removes what ended transactions have left; it waits for nobody.
  if extract(microseconds from clock_timestamp())::int % 499 = 0 and current_setting('transaction_isolation') = 'read committed' then
    delete from domain_events.row_steps s
     where s.ctid = any (array(select g.ctid from domain_events.row_steps g
                                where g.transaction_id < pg_snapshot_xmin(pg_current_snapshot()) limit 5000 for update skip locked));
  end if;
end
$$;

comment on function domain_events._note_step(oid, tid, bigint, oid, tid) is 'Notes that a row version of this transaction was replaced, and where in the stream that is told';

create function domain_events._find_step(relation oid, place tid) returns bigint
language plpgsql volatile
as $$
#variable_conflict use_column
declare
  step domain_events.row_steps;
begin
  step.next_file := pg_relation_filenode(_find_step.relation);
  step.next_place := _find_step.place;
  loop
    select s.* into step from domain_events.row_steps s
     where s.file = step.next_file and s.place = step.next_place and s.transaction_id = pg_current_xact_id()
       and age(s.xmin) <= 0;
    -- What made no event is passed over.
    if not found or step.after_version is not null then
      return step.after_version;
    end if;
  end loop;
end
$$;

comment on function domain_events._find_step(oid, tid) is
  'The place of an event whose row version was replaced before it fired; null when that is not told yet, or was only a lock';

-- A row's end fires late when its key was taken again while it was queued: by a trigger, or by the next row of "set id = id + 1".
-- A row that is older than the transaction ends before all that the transaction has told so far, or has kept as dead letters:
-- that is about who came after it.
-- Otherwise the end belongs between two beginnings with no end in between.
create function domain_events._may_be_late(aggregate_type text, aggregate_id text) returns boolean
language plpgsql volatile
as $$
begin
  return domain_events._is_own(aggregate_type, aggregate_id)
         or exists (select from domain_events.capture_failures f
                     where f.aggregate_type = _may_be_late.aggregate_type and f.aggregate_id = _may_be_late.aggregate_id
                       and f.stored_version is null);
end
$$;

comment on function domain_events._may_be_late(text, text) is 'Whether it is worth asking _place_end()';

create function domain_events._place_end(aggregate_type text, aggregate_id text, whole_row_after bigint, is_older boolean) returns bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  event record;
  is_there boolean := false;
begin
  for event in
    with told as (
      select e.aggregate_version as version, e.event_data as data, e.metadata
        from domain_events.events e
       where e.aggregate_type = _place_end.aggregate_type and e.aggregate_id = _place_end.aggregate_id
         and e.transaction_id = pg_current_xact_id() and age(e.xmin) <= 0 and e.global_position > _place_end.whole_row_after
         and e.origin = 'captured'
         -- What was retried tells of what was before, unless it failed in this transaction.
         and (not jsonb_exists(e.metadata, 'failure_id')
              or exists (select from domain_events.capture_failures f
                          where f.failure_id = (e.metadata ->> 'failure_id')::bigint and f.transaction_id = pg_current_xact_id() and age(f.xmin) <= 0))
      union all
      select null, f.event_data, f.metadata || jsonb_build_object('failure_id', f.failure_id, 'after_version', f.after_version)
        from domain_events.capture_failures f
       where f.aggregate_type = _place_end.aggregate_type and f.aggregate_id = _place_end.aggregate_id and f.stored_version is null
         and f.transaction_id = pg_current_xact_id() and age(f.xmin) <= 0
    )
    select t.turn,
           case when domain_events._is_end(told.data) then 'end'
                when told.metadata @> '{"baseline": true}' then 'baseline'  -- of a row of any age
                when jsonb_exists(told.data, 'old_values') then 'change'
                else 'beginning' end as kind
      from told cross join lateral domain_events._turn(told.version, told.metadata) as t(turn)
     order by t.turn
  loop
    if (is_older and event.kind <> 'baseline') or (event.kind = 'beginning' and is_there) then
      return case when event.turn[2] = 0 then event.turn[1] - 1 else - event.turn[2] end;
    end if;
    is_there := event.kind <> 'end';
  end loop;
  return null;
end
$$;

comment on function domain_events._place_end(text, text, bigint, boolean) is
  'The place of the end of a row whose key was taken again before it fired; null when it is in order. is_older: the transaction has not changed the row before';

-- A row shows the transaction that made it, or changed it last, also when that was frozen long ago: then the number may be of any
-- age, and the nearest transaction with it may not have begun, or be older than what the server remembers.
create function domain_events._xact_status(id xid) returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  own bigint := pg_current_xact_id()::text::bigint;
  nearest bigint := own + (id::text::bigint - (own & 4294967295) + 6442450944) % 4294967296 - 2147483648;
begin
  if nearest < 3 then
    return null;
  elsif nearest <= own then
    return pg_xact_status(nearest::text::xid8);
  end if;
  begin
    return pg_xact_status(nearest::text::xid8);
  exception when invalid_parameter_value then
    return null;  -- "in the future"
  end;
end
$$;

comment on function domain_events._xact_status(xid) is
  'committed, aborted or in progress; of the transactions whose rows this one can change, it and its subtransactions are in progress. Null for one that ended so long ago that nothing is known of it';

-- Under a fixed snapshot the catalogue shows the columns as they were when the transaction began, and the row has those of now: a
-- value would be lost, or take the name of a redacted column. What shows is the row of the catalogue: it was replaced since. A
-- new column replaces that of the table, which many other things do as well.
create function domain_events._check_snapshot(relations oid[]) returns void
language plpgsql volatile
as $$
begin
  -- A partition by now: another capture may tell its rows.
  if exists (select from pg_class c where c.oid = any (relations) and not c.relispartition and pg_partition_root(c.oid) <> c.oid) then
    raise exception 'could not serialize access: the captured table became a partition after the transaction began'
      using errcode = '40001', hint = 'Repeat the transaction.';
  end if;
  if exists (select from pg_attribute a
              where a.attrelid = any (relations) and a.attnum > 0 and a.xmax <> '0' and domain_events._xact_status(a.xmax) = 'committed')
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

-- Once the transaction keeps its share of locks: the stream is held while the event is inserted. see the head of store/30_versions.sql.
create function domain_events._write_briefly_held(
  aggregate_type text, aggregate_id text, event_type text, event_name text, event_data jsonb, metadata jsonb,
  operation text, whole_row_after bigint, occurred_at timestamptz, caused_by text, correlation_id text, causation_id text,
  end_types text[], made_by xid
) returns bigint
language plpgsql volatile
as $$
declare
  is_locked boolean := false;
  written bigint;
begin
  begin
    is_locked := domain_events._lock_briefly(aggregate_type, aggregate_id) or domain_events._wait_briefly(aggregate_type, aggregate_id);
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

comment on function domain_events._write_briefly_held(text, text, text, text, jsonb, jsonb, text, bigint, timestamptz, text, text, text, text[], xid) is
  '_write_event() with the stream held for the insert only, and given back on error too';

create function domain_events._propagates(code text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select left(code, 2) in ('40', '53', '57', '58', 'XX') or code in ('55P03', '25006') $$;

comment on function domain_events._propagates(text) is
  'True for errors that fail the user''s statement under dead_letter too: the transaction has to be retried, or the server is ill';

-- A violation of the store's own key of positions is not about the user's row.
create function domain_events._explain_failure(inout code text, inout message text, constraint_name text)
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if code = '23505' and constraint_name = 'events_pkey' then
    perform domain_events._check_positions(currval('domain_events.events_global_position_seq'));
  end if;
exception when object_not_in_prerequisite_state then
  get stacked diagnostics code = returned_sqlstate, message = message_text;
end
$$;

comment on function domain_events._explain_failure(text, text, text) is 'Code and message of a failure, of a position that was taken those of _check_positions()';

create function domain_events._keep_failure(
  capture_id int, operation text, aggregate_id text, event_type text, event_name text, event_data jsonb, metadata jsonb,
  error_code text, error_message text, place bigint default null
) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  config domain_events.capture_config;
  has_secrets boolean;
  letter bigint;
begin
  select * into strict config from domain_events.capture_config c where c.capture_id = _keep_failure.capture_id;
  has_secrets := config.fail_closed or config.include_only
                 or exists (select from domain_events.capture_columns k
                             where k.capture_id = config.capture_id and (k.redacted or not k.captured));
  insert into domain_events.capture_failures
    (table_name, operation, aggregate_type, aggregate_id, event_type, event_name, event_data, metadata,
     correlation_id, causation_id, caused_by, occurred_at, after_version, after_position, error_code, error_message)
  values
    (config.table_name, _keep_failure.operation, config.aggregate_type, _keep_failure.aggregate_id, _keep_failure.event_type,
     _keep_failure.event_name, _keep_failure.event_data,
     domain_events._context_metadata() || _keep_failure.metadata || case when _keep_failure.place is null then '{}' else jsonb_build_object('queued', domain_events._late_marks(_keep_failure.place) - 'late') end,
     domain_events._context_text('domain_events.correlation_id'), domain_events._context_text('domain_events.causation_id'),
     coalesce(domain_events._context_text('domain_events.actor'), domain_events._session_user()), clock_timestamp(),
     domain_events._stream_version(config.aggregate_type, _keep_failure.aggregate_id), domain_events._newest_position(), _keep_failure.error_code,
     case when has_secrets then 'withheld: the table has redacted or excluded columns' else left(domain_events._valid_text(_keep_failure.error_message), 8000) end)
  returning failure_id into letter;
  return case when _keep_failure.aggregate_id is null then null else coalesce(_keep_failure.place, - letter) end;
end
$$;

comment on function domain_events._keep_failure(int, text, text, text, text, jsonb, jsonb, text, text, bigint) is
  'Keeps an event that could not be stored, whole, with the error, and returns its place, which is its own unless it fired late';

create function domain_events.retry_capture_failures(max_count int default null) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  failure domain_events.capture_failures;
  stuck text[] := '{}';
  version bigint;
  stored bigint := 0;
  code text;
  message text;
begin
  if max_count < 1 then
    raise exception 'max_count must be positive, not %', max_count
      using errcode = '22023', hint = 'Leave it out to retry all of them.';
  end if;
  for failure in
    select * from domain_events.capture_failures f
     where f.stored_version is null order by f.failure_id limit max_count
     for update skip locked
  loop
    -- Behind a failure that fails again, the later ones of its stream wait: they would overtake it.
    continue when failure.aggregate_type || chr(1) || coalesce(failure.aggregate_id, '') = any (stuck);
    begin
      version := domain_events._write_event(
        failure.aggregate_type, failure.aggregate_id, failure.event_type, failure.event_name, failure.event_data,
        failure.metadata || jsonb_build_object('late', true, 'failure_id', failure.failure_id, 'after_version', failure.after_version,
                                               'after_position', failure.after_position),
        null, null, failure.occurred_at, failure.caused_by, failure.correlation_id, failure.causation_id);
      update domain_events.capture_failures f
         set stored_version = version, retries = f.retries + 1, retried_at = clock_timestamp()
       where f.failure_id = failure.failure_id;
      stored := stored + 1;
    exception when others then
      get stacked diagnostics code = returned_sqlstate, message = message_text;
      if domain_events._propagates(code) then
        raise;
      end if;
      stuck := stuck || (failure.aggregate_type || chr(1) || coalesce(failure.aggregate_id, ''));
      update domain_events.capture_failures f
         set retries = f.retries + 1, retried_at = clock_timestamp(), error_code = code,
             error_message = case when f.error_message like 'withheld:%' then f.error_message else left(domain_events._valid_text(message), 8000) end
       where f.failure_id = failure.failure_id;
    end;
  end loop;
  return stored;
end
$$;

comment on function domain_events.retry_capture_failures(int) is
  'Stores the events kept in capture_failures, oldest first, and returns how many: each takes its stream''s next version, with its own occurred_at and metadata {"late": true, ..}';

-- Events about a table as a whole go to a stream of the table.
create function domain_events._table_event(relation oid, event_type text, event_data jsonb) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform domain_events._write_event('domain_events.Table', domain_events._short_id(domain_events._qualified_name(relation)),
                                     event_type, null, event_data, '{}');
end
$$;

comment on function domain_events._table_event(oid, text, jsonb) is
  'Stores an event in the table''s own stream: type domain_events.Table, id the schema-qualified name';

create function domain_events._scope_of(capture_id int) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  config domain_events.capture_config;
  tables oid[];
begin
  select * into strict config from domain_events.capture_config c where c.capture_id = _scope_of.capture_id;
  -- Rows of another table that has or had the same type are still there.
  tables := array(select t.relid::oid from domain_events._partition_tree(config.relation) as t);
  return case when exists (select from domain_events.capture_places p where p.aggregate_type = config.aggregate_type and p.relation <> all (tables))
              then domain_events._only_in(config.aggregate_type, tables)
              else '{}' end;
end
$$;

comment on function domain_events._scope_of(int) is 'Which streams of its type are of the rows of a captured table, as an event says it: all, unless another table shares the type';

create function domain_events._capture_truncate(capture_id int, relation oid) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  -- Asked here: in the query it would be asked for every capture of the database.
  found_id constant int := domain_events._find_capture(relation);
  config domain_events.capture_config;
begin
  select * into config from domain_events.capture_config c where c.capture_id = found_id and c.state = 'active';
  -- A partition that was captured by itself has that trigger still, perhaps before it gets that of the table above.
  if not found or (config.capture_id <> capture_id
                   and (not exists (select from domain_events._capture_triggers(relation) as t where t.relation = _capture_truncate.relation and t.kind = 'truncate' and t.capture_id = _capture_truncate.capture_id)
                        or exists (select from domain_events._capture_triggers(relation) as t where t.relation = _capture_truncate.relation and t.kind = 'truncate' and t.capture_id = config.capture_id))) then
    return;
  end if;
  -- A table that the transaction has made is emptied in its place.
  delete from domain_events.row_steps s where s.file = pg_relation_filenode(_capture_truncate.relation);
  perform domain_events._table_event(config.relation, 'TableTruncated',
    jsonb_build_object('aggregate_type', config.aggregate_type)
    || case when config.relation::oid <> relation
            then jsonb_build_object('partition', domain_events._qualified_name(relation))
                 || domain_events._only_in(config.aggregate_type, array[relation], domain_events._qualified_name(relation))
            else domain_events._scope_of(config.capture_id) end);
  -- Every stream, or every one of the partition, has ended: what comes next on one starts from nothing.
  perform domain_events._tell_whole_rows(config.capture_id, is_truncated => true);
end
$$;

comment on function domain_events._capture_truncate(int, oid) is 'Records that a captured table, or a partition of it, was truncated';
