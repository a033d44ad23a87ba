-- The next version of a stream, and what holds the stream meanwhile.
--
-- What arbitrates is the unique key: a writer inserts version n+1 with ON CONFLICT DO NOTHING, which waits for another
-- writer of the same version to end; if that one commits, nothing was inserted, and the writer looks again and tries n+2.
-- So versions are gapless and unique whatever locks are held, and the user never sees a 23505.
--
-- The advisory lock in front of it keeps waiters in line and makes next_aggregate_version() hold what it returned. The
-- shared lock table has room for max_locks_per_transaction locks per connection, so a transaction keeps at most a
-- quarter of that by writing (16 streams on default settings). From then on it holds a stream's lock only while it inserts.
-- That is enough: who holds the stream came before and is waited for; who comes after meets the inserted row. A transaction
-- whose own event is the newest of a stream holds it by that row and takes no lock again: somebody may hold the lock and
-- wait for the row.
--
-- next_aggregate_version() inserts nothing that others would meet, so beside the lock it holds a row of stream_locks (row
-- locks need no room), and it proves its number by inserting that version and taking it back: a writer whose row is not
-- committed yet is waited for.
--
-- Under REPEATABLE READ and SERIALIZABLE the newest version may be invisible: there the insert meets the invisible row and
-- raises 40001 by itself.

create function domain_events._stream_key(aggregate_type text, aggregate_id text) returns bigint
language sql immutable
as $$
  -- 64 bits of hash, seeded with a number of our own and the type: two streams share a key once in 2^64 pairs, and a small
  -- number that an application locks is nobody's.
  select pg_catalog.hashtextextended(aggregate_id, pg_catalog.hashtextextended(aggregate_type, 7238240))
$$;

comment on function domain_events._stream_key(text, text) is 'The advisory lock key of a stream';

-- The number of kept locks is a setting of the transaction, rolled back with the savepoint that took them. Anybody may set it,
-- to anything: what is no small number counts as 0, four characters as enough; either way the key decides.
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
  perform pg_advisory_xact_lock(domain_events._stream_key(aggregate_type, aggregate_id));
  return true;
end
$$;

comment on function domain_events._keep_lock(text, text, int) is
  'Holds a stream until the transaction ends and returns true; false once the transaction keeps its share, so many quarters of max_locks_per_transaction';

-- A lock of the session, which alone can be given back before the transaction ends; whoever takes it gives it back on
-- error too. One expression, so that it is written into the caller's: nothing interrupts between the lock and the answer.
create function domain_events._lock_briefly(aggregate_type text, aggregate_id text) returns boolean
language sql volatile
as $$ select pg_catalog.pg_advisory_lock(domain_events._stream_key(aggregate_type, aggregate_id)) is not null $$;

comment on function domain_events._lock_briefly(text, text) is 'Holds a stream until _unlock(); true once it does';

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
  perform domain_events._check_stream(case when starts_with(aggregate_type, 'domain_events.') then overlay(aggregate_type placing '-' from 1 for 1) else aggregate_type end,
                                      case when aggregate_id = '' then '-' else aggregate_id end);
end
$$;

comment on function domain_events._check_read(text, text) is 'As _check_stream(), for reading: an empty id and the store''s own types pass';

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

create table domain_events.event_tables (
  event_table    regclass primary key,
  type_column    name,
  id_column      name not null,
  version_column name not null,
  registered_at  timestamptz not null default pg_catalog.clock_timestamp()
);

comment on table domain_events.event_tables is 'Legacy event tables that next_aggregate_version() serves; see register_event_table()';
comment on column domain_events.event_tables.event_table is 'The legacy table';
comment on column domain_events.event_tables.type_column is 'Its column with the aggregate type; null when its streams are told apart by the id alone';
comment on column domain_events.event_tables.id_column is 'Its column with the aggregate id';
comment on column domain_events.event_tables.version_column is 'Its column with the version';
comment on column domain_events.event_tables.registered_at is 'When it was registered';

-- One row per stream that next_aggregate_version() was asked for: a row lock needs no room in the lock table, however many
-- streams a transaction touches, and updating the row makes REPEATABLE READ raise 40001 by itself when its snapshot is too old.
create table domain_events.stream_locks (
  event_table    oid not null,
  aggregate_type text collate "C" not null,
  aggregate_id   text collate "C" not null,
  primary key (event_table, aggregate_type, aggregate_id)
) with (fillfactor = 50);

