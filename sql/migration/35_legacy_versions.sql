-- The next version of a stream in a legacy event table: see the head of migration/31_legacy_tables.sql.

create function domain_events.legacy_reader(
  event_table regclass, given int, out source oid, out reader text, out step int, out columns int,
  out last_version bigint, out reader_oid oid, out reader_xmin xid
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
#variable_conflict use_column
declare
  known record;
  present record;
begin
  -- Everything by kept plans: with every version that is asked for this looks whether table and reader are the same.
  select t.*, c.relowner, c.relkind, format('%I.%I', n.nspname, c.relname) as present_name,
         cardinality(t.stream_columns) as width
    into known
    from domain_events.event_tables t
    left join (pg_class c join pg_namespace n on n.oid = c.relnamespace) on c.oid = t.source
   where t.event_table = legacy_reader.event_table;
  if not found then
    raise exception 'table % is not a registered event table', legacy_reader.event_table
      using errcode = '42P01',
            hint = format('Register it once: select domain_events.register_event_table(%L, type_column, id_column, '
                          'version_column);',
                          legacy_reader.event_table);
  elsif given <> known.width or given is null and known.width > 2 then
    raise exception 'a stream of % is named by %', legacy_reader.event_table,
          array_to_string(known.stream_columns, ', ')
      using errcode = '22023',
            hint = format('Give %s values: next_aggregate_version(array[..], %L).', known.width,
                          legacy_reader.event_table);
  elsif known.relkind is null or known.relkind not in ('r', 'p') then
    raise exception 'event table % is no table any more', legacy_reader.event_table
      using errcode = '42809', hint = 'Forget it: domain_events.unregister_event_table(); then register the table.';
  end if;
  select array_agg(a.attname order by u.n) as names,
         array_agg(format_type(a.atttypid, a.atttypmod)
                   || case when a.attcollation <> 0 then ' ' || a.attcollation::regcollation::text else '' end
                   order by u.n) as types
    into present
    from unnest(known.stream_columns || known.version_column, known.column_numbers)
         with ordinality as u(name, number, n)
    join pg_attribute a on a.attrelid = known.source and not a.attisdropped
                       and (a.attnum = u.number and known.source_oid = known.source::oid
                            or a.attname = u.name and known.source_oid <> known.source::oid);
  select p.oid::regproc::text, p.oid, p.xmin into reader, reader_oid, reader_xmin
    from pg_proc p
   where p.proname = known.reader and md5(p.prosrc) = known.fingerprint and p.prosecdef and p.proowner = known.relowner
     and p.provolatile = 'v'
     and p.proargtypes::text = '26 1009 23'
     and replace(array_to_string(p.proconfig, '|'), '"', '') in (
       'search_path=pg_catalog, pg_temp|row_security=off',
       'search_path=pg_catalog, pg_temp|row_security=off|enable_seqscan=off|enable_bitmapscan=off|enable_sort=off')
   limit 1;
  if reader is null or present.types is distinct from known.column_types then
    raise exception 'event table % is not as it was when it was registered', legacy_reader.event_table
      using errcode = '55000',
            detail = case when reader is null
                            then format('Function %I, which reads its versions, is missing, was altered, '
                                        'or belongs to another role than the table.',
                                        known.reader)
                          else format('Its columns were (%s) and are (%s).', array_to_string(known.column_types, ', '),
                                      array_to_string(present.types, ', ')) end,
            hint = format('Let its owner register it again: select domain_events.register_event_table(%L, %L::name[], '
                          '%L);', legacy_reader.event_table, known.stream_columns, known.version_column);
  end if;
  source := known.source;
  columns := known.width;
  last_version := known.last_version;
  step := case when known.present_name = known.table_name
                    and present.names = known.stream_columns || known.version_column then 2 else 3 end;
end
$$;

comment on function domain_events.legacy_reader(regclass, int) is
  'The reader of a registered table whose streams are named by so many values (null: '
  'by type and id, or by the id alone), from the catalogue; raises 42P01 when it is not registered, '
  '55000 when table or reader are others than before';

create function domain_events.hold_legacy_stream(event_table regclass, key bigint) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if key is null or not exists (select from domain_events.event_tables t
                                 where t.event_table = hold_legacy_stream.event_table) then
    raise exception 'table % is not a registered event table', event_table
      using errcode = '42P01', hint = 'Call domain_events.next_aggregate_version().';
  end if;
  perform domain_events._lock_row(event_table, '', key::text);
end
$$;

comment on function domain_events.hold_legacy_stream(regclass, bigint) is
  'Holds a stream of a registered table, by its key, until the transaction ends';

-- Between the calls of the reader search_path is set again: what a user's function sets stays set, whatever the
-- functions around it pin.
create function domain_events._next_legacy_version(stream text[], event_table regclass, is_pair boolean) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  found_reader record;
  key bigint;
  newest bigint;
begin
  perform domain_events._check_writable();
  select * into found_reader from domain_events.legacy_reader(event_table,
                                                              case when not is_pair then cardinality(stream) end);
  if is_pair and found_reader.columns = 1 then
    stream := array[stream[2]];
  end if;
  execute format('select %s($1, $2, 1)', found_reader.reader) into key using found_reader.source, stream;
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  perform domain_events.hold_legacy_stream(event_table, key);
  -- The stream may have been waited for, while another function took the reader's place: that would run with the
  -- caller's rights.
  if not exists (select from pg_proc p where p.oid = found_reader.reader_oid and p.xmin = found_reader.reader_xmin) then
    select * into found_reader from domain_events.legacy_reader(event_table, cardinality(stream));
  end if;
  -- A statement of its own, so that it sees what the previous holder of the stream committed.
  execute format('select %s($1, $2, $3)', found_reader.reader)
    into newest using found_reader.source, stream, found_reader.step;
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  if newest >= found_reader.last_version then
    raise exception 'no version comes after % in stream (%) of table %', newest, array_to_string(stream, ', '),
          event_table
      using errcode = '22003', hint = 'Give the version column a wider type, and register the table again.';
  end if;
  return newest + 1;
end
$$;

comment on function domain_events._next_legacy_version(text[], regclass, boolean) is
  'next_aggregate_version() for a registered legacy table: holds the stream, then reads its newest version, '
  'with the rights of the table''s owner';

create function domain_events._next_legacy_version(aggregate_type text, aggregate_id text, event_table regclass)
  returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  -- A legacy table may hold an empty type or id, and its users' inserts go on.
  perform domain_events._check_read(case when aggregate_type = '' then '-' else aggregate_type end, aggregate_id);
  return domain_events._next_legacy_version(array[aggregate_type, aggregate_id], event_table, true);
end
$$;

comment on function domain_events._next_legacy_version(text, text, regclass) is 'The same for a stream of type and id';

create function domain_events.next_aggregate_version(
  aggregate_type text, aggregate_id text, event_table regclass default 'domain_events.events'
) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if event_table is null then
    raise exception 'event_table must not be null'
      using errcode = '22004', hint = 'Leave it out for the event store itself.';
  elsif event_table = 'domain_events.events'::regclass then
    return domain_events.hold_stream(aggregate_type, aggregate_id);
  end if;
  return domain_events._next_legacy_version(aggregate_type, aggregate_id, event_table);
end
$$;

comment on function domain_events.next_aggregate_version(text, text, regclass) is
  'Holds the stream in that table until the transaction ends and returns 1 + its newest version, '
  'this transaction''s own included. Raises 22004, 22023 for a bad stream, 42P01 for an unregistered table, '
  '55000 for one that is not as it was registered, 22003 when the column is full, 25006 when read-only, '
  '40001 when the snapshot is too old.';

create function domain_events.next_aggregate_version(stream text[], event_table regclass) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  part text;
begin
  if event_table is null or stream is null or array_position(stream, null) is not null then
    raise exception '% must not be null', case when event_table is null then 'event_table' else 'stream' end
      using errcode = '22004', hint = 'Give the values of the stream''s columns in their order, and the table.';
  end if;
  foreach part in array stream loop
    if octet_length(part) > 1024 then
      raise exception 'a value of stream is too long: % bytes', octet_length(part)
        using errcode = '22023', hint = 'Each has at most 1,024 bytes; use a hash of the longer key.';
    end if;
  end loop;
  if event_table = 'domain_events.events'::regclass then
    if cardinality(stream) <> 2 then
      raise exception 'a stream of the event store is named by a type and an id, not by % values', cardinality(stream)
        using errcode = '22023',
              hint = 'next_aggregate_version(array[aggregate_type, aggregate_id], ''domain_events.events'')';
    end if;
    return domain_events.hold_stream(stream[array_lower(stream, 1)], stream[array_upper(stream, 1)]);
  end if;
  return domain_events._next_legacy_version(array(select p from unnest(stream) with ordinality as u(p, n) order by n),
                                            event_table, false);
end
$$;

comment on function domain_events.next_aggregate_version(text[], regclass) is
  'next_aggregate_version() for a table whose streams are named by up to four columns, in their order';
