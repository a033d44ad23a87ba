-- The privileged end of capture: stores a finished event, or keeps it as a failure.

-- Every captured row comes through here: what other functions do (the context) is written out, and search_path is
-- the caller's pinned one, which together is about 15 us of 50 a row.
create function domain_events._write_event(
  aggregate_type text, aggregate_id text, event_type text, event_name text, event_data jsonb, metadata jsonb,
  operation text default null, whole_row_after bigint default null, occurred_at timestamptz default null,
  caused_by text default null, correlation_id text default null, causation_id text default null, is_held boolean default false
) returns bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  head_version bigint;
  head_position bigint;
  head_recorded_at timestamptz;
  head_transaction xid8;
  recorded timestamptz;
begin
  if aggregate_id is null then
    raise exception 'a column of the aggregate id is null'
      using errcode = '22004', hint = 'Capture by columns that are not null: enable_capture(.., aggregate_id => ..).';
  end if;
  if caused_by is null then
    caused_by := coalesce(domain_events._context('domain_events.actor'), session_user);
    correlation_id := domain_events._context('domain_events.correlation_id');
    causation_id := domain_events._context('domain_events.causation_id');
    if current_setting('domain_events.metadata', true) <> '' then
      metadata := domain_events._context_metadata() || metadata;
    end if;
  end if;
  if not is_held and not domain_events._is_own(aggregate_type, aggregate_id)
     and not domain_events._keep_lock(aggregate_type, aggregate_id, 1) then
    return domain_events._write_briefly_held(aggregate_type, aggregate_id, event_type, event_name, event_data, metadata,
                                             operation, whole_row_after, occurred_at, caused_by, correlation_id, causation_id);
  end if;
  for attempt in 1 .. 100 loop
    select e.aggregate_version, e.global_position, e.recorded_at, e.transaction_id
      into head_version, head_position, head_recorded_at, head_transaction
      from domain_events.events e
     where e.aggregate_type = _write_event.aggregate_type and e.aggregate_id = _write_event.aggregate_id
     order by e.aggregate_version desc limit 1;
    if operation = 'UPDATE' then
      if head_version is null or head_position <= whole_row_after then
        return null;
      elsif head_transaction = pg_current_xact_id() then
        return 0;
      end if;
    elsif operation = 'INSERT' and head_version is not null then
      if head_position <= whole_row_after then
        metadata := metadata || '{"complete": true}';
      elsif head_transaction = pg_current_xact_id() then
        return 0;
      end if;
    end if;
    recorded := greatest(clock_timestamp(), head_recorded_at + interval '1 microsecond');
    insert into domain_events.events
      (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, metadata,
       correlation_id, causation_id, caused_by, occurred_at, recorded_at)
    values
      (domain_events.uuid_v7(), aggregate_type, aggregate_id, coalesce(head_version, 0) + 1, event_type, event_name, event_data,
       metadata, correlation_id, causation_id, caused_by, coalesce(occurred_at, recorded), recorded)
    on conflict do nothing;
    if found then
      return coalesce(head_version, 0) + 1;
    end if;
    -- Another writer committed this version first: look again.
  end loop;
  perform domain_events._raise_contended(aggregate_type, aggregate_id);
end
$$;

comment on function domain_events._write_event(text, text, text, text, jsonb, jsonb, text, bigint, timestamptz, text, text, text, boolean) is
  'Stores an event as its stream''s next version and returns that. Nothing is stored when an UPDATE needs the whole row (null: the stream''s newest position is at most whole_row_after) or when the transaction has written the stream before, so that the event''s place is in doubt (0). A given caused_by means a given context, otherwise the session''s is taken.';

create function domain_events._late_after(metadata jsonb) returns numeric
language sql immutable
as $$
  select case when metadata @> '{"late": true}' and jsonb_typeof(metadata -> 'after_version') = 'number'
              then (metadata ->> 'after_version')::numeric end
$$;

comment on function domain_events._late_after(jsonb) is 'The version after which a late event belongs; null for an event in its place';

create function domain_events._holds(whole jsonb, part jsonb) returns boolean
language sql immutable
as $$
  select not exists (select from jsonb_each(part) as p where whole -> p.key is distinct from p.value)
$$;

comment on function domain_events._holds(jsonb, jsonb) is 'True when a row has all these values';

-- A user's trigger may change another row of the statement whose own change is still queued: the later change is then stored
-- first. This finds where an INSERT or UPDATE belongs among the events that this transaction has written to the stream,
-- newest first in the order of fold_stream(): late events follow their after_version, the one stored last before the others.
create function domain_events._place(
  aggregate_type text, aggregate_id text, operation text, old_row jsonb, new_row jsonb
) returns bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  event record;
  place bigint;
begin
  for event in
    select e.aggregate_version as version, e.event_data -> 'new_values' as new_values, e.event_data -> 'old_values' as old_values,
           jsonb_exists(e.event_data, 'new_aggregate_id') or not jsonb_exists(e.event_data, 'new_values') as is_end, f.late_after
      from domain_events.events e
     cross join lateral domain_events._late_after(e.metadata) as f(late_after)
     where e.aggregate_type = _place.aggregate_type and e.aggregate_id = _place.aggregate_id
       and e.transaction_id = pg_current_xact_id()
     order by coalesce(f.late_after + 0.5, e.aggregate_version) desc, e.aggregate_version
  loop
    -- An INSERT follows the end of the previous row, an UPDATE the event that gave the row its old values.
    exit when case operation when 'INSERT' then event.is_end
              else not event.is_end and domain_events._holds(old_row, event.new_values) end;
    -- It comes before an event that started from what it leads to.
    if event.old_values is not null and domain_events._holds(new_row, event.old_values) then
      place := coalesce(event.late_after, event.version - 1);
    end if;
  end loop;
  return place;
