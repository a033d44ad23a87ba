-- Whether the stored events are what the store promises: versions 1, 2, 3 ..., positions and times that rise with them,
-- nothing lost and nothing slipped in. This file looks at everything; monitoring/82_integrity_incremental.sql at what
-- is new.

-- Events are counted once in blocks of positions. A later count that differs tells that events were removed, or added
-- where no writer adds any: the only trace that deleting a stream's newest event leaves.
create table domain_events.integrity_blocks (
  block         bigint not null,
  last_position bigint not null,
  events        bigint not null,
  lost          bigint not null default 0,
  counted_at    timestamptz not null default pg_catalog.clock_timestamp(),
  constraint integrity_blocks_pkey primary key (block)
);

comment on table domain_events.integrity_blocks is
  'How many events each block of 100,000 positions held when it was verified, so that a later loss is noticed';
comment on column domain_events.integrity_blocks.block is
  'The block: positions block * 100,000 + 1 to (block + 1) * 100,000';
comment on column domain_events.integrity_blocks.last_position is
  'Up to here it is verified: its end, or less in the newest block';
comment on column domain_events.integrity_blocks.events is 'Events when it was verified';
comment on column domain_events.integrity_blocks.lost is
  'Events that were missing when it was counted last; negative when there were more';
comment on column domain_events.integrity_blocks.counted_at is 'When it was counted last';

create function domain_events._last_position() returns bigint
language sql stable set search_path = pg_catalog, pg_temp
as $$ select case when s.is_called then s.last_value else 0 end from domain_events.events_global_position_seq s $$;

comment on function domain_events._last_position() is 'The position drawn last; readable by who may read the sequence';

