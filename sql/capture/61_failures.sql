-- What becomes of an event that could not be stored: it is kept, with the error, until it is retried.

create function domain_events._propagates(code text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select left(code, 2) in ('40', '53', '57', '58', 'XX') or code in ('55P03', '25006') $$;

comment on function domain_events._propagates(text) is
  'True for errors that fail the user''s statement under dead_letter too: the transaction has to be retried, '
  'or the server is ill';

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

comment on function domain_events._explain_failure(text, text, text) is
  'Code and message of a failure, of a position that was taken those of _check_positions()';

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
    (config.table_name, _keep_failure.operation, config.aggregate_type, _keep_failure.aggregate_id,
     _keep_failure.event_type, _keep_failure.event_name, _keep_failure.event_data,
     domain_events._context_metadata() || _keep_failure.metadata
       || case when _keep_failure.place is null then '{}'
               else jsonb_build_object('queued', domain_events._late_marks(_keep_failure.place) - 'late') end,
     domain_events._context_text('domain_events.correlation_id'),
     domain_events._context_text('domain_events.causation_id'),
     coalesce(domain_events._context_text('domain_events.actor'), domain_events._session_user()), clock_timestamp(),
     domain_events._stream_version(config.aggregate_type, _keep_failure.aggregate_id), domain_events._newest_position(),
     _keep_failure.error_code,
     case when has_secrets then 'withheld: the table has redacted or excluded columns'
          else left(domain_events._valid_text(_keep_failure.error_message), 8000) end)
  returning failure_id into letter;
  return case when _keep_failure.aggregate_id is null then null else coalesce(_keep_failure.place, - letter) end;
end
$$;

comment on function domain_events._keep_failure(int, text, text, text, text, jsonb, jsonb, text, text, bigint) is
  'Keeps an event that could not be stored, whole, with the error, and returns its place, '
  'which is its own unless it fired late';

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
        failure.metadata || jsonb_build_object('late', true, 'failure_id', failure.failure_id,
                                               'after_version', failure.after_version, 'after_position',
                                               failure.after_position),
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
             error_message = case when f.error_message like 'withheld:%' then f.error_message
                                  else left(domain_events._valid_text(message), 8000) end
       where f.failure_id = failure.failure_id;
    end;
  end loop;
  return stored;
end
$$;

comment on function domain_events.retry_capture_failures(int) is
  'Stores the events kept in capture_failures, oldest first, and returns how many: '
  'each takes its stream''s next version, with its own occurred_at and metadata {"late": true, ..}';
