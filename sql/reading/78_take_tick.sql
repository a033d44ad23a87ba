-- Taking ticks: see reading/74_ticks.sql for what a tick is.

-- Another reader's transaction may have been committed asynchronously after all.
create function domain_events._is_flushed(tick domain_events.ticks) returns boolean
language sql volatile
as $$
  select case when pg_catalog.pg_is_in_recovery() or tick.top = pg_catalog.pg_current_xact_id_if_assigned() then true
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
  late xid8[] := array(select pg_snapshot_xip(tick.snapshot)) || tick.top;
  unlisted xid8 := pg_snapshot_xmax(tick.snapshot);
begin
  select e.transaction_id into unlisted from domain_events.events e
   where e.transaction_id >= unlisted and e.transaction_id < tick.top
   order by e.transaction_id, e.global_position limit 1;
  while found loop
    late := late || unlisted;
    select e.transaction_id into unlisted from domain_events.events e
     where e.transaction_id > unlisted and e.transaction_id < tick.top
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
language sql immutable
as $$
  select adoption.state <> 'moving'
         and (adoption.ended_in is null or adoption.ended_era < tick.era
              or adoption.ended_era = tick.era and domain_events._is_visible(adoption.ended_in, tick))
$$;

comment on function domain_events._has_ended(domain_events.adoptions, domain_events.ticks) is
  'Whether an adoption had ended when a tick was taken';

create function domain_events._has_news(tick domain_events.ticks) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
set enable_sort = off set jit = off
as $$
begin
  return domain_events._last_position() <> tick.position_after
         or exists (select from unnest(domain_events._late_transactions(tick)) as l(transaction_id)
                     cross join lateral (
                       select from domain_events.events e
                        where row(e.transaction_id, e.global_position) > row(l.transaction_id, tick.boundary)
                          and row(e.transaction_id, e.global_position) <= row(l.transaction_id, tick.position_after)
                        order by e.transaction_id, e.global_position limit 1) as late)
         -- Those above top, by their numbers; but by the positions where older events may have any number.
         or case tick.boundary
              when 0 then exists (select from domain_events.events e
                                   where e.transaction_id > tick.top
                                     and e.transaction_id < pg_snapshot_xmax(pg_current_snapshot()))
              else exists (select from domain_events.events e
                            where e.global_position > tick.position_before and e.global_position <= tick.position_after
                              and not domain_events._is_visible(e.transaction_id, tick)) end
         or exists (select from domain_events.adoptions a
                     where a.state <> 'moving' and a.readers = 'wait' and not domain_events._has_ended(a, tick));
end
$$;

comment on function domain_events._has_news(domain_events.ticks) is
  'Whether an event may have been committed since a tick was taken';

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
  if date_part('milliseconds', clock_timestamp())::int % 1000 < 100 then
    lock table domain_events.events in share row exclusive mode;
  else
    lock table domain_events.events in share row exclusive mode nowait;
  end if;
  settled := greatest(domain_events._newest_position(), (select max(t.position_after) from domain_events.ticks t),
                      (select max(e.boundary) + 1 from domain_events.eras e));
  -- Restored behind the events: what is drawn from now on lies above.
  if settled > domain_events._last_position() then
    perform setval('domain_events.events_global_position_seq', settled);
  end if;
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
  'A position up to which everything is committed, or gone; null when writers could not be waited for';

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

create function domain_events._current_era(is_alone boolean) returns domain_events.eras
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  era domain_events.eras;
  other domain_events.eras;
  newest domain_events.ticks := domain_events._newest_tick();
  this_cluster constant bigint := domain_events._cluster();
  -- A server that was set back, to a copy of its files or by a crash, has been started anew.
  this_place constant text := format('%s/%s/%s/%s', left(pg_walfile_name(pg_current_wal_lsn()), 8),
                                     (select d.oid from pg_database d where d.datname = current_database()),
                                     'domain_events.events'::regclass::oid,
                                     extract(epoch from pg_postmaster_start_time()));
  settled bigint;
