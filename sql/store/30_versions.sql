-- The next version of a stream, and what holds the stream meanwhile.
--
-- What arbitrates is the unique key: a writer inserts version n+1 with ON CONFLICT DO NOTHING, which waits for another
-- writer of the same version to end; if that one commits, nothing was inserted, and the writer looks again and tries
-- n+2. So versions are gapless and unique whatever locks are held, and the user never sees a 23505.
--
-- The advisory lock in front of it keeps waiters in line and makes next_aggregate_version() hold what it returned. The
-- shared lock table has room for max_locks_per_transaction locks per connection, so a transaction keeps at most a
-- quarter of that by writing (16 streams on default settings). From then on it holds a stream's lock only while it
-- inserts. That is enough: who holds the stream came before and is waited for; who comes after meets the inserted row.
-- A transaction whose own event is the newest of a stream holds it by that row and takes no lock again: somebody may
-- hold the lock and wait for the row.
--
-- next_aggregate_version() inserts nothing that others would meet, so beside the lock it holds a row of stream_locks
-- (row locks need no room), and it proves its number at the unique key: a writer whose row is not committed yet is
-- waited for. See _is_taken().
--
-- Under REPEATABLE READ and SERIALIZABLE the newest version may be invisible: there the insert meets the invisible row
-- and raises 40001 by itself.

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

create function domain_events._check_stream(aggregate_type text, aggregate_id text) returns void
language plpgsql immutable
as $$
begin
  if aggregate_type is null or aggregate_id is null then
    raise exception '% must not be null', case when aggregate_type is null then 'aggregate_type' else 'aggregate_id' end
      using errcode = '22004', hint = 'A stream is named by an aggregate type and an aggregate id.';
  elsif aggregate_type = '' or aggregate_id = '' then
    raise exception '% must not be empty', case when aggregate_type = '' then 'aggregate_type' else 'aggregate_id' end
      using errcode = '22023', hint = 'A stream is named by an aggregate type and an aggregate id.';
  elsif octet_length(aggregate_type) > 255 then
    raise exception 'aggregate_type is too long: % bytes', octet_length(aggregate_type)
      using errcode = '22023', hint = 'An aggregate type has at most 255 bytes.';
  elsif octet_length(aggregate_id) > 1024 then
    raise exception 'aggregate_id is too long: % bytes', octet_length(aggregate_id)
      using errcode = '22023', hint = 'An aggregate id has at most 1,024 bytes; use a hash of the longer key.';
  elsif starts_with(aggregate_type, 'domain_events.') then
    raise exception 'aggregate type "%" is reserved', aggregate_type
      using errcode = '22023', hint = 'Types that start with "domain_events." are the store''s own.';
  end if;
end
$$;

comment on function domain_events._check_stream(text, text) is
  'Raises 22004 or 22023 unless type and id can name a stream that others than the store write';

-- A captured key may be the empty text, which nobody would append to; the store's own streams are read by everybody.
create function domain_events._check_read(aggregate_type text, aggregate_id text) returns void
language plpgsql immutable
as $$
begin
  perform domain_events._check_stream(case when starts_with(aggregate_type, 'domain_events.')
                                           then overlay(aggregate_type placing '-' from 1 for 1)
                                           else aggregate_type end,
                                      case when aggregate_id = '' then '-' else aggregate_id end);
end
$$;

comment on function domain_events._check_read(text, text) is
  'As _check_stream(), for reading: an empty id and the store''s own types pass';

create function domain_events._check_writable() returns void
language plpgsql stable
as $$
begin
  if current_setting('transaction_read_only')::bool then
    raise exception 'a version cannot be assigned in a read-only transaction'
      using errcode = '25006', hint = 'Use a read-write transaction on the primary server.';
  end if;
end
$$;

comment on function domain_events._check_writable() is 'Raises 25006 in a read-only transaction and on a standby';

-- One row per stream that next_aggregate_version() was asked for: a row lock needs no room in the lock table, however
-- many streams a transaction touches. For a legacy table it stays: updating it makes REPEATABLE READ raise 40001 by
-- itself when its snapshot is too old, which nothing else would. In the store the unique key does that, so there the
-- row is removed at once: whoever wants to make another waits all the same, until the transaction that made and removed
-- this one has ended.
create table domain_events.stream_locks (
  event_table    oid not null,
  aggregate_type text collate "C" not null,
  aggregate_id   text collate "C" not null,
  holder         xid8,
  primary key (event_table, aggregate_type, aggregate_id)
) with (fillfactor = 50);

comment on table domain_events.stream_locks is
  'One row to lock per stream of a legacy table that next_aggregate_version() was asked for, '
  'and of the store until the transaction ends; holds no version, the table of events does';