end
$$;

comment on function domain_events._place(text, text, text, jsonb, jsonb) is
  'The version after which an event belongs that fired late within its transaction; null when it is in order';

-- The slow path of _write_event(): the transaction has written this stream before.
create function domain_events._write_placed(
  aggregate_type text, aggregate_id text, event_type text, event_name text, event_data jsonb, operation text, old_row jsonb, new_row jsonb
) returns void
language plpgsql volatile
as $$
declare
  place bigint := domain_events._place(aggregate_type, aggregate_id, operation, old_row, new_row);
begin
  perform domain_events._write_event(
    aggregate_type, aggregate_id, event_type, event_name, event_data,
    case when place is null then '{}' else jsonb_build_object('late', true, 'after_version', place) end);
end
$$;

comment on function domain_events._write_placed(text, text, text, text, jsonb, text, jsonb, jsonb) is
  'Stores an event of a stream that the transaction has written before, marked with its place when it fired late';

-- Once the transaction keeps its share of locks: the stream is held while the event is inserted. see the head of 30_versions.sql.
create function domain_events._write_briefly_held(
  aggregate_type text, aggregate_id text, event_type text, event_name text, event_data jsonb, metadata jsonb,
  operation text, whole_row_after bigint, occurred_at timestamptz, caused_by text, correlation_id text, causation_id text
) returns bigint
language plpgsql volatile
as $$
declare
  is_locked boolean := false;
  written bigint;
begin
  begin
    is_locked := domain_events._lock_briefly(aggregate_type, aggregate_id);
    written := domain_events._write_event(aggregate_type, aggregate_id, event_type, event_name, event_data, metadata,
      operation, whole_row_after, occurred_at, caused_by, correlation_id, causation_id, true);
  exception when others or query_canceled or assert_failure then
    if is_locked then
      perform domain_events._unlock(aggregate_type, aggregate_id);
    end if;
    raise;
  end;
  perform domain_events._unlock(aggregate_type, aggregate_id);
  return written;
end
$$;

comment on function domain_events._write_briefly_held(text, text, text, text, jsonb, jsonb, text, bigint, timestamptz, text, text, text) is
  '_write_event() with the stream held for the insert only, and given back on error too';

create function domain_events._propagates(code text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select left(code, 2) in ('40', '53', '57', '58', 'XX') or code in ('55P03', '25006', 'P0004') $$;

comment on function domain_events._propagates(text) is
  'True for errors that fail the user''s statement under dead_letter too: the transaction has to be retried, or the server is ill';

create function domain_events._keep_failure(
  capture_id int, operation text, aggregate_id text, event_type text, event_name text, event_data jsonb, metadata jsonb,
  error_code text, error_message text
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  config domain_events.capture_config;
  has_secrets boolean;
begin
  select * into strict config from domain_events.capture_config c where c.capture_id = _keep_failure.capture_id;
  has_secrets := config.fail_closed or config.include_only
                 or exists (select from domain_events.capture_columns k
                             where k.capture_id = config.capture_id and (k.redacted or not k.captured));
  insert into domain_events.capture_failures
    (table_name, operation, aggregate_type, aggregate_id, event_type, event_name, event_data, metadata,
     correlation_id, causation_id, caused_by, occurred_at, after_version, error_code, error_message)
  values
    (config.table_name, _keep_failure.operation, config.aggregate_type, _keep_failure.aggregate_id, _keep_failure.event_type,
     _keep_failure.event_name, _keep_failure.event_data, domain_events._context_metadata() || _keep_failure.metadata,
     domain_events._context_text('domain_events.correlation_id'), domain_events._context_text('domain_events.causation_id'),
     coalesce(domain_events._context_text('domain_events.actor'), session_user), clock_timestamp(),
     domain_events._stream_version(config.aggregate_type, _keep_failure.aggregate_id), _keep_failure.error_code,
     case when has_secrets then 'withheld: the table has redacted or excluded columns' else _keep_failure.error_message end);
end
$$;

comment on function domain_events._keep_failure(int, text, text, text, text, jsonb, jsonb, text, text) is
  'Keeps an event that could not be stored, whole, with the error';

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
        failure.metadata || jsonb_build_object('late', true, 'failure_id', failure.failure_id, 'after_version', failure.after_version),
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
             error_message = case when f.error_message like 'withheld:%' then f.error_message else message end
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

create function domain_events._capture_truncate(capture_id int, relation oid) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  config domain_events.capture_config;
begin
  select * into config from domain_events.capture_config c
   where c.capture_id = domain_events._find_capture(_capture_truncate.relation) and c.state = 'active';
  if not found then
    return;
  end if;
  perform domain_events._table_event(config.relation, 'TableTruncated',
    jsonb_build_object('aggregate_type', config.aggregate_type)
    || case when config.relation::oid = relation then '{}'
            else jsonb_build_object('partition', domain_events._qualified_name(relation)) end);
  if config.relation::oid = relation then
    -- Every stream has ended: what comes next on one starts from nothing.
    update domain_events.capture_config c set whole_row_after = domain_events._newest_position() where c.capture_id = config.capture_id;
    perform domain_events._write_capture_function(config.capture_id);
    perform domain_events._invalidate_capture(config.relation);
  end if;
end
$$;

comment on function domain_events._capture_truncate(int, oid) is 'Records that a captured table, or a partition of it, was truncated';
