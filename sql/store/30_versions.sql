-- The next version of a stream, and what holds the stream meanwhile.
--
-- What arbitrates is the unique key: a writer inserts version n+1 with ON CONFLICT DO NOTHING, which waits for another
-- writer of the same version to end; if that one commits, nothing was inserted, and the writer looks again and tries
-- n+2. So versions are gapless and unique whatever locks are held, and the user never sees a 23505.
--
-- The advisory lock in front of it (25_stream_locks.sql) keeps waiters in line and makes next_aggregate_version() hold
-- what it returned. The shared lock table has room for max_locks_per_transaction locks per connection, so a
-- transaction keeps at most a quarter of that by writing (16 streams on default settings). From then on it holds a
-- stream's lock only while it inserts. That is enough: who holds the stream came before and is waited for; who comes
-- after meets the inserted row.
-- A transaction whose own event is the newest of a stream holds it by that row and takes no lock again: somebody may
-- hold the lock and wait for the row.
--
-- next_aggregate_version() inserts nothing that others would meet, so beside the lock it holds a row of stream_locks
-- (row locks need no room), and it proves its number at the unique key: a writer whose row is not committed yet is
-- waited for. See _is_taken().
--
-- Under REPEATABLE READ and SERIALIZABLE the newest version may be invisible: there the insert meets the invisible row
-- and raises 40001 by itself.

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