comment on table domain_events.stream_locks is 'One row to lock per stream that next_aggregate_version() was asked for; holds no version, the table of events does';
comment on column domain_events.stream_locks.event_table is 'The table of the stream''s events';
comment on column domain_events.stream_locks.aggregate_type is 'The stream''s type; empty when the table has no such column';
comment on column domain_events.stream_locks.aggregate_id is 'The stream''s id';

create function domain_events._lock_row(event_table oid, aggregate_type text, aggregate_id text) returns void
language plpgsql volatile
as $$
begin
  insert into domain_events.stream_locks as s (event_table, aggregate_type, aggregate_id)
  values (_lock_row.event_table, _lock_row.aggregate_type, _lock_row.aggregate_id)
  on conflict on constraint stream_locks_pkey do update set event_table = excluded.event_table;
end
$$;

comment on function domain_events._lock_row(oid, text, text) is
  'Locks a stream''s row until the transaction ends; raises 40001 when it was locked since a fixed snapshot';

-- Read with the rights of the store's owner, so nothing of the table's owner may run by that: no view, no policy, no cast, no
-- check of a domain. A value is given as a literal, which the type's own input function reads.
create function domain_events._next_legacy_version(aggregate_type text, aggregate_id text, event_table regclass) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp set row_security = off
as $$
declare
  known domain_events.event_tables;
  source regclass := event_table;
  name text;
  condition text;
  strange text;
  next_version bigint;
begin
  select * into known from domain_events.event_tables t where t.event_table = _next_legacy_version.event_table;
  if not found then
    raise exception 'table % is not a registered event table', event_table
      using errcode = '42P01',
            hint = format('Register it once: select domain_events.register_event_table(%L, type_column, id_column, version_column);', event_table);
  end if;
  perform domain_events._lock_row(event_table, case when known.type_column is null then '' else aggregate_type end, aggregate_id);

  if (select c.relkind = 'v' from pg_class c where c.oid = event_table) then
    -- The view over an adopted table: that one has the columns.
    select a.event_table into source
      from pg_rewrite r
      join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
      join domain_events.adoptions a on a.event_table = d.refobjid and a.state <> 'withdrawn'
     where r.ev_class = _next_legacy_version.event_table limit 1;
  end if;
  name := source;
  if name is not null then
    execute format('lock table %s in access share mode', name);  -- it stays the table that it is
  end if;
  if name is null or to_regclass(name) is distinct from source
     or not exists (select from pg_class c where c.oid = source and c.relkind in ('r', 'p')) then
    raise exception 'event table % is no table any more', event_table
      using errcode = '42809', hint = 'Forget it: domain_events.unregister_event_table(); then register the table.';
  end if;
  -- The value is brought to the column's type, not the column to text: that is what lets the legacy key's index serve it.
  with recursive types as (
    select a.attname, a.atttypid as type, a.atttypmod as modifier
      from pg_attribute a where a.attrelid = source and a.attname in (known.type_column, known.id_column) and not a.attisdropped
    union all
    select t.attname, d.typbasetype, case when d.typtypmod >= 0 then d.typtypmod else t.modifier end
      from types t join pg_type d on d.oid = t.type and d.typtype = 'd'
  )
  select string_agg(format('%I = %L::%s', t.attname, case when t.attname = known.id_column then aggregate_id else aggregate_type end,
                           format_type(t.type, t.modifier)), ' and '),
         min(format('%I of type %s', t.attname, format_type(t.type, t.modifier))) filter (where d.typtype not in ('b', 'e') or d.typcategory = 'A')
    into condition, strange
    from types t join pg_type d on d.oid = t.type where d.typtype <> 'd';
  if strange is not null then
    raise exception 'column % of event table % names no stream', strange, event_table
      using errcode = '42804', hint = 'A stream''s type and id are texts, numbers, UUIDs or enums.';
  end if;
  -- A statement of its own, so that it sees what the previous holder of the row committed.
  execute format('select coalesce(max(%I), 0) + 1 from %s where %s', known.version_column, name, condition) into next_version;
  return next_version;
end
$$;

