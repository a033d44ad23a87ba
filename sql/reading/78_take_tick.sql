-- Taking ticks: see reading/74_ticks.sql for what a tick is.

-- Another reader's transaction may have been committed asynchronously after all.
create function domain_events._is_flushed(tick domain_events.ticks) returns boolean
language sql volatile
as $$
  select case when pg_catalog.pg_is_in_recovery() or tick.taken_by = pg_catalog.pg_current_xact_id_if_assigned()
              then true
              else tick.written_up_to <= pg_catalog.pg_current_wal_flush_lsn() end
$$;

comment on function domain_events._is_flushed(domain_events.ticks) is
  'Whether all that is visible in a tick survives a crash of this server, or it is this transaction''s own';

create function domain_events._newest_tick() returns domain_events.ticks
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  newest domain_events.ticks;
begin
  -- Not just the last: a transaction with a fixed snapshot may have taken that.
  select n.* into newest
    from (select t.* from domain_events.ticks t order by t.tick desc limit 20) as n
   where domain_events._is_flushed(n)
   order by n.boundary desc, pg_snapshot_xmax(n.snapshot) desc,
            (select count(*) from pg_snapshot_xip(n.snapshot)), n.tick desc
   limit 1;
  return newest;
end
$$;

comment on function domain_events._newest_tick() is
  'The tick that shows most, among the newest and as far as it survives a crash; or null';

-- Those that the snapshot does not show, although they may have drawn positions up to position_before: whichever have
-- written events. From one to the next in the index: each may have written a million.
create function domain_events._late_transactions(tick domain_events.ticks) returns xid8[]
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
set enable_sort = off set jit = off
as $$
declare
  late xid8[] := array(select pg_snapshot_xip(tick.snapshot));
  unlisted xid8 := pg_snapshot_xmax(tick.snapshot);
begin
  select e.transaction_id into unlisted from domain_events.events e
   where e.transaction_id >= unlisted and e.transaction_id <= tick.top
   order by e.transaction_id, e.global_position limit 1;
  while found loop
    late := late || unlisted;
    select e.transaction_id into unlisted from domain_events.events e
     where e.transaction_id > unlisted and e.transaction_id <= tick.top
     order by e.transaction_id, e.global_position limit 1;
  end loop;
  return late;
end
$$;

comment on function domain_events._late_transactions(domain_events.ticks) is
  'Transactions that were running when a tick was taken: in its list, or above its xmax and in no list';

-- No tick is taken while an adoption moves old events below the new ones, unless its readers pass it.
create function domain_events._holds_readers(adoption domain_events.adoptions) returns boolean
language sql immutable
as $$
  select adoption.state = 'moving' and adoption.readers = 'wait' and adoption.last_position >= adoption.first_position
$$;

comment on function domain_events._holds_readers(domain_events.adoptions) is
  'Whether readers of the whole store wait until an adoption has ended';

create function domain_events._has_ended(adoption domain_events.adoptions, tick domain_events.ticks) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  if adoption.state = 'moving' or adoption.ended_in is null then
    return adoption.state <> 'moving';
  elsif adoption.ended_cluster = (select e.cluster from domain_events.eras e where e.era = tick.era) then
    return domain_events._is_visible(adoption.ended_in, tick);
  end if;
  -- In another cluster: before a restore if that has eras, all older than the tick's; else after one.
  return coalesce(tick.era > (select max(e.era) from domain_events.eras e where e.cluster = adoption.ended_cluster),
                  false);
end
$$;

comment on function domain_events._has_ended(domain_events.adoptions, domain_events.ticks) is
  'Whether an adoption had ended when a tick was taken';

create function domain_events._has_news(tick domain_events.ticks) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
set enable_sort = off set jit = off
as $$
declare
  own constant xid8 := pg_current_xact_id_if_assigned();
