-- The same check for every minute: it begins where the last one ended.
--
-- Positions are drawn before commit, so "everything up to position n is verified" holds only once every transaction
-- that may have drawn a position up to n has ended. Until then an event counts as verified when the last check's
-- snapshot saw it.

create table domain_events.integrity_state (
  only_row           boolean not null default true,
  verified_position  bigint not null,
  seen_position      bigint not null,
  seen_snapshot      pg_snapshot not null,
  seen_at            timestamptz not null,
  next_position      bigint,
  next_horizon       xid8,
  next_block         bigint not null default 0,
  fully_checked_at   timestamptz not null,
  constraint integrity_state_pkey primary key (only_row),
  constraint integrity_state_only_row_check check (only_row)
);

comment on table domain_events.integrity_state is
  'How far domain_events.check_integrity_incremental() has come; empty before its first run';
comment on column domain_events.integrity_state.only_row is 'Always true: there is one row';
comment on column domain_events.integrity_state.verified_position is
  'Every event up to this position was verified, and none can still appear there';
comment on column domain_events.integrity_state.seen_position is 'The newest position when the last check began';
comment on column domain_events.integrity_state.seen_snapshot is
  'Events of transactions that this snapshot sees were verified too';
comment on column domain_events.integrity_state.seen_at is 'When the last check ran';
comment on column domain_events.integrity_state.next_position is
  'Becomes verified_position as soon as no transaction before next_horizon runs any more';
comment on column domain_events.integrity_state.next_horizon is
  'Transactions from here on have drawn no position up to next_position';
comment on column domain_events.integrity_state.next_block is
  'The verified block of positions that the next check counts again';
comment on column domain_events.integrity_state.fully_checked_at is 'When the check began at position 1 the last time';

create table domain_events.integrity_suspects (
  aggregate_type text collate "C" not null,
  aggregate_id   text collate "C" not null,
  found_at       timestamptz not null default pg_catalog.clock_timestamp(),
  constraint integrity_suspects_pkey primary key (aggregate_type, aggregate_id)
);

comment on table domain_events.integrity_suspects is
  'Streams in which something was found: every check looks at them again, whole, until they are sound';
comment on column domain_events.integrity_suspects.aggregate_type is 'The stream''s type';
comment on column domain_events.integrity_suspects.aggregate_id is 'The stream''s id';
comment on column domain_events.integrity_suspects.found_at is 'When the first finding was made';

-- The new events of a stream have to be consecutive, unique, rising, and to follow the newest of the verified ones.
create function domain_events._new_suspects(after_position bigint, seen_position bigint, seen_snapshot pg_snapshot)
returns table (stream_type text, stream_id text)
language sql stable set search_path = pg_catalog, pg_temp set jit = off
as $$
  with new as materialized (
    select e.aggregate_type, e.aggregate_id, e.aggregate_version as version, e.global_position as position,
           e.recorded_at, e.caused_by, e.origin,
           exists (select from domain_events.adoptions a
                    where e.global_position between a.first_position and a.last_position) as is_adopted
      from domain_events.events e
     where e.global_position > _new_suspects.after_position
       and (e.global_position > _new_suspects.seen_position
            or pg_visible_in_snapshot(e.transaction_id, _new_suspects.seen_snapshot) is not true)
  ), ordered as (
    select n.*, lag(n.version) over w as version_before, lag(n.recorded_at) over w as recorded_before,
           lag(n.position) over w as position_before
      from new n
    window w as (partition by n.aggregate_type, n.aggregate_id order by n.version, n.position)
  ), stream as (
    select o.aggregate_type, o.aggregate_id, min(o.version) as first, max(o.version) as newest, count(*) as events,
           min(o.recorded_at) filter (where not o.is_adopted) as recorded_at, min(o.position) as position,
           coalesce(bool_or(o.version <= 0 or o.version <> o.version_before + 1 or o.position <= o.position_before
                   or o.position > (select domain_events._highest_position())
                   or o.origin <> 'captured' and starts_with(o.aggregate_type, 'domain_events.')
                   or not o.is_adopted and (o.recorded_at <= o.recorded_before or o.caused_by is null
                                            or o.origin in ('imported', 'adopted')
                                            or o.recorded_at > (select domain_events._latest_time()))), false) as is_bad
      from ordered o group by o.aggregate_type, o.aggregate_id
  )
  select s.aggregate_type, s.aggregate_id
    from stream s
    left join lateral (
      select e.aggregate_version as version, e.global_position as position, e.recorded_at
        from domain_events.events e
       where e.aggregate_type = s.aggregate_type and e.aggregate_id = s.aggregate_id and e.aggregate_version < s.first
       order by e.aggregate_version desc limit 1) as before on not s.is_bad
    left join lateral (
      select count(*) as events from domain_events.events e
       where e.aggregate_type = s.aggregate_type and e.aggregate_id = s.aggregate_id
         and e.aggregate_version >= s.first) as since on not s.is_bad
   where s.is_bad or s.first <> coalesce(before.version, 0) + 1 or s.recorded_at <= before.recorded_at
         or s.position <= before.position
      or since.events <> s.events