comment on function domain_events._next_legacy_version(text, text, regclass) is
  'next_aggregate_version() for a registered legacy table: locks the stream''s row, then reads the newest version';

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

comment on function domain_events._stream_version(text, text) is 'Newest visible version of a stream, 0 when there is none';

create function domain_events._is_own(aggregate_type text, aggregate_id text) returns boolean
language plpgsql volatile
as $$
begin
  return coalesce((select e.transaction_id = pg_current_xact_id_if_assigned()
                     from domain_events.events e
                    where e.aggregate_type = _is_own.aggregate_type and e.aggregate_id = _is_own.aggregate_id
                    order by e.aggregate_version desc limit 1), false);
end
$$;

comment on function domain_events._is_own(text, text) is 'True when the newest event of the stream is this transaction''s own';

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

create function domain_events._next_own_version(aggregate_type text, aggregate_id text) returns bigint
language plpgsql volatile
as $$
declare
  next_version bigint;
  is_taken boolean;
  signal text;
begin
  if domain_events._is_own(aggregate_type, aggregate_id) then
    return domain_events._stream_version(aggregate_type, aggregate_id) + 1;
  end if;
  perform domain_events._keep_lock(aggregate_type, aggregate_id, 3);
  perform domain_events._lock_row('domain_events.events'::regclass, aggregate_type, aggregate_id);
  for attempt in 1 .. 100 loop
    next_version := domain_events._stream_version(aggregate_type, aggregate_id) + 1;
    -- Insert that version and take it back: waits for a writer that is not committed yet, and raises 40001 when somebody
    -- committed it behind a fixed snapshot.
    begin
      insert into domain_events.events (aggregate_type, aggregate_id, aggregate_version, event_type)
      values (_next_own_version.aggregate_type, _next_own_version.aggregate_id, next_version, 'probe')
      on conflict do nothing;
      is_taken := not found;
      raise exception 'probe' using errcode = 'DE001', constraint = '_probe';
    exception when sqlstate 'DE001' then
      get stacked diagnostics signal = constraint_name;
      if signal <> '_probe' then
        raise;  -- the code of somebody else's error
      end if;
    end;
    if not is_taken then
      return next_version;
    elsif next_version = 1 then
      perform domain_events._adopt_head(_next_own_version.aggregate_type, _next_own_version.aggregate_id);  -- see 78_adoptions.sql
    end if;
  end loop;
  perform domain_events._raise_contended(aggregate_type, aggregate_id);
end
$$;

comment on function domain_events._next_own_version(text, text) is
  'next_aggregate_version() for the store itself';

create function domain_events.next_aggregate_version(
  aggregate_type text, aggregate_id text, event_table regclass default 'domain_events.events'
) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if event_table is null then
    raise exception 'event_table must not be null'
      using errcode = '22004', hint = 'Leave it out for the event store itself.';
  end if;
  if event_table = 'domain_events.events'::regclass then
    perform domain_events._check_stream(aggregate_type, aggregate_id);
  else
    -- A legacy table may hold an empty type or id, and its users' inserts go on.
    perform domain_events._check_read(case when aggregate_type = '' then '-' else aggregate_type end, aggregate_id);
  end if;
  perform domain_events._check_writable();
  if event_table = 'domain_events.events'::regclass then
    return domain_events._next_own_version(aggregate_type, aggregate_id);
  end if;
  return domain_events._next_legacy_version(aggregate_type, aggregate_id, event_table);
end
$$;

comment on function domain_events.next_aggregate_version(text, text, regclass) is
  'Holds the stream in that table until the transaction ends and returns 1 + its newest version, this transaction''s own included. Raises 22004, 22023 for a bad stream, 42P01 for an unregistered table, 25006 when read-only, 40001 when the snapshot is too old.';