begin
  return domain_events._last_position() <> tick.position_after
         -- The server was set back.
         or tick.top >= pg_snapshot_xmax(pg_current_snapshot()) and tick.taken_by is distinct from own
         or tick.boundary < (domain_events._newest_era()).boundary
         -- Its own events are not for this transaction.
         or exists (select from unnest(domain_events._late_transactions(tick)) as l(transaction_id)
                     cross join lateral (
                       select from domain_events.events e
                        where l.transaction_id is distinct from own
                          and row(e.transaction_id, e.global_position) > row(l.transaction_id, tick.boundary)
                          and row(e.transaction_id, e.global_position) <= row(l.transaction_id, tick.position_after)
                        order by e.transaction_id, e.global_position limit 1) as late)
         -- Those above top, by their numbers; but by the positions where older events may have any number.
         or case tick.boundary
              when 0 then exists (select from domain_events.events e
                                   where e.transaction_id > tick.top
                                     and e.transaction_id >= pg_snapshot_xmin(tick.snapshot)
                                     and e.transaction_id < pg_snapshot_xmax(pg_current_snapshot())
                                     and e.transaction_id is distinct from own
                                     and not domain_events._is_visible(e.transaction_id, tick))
              else exists (select from domain_events.events e
                            where e.global_position > tick.position_before and e.global_position <= tick.position_after
                              and e.transaction_id is distinct from own
                              and not domain_events._is_visible(e.transaction_id, tick)) end
         or exists (select from domain_events.adoptions a
                     where a.state <> 'moving' and a.readers = 'wait' and not domain_events._has_ended(a, tick));
end
$$;

comment on function domain_events._has_news(domain_events.ticks) is
  'Whether an event may have been committed since a tick was taken';

create function domain_events._next_boundary() returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  boundary constant bigint := greatest(domain_events._newest_position(),
                                       (select max(t.position_after) from domain_events.ticks t),
                                       (select max(e.boundary) + 1 from domain_events.eras e));
begin
  -- Restored behind the events: what is drawn from now on lies above.
  if boundary > domain_events._last_position() then
    perform setval('domain_events.events_global_position_seq', boundary);
  end if;
  return boundary;
end
$$;

comment on function domain_events._next_boundary() is
  'The position that was drawn last, above those of all events, ticks and eras';

-- Everything up to the position that is drawn last is committed as soon as nobody writes: the lock says so, and is
-- given back at once, whatever the transaction goes on to do. Who waits for it lets writers queue: for 20 ms at most,
-- and only in the first tenth of a second, by the clock that all readers have. At other times it is only tried.
create function domain_events._settled_position() returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp set lock_timeout = '20ms'
as $$
declare
  settled bigint;
  signal text;
begin
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
    return null;  -- a snapshot of before would not show what is committed
  elsif date_part('milliseconds', clock_timestamp())::int % 1000 < 100 then
    lock table domain_events.events in share row exclusive mode;
  else
    lock table domain_events.events in share row exclusive mode nowait;
  end if;
  settled := domain_events._next_boundary();
  raise exception 'settled' using errcode = 'DE001', constraint = '_settled';  -- gives the lock back
exception
  when lock_not_available then
    return null;
  when sqlstate 'DE001' then
    get stacked diagnostics signal = constraint_name;
    if signal <> '_settled' then
      raise;  -- the code of somebody else's error
    end if;
    return settled;
end
$$;

comment on function domain_events._settled_position() is
  'A position up to which everything is committed, or gone; null when writers could not be waited for, and to a '
  'transaction with a fixed snapshot';

-- A lock that only the store's owner may take, so that nobody else keeps an era from beginning; an advisory key is
-- anybody's who sees it in pg_locks.
create function domain_events._is_alone() returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  lock table domain_events.eras in share update exclusive mode nowait;
  return true;
exception when lock_not_available then
  return false;
end
$$;

comment on function domain_events._is_alone() is
  'Whether no other transaction takes ticks; holds that until the transaction ends';

-- The number of a subtransaction, which is undone: whoever comes later has a higher one, although this transaction has
-- had its own for long. What is undone takes no room among the 64 subtransactions that others find without a search.
create function domain_events._draw_number(own xid8) returns xid8
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  drawn bigint;
  signal text;
begin
  if own is null then
    return null;
  end if;
  insert into domain_events.stream_locks as s (event_table, aggregate_type, aggregate_id)
  values (0, 'number', gen_random_uuid()) returning s.xmin::text into drawn;
  raise exception 'drawn' using errcode = 'DE001', constraint = '_drawn';
