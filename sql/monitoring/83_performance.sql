-- What makes a sound store slow, or will. Looks at the newest events and at the server's own statistics, so that it is
-- cheap at any size; the statistics of other sessions are complete for members of pg_monitor.

-- Times rise with positions, up to the length of a transaction: good enough to find where an hour began, in 60 steps.
create function domain_events._position_at(moment timestamptz) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  low bigint := 0;
  high bigint := (select max(e.global_position) from domain_events.events e);
  middle bigint;
  event record;
begin
  while low < high loop
    middle := low + (high - low) / 2;
    select e.global_position, e.recorded_at into event
      from domain_events.events e where e.global_position > middle order by e.global_position limit 1;
    if event.recorded_at < moment then
      low := event.global_position;
    else
      high := middle;
    end if;
  end loop;
  return low;
end
$$;

comment on function domain_events._position_at(timestamptz) is
  'The position of the last event recorded before a moment, to within the events of one transaction; '
  '0 when there is none';

create function domain_events._stream_performance(
  aggregate_type text, after_position bigint, hour_position bigint,
  out code text, out severity text, out object text, out detail text, out value numeric, out threshold numeric
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set jit = off
as $$
  with thresholds as materialized (
    select domain_events._threshold('max_stream_events') as events,
           domain_events._threshold('max_stream_events_per_hour') as per_hour,
           domain_events._threshold('max_payload_bytes') as bytes
  ), stream as (
    select e.aggregate_type, e.aggregate_id, max(e.aggregate_version) as newest,
           count(*) filter (where e.global_position > _stream_performance.hour_position) as last_hour
      from domain_events.events e
     where e.global_position > least(_stream_performance.after_position, _stream_performance.hour_position)
       and (_stream_performance.aggregate_type is null or e.aggregate_type = _stream_performance.aggregate_type)
     group by e.aggregate_type, e.aggregate_id
  ), payload as (
    select e.aggregate_type, e.event_type, count(*) as events, avg(pg_column_size(e.event_data #> '{}')) as average,
           max(pg_column_size(e.event_data #> '{}')) as largest,
           count(*) filter (where pg_column_size(e.event_data #> '{}') > (select t.bytes from thresholds t)) as large
      from domain_events.events e
     where e.global_position > _stream_performance.after_position
       and (_stream_performance.aggregate_type is null or e.aggregate_type = _stream_performance.aggregate_type)
     group by e.aggregate_type, e.event_type
  )
  select 'stream_long', 'warning', s.aggregate_type || ' ' || s.aggregate_id,
         format('%s events: reading it whole gets slow; keep snapshots', s.newest), s.newest::numeric, t.events
    from stream s, thresholds t where s.newest > t.events
  union all
  select 'stream_busy', 'warning', s.aggregate_type || ' ' || s.aggregate_id,
         format('%s events within the last hour: its writers wait for each other', s.last_hour), s.last_hour::numeric,
         t.per_hour
    from stream s, thresholds t where s.last_hour > t.per_hour
  union all
  select 'payload_large', 'warning', p.aggregate_type || ' ' || p.event_type,
         format('%s of %s events are larger, the largest has %s, the average %s bytes', p.large, p.events, p.largest,
                round(p.average)),
         p.largest::numeric, t.bytes
    from payload p, thresholds t where p.large > 0
$$;

comment on function domain_events._stream_performance(text, bigint, bigint) is
  'Long streams, busy streams and large payloads among the events after a position, an hour''s events after another';

create function domain_events._table_performance(
  out code text, out severity text, out object text, out detail text, out value numeric, out threshold numeric
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set jit = off
as $$
  with store as (
    select c.oid, greatest(c.reltuples, 0)::numeric as vacuumed_rows, age(c.relfrozenxid) as xid_age, s.n_dead_tup,
           s.n_ins_since_vacuum, pg_total_relation_size(c.oid)::numeric as bytes,
           -- As the planner reckons: the density that the last analyze saw. Unknown where the table has grown beyond
           -- what that saw.
           case when c.relpages > 0 and c.reltuples > 0
                and z.pages <= 2 * c.relpages then c.reltuples::numeric * z.pages / c.relpages end as rows,
           o.option, domain_events._threshold('max_vacuum_lag') as lag
      from pg_class c left join pg_stat_all_tables s on s.relid = c.oid
     cross join lateral (select pg_relation_size(c.oid)::numeric / current_setting('block_size')::numeric as pages) as z
     cross join lateral (select (select jsonb_object_agg(g.name, g.setting) from pg_settings g
                                  where g.name like 'autovacuum%')
                                || coalesce((select jsonb_object_agg(t.option_name, t.option_value)
                                               from pg_options_to_table(c.reloptions) as t), '{}') as option) as o
     where c.oid = 'domain_events.events'::regclass
  ), vacuum as (
    select s.oid, s.n_ins_since_vacuum, s.n_dead_tup, s.lag,
           current_setting('autovacuum')::boolean
           and coalesce((s.option ->> 'autovacuum_enabled')::boolean, true) as is_on,
           3 * (s.option ->> 'autovacuum_naptime')::double precision as patience,
           case when (s.option ->> 'autovacuum_vacuum_insert_threshold')::numeric >= 0
                then nullif((s.option ->> 'autovacuum_vacuum_insert_threshold')::numeric
                            + (s.option ->> 'autovacuum_vacuum_insert_scale_factor')::numeric * s.vacuumed_rows,
                            0) end as insert_limit,
           nullif(least((s.option ->> 'autovacuum_vacuum_threshold')::numeric
                        + (s.option ->> 'autovacuum_vacuum_scale_factor')::numeric * s.vacuumed_rows,
                        case when (s.option ->> 'autovacuum_vacuum_max_threshold')::numeric >= 0
                               then (s.option ->> 'autovacuum_vacuum_max_threshold')::numeric end), 0) as dead_limit
      from store s
  ), late as (
    -- Autovacuum comes to a database once in its naptime, and may be busy elsewhere. When the limit was passed tells
    -- the event that was stored then: every row, dead or alive, has drawn a position.
    select v.insert_limit, v.dead_limit, v.n_ins_since_vacuum, v.n_dead_tup, v.lag, max(x.ratio) as ratio
      from vacuum v
     cross join lateral (values (v.n_ins_since_vacuum / v.insert_limit, v.n_ins_since_vacuum - v.lag * v.insert_limit),
                                (v.n_dead_tup / v.dead_limit, v.n_dead_tup - v.lag * v.dead_limit)) as x(ratio, excess)
     where x.ratio > v.lag and not exists (select from pg_stat_progress_vacuum p where p.relid = v.oid)
       and (not v.is_on
            or exists (select from (select e.recorded_at, e.origin from domain_events.events e
                                     where e.global_position > (select domain_events._last_position()) - ceil(
                                         x.excess)::bigint
                                     order by e.global_position limit 1) as passed
                        where passed.origin not in ('imported', 'adopted')
                          and passed.recorded_at < clock_timestamp() - make_interval(secs => v.patience)))
     group by 1, 2, 3, 4, 5
  ), day as (
    select domain_events._last_position() - domain_events._position_at(clock_timestamp() - interval '1 day') as events
  ), index as (
    select i.indexrelid, c.relname, i.indisunique, s.idx_scan, pg_relation_size(i.indexrelid)::numeric as bytes,
           i.indisvalid,
           -- A tuple, its line pointer, and pages filled to nine tenths.
           store.rows * (12 + (select case when count(*) = count(u.bytes) then sum(u.bytes) end from pg_attribute a
                                 left join pg_stats w on w.schemaname = 'domain_events' and w.tablename = 'events'
                                           and w.attname = a.attname
                                cross join lateral (select case when a.attlen > 0 then a.attlen
                                                                else w.avg_width end as bytes) as u
                                where a.attrelid = i.indexrelid)) / 0.9 + 16384 as compact
      from store join pg_index i on i.indrelid = store.oid join pg_class c on c.oid = i.indexrelid
      left join pg_stat_all_indexes s on s.indexrelid = i.indexrelid
  )
  select f.code, f.severity, f.object, f.detail, f.value, f.threshold
    from (
      select 'table_large' as code, 'warning' as severity, 'domain_events.events' as object,
             format('%s with its indexes', pg_size_pretty(s.bytes)) as detail, s.bytes as value,
             domain_events._threshold('max_table_bytes') as threshold
        from store s
      union all
      select 'growth_fast', 'warning', 'domain_events.events',
             format('about %s within the last 24 hours', pg_size_pretty(d.events * s.bytes / s.rows)),
             d.events * s.bytes / s.rows, domain_events._threshold('max_growth_bytes_per_day')
        from store s, day d where s.rows > 0
      union all
      select 'event_large', 'warning', 'domain_events.events',
             format('%s bytes per event, indexes included', round(s.bytes / s.rows)), round(s.bytes / s.rows),
             domain_events._threshold('max_bytes_per_event')
        from store s where s.rows >= 10000
      union all
      select 'index_bloated', 'warning', 'domain_events.' || i.relname,
             format('%s, %s times what it would be when built anew: reindex index concurrently',
                    pg_size_pretty(i.bytes), round(i.bytes / i.compact, 1)),
             round(i.bytes / i.compact, 1), domain_events._threshold('max_index_bloat')
        from index i, store s where i.bytes > domain_events._threshold('min_index_bytes') and s.rows is not null
      union all
      select 'index_invalid', 'error', 'domain_events.' || i.relname,
             'an index build failed: drop the index or build it again', 1, 0
        from index i where not i.indisvalid
      union all
      -- What keys enforce is use enough; a standby counts its own reads only.
      select 'index_unused', 'warning', 'domain_events.' || i.relname,
             format('%s that no query has read since the statistics began', pg_size_pretty(i.bytes)), 1, 0
        from index i where i.idx_scan = 0 and not i.indisunique and i.relname <> 'events_transaction_id_idx'
             and i.bytes > domain_events._threshold('min_index_bytes') and not pg_is_in_recovery()
      union all
      select 'autovacuum_off', 'warning', 'domain_events.events',
             'autovacuum is switched off: indexes are read without the visibility map and xids are not frozen', 1, 0
        from vacuum v where not v.is_on
      union all
      select 'vacuum_late', 'warning', 'domain_events.events',
             format('%s rows inserted and %s dead since the last vacuum, which autovacuum starts at %s and %s',
                    l.n_ins_since_vacuum, l.n_dead_tup, round(l.insert_limit), round(l.dead_limit)),
             round(l.ratio, 1), l.lag
        from late l
      union all
      select 'xid_age', 'error', 'domain_events.events',
             format('%s transactions since its oldest unfrozen row: vacuum (freeze) it', s.xid_age), s.xid_age,
               domain_events._threshold('max_xid_age')
        from store s
      union all
      select 'sequence_low', case when q.used > 0.9 then 'error' else 'warning' end,
             'domain_events.events_global_position_seq',
             format('%s %% of the positions are used', round(100 * q.used, 1)), q.used,
             domain_events._threshold('max_sequence_used')
        from (select domain_events._last_position()::numeric / s.seqmax as used from pg_sequence s
               where s.seqrelid = 'domain_events.events_global_position_seq'::regclass) as q
    ) as f
   where f.value > f.threshold
$$;

comment on function domain_events._table_performance() is
  'Size, growth, indexes, vacuum, xids and positions, as far as they exceed their thresholds';

-- A transaction that began long ago holds back readers and vacuum. Who may not see other sessions still sees that there
-- is one: events are stored that are newer than the oldest running transaction.
create function domain_events._transaction_performance(
  out code text, out severity text, out object text, out detail text, out value numeric, out threshold numeric
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set jit = off
as $$
  select f.code, 'warning', f.object, f.detail, round(f.seconds), domain_events._threshold('max_transaction_seconds')
    from (
      select 'transaction_old' as code, format('process %s', a.pid) as object,
             format('open for %s s, user %s, %s, state %s: readers and vacuum wait for it',
                    round(extract(epoch from clock_timestamp() - a.xact_start)), a.usename,
                    coalesce(nullif(a.application_name, ''), 'no application name'), a.state) as detail,
             extract(epoch from clock_timestamp() - a.xact_start)::numeric as seconds
        from pg_stat_activity a
       where a.datname = current_database() and a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
         and (a.backend_xid is not null or a.backend_xmin is not null or a.state = 'idle in transaction')
      union all
      select 'prepared_transaction_old', format('prepared transaction %L', p.gid),
             format('waits for COMMIT PREPARED since %s s, owner %s',
                    round(extract(epoch from clock_timestamp() - p.prepared)), p.owner),
             extract(epoch from clock_timestamp() - p.prepared)::numeric
        from pg_prepared_xacts p where p.database = current_database()
      union all
      select 'readers_held_back', 'domain_events.events',
             format('events of the last %s s are newer than the oldest running transaction', round(h.seconds)),
             h.seconds
        from (select extract(epoch from clock_timestamp() - min(e.recorded_at))::numeric as seconds
                from domain_events.events e
               where e.global_position > (
                   select domain_events._last_position() - domain_events._threshold('sample_events')::bigint)
                 and e.transaction_id >= (select pg_snapshot_xmin(pg_current_snapshot()))
                 and e.transaction_id < (select pg_snapshot_xmax(pg_current_snapshot()))) as h
    ) as f
   where f.seconds > domain_events._threshold('max_transaction_seconds')
$$;

comment on function domain_events._transaction_performance() is
  'Transactions, prepared ones too, that are open longer than the threshold';

create function domain_events.check_performance(
  aggregate_type text default null, all_events boolean default false,
  out code text, out severity text, out object text, out detail text, out value numeric, out threshold numeric
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set jit = off
as $$
  select f.*
    from (select domain_events._last_position() as newest,
                 domain_events._threshold('sample_events')::bigint as sample) as p
   cross join lateral (select case when check_performance.all_events then 0
                                   else greatest(p.newest - p.sample, 0) end as oldest) as o
   cross join lateral domain_events._stream_performance(
     check_performance.aggregate_type, o.oldest,
     greatest(domain_events._position_at(clock_timestamp() - interval '1 hour'), o.oldest)) as f
  union all
  select f.* from domain_events._table_performance() as f where check_performance.aggregate_type is null
  union all
  select f.* from domain_events._transaction_performance() as f where check_performance.aggregate_type is null
$$;

comment on function domain_events.check_performance(text, boolean) is
  'What exceeds domain_events.thresholds, one row per finding, with the value and the threshold. '
  'Streams and payloads are judged by the newest events (threshold sample_events), unless all_events is true. '
  'Nothing when all is well.';
