-- The function beside a legacy table that reads its versions, for its owner: its text, and what the store notes of it.
-- See the head of 31_legacy_tables.sql.

-- The reader's text. Step 1 gives the stream's key, 2 its newest version, 3 the same for a table that was renamed
-- since, or whose columns were.
create function domain_events._reader_source(source regclass, stream_columns name[], version_column name, key oid)
  returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
declare
  version_number int2 := (select a.attnum from pg_attribute a
                           where a.attrelid = source and a.attname = version_column and a.attnum > 0
                             and not a.attisdropped);
  terms record;
  template text;
begin
  perform domain_events._last_version(source, version_column);
  select * into terms from domain_events._stream_terms(source, stream_columns, key);
  -- "is not null": without it a null would be the newest, with "nulls last" no index would serve.
  template := 'select t.%2$I from %1$s t where ' || terms.template || 't.%2$I is not null order by t.%2$I desc limit 1';
  return format($reader$
-- Written by domain_events.register_event_table(); call that again instead of changing it.
declare
  newest bigint;
  names text[];
begin
  if $3 = 1 then
    return %1$s;
  elsif $3 = 2 then
    select t.%3$I into newest from %2$s t where %4$st.%3$I is not null order by t.%3$I desc limit 1;
    -- Asked afterwards, while the table is locked: it may have been another of this name.
    if %5$L::pg_catalog.regclass::pg_catalog.oid operator(pg_catalog.<>) $1 then
      raise exception 'event table %% was renamed at this moment', %5$L
        using errcode = '40001', hint = 'Repeat the transaction.';
    end if;
  elsif $1 operator(pg_catalog.=) %6$s then
    names := array(select a.attname::pg_catalog.text
                     from pg_catalog.unnest(%7$L::pg_catalog.int2[]) with ordinality as u(number, n)
                     join pg_catalog.pg_attribute a on a.attrelid operator(pg_catalog.=) $1
                                                   and a.attnum operator(pg_catalog.=) u.number
                    order by u.n);
    execute pg_catalog.format(%8$L, variadic array[$1::pg_catalog.regclass::pg_catalog.text]
                                             operator(pg_catalog.||) names)
      into newest using $2;
  else
    raise exception 'table %% is another than before', %5$L using errcode = '55000', hint = 'Register it again.';
  end if;
  return coalesce(newest, 0);
end
$reader$,
    terms.hash, domain_events._qualified_name(source), version_column, terms.condition,
    domain_events._qualified_name(source), source::oid, version_number || terms.numbers, template);
end
$$;

comment on function domain_events._reader_source(regclass, name[], name, oid) is
  'The text of the function that reads the versions of a legacy table; raises 42804 where its columns name no stream, '
  'or hold no version';

-- Whether the newest version of a stream is the last entry of some index. The plan that reads it is kept: one made
-- while the table was small would sort the whole stream for each version of a long transaction, so the reader is not
-- left the choice.
create function domain_events._is_ordered(source oid, stream_columns name[], version_column name) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pg_index i
      join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam and m.amname = 'btree'
     cross join lateral (select array_agg(a.attname order by k.n) as columns
                           from unnest(i.indkey::int2[]) with ordinality as k(number, n)
                           join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number) as x
     where i.indrelid = source and i.indisvalid and i.indpred is null and i.indexprs is null
       and x.columns[cardinality(stream_columns) + 1] = version_column
       and x.columns[:cardinality(stream_columns)] @> stream_columns)
$$;

comment on function domain_events._is_ordered(oid, name[], name) is
  'Whether some index of the table holds the versions of each stream in their order';

create function domain_events._is_reader(candidate oid, source oid, owner oid default null) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select exists (select from pg_proc p join pg_class c on c.oid = source
                  where p.oid = candidate and p.prosecdef and p.proowner = coalesce(owner, c.relowner)
                    and p.provolatile = 'v' and p.prorettype = 'int8'::regtype
                    and p.proargtypes::text = format('%s %s %s', 'oid'::regtype::oid, 'text[]'::regtype::oid,
                                                     'int4'::regtype::oid)
                    and replace(array_to_string(p.proconfig, '|'), '"', '') in (
                      'search_path=pg_catalog, pg_temp|row_security=off',
                      'search_path=pg_catalog, '
                      'pg_temp|row_security=off|enable_seqscan=off|enable_bitmapscan=off|enable_sort=off'))
$$;

comment on function domain_events._is_reader(oid, oid, oid) is
  'Whether a function runs with the rights of the table''s present owner, or of the one that is named, '
  'as a reader does';

-- Of register_event_table(), what writes the store. The text of the reader is not taken on trust.
create function domain_events._note_event_table(
  event_table regclass, source oid, stream_columns name[], version_column name, key oid, reader oid
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
declare
  text_wanted text;
begin
  if not exists (select from pg_class t join pg_class s on s.relowner = t.relowner
                  where t.oid = _note_event_table.event_table and s.oid = _note_event_table.source
                    and s.relkind in ('r', 'p')
                    and s.relnamespace <> 'domain_events'::regnamespace) then
    raise exception '% holds no events of %', source::regclass, event_table
      using errcode = '42809', hint = 'Register the table that holds the rows.';
  end if;
  text_wanted := domain_events._reader_source(source, stream_columns, version_column, key);
  if not domain_events._is_reader(reader, source)
     or (select p.prosrc from pg_proc p where p.oid = reader) <> text_wanted then
    raise exception 'function % is not the reader of %', reader::regprocedure, event_table
      using errcode = '55000', hint = 'Call domain_events.register_event_table().';
  end if;
  insert into domain_events.event_tables as t
    (event_table, source, source_oid, stream_columns, type_column, id_column, version_column, column_numbers,
     column_types, table_name, registered_as, last_version, reader, fingerprint)
  select _note_event_table.event_table, _note_event_table.source, _note_event_table.source,
         _note_event_table.stream_columns,
         _note_event_table.stream_columns[cardinality(_note_event_table.stream_columns) - 1],
         _note_event_table.stream_columns[cardinality(_note_event_table.stream_columns)],
         _note_event_table.version_column, c.numbers, c.types, domain_events._qualified_name(_note_event_table.source),
         domain_events._qualified_name(_note_event_table.event_table),
         domain_events._last_version(_note_event_table.source, _note_event_table.version_column),
         p.proname, md5(p.prosrc)
    from pg_proc p
   cross join lateral (
     select array_agg(a.attnum order by u.n) as numbers,
            array_agg(format_type(a.atttypid, a.atttypmod)
                      || case when a.attcollation <> 0 then ' ' || a.attcollation::regcollation::text else '' end
                      order by u.n) as types
       from unnest(_note_event_table.stream_columns || _note_event_table.version_column) with ordinality as u(name, n)
       join pg_attribute a on a.attrelid = _note_event_table.source and a.attname = u.name) as c
   where p.oid = _note_event_table.reader
  on conflict on constraint event_tables_pkey do update
    set source = excluded.source, source_oid = excluded.source_oid, stream_columns = excluded.stream_columns,
        type_column = excluded.type_column, id_column = excluded.id_column, version_column = excluded.version_column,
        column_numbers = excluded.column_numbers, column_types = excluded.column_types,
        table_name = excluded.table_name, last_version = excluded.last_version, reader = excluded.reader,
        fingerprint = excluded.fingerprint, registered_at = clock_timestamp();
end
$$;

comment on function domain_events._note_event_table(regclass, oid, name[], name, oid, oid) is
  'Notes a legacy table and its reader, for the owner of both';