exception when sqlstate 'DE001' then
  get stacked diagnostics signal = constraint_name;
  if signal <> '_drawn' then
    raise;  -- the code of somebody else's error
  end if;
  -- The row has the lower 32 bits of 64.
  return (own::text::bigint + ((drawn - own::text::bigint) & 4294967295))::text::xid8;
end
$$;

comment on function domain_events._draw_number(xid8) is
  'For a transaction that has a number, a new one that all later ones are above; else null';

create function domain_events._running_too(snapshot pg_snapshot, transaction_id xid8) returns pg_snapshot
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select case when transaction_id >= pg_snapshot_xmax(snapshot) then snapshot
              else format('%s:%s:%s', least(pg_snapshot_xmin(snapshot), transaction_id), pg_snapshot_xmax(snapshot),
                          (select string_agg(r.running::text, ',' order by r.running)
                             from (select x.running from pg_snapshot_xip(snapshot) as x(running)
                                   union select transaction_id) as r))::pg_snapshot end
$$;

comment on function domain_events._running_too(pg_snapshot, xid8) is
  'A snapshot in which a transaction is not visible, whatever it was before';

-- A server that was set back, to a copy of its files or by a crash, has been started anew.
create function domain_events._place() returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  return format('%s/%s/%s/%s', left(pg_walfile_name(pg_current_wal_lsn()), 8),
                (select d.oid from pg_database d where d.datname = current_database()),
                'domain_events.events'::regclass::oid, extract(epoch from pg_postmaster_start_time()));
end
$$;

comment on function domain_events._place() is
  'Timeline of this server''s log, database, table of events, and when the server was started';

create function domain_events._insert_era(boundary bigint, top xid8 default null) returns domain_events.eras
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  era domain_events.eras;
begin
  insert into domain_events.eras as e (tag, boundary, cluster, place, top)
  values (left(replace(gen_random_uuid()::text, '-', ''), 8), boundary, domain_events._cluster(),
          domain_events._place(), top)
  returning e.* into era;
  return era;
end
$$;

comment on function domain_events._insert_era(bigint, xid8) is 'Begins an era of this server with a boundary';

-- A vacuum or a long transaction may hold the table for hours. An era that waits for those that are open now is noted
-- once; the next reader finds that they have ended.
create function domain_events._note_era() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  boundary constant bigint := domain_events._next_boundary();
begin
  perform domain_events._insert_era(boundary, coalesce(
            domain_events._draw_number(pg_current_xact_id_if_assigned()), pg_current_xact_id()));
end
$$;

comment on function domain_events._note_era() is
  'Notes an era that serves when all transactions that are open now have ended';

create function domain_events._current_era(is_alone boolean) returns domain_events.eras
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  last constant domain_events.eras := domain_events._newest_era();
  boundary bigint;
  other domain_events.eras;
  newest domain_events.ticks := domain_events._newest_tick();
  this_cluster constant bigint := domain_events._cluster();
  this_place constant text := domain_events._place();
begin
  if last.era is null then
    if this_cluster <> 0 and this_cluster = pg_sequence_last_value('domain_events.installed_in')
       and not exists (select from domain_events.events e
                        where e.transaction_id >= pg_snapshot_xmax(pg_current_snapshot())
                          and e.transaction_id is distinct from pg_current_xact_id_if_assigned()) then
      boundary := 0;
    end if;
  elsif last.cluster = this_cluster
        -- Neither was reset to an earlier number.
        and (newest.tick is null
             or (newest.taken_by = pg_current_xact_id_if_assigned()
                 or pg_snapshot_xmax(pg_current_snapshot()) > newest.top)
                and domain_events._last_position() >= newest.position_after) then
    if last.place = this_place then
      return last;
    end if;
    boundary := last.boundary;
  end if;
  -- Two readers may begin one each, as the numbers are the same; but the first has mostly done it in a moment, unless
  -- its transaction goes on for long.
  if not is_alone then
    perform pg_sleep(0.05);
    other := domain_events._newest_era();
    if other.era <> coalesce(last.era, 0) and other.cluster = this_cluster and other.place = this_place then
      return other;
    end if;
  end if;
  if boundary is null
     and not exists (select from domain_events.adoptions a where domain_events._holds_readers(a)) then
    boundary := domain_events._settled_position();
    if boundary is null and not exists (select from domain_events.eras e
                                         where e.top >= pg_snapshot_xmin(pg_current_snapshot())
                                           and e.cluster = this_cluster and e.place = this_place) then
      perform domain_events._note_era();
    end if;
  end if;
  return case when boundary is not null then domain_events._insert_era(boundary) end;
