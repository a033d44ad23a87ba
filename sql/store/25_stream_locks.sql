-- The advisory lock of a stream: its key, and how it is waited for, kept, taken briefly and given back. What it is for:
-- the head of 30_versions.sql.

-- Anybody may take any advisory lock, so the keys have a secret of this installation in them. It is the value of a
-- sequence that nobody is granted to read: a function's text is public, and looking into a table would cost 2 us more
-- per event. It is no more than a hurdle, for whoever sees a key in pg_locks while it is held can take it afterwards:
-- that is why such a lock is only waited for while a writer has it, see _await_stream().
create sequence domain_events.lock_salt as bigint minvalue -9223372036854775808;

comment on sequence domain_events.lock_salt is
  'A secret number, different in every installation, that the keys of advisory locks are made with';

do $$ begin
  perform pg_catalog.setval('domain_events.lock_salt',
                            pg_catalog.hashtextextended(pg_catalog.concat(pg_catalog.gen_random_uuid(),
                                                                          pg_catalog.gen_random_uuid()), 0));
end $$;

-- A constant of every plan that it is called in. A session that made its plans before a restore of the salt takes other
-- keys than those after it: then the unique key alone decides. Where it was not replicated there is no number: any will
-- do until the owner sets it.
create function domain_events._lock_salt() returns bigint
language sql immutable
as $$ select coalesce(pg_catalog.pg_sequence_last_value('domain_events.lock_salt'), 0) $$;

comment on function domain_events._lock_salt() is
  'The secret number of lock_salt; a constant of the plan that it is called in';

create function domain_events._stream_key(aggregate_type text, aggregate_id text) returns bigint
language sql volatile
as $$
  -- 64 bits of hash: two streams share a key once in 2^64 pairs, and a small number that an application locks is
  -- nobody's.
  select pg_catalog.hashtextextended(aggregate_id,
                                     pg_catalog.hashtextextended(aggregate_type, domain_events._lock_salt()))
$$;

comment on function domain_events._stream_key(text, text) is 'The advisory lock key of a stream';

-- In line with the others that wait for the lock, but not for ever.
create function domain_events._await_lock(key bigint, is_kept boolean, patience interval) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp set lock_timeout = '250ms'
as $$
declare
  signal text;
begin
  perform set_config('lock_timeout', greatest(extract(epoch from patience) * 1000, 1)::int::text, true);
  begin
    perform pg_advisory_xact_lock(key);
    if not is_kept then
      raise exception 'free' using errcode = 'DE001', constraint = '_free';  -- gives it back
    end if;
  exception
    when lock_not_available then
      return false;
    when sqlstate 'DE001' then
      get stacked diagnostics signal = constraint_name;
      if signal <> '_free' then
        raise;  -- the code of somebody else's error
      end if;
  end;
  return true;
end
$$;

comment on function domain_events._await_lock(bigint, boolean, interval) is
  'Waits for an advisory lock and keeps it until the transaction ends, if that is wanted; '
  'false when the patience was in vain';

-- The lock table tells who has a key and whether the same transaction writes events, prepared ones too.
create function domain_events._is_held_by_writer(key bigint) returns boolean
language sql volatile set search_path = pg_catalog, pg_temp
as $$
  with locks as materialized (
    select * from pg_locks l where l.database = (select d.oid from pg_database d where d.datname = current_database())
  )
  select exists (
    select from locks h join locks w using (virtualtransaction)
     where h.locktype = 'advisory' and h.granted and h.objsubid = 1
       and (h.classid::bigint << 32) | h.objid::bigint = _is_held_by_writer.key
       and w.locktype = 'relation' and w.relation = 'domain_events.events'::regclass and w.mode = 'RowExclusiveLock')
$$;

comment on function domain_events._is_held_by_writer(bigint) is
  'Whether who holds this advisory lock writes events in the same transaction';

-- A writer is waited for in line, however long it takes: whoever went on without the lock could be promised a version
-- that the next in line, who has the lock, then writes. The key may also be held by somebody who has no right to hold
-- back writers, and holds no lock on the table of events either: who has waited for that in vain, twice, since a writer
-- takes its two locks one after the other, queues for the stream's row of stream_locks instead, which only the store
-- can lock, and then waits at the unique key for the transaction that is really writing. Waiting longer than
-- deadlock_timeout is what lets a deadlock be found.
create function domain_events._await_stream(aggregate_type text, aggregate_id text, is_kept boolean) returns boolean
language plpgsql volatile
as $$
declare
  key bigint := domain_events._stream_key(aggregate_type, aggregate_id);
  began timestamptz := clock_timestamp();
  own_limit interval := nullif(current_setting('lock_timeout')::interval, '0');
  patience interval := '250 ms';
  in_vain int := 0;
