-- What the checks call too much. Only what differs from the default is stored, so that a new version may bring better
-- defaults and a restored dump never meets rows that the installation has written already.

create table domain_events.monitor_settings (
  name  text not null,
  value numeric not null,
  constraint monitor_settings_pkey primary key (name)
);

comment on table domain_events.monitor_settings is
  'Thresholds that were changed; read them through the view domain_events.thresholds, '
  'change them with domain_events.set_threshold()';
comment on column domain_events.monitor_settings.name is 'The threshold';
comment on column domain_events.monitor_settings.value is 'Its value';

create function domain_events._threshold_defaults(out name text, out value numeric, out description text)
  returns setof record
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  values
    ('max_stream_events', 1000::numeric, 'Events of a stream, from which a snapshot is worth its while'),
    ('max_stream_events_per_hour', 10000,
     'Events of one stream within an hour: some three a second, each of which holds the stream until its commit'),
    ('max_payload_bytes', 10240, 'Size of event_data as jsonb, decompressed, of one event and of a type''s average'),
    ('max_bytes_per_event', 8192, 'Table and indexes, divided by events'),
    ('max_table_bytes', 536870912000, 'Size of domain_events.events with its indexes'),
    ('max_growth_bytes_per_day', 53687091200, 'Growth within a day, at the rate of the last 24 hours'),
    ('max_index_bloat', 4, 'Size of an index, as a multiple of the size it would have when built anew'),
    ('min_index_bytes', 10485760, 'Smaller indexes are neither bloated nor unused'),
    ('max_vacuum_lag', 2, 'Inserted or dead rows since the last vacuum, as a multiple of autovacuum''s own limit'),
    ('max_sequence_used', 0.5, 'Used part of the sequence of positions'),
    ('max_xid_age', 1000000000, 'Transactions since the oldest unfrozen row; the server stops at 2,147,483,648'),
    ('max_transaction_seconds', 300, 'Age of a transaction; readers and vacuum wait for the oldest'),
    ('sample_events', 100000, 'Newest events that check_performance() looks at, unless it is asked for all'),
    ('checked_rows', 100000, 'Rows, and streams without a row, of each captured table that monitor --full compares; '
                             '0 for none'),
    ('clock_tolerance_seconds', 300, 'How far in the future an event may have been recorded')
$$;

comment on function domain_events._threshold_defaults() is 'The thresholds, their defaults and what they mean';

create view domain_events.thresholds as
  select d.name, coalesce(s.value, d.value) as value, d.value as default_value, d.description
    from domain_events._threshold_defaults() d(name, value, description)
    left join domain_events.monitor_settings s on s.name = d.name;

comment on view domain_events.thresholds is 'What the checks call too much; changed with domain_events.set_threshold()';
comment on column domain_events.thresholds.name is 'The threshold';
comment on column domain_events.thresholds.value is 'Its value here';
comment on column domain_events.thresholds.default_value is 'Its value when nothing was set';
comment on column domain_events.thresholds.description is 'What it limits';

create function domain_events._threshold(name text) returns numeric
language sql stable set search_path = pg_catalog, pg_temp
as $$ select t.value from domain_events.thresholds t where t.name = _threshold.name $$;

comment on function domain_events._threshold(text) is 'The value of one threshold';

create function domain_events.set_threshold(name text, value numeric) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  -- What the checks can calculate with: bytes, rows and positions as bigint, a time that a timestamp can be ahead by.
  highest constant numeric := case name when 'clock_tolerance_seconds' then 1000000000 else 1000000000000000 end;
begin
  if name is null then
    raise exception 'the name of the threshold must not be null'
      using errcode = '22004', hint = 'See the view domain_events.thresholds.';
  elsif not exists (select from domain_events._threshold_defaults() as d where d.name = set_threshold.name) then
    raise exception 'there is no threshold "%"', name
      using errcode = '22023', hint = 'See the view domain_events.thresholds.';
  elsif value < 0 or value > highest then  -- NaN and infinity are greater than any number
    raise exception 'threshold "%" cannot be %', name, value
      using errcode = '22023', hint = format('Give a number from 0 to %s, or null for the default.', highest);
  end if;
  delete from domain_events.monitor_settings s where s.name = set_threshold.name;
  if value is not null then
    insert into domain_events.monitor_settings (name, value) values (set_threshold.name, set_threshold.value);
  end if;
end
$$;

comment on function domain_events.set_threshold(text, numeric) is
  'Changes what the checks call too much; null gives the default back. The names are in the view '
  'domain_events.thresholds.';
