-- The native engine: the hot paths of the portable one, replaced. Same names, arguments and results; privileges, owners and
-- comments stay as the portable script set them. A native function writes the store's table itself and needs nobody's rights
-- for it: who may call it is what decides.

create or replace function domain_events.engine(out engine text, out version text)
language sql immutable parallel safe
as $$ select 'native'::text, '0.1.0'::text $$;

create or replace function domain_events._lock_stream(event_table oid, aggregate_type text, aggregate_id text) returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'de_lock_stream';

create or replace function domain_events._next_own_version(aggregate_type text, aggregate_id text) returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'de_next_own_version';

create or replace function domain_events.next_aggregate_version(
  aggregate_type text, aggregate_id text, event_table regclass default 'domain_events.events'
) returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'de_next_aggregate_version';

create or replace function domain_events._append(event domain_events.events, expected_version bigint) returns domain_events.events
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'de_append_row';

create or replace function domain_events.append_event(
  aggregate_type text, aggregate_id text, event_type text, event_data jsonb default '{}',
  event_name text default null, metadata jsonb default null, expected_version bigint default null,
  event_id uuid default null, caused_by text default null, correlation_id text default null,
  causation_id text default null, occurred_at timestamptz default null, schema_version int default 1
) returns domain_events.events
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'de_append_event';

create or replace function domain_events._write_event(
  aggregate_type text, aggregate_id text, event_type text, event_name text, event_data jsonb, metadata jsonb,
  whole_row_after bigint, occurred_at timestamptz,
  caused_by text default null, correlation_id text default null, causation_id text default null
) returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'de_write_event';

create or replace function domain_events._invalidate_capture(relation regclass) returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'de_invalidate_capture';

-- Asked with a snapshot newer than the transaction's, hence stable: a capture enabled after a REPEATABLE READ transaction
-- began must fail it (40001), not go unnoticed.
create function domain_events._has_capture(relation oid) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select exists (select from domain_events.capture_config c
                  where c.relation = coalesce((select pg_partition_root(r.oid) from pg_class r where r.oid = _has_capture.relation and r.relispartition),
                                              _has_capture.relation))
$$;

comment on function domain_events._has_capture(oid) is 'True when the relation or its partition root is captured';

revoke all on function domain_events._has_capture(oid) from public;

-- Every capture's function is the same C function; its plan comes from the relation that fired it. Only a superuser may
-- create it, so this runs as the one who installed the extension, and gives the function to the store's owner.
create or replace function domain_events._write_capture_function(capture_id int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from domain_events.capture_config c where c.capture_id = _write_capture_function.capture_id) then
    raise exception 'there is no capture %', capture_id
      using errcode = '42704', hint = 'The captured tables are in the view domain_events.captures.';
  end if;
  execute format('create or replace function domain_events.%I() returns trigger language c as ''MODULE_PATHNAME'', ''de_capture''',
                 'capture_' || capture_id);
  execute format('alter function domain_events.%I() owner to %I', 'capture_' || capture_id,
                 (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = 'domain_events.events'::regclass));
end
$$;

select domain_events._write_capture_function(c.capture_id) from domain_events.capture_config c;
