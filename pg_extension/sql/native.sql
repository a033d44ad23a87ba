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