-- A sequence that was set back makes every event above it look as if nobody had drawn its position: that is one
-- finding. One event alone, far above, was more likely put there.
create function domain_events._sequence_findings(
  out code text, out severity text, out stream_type text, out stream_id text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select 'sequence_behind', 'error', null::text, null::text,
         format('the sequence of positions stands at %s, and events have positions up to %s: '
                'it was set back, or events were restored or replicated without it. '
                'Writes fail or become dead letters until the owner runs: %s',
                s.last, (select max(e.global_position) from domain_events.events e), domain_events._advance_positions())
    from (select domain_events._last_position() as last) as s
   where (select count(*) > 1 or min(above.global_position) <= s.last + 1000
            from (select e.global_position from domain_events.events e where e.global_position > s.last
                   order by e.global_position limit 2) as above)
$$;

comment on function domain_events._sequence_findings() is
  'Whether the sequence of positions is behind the events, and what mends it';

create function domain_events._highest_position() returns bigint
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select case when exists (select from domain_events._sequence_findings()) then 9223372036854775807
              else domain_events._last_position() end
$$;

comment on function domain_events._highest_position() is
  'No event can have a position above it, unless the sequence is what is wrong';

create function domain_events._latest_time() returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp
as $$ select clock_timestamp() + make_interval(
    secs => domain_events._threshold('clock_tolerance_seconds')::double precision) $$;

comment on function domain_events._latest_time() is 'No event can have been recorded later than this';

create function domain_events._count_block(block bigint, last_position bigint) returns bigint
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select count(*) from domain_events.events e
   where e.global_position > _count_block.block * 100000 and e.global_position <= _count_block.last_position
$$;

comment on function domain_events._count_block(bigint, bigint) is
  'How many events a block of positions holds now, up to a position';

-- Everything that is wrong with one stream.
create function domain_events._stream_findings(
  aggregate_type text, aggregate_id text,
  out code text, out severity text, out stream_type text, out stream_id text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp
as $$
  with event as materialized (
    select e.aggregate_version as version, e.global_position as position, e.recorded_at, e.caused_by, e.origin,
           -- Old events of a legacy table keep their times and may name no originator; their positions rise all the
           -- same.
           exists (select from domain_events.adoptions a
                    where e.global_position between a.first_position and a.last_position) as is_adopted,
           lag(e.aggregate_version) over w as version_before,
           lag(e.global_position) over w as position_before, lag(e.recorded_at) over w as recorded_before
      from domain_events.events e
     where e.aggregate_type = _stream_findings.aggregate_type and e.aggregate_id = _stream_findings.aggregate_id
    window w as (order by e.aggregate_version, e.global_position)
  ), total as (
    select count(*) as events, count(distinct version) as versions, min(version) as first, max(version) as newest,
           count(*) filter (where version <= 0) as not_positive,
           (select e.version from event e order by e.position desc limit 1) as newest_by_position,
           (array_agg(version order by version) filter (where version = version_before))[1] as duplicate,
           (array_agg(version order by version) filter (
             where version > version_before + 1 or version_before is null and version > 1))[1] as after_gap,
           (array_agg(version order by version) filter (
             where recorded_at <= recorded_before and not is_adopted or position <= position_before))[1] as not_newer,
           (array_agg(version order by version) filter (
             where position > (select domain_events._highest_position())
                or not is_adopted and (caused_by is null or recorded_at > (select domain_events._latest_time())
                                       or origin in ('imported', 'adopted'))
                or origin <> 'captured' and starts_with(_stream_findings.aggregate_type,
                                                        'domain_events.')))[1] as forged,
           -- The newest of a stream's old events is moved first, the others follow.
           bool_or(is_adopted and exists (select from domain_events.adoptions a
                                           where a.state = 'moving'
                                             and position between a.first_position and a.last_position)) as is_moving
      from event
  )
  select f.code, 'error', _stream_findings.aggregate_type, _stream_findings.aggregate_id, f.detail
    from total t
   cross join lateral (values
     ('duplicate_version', t.duplicate is not null,
      format('version %s is there more than once: %s events share %s versions', t.duplicate, t.events, t.versions)),
     ('version_gap', t.after_gap is not null and not t.is_moving,
      format('the version before %s is missing', t.after_gap)),
     ('count_not_max', t.events <> t.newest and not t.is_moving,
      format('%s events, newest version %s', t.events, t.newest)),
     ('version_not_positive', t.not_positive > 0, format('%s events have a version below 1', t.not_positive)),
     ('order_against_time', t.not_newer is not null,
      format('version %s is not newer than the version before it', t.not_newer)),
     ('stream_head_disagrees', t.newest_by_position <> t.newest,
      format('the newest version is %s, the event stored last has version %s', t.newest, t.newest_by_position)),
     ('forged_event', t.forged is not null,
      format('version %s was not written by the store: it names no originator, lies in the future, '
             'its position was never drawn (likelier: the sequence of positions was set back or restored), '
             'or it has not come as it says',
             t.forged))
   ) as f(code, is_found, detail)
   where f.is_found
$$;

comment on function domain_events._stream_findings(text, text) is
  'What is wrong with the versions, order and origin of one stream, one row per finding';

-- One sort over all events, by a hash of the stream: two streams that share one are both looked at, which does no harm.
-- In a sound stream the versions are the row numbers by position: that is uniqueness, no gap and order at once.
create function domain_events._suspect_streams(aggregate_type text)
returns table (stream_type text, stream_id text)
language plpgsql stable set search_path = pg_catalog, pg_temp set jit = off
as $$
#variable_conflict use_column
declare
  latest timestamptz := domain_events._latest_time();
  suspects bigint[];
begin
  if _suspect_streams.aggregate_type is null then
    suspects := array(
      select distinct s.stream
        from (select e.stream, e.version, row_number() over w as n, e.recorded_at,
                     lag(e.recorded_at) over w as recorded_before, e.is_bad, e.position
                from (select hashtextextended(e.aggregate_id, hashtextextended(e.aggregate_type, 0)) as stream,
                             e.aggregate_version as version, e.global_position as position, e.recorded_at,
                             (e.caused_by is null or e.recorded_at > latest or e.origin in ('imported', 'adopted'))
                             and not exists (select from domain_events.adoptions a
                                              where e.global_position between a.first_position and a.last_position)
                             or e.origin <> 'captured' and starts_with(e.aggregate_type, 'domain_events.') as is_bad
                        from domain_events.events e) as e
              window w as (partition by e.stream order by e.position)) as s
       where s.version <> s.n or s.recorded_at <= s.recorded_before
         and not exists (select from domain_events.adoptions a
                          where s.position between a.first_position and a.last_position) or s.is_bad);
  else
    suspects := array(
      select distinct s.stream
        from (select e.stream, e.version, row_number() over w as n, e.recorded_at,
                     lag(e.recorded_at) over w as recorded_before, e.is_bad, e.position
                from (select hashtextextended(e.aggregate_id, hashtextextended(e.aggregate_type, 0)) as stream,
                             e.aggregate_version as version, e.global_position as position, e.recorded_at,
                             (e.caused_by is null or e.recorded_at > latest or e.origin in ('imported', 'adopted'))
                             and not exists (select from domain_events.adoptions a
                                              where e.global_position between a.first_position and a.last_position)
                             or e.origin <> 'captured' and starts_with(e.aggregate_type, 'domain_events.') as is_bad
                        from domain_events.events e where e.aggregate_type = _suspect_streams.aggregate_type) as e
              window w as (partition by e.stream order by e.position)) as s
       where s.version <> s.n or s.recorded_at <= s.recorded_before
         and not exists (select from domain_events.adoptions a
                          where s.position between a.first_position and a.last_position) or s.is_bad);
  end if;
  if cardinality(suspects) > 0 then
    return query
      select distinct e.aggregate_type, e.aggregate_id
        from unnest(suspects) as s(stream)
        join domain_events.events e on hashtextextended(e.aggregate_id,
                                                        hashtextextended(e.aggregate_type, 0)) = s.stream
       where _suspect_streams.aggregate_type is null or e.aggregate_type = _suspect_streams.aggregate_type;
  end if;
  return query
    select e.aggregate_type, e.aggregate_id from domain_events.events e
     where e.global_position > (select domain_events._highest_position())
       and (_suspect_streams.aggregate_type is null or e.aggregate_type = _suspect_streams.aggregate_type);
end
$$;

comment on function domain_events._suspect_streams(text) is
  'The streams, of one type or all, with whose events something is wrong; a stream may come twice';

-- What captures left behind: looked at in every check, for it costs nothing.
create function domain_events._orphan_findings(
  aggregate_type text,
  out code text, out severity text, out stream_type text, out stream_id text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select 'orphaned_capture', 'error', c.aggregate_type, null::text,
         format('its table %s no longer exists: the rows of its streams cannot be compared with anything', c.table_name)
    from domain_events.capture_config c
   where (_orphan_findings.aggregate_type is null or c.aggregate_type = _orphan_findings.aggregate_type)
     and not exists (select from pg_class r where r.oid = c.relation)
  union all
  select 'orphaned_failure', 'error', f.aggregate_type, f.aggregate_id,
         format('dead letter %s is noted as stored under version %s, which does not exist', f.failure_id,
                f.stored_version)
    from domain_events.capture_failures f
   where (_orphan_findings.aggregate_type is null or f.aggregate_type = _orphan_findings.aggregate_type)
     and f.stored_version is not null
     and not exists (select from domain_events.events e
                      where e.aggregate_type = f.aggregate_type and e.aggregate_id = f.aggregate_id
                        and e.aggregate_version = f.stored_version)
$$;

comment on function domain_events._orphan_findings(text) is
  'Captures without a table, and dead letters whose event is not there';

create function domain_events._block_finding(
  block bigint, lost bigint,
  out code text, out severity text, out stream_type text, out stream_id text, out detail text
)
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select case when lost > 0 then 'events_missing' else 'forged_event' end, 'error', null::text, null::text,
         case when lost > 0
              then format('%s events between positions %s and %s were removed since they were verified', lost,
                          block * 100000 + 1, (block + 1) * 100000)
              else format('%s events between positions %s and %s were added after these had been verified: '
                          'no writer adds them there',
                          -lost, block * 100000 + 1, (block + 1) * 100000)
         end
$$;

comment on function domain_events._block_finding(bigint, bigint) is
  'Tells that a block of positions holds fewer or more events than when it was verified';

-- What was moved from elsewhere is counted when it is done: nobody adds events to such a block, or takes them out.
create function domain_events._adoption_findings(
  out code text, out severity text, out stream_type text, out stream_id text, out detail text
) returns setof record
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select case when now.events > a.events then 'forged_event' else 'events_missing' end, 'error', null::text,
           null::text, format('positions %s to %s held %s events when the adoption of %s ended, now they hold %s',
                              a.first_position, a.last_position, a.events, a.source, now.events)
      from domain_events.adoptions a
     cross join lateral (select count(*) as events from domain_events.events e
                          where e.global_position between a.first_position and a.last_position) as now
     where a.state <> 'moving' and now.events <> a.events;
end
$$;

comment on function domain_events._adoption_findings() is
  'Blocks of positions reserved for old events that hold fewer or more of them than when they were moved';

create function domain_events.check_integrity(
  aggregate_type text default null,
  out code text, out severity text, out stream_type text, out stream_id text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set jit = off
as $$
  select f.*
    from (select distinct s.stream_type, s.stream_id
            from domain_events._suspect_streams(check_integrity.aggregate_type) as s) as suspect
   cross join lateral domain_events._stream_findings(suspect.stream_type, suspect.stream_id) as f
  union all
  select f.*
    from domain_events.integrity_blocks b
    left join (select (e.global_position - 1) / 100000 as block, count(*) as events
                 from domain_events.events e
                where check_integrity.aggregate_type is null
                  and e.global_position <= (select max(v.last_position) from domain_events.integrity_blocks v)
                group by 1) as now on now.block = b.block
   cross join lateral domain_events._block_finding(b.block, b.events - coalesce(now.events, 0)) as f
   where check_integrity.aggregate_type is null and b.events <> coalesce(now.events, 0)
  union all
  select f.* from domain_events._orphan_findings(check_integrity.aggregate_type) as f
  union all
  select f.* from domain_events._adoption_findings() as f where check_integrity.aggregate_type is null
  union all
  select f.* from domain_events._sequence_findings() as f where check_integrity.aggregate_type is null
$$;

comment on function domain_events.check_integrity(text) is
  'Reads every event, of one type or all, and tells what is wrong, one row per finding. No row: all is well. '
  'See check_integrity_incremental() for every minute.';