comment on column domain_events.stream_locks.event_table is 'The table of the stream''s events';
comment on column domain_events.stream_locks.aggregate_type is
  'The stream''s type; empty when the table has no such column';
comment on column domain_events.stream_locks.aggregate_id is 'The stream''s id';
comment on column domain_events.stream_locks.holder is
  'The transaction that locked it last: one that holds it already does not update it again';

create function domain_events._lock_row(event_table oid, aggregate_type text, aggregate_id text) returns void
language plpgsql volatile
as $$
begin
  -- Each update leaves a tuple version, and the next one passes over all of them: the thousandth version of a
  -- transaction would cost a thousand times the first. A row that was restored from another cluster may hold the number
  -- of this transaction, and is older.
  if _lock_row.event_table <> 'domain_events.events'::regclass then
    if exists (select from domain_events.stream_locks s
                where s.event_table = _lock_row.event_table and s.aggregate_type = _lock_row.aggregate_type
                  and s.aggregate_id = _lock_row.aggregate_id
                  and s.holder = pg_current_xact_id_if_assigned() and age(s.xmin) <= 0) then
      return;
    end if;
  end if;
  insert into domain_events.stream_locks as s (event_table, aggregate_type, aggregate_id, holder)
  values (_lock_row.event_table, _lock_row.aggregate_type, _lock_row.aggregate_id, pg_current_xact_id())
  on conflict on constraint stream_locks_pkey do update set holder = excluded.holder;
  if _lock_row.event_table = 'domain_events.events'::regclass then
    delete from domain_events.stream_locks s
     where s.event_table = _lock_row.event_table and s.aggregate_type = _lock_row.aggregate_type
       and s.aggregate_id = _lock_row.aggregate_id;
  end if;
end
$$;

comment on function domain_events._lock_row(oid, text, text) is
  'Locks a stream''s row until the transaction ends; raises 40001 when it was locked since a fixed snapshot';

-- PL/pgSQL, also where one query would do: it keeps the plan, an SQL function plans anew in every statement (40 us).
create function domain_events._stream_version(aggregate_type text, aggregate_id text) returns bigint
language plpgsql volatile
as $$
begin
  return (select coalesce(max(e.aggregate_version), 0)
            from domain_events.events e
           where e.aggregate_type = _stream_version.aggregate_type and e.aggregate_id = _stream_version.aggregate_id);
end
$$;

comment on function domain_events._stream_version(text, text) is
  'Newest visible version of a stream, 0 when there is none';

-- In a store that was restored from another cluster, an event may have the number of this transaction. The row then is
-- older.
create function domain_events._is_own(aggregate_type text, aggregate_id text) returns boolean
language plpgsql volatile
as $$
begin
  return coalesce((select e.transaction_id = pg_current_xact_id_if_assigned() and age(e.xmin) <= 0
                     from domain_events.events e
                    where e.aggregate_type = _is_own.aggregate_type and e.aggregate_id = _is_own.aggregate_id
                    order by e.aggregate_version desc limit 1), false);
end
$$;

comment on function domain_events._is_own(text, text) is
  'True when the newest event of the stream is this transaction''s own';

create function domain_events._raise_contended(aggregate_type text, aggregate_id text) returns void
language plpgsql immutable
as $$
begin
  raise exception 'could not serialize access to stream (%, %)', aggregate_type, aggregate_id
    using errcode = '40001', detail = 'A writer that takes no lock of the store kept winning the next version.',
          hint = 'Repeat the transaction.';
end
$$;

comment on function domain_events._raise_contended(text, text) is
  'Raises 40001 after 100 attempts in vain: another writer each time, or a trigger on the store that swallows the row';

-- A writer of this version that is not committed yet is waited for; one that is committed, and that a fixed snapshot
-- does not show, raises 40001. Only an INSERT meets such rows. This one stores nothing: its event_id is that of a
-- stored event, whose key PostgreSQL looks at after that of the version, as keys are looked at in the order of their
-- OIDs. So there is no dead row, no number drawn from a sequence and no subtransaction. Position 0 is never drawn.
create function domain_events._is_taken(aggregate_type text, aggregate_id text, version bigint, stored uuid)
  returns boolean
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  last bigint;
  is_stored boolean;
  signal text;