begin
  loop
    if domain_events._await_lock(key, is_kept, least(patience, own_limit - (clock_timestamp() - began))) then
      return true;
    elsif domain_events._is_held_by_writer(key) then
      if clock_timestamp() - began >= own_limit then
        raise exception 'canceling statement due to lock timeout'
          using errcode = '55P03',
                detail = format('Another transaction writes stream (%s, %s).', aggregate_type, aggregate_id),
                hint = 'Repeat the transaction, or raise lock_timeout.';
      end if;
      in_vain := 0;
      patience := greatest('2 s', 2 * current_setting('deadlock_timeout')::interval);
    elsif in_vain > 0 then
      return false;
    else
      in_vain := 1;
      patience := '250 ms';
    end if;
  end loop;
end
$$;

comment on function domain_events._await_stream(text, text, boolean) is
  'Waits for the lock of a stream; false when somebody has it who writes no events';

-- The number of kept locks is a setting of the transaction, rolled back with the savepoint that took them. Anybody may
-- set it, to anything: what is no small number counts as 0, four characters as enough; either way the key decides.
create function domain_events._keep_lock(aggregate_type text, aggregate_id text, quarters int) returns boolean
language plpgsql volatile
as $$
declare
  setting text := coalesce(current_setting('domain_events._kept_locks', true), '');
  kept int := case when length(setting) >= 4 then 9999
                   when setting <> '' and translate(setting, '0123456789', '') = '' then setting::int else 0 end;
begin
  if kept >= current_setting('max_locks_per_transaction')::int * quarters / 4 then
    return false;
  end if;
  perform set_config('domain_events._kept_locks', (kept + 1)::text, true);
  if not pg_try_advisory_xact_lock(domain_events._stream_key(aggregate_type, aggregate_id))
     and not domain_events._await_stream(aggregate_type, aggregate_id, true) then
    perform domain_events._queue(aggregate_type, aggregate_id);
  end if;
  return true;
end
$$;

comment on function domain_events._keep_lock(text, text, int) is
  'Holds a stream until the transaction ends and returns true; false once the transaction keeps its share, '
  'so many quarters of max_locks_per_transaction';

-- A lock of the session, which alone can be given back before the transaction ends; whoever takes it gives it back on
-- error too. One expression, so that it is written into the caller's: nothing interrupts between the lock and the
-- answer.
create function domain_events._lock_briefly(aggregate_type text, aggregate_id text) returns boolean
language sql volatile
as $$ select pg_catalog.pg_try_advisory_lock(domain_events._stream_key(aggregate_type, aggregate_id)) $$;

comment on function domain_events._lock_briefly(text, text) is
  'Holds a stream until _unlock(); false when somebody else does: then _wait_briefly()';

create function domain_events._wait_briefly(aggregate_type text, aggregate_id text) returns boolean
language plpgsql volatile
as $$
begin
  -- Whoever is quicker when it is free is a writer, and waited for again.
  while domain_events._await_stream(aggregate_type, aggregate_id, false) loop
    if pg_try_advisory_lock(domain_events._stream_key(aggregate_type, aggregate_id)) then
      return true;
    end if;
  end loop;
  return false;
end
$$;

comment on function domain_events._wait_briefly(text, text) is
  '_lock_briefly() once no writer holds the stream any more; false when somebody else has its lock: then _queue()';

-- The row is locked, and not written, where it is there already.
create function domain_events._queue(aggregate_type text, aggregate_id text) returns void
language plpgsql volatile
as $$
begin
  perform from domain_events.stream_locks s
    where s.event_table = 'domain_events.events'::regclass and s.aggregate_type = _queue.aggregate_type
      and s.aggregate_id = _queue.aggregate_id
      for update;
  if not found then
    perform domain_events._lock_row('domain_events.events'::regclass, aggregate_type, aggregate_id);
  end if;
end
$$;

comment on function domain_events._queue(text, text) is
  'Holds a stream of the store by its row of stream_locks until the transaction ends';

create function domain_events._unlock(aggregate_type text, aggregate_id text) returns boolean
language sql volatile
as $$ select pg_catalog.pg_advisory_unlock(domain_events._stream_key(aggregate_type, aggregate_id)) $$;

comment on function domain_events._unlock(text, text) is 'Gives back what _lock_briefly() took';
