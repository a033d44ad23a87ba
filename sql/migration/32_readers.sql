-- The function beside a legacy table that reads its versions, for its owner: its text, and what the store notes of it.
-- See the head of 31_legacy_tables.sql.

-- The reader's text. Step 1 gives the stream's key, 2 its newest version, 3 the same for a table that was renamed
-- since, or whose columns were. Every writer may call it, with whatever they like, so it asks whether the names in it
-- mean what they meant before it reads by them: a view, a domain or a table of somebody else's would run code of theirs
-- with the rights of the table's owner. A cast from text belongs to the type's owner: an enum's value is found by its
-- label instead.
create function domain_events._reader_source(source regclass, stream_columns name[], version_column name, key oid)
  returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
declare
  one record;
  version_number int2 := (select a.attnum from pg_attribute a
                           where a.attrelid = source and a.attname = version_column and a.attnum > 0
                             and not a.attisdropped);
  version_type oid := (select domain_events._base_type(a.atttypid) from pg_attribute a
                        where a.attrelid = source and a.attnum = version_number);
  value text;
  others text := 'false';
  unknown text := 'false';
  hash text := '0::pg_catalog.int8';
  condition text := '';
  template text := '';
  numbers int2[] := '{}';
begin
  if version_type is null or version_type not in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) then
    raise exception 'column "%" of table % holds no versions: its type is %', version_column, source,
          coalesce(format_type(version_type, null), 'unknown')
      using errcode = '42804',
            hint = 'A version is a smallint, an int or a bigint: alter table .. alter column .. type bigint using ..';
  end if;
  for one in select * from domain_events._stream_columns(source, stream_columns, key) loop
    if one.refused is not null then
      raise exception 'column "%" of table % names no stream: its type is %', one.column_name, source, one.base_type
        using errcode = '42804', detail = one.refused,
              hint = 'Give the column another type, or name other columns.';
    end if;
    value := case when one.made_kind = 'e'
      then format('(select v.label from pg_catalog.unnest(pg_catalog.enum_range(null::%s)) as v(label) '
                  'where pg_catalog.textin(pg_catalog.enum_out(v.label)) operator(pg_catalog.=) $2[%s])',
                  one.base_type, one.n)
      else format('($2[%s]::%s)', one.n, one.base_type) || coalesce(' collate ' || one.collation_name, '') end;
    others := others || case when one.made_kind is not null then format(
      ' or (select t.typtype from pg_catalog.pg_type t where t.oid operator(pg_catalog.=) pg_catalog.to_regtype(%L)) '
      'is distinct from %L', one.base_type, one.made_kind) else '' end;
    unknown := unknown || case when one.made_kind = 'e'
      then format(' or $2[%s] is not null and %s is null', one.n, value) else '' end;
    -- The hash that goes with the type's equality is to be had for arrays of it: for some types its function takes
    -- another type.
    hash := format('pg_catalog.hash_array_extended(array[%s], %s)', value, hash);
    condition := condition || format('t.%I %s %s and ', one.column_name, one.operator, value);
    template := template || format('t.%%%s$I %s and ', one.n + 2,
                                   replace(one.operator || ' ' || replace(value, '$2[', '$1['), '%', '%%'));
    numbers := numbers || one.column_number;
  end loop;
  -- "is not null": without it a null would be the newest, with "nulls last" no index would serve.
  template := 'select t.%2$I from %1$s t where ' || template || 't.%2$I is not null order by t.%2$I desc limit 1';
  return format($reader$
-- Written by domain_events.register_event_table(); call that again instead of changing it.
declare
  newest bigint;
  names text[];
begin
  if %9$s then
    raise exception 'a type that names the streams of table %% is another than before', %5$L
      using errcode = '55000', hint = 'Register the table again.';
  elsif $3 = 1 then
    if %10$s then
      raise exception 'invalid input value for an enum that names the streams of table %%: (%%)', %5$L,
            pg_catalog.array_to_string($2, ', ')
        using errcode = '22P02', hint = 'Name a label of the enum.';
    end if;
    return %1$s;
  elsif not exists (select from pg_catalog.pg_class c
                     where c.oid operator(pg_catalog.=) $1 and c.relkind in ('r', 'p')
                       and pg_catalog.pg_get_userbyid(c.relowner) operator(pg_catalog.=) current_user) then
    raise exception 'table %% is another than before', %5$L using errcode = '55000', hint = 'Register it again.';
  elsif $3 = 2 then
    if pg_catalog.to_regclass(%5$L) is distinct from $1 then
      raise exception 'event table %% was renamed at this moment', %5$L
        using errcode = '40001', hint = 'Repeat the transaction.';
    end if;
    select t.%3$I into newest from %2$s t where %4$st.%3$I is not null order by t.%3$I desc limit 1;
    -- Asked again, while the table is locked: it may have become another of this name.
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
    hash, domain_events._qualified_name(source), version_column, condition, domain_events._qualified_name(source),
    source::oid, version_number || numbers, template, others, unknown);
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

create function domain_events._is_reader(candidate oid, source oid) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select exists (select from pg_proc p join pg_class c on c.oid = source
                  where p.oid = candidate and p.prosecdef and p.proowner = c.relowner and p.provolatile = 'v'
                    and p.prorettype = 'int8'::regtype
                    and p.proargtypes::text = format('%s %s %s', 'oid'::regtype::oid, 'text[]'::regtype::oid,
                                                     'int4'::regtype::oid)
                    and replace(array_to_string(p.proconfig, '|'), '"', '') in (
                      'search_path=pg_catalog, pg_temp|row_security=off',
                      'search_path=pg_catalog, '
                      'pg_temp|row_security=off|enable_seqscan=off|enable_bitmapscan=off|enable_sort=off'))
$$;

comment on function domain_events._is_reader(oid, oid) is
  'Whether a function runs with the rights of the table''s present owner, as a reader does';

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
     column_types, table_name, last_version, reader, fingerprint)
  select _note_event_table.event_table, _note_event_table.source, _note_event_table.source,
         _note_event_table.stream_columns,
         _note_event_table.stream_columns[cardinality(_note_event_table.stream_columns) - 1],
         _note_event_table.stream_columns[cardinality(_note_event_table.stream_columns)],
         _note_event_table.version_column, c.numbers, c.types, domain_events._qualified_name(_note_event_table.source),
         case domain_events._base_type(c.version_type) when 'int2'::regtype then 32767
              when 'int4'::regtype then 2147483647 else 9223372036854775807 end,
         p.proname, md5(p.prosrc)
    from pg_proc p
   cross join lateral (
     select array_agg(a.attnum order by u.n) as numbers, (array_agg(a.atttypid order by u.n))[count(*)] as version_type,
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