$$;

comment on function domain_events._new_suspects(bigint, bigint, pg_snapshot) is
  'Streams with whose new events something is wrong: those after a position that are above the other position or that '
  'the snapshot did not see';

create function domain_events.check_integrity_incremental(
  from_start boolean default false,
  out code text, out severity text, out stream_type text, out stream_id text, out detail text
) returns setof record
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
#variable_conflict use_column
declare
  state domain_events.integrity_state;
  is_first boolean;
  reads_all boolean;
  may_save boolean := not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off';
  now_snapshot pg_snapshot;
  now_position bigint := domain_events._last_position();
  began timestamptz := clock_timestamp();
  moving_position bigint;
  suspects domain_events.integrity_suspects[];
  counted record;
  horizon xid8;
begin
  -- Of two checks at a time one saves what it found.
  may_save := may_save and pg_try_advisory_xact_lock(domain_events._stream_key('domain_events.Integrity', ''));
  select * into state from domain_events.integrity_state s;
  is_first := not found;
  reads_all := is_first or from_start is true;
  now_snapshot := pg_current_snapshot();
  -- Events still appear where old ones are being moved to.
  moving_position := coalesce((select min(a.first_position) - 1 from domain_events.adoptions a
                                where a.state = 'moving'), now_position);
  if is_first then
    if now_position > 100000 then
      -- So many are not to be looked through again: wait, a few seconds at most, until all that may have drawn one of
      -- these positions have ended. A position is drawn a moment before its transaction may get its number.
      perform pg_sleep(1);
      horizon := pg_snapshot_xmax(pg_current_snapshot());
      for attempt in 1 .. 20 loop
        now_snapshot := pg_current_snapshot();
        exit when pg_snapshot_xmin(now_snapshot) >= horizon;
        perform pg_sleep(0.1);
      end loop;
    end if;
    state := row(true, case when pg_snapshot_xmin(now_snapshot) >= horizon then least(now_position, moving_position)
                            else 0 end, now_position, now_snapshot, began, null, null, 0,
                                 began)::domain_events.integrity_state;
  elsif pg_snapshot_xmin(now_snapshot) >= state.next_horizon then
    state.verified_position := greatest(state.verified_position, least(state.next_position, moving_position));
    state.next_position := null;
  elsif pg_snapshot_xmax(now_snapshot) < state.next_horizon then
    state.next_position := null;  -- a horizon of the server this was restored from
  end if;

  suspects := array(
    select row(s.stream_type, s.stream_id, clock_timestamp())::domain_events.integrity_suspects
      from (select s.stream_type, s.stream_id from domain_events._suspect_streams(null) as s where reads_all
            union
            select s.stream_type, s.stream_id
              from domain_events._new_suspects((select o.verified_position from domain_events.integrity_state o),
                                               state.seen_position, state.seen_snapshot) as s
             where not reads_all
            union
            select s.aggregate_type, s.aggregate_id from domain_events.integrity_suspects s) as s);
  return query
    select f.* from unnest(suspects) as s,
           lateral domain_events._stream_findings(s.aggregate_type, s.aggregate_id) as f;
  return query select f.* from domain_events._orphan_findings(null) as f;
  return query select f.* from domain_events._sequence_findings() as f;
  if reads_all then
    return query select f.* from domain_events._adoption_findings() as f;
  end if;

  -- Counted again: the newest block, one that was verified long ago, and those that something was missing from.
  for counted in
    select b.block, b.events - domain_events._count_block(b.block, b.last_position) as lost
      from domain_events.integrity_blocks b
     where b.lost <> 0 or reads_all
           or b.block in (state.next_block, (select max(newest.block) from domain_events.integrity_blocks newest))
  loop
    if counted.lost <> 0 then
      return query select f.* from domain_events._block_finding(counted.block, counted.lost) as f;
    end if;
    if may_save then
      update domain_events.integrity_blocks b set lost = counted.lost, counted_at = clock_timestamp()
       where b.block = counted.block;
    end if;
  end loop;
  if not may_save then
    return;
  end if;

  delete from domain_events.integrity_suspects s
   where not exists (select from domain_events._stream_findings(s.aggregate_type, s.aggregate_id));
  insert into domain_events.integrity_suspects
  select s.* from unnest(suspects) as s
   where exists (select from domain_events._stream_findings(s.aggregate_type, s.aggregate_id))
  on conflict do nothing;
  -- The position of the check before, at least a second ago, with the horizon of this one: see above.
  if began - state.seen_at > interval '1 second' then
    if state.next_position is null then
      state.next_position := state.seen_position;
      state.next_horizon := pg_snapshot_xmax(now_snapshot);
    end if;
    state.seen_position := now_position;
    state.seen_snapshot := now_snapshot;
    state.seen_at := began;
  end if;
  insert into domain_events.integrity_blocks as known (block, last_position, events)
  select b.block, p.last_position, domain_events._count_block(b.block, p.last_position)
    from generate_series(coalesce((select max(o.block) from domain_events.integrity_blocks o), 0),
                         (state.verified_position - 1) / 100000) as b(block)
   cross join lateral (select least((b.block + 1) * 100000, state.verified_position) as last_position) as p
   where state.verified_position > 0
  on conflict on constraint integrity_blocks_pkey do update
    set last_position = excluded.last_position, events = excluded.events + known.lost
  where known.last_position < excluded.last_position;
  state.next_block := coalesce((select min(b.block) from domain_events.integrity_blocks b
                                 where b.block > state.next_block),
                               (select min(b.block) from domain_events.integrity_blocks b), 0);
  insert into domain_events.integrity_state
  values (true, state.verified_position, state.seen_position, state.seen_snapshot, state.seen_at, state.next_position,
          state.next_horizon, state.next_block, case when reads_all then began else state.fully_checked_at end)
  on conflict on constraint integrity_state_pkey do update
    set verified_position = excluded.verified_position, seen_position = excluded.seen_position,
        seen_snapshot = excluded.seen_snapshot, seen_at = excluded.seen_at, next_position = excluded.next_position,
        next_horizon = excluded.next_horizon, next_block = excluded.next_block,
        fully_checked_at = excluded.fully_checked_at;
end
$$;

comment on function domain_events.check_integrity_incremental(boolean) is
  'As check_integrity(), but reads only what came since its last run, streams with open findings, '
  'and one old block of events; the first run, and from_start => true, read everything. '
  'On a standby or in a read-only transaction it remembers nothing. The reader may call it: '
  'it writes only how far it came.';

create function domain_events.acknowledge_losses() returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  with accepted as (
    update domain_events.integrity_blocks b
       set events = domain_events._count_block(b.block, b.last_position), lost = 0, counted_at = clock_timestamp()
     where b.lost <> 0
    returning 1
  )
  select count(*) from accepted
$$;

comment on function domain_events.acknowledge_losses() is
  'Takes the present number of events for right where events_missing, or a forged_event between positions, '
  'was found and dealt with. Returns how many blocks of positions it did so for.';