begin
  -- One of the oldest, where the stream has none, beside which nobody writes: SERIALIZABLE would take that for a
  -- conflict. A million events that somebody has not committed yet may lie there, or among the newest, and are not to
  -- be looked through.
  if stored is null then
    select e.event_id into stored from domain_events.events e
     where e.global_position between 1 and 1000 order by e.global_position limit 1;
    if stored is null then
      last := pg_sequence_last_value('domain_events.events_global_position_seq');
      if last is null then
        return false;  -- nothing was ever stored, and who begins now waits for the stream
      end if;
      select e.event_id into stored from domain_events.events e
       where e.global_position > last - 1000 order by e.global_position desc limit 1;
    end if;
  end if;
  if stored is not null
     and 'domain_events.uk_aggregate_version'::regclass::oid < 'domain_events.events_event_id_key'::regclass::oid then
    insert into domain_events.events (global_position, event_id, aggregate_type, aggregate_id, aggregate_version,
                                      event_type)
    values (0, stored, aggregate_type, aggregate_id, version, 'probe')
    on conflict do nothing;
    if found then
      raise exception 'domain_events.events_event_id_key is no unique key'
        using errcode = '55000', detail = 'Two events may have the same event_id.',
              hint = 'Create it as it was installed: unique (event_id).';
    end if;
    -- Or a later one: of a stream that is being adopted the newest event comes first.
    return exists (select from domain_events.events e
                    where e.aggregate_type = _is_taken.aggregate_type and e.aggregate_id = _is_taken.aggregate_id
                      and e.aggregate_version >= _is_taken.version);
  end if;
  -- The order of the keys is another since one was built anew, or none of those events is to be seen: the version is
  -- inserted and taken back, at a position that is only this transaction's.
  begin
    insert into domain_events.events (global_position, aggregate_type, aggregate_id, aggregate_version, event_type)
    values (- pg_current_xact_id()::text::bigint, aggregate_type, aggregate_id, version, 'probe')
    on conflict do nothing;
    is_stored := found;
    raise exception 'probe' using errcode = 'DE001', constraint = '_probe';
  exception when sqlstate 'DE001' then
    get stacked diagnostics signal = constraint_name;
    if signal <> '_probe' then
      raise;  -- the code of somebody else's error
    end if;
  end;
  return not is_stored;
end
$$;

comment on function domain_events._is_taken(text, text, bigint, uuid) is
  'Whether a stream has this version, as whoever stores it would find: waits for a writer of it that has not committed '
  'yet, and raises 40001 where it is committed and a fixed snapshot does not show it. Stores nothing; '
  '"stored" is the id of an event of the stream, if it has one';

create function domain_events._next_own_version(aggregate_type text, aggregate_id text) returns bigint
language plpgsql volatile
as $$
declare
  head record;
  next_version bigint;
  is_kept boolean;
  is_held boolean;
begin
  if pg_current_xact_id_if_assigned() is not null and domain_events._is_own(aggregate_type, aggregate_id) then
    return domain_events._stream_version(aggregate_type, aggregate_id) + 1;
  end if;
  is_kept := domain_events._keep_lock(aggregate_type, aggregate_id, 3);
  perform domain_events._lock_row('domain_events.events'::regclass, aggregate_type, aggregate_id);
  for attempt in 1 .. 100 loop
    is_held := not is_kept or pg_try_advisory_xact_lock(domain_events._stream_key(aggregate_type, aggregate_id));
    select e.aggregate_version, e.event_id into head
      from domain_events.events e
     where e.aggregate_type = _next_own_version.aggregate_type and e.aggregate_id = _next_own_version.aggregate_id
     order by e.aggregate_version desc limit 1;
    next_version := coalesce(head.aggregate_version, 0) + 1;
    if not domain_events._is_taken(aggregate_type, aggregate_id, next_version, head.event_id) then
      -- Who held the lock for so long has ended meanwhile: once more, with the lock.
      if not is_held then
        continue when pg_try_advisory_xact_lock(domain_events._stream_key(aggregate_type, aggregate_id));
      end if;
      return next_version;
    elsif next_version = 1 then
      -- see migration/75_adoptions.sql
      perform domain_events._adopt_head(_next_own_version.aggregate_type, _next_own_version.aggregate_id);
    end if;
  end loop;
  perform domain_events._raise_contended(aggregate_type, aggregate_id);
end
$$;

comment on function domain_events._next_own_version(text, text) is
  'next_aggregate_version() for the store itself';

-- The part of next_aggregate_version() that writes the store: that one runs with its caller's rights.
create function domain_events.hold_stream(aggregate_type text, aggregate_id text) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- One condition that is true of a good stream: see append_event().
  if ('' <> all (array[aggregate_type, aggregate_id]) and octet_length(aggregate_type) <= 255
      and octet_length(aggregate_id) <= 1024
      and not starts_with(aggregate_type, 'domain_events.')
      and current_setting('transaction_read_only') = 'off') is not true then
    perform domain_events._check_stream(aggregate_type, aggregate_id);
    perform domain_events._check_writable();
  end if;
  return domain_events._next_own_version(aggregate_type, aggregate_id);
end
$$;

comment on function domain_events.hold_stream(text, text) is
  'Holds a stream of the store until the transaction ends and returns its next version: '
  'next_aggregate_version() without a table';