create function domain_events._register_event_table(
  event_table regclass, type_column name, id_column name, version_column name
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into domain_events.event_tables as t (event_table, type_column, id_column, version_column)
  values (_register_event_table.event_table, _register_event_table.type_column,
          _register_event_table.id_column, _register_event_table.version_column)
  on conflict on constraint event_tables_pkey do update
    set type_column = excluded.type_column, id_column = excluded.id_column, version_column = excluded.version_column;
end
$$;

comment on function domain_events._register_event_table(regclass, name, name, name) is
  'The part of register_event_table() that writes the store';

-- What enable_capture() and register_event_table() accept: a permanent table of one's own.
create function domain_events._check_target(target regclass) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  class record;
begin
  if target is null then
    raise exception 'the table must not be null'
      using errcode = '22004', hint = 'Name a table, for example ''public.users''.';
  end if;
  select c.relkind, c.relpersistence, c.relispartition, c.relnamespace::regnamespace::text as schema,
         pg_has_role(c.relowner, 'usage') as mine,
         case c.relkind when 'v' then 'a view' when 'm' then 'a materialized view' when 'f' then 'a foreign table'
                        when 'S' then 'a sequence' when 'i' then 'an index' when 'c' then 'a composite type'
                        else 'no table' end as kind
    into class
    from pg_class c where c.oid = target;
  if not found then
    raise exception 'relation with OID % does not exist', target::oid
      using errcode = '42P01', hint = 'Name an existing table, for example ''public.users''.';
  elsif class.relkind not in ('r', 'p') then
    raise exception '% is %, not a table', target, class.kind
      using errcode = '42809', hint = 'Name the table that holds the rows.';
  elsif class.relpersistence = 't' then
    raise exception '% is a temporary table', target
      using errcode = '42809', hint = 'Only permanent tables keep a history.';
  elsif class.schema in ('domain_events', 'pg_catalog', 'information_schema') then
    raise exception '% belongs to the system or to the event store itself', target
      using errcode = '42809', hint = 'Name a table of the application.';
  elsif not class.mine then
    raise exception 'must be owner of table %', target
      using errcode = '42501', hint = 'Run this as the table''s owner.';
  end if;
end
$$;

comment on function domain_events._check_target(regclass) is
  'Raises 22004, 42P01, 42809 or 42501 unless the caller owns a permanent table of that name';

create function domain_events.register_event_table(
  event_table regclass, type_column name, id_column name, version_column name
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  wanted name[] := array_remove(array[type_column, id_column, version_column], null);
  missing name;
  store_owner name;
begin
  perform domain_events._check_target(event_table);
  if id_column is null or version_column is null then
    raise exception '% must not be null', case when id_column is null then 'id_column' else 'version_column' end
      using errcode = '22004', hint = 'Only type_column may be null, when the key is (id, version).';
  end if;
  select w into missing from unnest(wanted) as w
   where not exists (select from pg_attribute a where a.attrelid = event_table and a.attname = w
                        and a.attnum > 0 and not a.attisdropped)
   limit 1;
  if missing is not null then
    raise exception 'column "%" of table % does not exist', missing, event_table
      using errcode = '42703', hint = 'Name the columns that hold the aggregate''s type, its id and the version.';
  end if;
  if not exists (
    select from pg_index i
     where i.indrelid = event_table and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
       and (select array_agg(a.attname order by a.attname) from pg_attribute a
             where a.attrelid = i.indrelid and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
         = (select array_agg(w order by w) from unnest(wanted) as w)
  ) then
    raise exception 'table % has no unique key over (%)', event_table, array_to_string(wanted, ', ')
      using errcode = '42P16',
            detail = 'Without it two writers could store one version twice.',
            hint = format('alter table %s add constraint uk_aggregate_version unique (%s);', event_table,
                          (select string_agg(quote_ident(w), ', ' order by n) from unnest(wanted) with ordinality as u(w, n)));
  end if;
  -- The store's owner reads the newest version there.
  store_owner := (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = 'domain_events.events'::regclass);
  if not has_table_privilege(store_owner, event_table, 'select') then
    execute format('grant select on %s to %I', event_table, store_owner);
  end if;
  perform domain_events._register_event_table(event_table, type_column, id_column, version_column);
end
$$;

comment on function domain_events.register_event_table(regclass, name, name, name) is
  'Makes a legacy event table known to next_aggregate_version(). Demands a unique key over the columns (42P16); type_column is null where the key is (id, version). Run by the table''s owner.';

create function domain_events.unregister_event_table(event_table regclass) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  delete from domain_events.event_tables t where t.event_table = unregister_event_table.event_table;
  return found;
end
$$;

comment on function domain_events.unregister_event_table(regclass) is
  'Forgets a legacy event table; true when it was known. Its rows stay as they are.';
