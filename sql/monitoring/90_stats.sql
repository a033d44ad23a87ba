-- The store in numbers. What would take a count of everything is estimated above a million events, and says so.

create function domain_events.stats(
  out metric text, out labels jsonb, out value double precision, out kind text, out description text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set jit = off
as $$
  with store as materialized (
    select c.oid, c.reltuples, pg_relation_size(c.oid) as heap, pg_total_relation_size(c.oid) as total,
           pg_indexes_size(c.oid) as indexes, age(c.relfrozenxid) as xid_age,
           domain_events._last_position() as position,
           (select min(e.global_position) from domain_events.events e) as first_position,
           c.reltuples::numeric * pg_relation_size(c.oid)
           / (nullif(c.relpages, 0) * current_setting('block_size')::numeric) as estimate
      from pg_class c where c.oid = 'domain_events.events'::regclass
  ), recent as materialized (
    select p.name, p.seconds, domain_events._position_at(
        clock_timestamp() - make_interval(secs => p.seconds)) as position
      from (values ('1m', 60), ('1h', 3600), ('24h', 86400)) as p(name, seconds)
    union all
    select 'all', null, 0
  ), counted as materialized (
    -- The integrity check has counted the events of whole blocks of positions; the others are counted here, if they are
    -- not too many.
    select r.name, r.position, s.position - r.position as positions,
           case when s.position - b.last <= 1000000 or s.reltuples <= 1000000
                then b.events + (select count(*) from domain_events.events e
                                  where e.global_position > r.position and e.global_position <= b.first)
                              + (select count(*) from domain_events.events e
                                  where e.global_position > b.last) end as events
      from recent r cross join store s
     cross join lateral (select coalesce(min(k.block) * 100000, r.position) as first,
                                coalesce(max(k.last_position), r.position) as last,
                                  coalesce(sum(k.events - k.lost), 0) as events
                           from domain_events.integrity_blocks k where k.block * 100000 >= r.position) as b
  ), size as materialized (
    select coalesce(c.events, round(s.estimate), s.reltuples::numeric) as events, c.events is null as is_estimate,
           s.reltuples > 1000000 as is_large
      from store s join counted c on c.name = 'all'
  )
  select m.metric, m.labels, m.value::double precision, m.kind, m.description
    from (
      select 'events' as metric, jsonb_build_object('estimated', z.is_estimate) as labels, z.events as value,
             'gauge' as kind, 'Events in the store' as description from size z
      union all
      select 'streams', jsonb_build_object('estimated', z.is_large),
             case when z.is_large
                  then coalesce((select case when w.n_distinct < 0 then -w.n_distinct * z.events else w.n_distinct end
                                   from pg_stats w where w.schemaname = 'domain_events' and w.tablename = 'events'
                                        and w.attname = 'aggregate_id')::numeric, 0)
                  else (select count(*) from (select distinct e.aggregate_type, e.aggregate_id
                                                from domain_events.events e) as d) end,
             'gauge', 'Streams in the store'
        from size z
      union all
      select 'events_recent', jsonb_build_object('window', c.name, 'estimated', c.events is null),
             coalesce(c.events, least(c.positions, z.events)), 'gauge',
             'Events recorded within the window; where estimated, no more than that: positions drawn'
        from counted c, size z where c.name <> 'all'
      union all
      select 'last_position', '{}', s.position, 'counter', 'Position drawn last' from store s
      union all
      select 'first_event_timestamp_seconds', '{}', extract(epoch from e.recorded_at)::numeric, 'gauge',
             'When the first event was recorded'
        from store s join domain_events.events e on e.global_position = s.first_position
      union all
      select 'last_event_timestamp_seconds', '{}', extract(epoch from e.recorded_at)::numeric, 'gauge',
             'When the newest event was recorded'
        from (select e.recorded_at from domain_events.events e order by e.global_position desc limit 1) as e
      union all
      select 'table_bytes', jsonb_build_object('part', p.part), p.bytes, 'gauge', 'Size of the table of events'
        from store s, lateral (values ('heap', s.heap), ('indexes', s.indexes),
                               ('toast', s.total - s.heap - s.indexes)) as p(part, bytes)
      union all
      select 'bytes_per_event', '{}', round(s.total::numeric / z.events), 'gauge',
             'Table and indexes, divided by events' from store s, size z where z.events > 0
      union all
      select 'payload_bytes_average', '{}', round(avg(pg_column_size(e.event_data))), 'gauge',
             'Stored size of event_data, average of the newest 10,000 events'
        from store s join domain_events.events e on e.global_position > s.position - 10000 having count(*) > 0
      union all
      select 'sequence_used_ratio', '{}', s.position / q.seqmax::numeric, 'gauge',
             'Used part of the sequence of positions'
        from store s, pg_sequence q where q.seqrelid = 'domain_events.events_global_position_seq'::regclass
      union all
      select 'xid_age', '{}', s.xid_age, 'gauge', 'Transactions since the oldest unfrozen row' from store s
      union all
      select 'readers_lag_seconds', '{}',
             coalesce((select extract(epoch from clock_timestamp() - min(e.recorded_at))::numeric
                         from domain_events.events e
                        where e.global_position > s.position - 100000
                          and e.transaction_id >= pg_snapshot_xmin(pg_current_snapshot())
                          and e.transaction_id < pg_snapshot_xmax(pg_current_snapshot())), 0),
             'gauge', 'Age of the oldest event that is newer than the oldest running transaction'
        from store s
      union all
      select 'replication_lag_seconds', '{}',
             extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::numeric, 'gauge',
               'On a standby: age of the transaction replayed last'
       where pg_is_in_recovery() and pg_last_xact_replay_timestamp() is not null
      union all
      select 'captures', jsonb_build_object('state', c.state), count(*), 'gauge', 'Captured tables'
        from domain_events.capture_config c group by c.state
      union all
      select 'capture_failures_pending', '{}', count(*), 'gauge', 'Dead letters that wait'
        from domain_events.capture_failures f where f.stored_version is null
      union all
      select 'capture_failures_total', '{}', count(*), 'counter', 'Dead letters ever kept'
        from domain_events.capture_failures
      union all
      select 'verified_position', '{}', i.verified_position, 'gauge', 'Every event up to here was verified'
        from domain_events.integrity_state i
      union all
      select 'integrity_check_timestamp_seconds', '{}', extract(epoch from i.seen_at)::numeric, 'gauge',
             'When integrity was checked last' from domain_events.integrity_state i
      union all
      select 'alerts_open', jsonb_build_object('severity', a.severity), count(*), 'gauge',
             'Alerts that are not resolved'
        from domain_events.alerts a where a.resolved_at is null group by a.severity
      union all
      select 'deadlocks_total', '{}', d.deadlocks, 'counter', 'Deadlocks of this database' from pg_stat_database d
       where d.datname = current_database()
      -- What an event-sourced application calls its metrics.
      union all
      select 'aggregate_events_saved_total', jsonb_build_object('estimated', z.is_estimate), z.events, 'counter',
             'Events persisted' from size z
      union all
      select 'aggregate_events_loaded_total', '{}', coalesce(t.idx_tup_fetch, 0) + coalesce(t.seq_tup_read, 0),
             'counter', 'Events retrieved: rows read from the table, by the server''s statistics'
        from pg_stat_all_tables t where t.relid = 'domain_events.events'::regclass
      union all
      select 'aggregate_operation_duration_seconds_sum', jsonb_build_object('operation', f.funcname),
             (f.total_time / 1000)::numeric, 'summary', 'Time in the store''s functions; needs track_functions'
        from pg_stat_user_functions f
       where f.schemaname = 'domain_events'
         and f.funcname in ('append_event', 'append_events', 'next_aggregate_version', 'read_stream', 'read_all',
                            'fold_stream')
      union all
      select 'aggregate_operation_duration_seconds_count', jsonb_build_object('operation', f.funcname), f.calls,
             'summary', 'Calls of the store''s functions; needs track_functions'
        from pg_stat_user_functions f
       where f.schemaname = 'domain_events'
         and f.funcname in ('append_event', 'append_events', 'next_aggregate_version', 'read_stream', 'read_all',
                            'fold_stream')
    ) as m
   where m.value is not null
$$;

comment on function domain_events.stats() is
  'The store in numbers: size, rates, lag, captures, dead letters. Estimates say so in their labels. '
  '"domain-events monitor --format prometheus" gives them the prefix domain_events_.';