end
$$;

comment on function domain_events._current_era(boolean) is
  'The era of this server, begun where there is none yet; null when writers could not be waited for';

create function domain_events.take_tick(at_once boolean default false) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  newest domain_events.ticks := domain_events._newest_tick();
  taken domain_events.ticks;
  era domain_events.eras;
  older record;
  is_alone boolean;
  is_held boolean;
begin
  if pg_is_in_recovery() or current_setting('transaction_read_only')::boolean
     or newest.tick is not null
        and (not coalesce(at_once, false) and abs(extract(epoch from clock_timestamp() - newest.taken_at)) < 0.01
             or not domain_events._has_news(newest))
     or exists (select from domain_events.adoptions a where domain_events._holds_readers(a)) then
    return false;
  end if;
  -- One reader at a time takes a tick, and the others read up to it; unless its transaction goes on for long.
  is_alone := domain_events._is_alone();
  if not is_alone and not coalesce(at_once, false)
     and abs(extract(epoch from clock_timestamp() - newest.taken_at)) < 0.1 then
    return false;
  end if;
  era := domain_events._current_era(is_alone);
  if era.era is null then
    return false;
  end if;
  -- Up to the boundary of its era everything is visible; the sequence may have stood below.
  taken.position_before := greatest(domain_events._last_position(), era.boundary);
  taken.top := coalesce(domain_events._draw_number(pg_current_xact_id_if_assigned()), pg_current_xact_id());
  taken.taken_by := pg_current_xact_id();
  if taken.top::text::bigint - pg_snapshot_xmax(pg_current_snapshot())::text::bigint > 1000 then
    -- Of a fixed snapshot: whoever has come since would have to be looked for, one transaction after the other.
    select t.position_before, t.top into older from domain_events.ticks t
     where t.boundary = era.boundary and t.top < pg_snapshot_xmax(pg_current_snapshot())
     order by t.tick desc limit 1;
    if found then
      taken.position_before := older.position_before;
      taken.top := greatest(older.top, pg_snapshot_xmin(pg_current_snapshot()));
    end if;
  end if;
  select domain_events._running_too(pg_current_snapshot(), taken.taken_by),
         exists (select from domain_events.adoptions a where domain_events._holds_readers(a))
    into taken.snapshot, is_held;
  if is_held then
    return false;
  end if;
  taken.position_after := domain_events._last_position();
  insert into domain_events.ticks as t (era, boundary, position_before, top, taken_by, snapshot, position_after)
  values (era.era, era.boundary, taken.position_before, taken.top, taken.taken_by, taken.snapshot, taken.position_after)
  returning t.* into taken;
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  -- The newest 10,000 are kept, and of each era the newest, by which a cursor of a lost timeline is told.
  if taken.tick % 256 = 0 then
    begin
      delete from domain_events.ticks
       where tick in (select t.tick from domain_events.ticks t
                       where t.tick < taken.tick - 10000
                         and t.tick <> (select max(n.tick) from domain_events.ticks n where n.era = t.era)
                         for update skip locked);
    exception when serialization_failure then
      null;  -- somebody else has done it since this transaction's snapshot
    end;
  end if;
  return true;
end
$$;

comment on function domain_events.take_tick(boolean) is
  'Takes a tick if there is something new and the last is older than 10 ms (at_once: whatever its age), and returns '
  'whether it did. Readers on the primary do so by themselves; called there for readers on standbys. '
  'Takes none where nothing can be written, and while an adoption holds readers back.';

create function domain_events.begin_era() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from domain_events.adoptions a where domain_events._holds_readers(a)) then
    raise exception 'an adoption or import is moving events'
      using errcode = '55000', hint = 'Call it when that has ended: select * from domain_events.adoptions.';
  end if;
  perform domain_events._note_era();
end
$$;

comment on function domain_events.begin_era() is
  'Readers of the whole store see all that is committed by now, whatever the numbers of its transactions, as soon as '
  'those that are open now have ended: for events that were replicated or restored into a store in use. '
  'Raises 55000 while an adoption moves events.';