begin
  select e.* into era from domain_events.eras e order by e.era desc limit 1;
  if era.era is null then
    if this_cluster <> 0 and this_cluster = pg_sequence_last_value('domain_events.installed_in')
       and not exists (select from domain_events.events e
                        where e.transaction_id >= pg_snapshot_xmax(pg_current_snapshot())
                          and e.transaction_id is distinct from pg_current_xact_id_if_assigned()) then
      settled := 0;
    end if;
  elsif era.cluster = this_cluster
        -- Neither was reset to an earlier number.
        and (newest.tick is null
             or (newest.top = pg_current_xact_id_if_assigned()
                 or pg_snapshot_xmax(pg_current_snapshot()) > newest.top)
                and domain_events._last_position() >= newest.position_after) then
    if era.place = this_place then
      return era;
    end if;
    settled := era.boundary;
  end if;
  if settled is null and is_alone
     and not exists (select from domain_events.adoptions a where domain_events._holds_readers(a)) then
    settled := domain_events._settled_position();
  end if;
  if settled is not null then
    -- Two readers may begin one each, as the numbers are the same, and so is the boundary; but the first is mostly done
    -- in a moment.
    if not is_alone then
      perform pg_sleep(0.05);
      select e.* into other from domain_events.eras e
       where e.cluster = this_cluster and e.place = this_place and e.boundary = settled
       order by e.era desc limit 1;
      if found then
        return other;
      end if;
    end if;
    insert into domain_events.eras as e (tag, boundary, cluster, place)
    values (left(replace(gen_random_uuid()::text, '-', ''), 8), settled, this_cluster, this_place)
    returning e.* into era;
    return era;
  end if;
  return null;
end
$$;

comment on function domain_events._current_era(boolean) is
  'The era of this server, begun where there is none yet; null when writers could not be waited for, '
  'or somebody else is waiting for them';

create function domain_events.take_tick(at_once boolean default false) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  newest domain_events.ticks := domain_events._newest_tick();
  taken domain_events.ticks;
  era domain_events.eras;
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
  if pg_current_xact_id_if_assigned() is null then
    taken.position_before := domain_events._last_position();
  end if;
  era := domain_events._current_era(is_alone);
  if era.era is null then
    return false;
  elsif taken.position_before is null then
    -- The transaction had its number already: whoever came after it draws its positions above those that were drawn
    -- when a tick before that was taken.
    taken.position_before := (select t.position_before from domain_events.ticks t
                               where t.boundary = era.boundary and t.top <= pg_current_xact_id()
                               order by t.tick desc limit 1);
    if taken.position_before is null
       and exists (select from domain_events.ticks t where t.boundary = era.boundary) then
      return false;  -- too old to bound what came since
    end if;
  end if;
  -- Up to the boundary of its era everything is visible; the sequence may have stood below.
  taken.position_before := greatest(taken.position_before, era.boundary);
  taken.top := pg_current_xact_id();
  select pg_current_snapshot(), exists (select from domain_events.adoptions a where domain_events._holds_readers(a))
    into taken.snapshot, is_held;
  if is_held then
    return false;
  end if;
  taken.position_after := domain_events._last_position();
  insert into domain_events.ticks as t (era, boundary, position_before, top, snapshot, position_after)
  values (era.era, era.boundary, taken.position_before, taken.top, taken.snapshot, taken.position_after)
  returning t.* into taken;
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  -- The newest 10,000 are kept, and of each era the newest, by which a cursor of a lost timeline is told.
  if taken.tick % 256 = 0 and current_setting('transaction_isolation') = 'read committed' then
    delete from domain_events.ticks
     where tick in (select t.tick from domain_events.ticks t
                     where t.tick < taken.tick - 10000
                       and t.tick <> (select max(n.tick) from domain_events.ticks n where n.era = t.era)
                       for update skip locked);
  end if;
  return true;
end
$$;

comment on function domain_events.take_tick(boolean) is
  'Takes a tick if there is something new and the last is older than 10 ms (at_once: whatever its age), and returns '
  'whether it did. Readers on the primary do so by themselves; called there for readers on standbys. '
  'Takes none where nothing can be written, and while an adoption holds readers back.';
