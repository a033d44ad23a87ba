-- Legacy event tables: how their next version is read, and by whom.
--
-- Whatever reads a user's table runs code of its owner, planning included: index expressions and predicates, checks,
-- statistics, partition bounds, policies, casts. So nothing here reads one with the rights of the store.
-- register_event_table(), run by the table's owner, leaves a reader beside the table: a SECURITY DEFINER function that
-- belongs to the table's owner and holds the statement that finds a stream's newest version, so that its plan is kept.
-- next_aggregate_version() runs with its caller's rights: it asks the catalogue for the reader and whether that is
-- still the one that was registered, asks the reader for the stream's key, has the store hold that key, and then asks
-- the reader for the version.
--
-- Which texts name one stream is decided by the equality of the table's unique key: "bob" and "Bob" are one in citext,
-- "a" and "a " in char(3), 1.0 and 1 in numeric. The stream is held by the hash that goes with that equality. Two
-- streams that share a hash of 64 bits wait for each other, which does no harm.

create table domain_events.event_tables (
  event_table    regclass not null,
  source         regclass not null,
  source_oid     oid not null,
  stream_columns name[] not null,
  type_column    name,
  id_column      name not null,
  version_column name not null,
  column_numbers int2[] not null,
  column_types   text[] not null,
  table_name     text not null,
  registered_as  text not null,
  last_version   bigint not null,
  reader         name not null,
  fingerprint    text not null,
  registered_at  timestamptz not null default pg_catalog.clock_timestamp(),
  constraint event_tables_pkey primary key (event_table)
);

comment on table domain_events.event_tables is
  'Legacy event tables that next_aggregate_version() serves; see register_event_table()';
comment on column domain_events.event_tables.event_table is
  'The legacy table, or the view that an adopted one has become';
comment on column domain_events.event_tables.source is 'The table with the rows: the same, or the one below the view';
comment on column domain_events.event_tables.source_oid is
  'Its OID when it was registered; another OID means that the numbers of its columns are others too';
comment on column domain_events.event_tables.stream_columns is 'Its columns that name a stream, in their order';
comment on column domain_events.event_tables.type_column is
  'Of these the one before the last, which usually is the aggregate type; null where there is one only';
comment on column domain_events.event_tables.id_column is 'Of these the last, which usually is the aggregate id';
comment on column domain_events.event_tables.version_column is 'Its column with the version';
comment on column domain_events.event_tables.column_numbers is
  'Attribute numbers of the stream''s columns and the version: they follow a rename';
comment on column domain_events.event_tables.column_types is
  'Their types and collations: the reader was written for these';
comment on column domain_events.event_tables.table_name is 'Name of the source when its reader was written';
comment on column domain_events.event_tables.registered_as is
  'Name of event_table when it was registered first: plans and their journal know it by that';
comment on column domain_events.event_tables.last_version is 'The largest version that its column can hold';
comment on column domain_events.event_tables.reader is
  'Name of the function of the table''s owner that reads its versions';
comment on column domain_events.event_tables.fingerprint is
  'Of that function''s text: another text is another function';
comment on column domain_events.event_tables.registered_at is 'When it was registered';
comment on constraint event_tables_pkey on domain_events.event_tables is 'A table is registered once';

-- The columns as the reader needs them, from the catalogue alone. Without a key the types' own equality counts.
create function domain_events._stream_columns(source regclass, stream_columns name[], key oid)
returns table (n bigint, column_name name, column_number int2, base_type text, refused text, operator text,
               collation_name text)
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  with recursive base as (
    select u.n, a.attname, a.attnum, a.atttypid as type, a.atttypmod as modifier, a.attcollation, 0 as depth
      from unnest(stream_columns) with ordinality as u(name, n)
      join pg_attribute a on a.attrelid = source and a.attname = u.name and a.attnum > 0 and not a.attisdropped
    union all
    select b.n, b.attname, b.attnum, t.typbasetype, case when t.typtypmod >= 0 then t.typtypmod else b.modifier end,
           b.attcollation, b.depth + 1
      from base b join pg_type t on t.oid = b.type and t.typtype = 'd'
  ), keyed as (
    select b.*, t.typtype, t.typcategory,
           case when i.indexrelid is null
                then (select o.oid from pg_opclass o
                       where o.opcmethod = 403 and o.opcdefault
                         and o.opcintype in (b.type, case when t.typtype = 'e' then 'anyenum'::regtype
                                                          when b.type = 'varchar'::regtype then 'text'::regtype end)
                       order by o.opcintype = b.type desc limit 1)
                else i.indclass[place.at] end as class,
           case when i.indexrelid is null then b.attcollation else i.indcollation[place.at] end as key_collation
      from base b
      join pg_type t on t.oid = b.type and t.typtype <> 'd'
      left join pg_index i on i.indexrelid = key and i.indrelid = source
      left join lateral (select p.at from generate_series(0, i.indnkeyatts - 1) as p(at) where i.indkey[p.at] = b.attnum
                          limit 1) as place on true
  )
  select k.n, k.attname, k.attnum, format_type(k.type, k.modifier),
         case when k.typtype not in ('b', 'e') or k.typcategory = 'A'
              then 'A stream is named by texts, numbers, times, UUIDs or enums.'
              when o.oid is null
                   or not exists (
                     select from pg_amop h
                       join pg_opclass hc on hc.opcfamily = h.amopfamily and hc.opcmethod = h.amopmethod
                            and hc.opcdefault and hc.opcintype = h.amoplefttype
                      where h.amopmethod = 405 and h.amopstrategy = 1 and h.amopopr = o.oid)
                then 'Its key''s equality has no hash function, so it cannot be told which texts name one stream.' end,
         format('operator(%I.%s)', n.nspname, o.oprname),
         (select format('%I.%I', cn.nspname, c.collname) from pg_collation c
            join pg_namespace cn on cn.oid = c.collnamespace where c.oid = k.key_collation)
    from keyed k
    left join pg_opclass class on class.oid = k.class
    left join pg_amop equal on equal.amopfamily = class.opcfamily and equal.amopstrategy = 3
                           and equal.amoplefttype = class.opcintype and equal.amoprighttype = class.opcintype
    left join pg_operator o on o.oid = equal.amopopr
    left join pg_namespace n on n.oid = o.oprnamespace
   order by k.n
$$;

comment on function domain_events._stream_columns(regclass, name[], oid) is
  'Columns that name a stream: the types to which texts are brought, the equality of the unique key and its hash; '
  'refused says why one cannot';

-- What the reader does with the stream's values, $2, as SQL: the hash by which it is held, the condition that finds its
-- rows, and a template of that for columns of other names.
create function domain_events._stream_terms(
  source regclass, stream_columns name[], key oid, out hash text, out condition text, out template text,
  out numbers int2[]
)
language plpgsql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
declare
  one record;
  value text;
begin
  hash := '0::pg_catalog.int8';
  condition := '';
  template := '';
  numbers := '{}';
  for one in select * from domain_events._stream_columns(source, stream_columns, key) loop
    if one.refused is not null then
      raise exception 'column "%" of table % names no stream: its type is %', one.column_name, source, one.base_type
        using errcode = '42804', detail = one.refused,
              hint = 'Give the column another type, or name other columns.';
    end if;
    value := format('($2[%s]::%s)', one.n, one.base_type) || coalesce(' collate ' || one.collation_name, '');
    -- The hash that goes with the type's equality is to be had for arrays of it: for some types its function takes
    -- another type.
    hash := format('pg_catalog.hash_array_extended(array[%s], %s)', value, hash);
    condition := condition || format('t.%I %s %s and ', one.column_name, one.operator, value);
    template := template || format('t.%%%s$I %s and ', one.n + 2,
                                   replace(one.operator || ' ' || replace(value, '$2[', '$1['), '%', '%%'));
    numbers := numbers || one.column_number;
  end loop;
end
$$;

comment on function domain_events._stream_terms(regclass, name[], oid) is
  'How a legacy stream is hashed and found, as SQL over $2, its values; raises 42804 where a column names no stream';

-- The largest version that a column can hold.
create function domain_events._last_version(source regclass, version_column name) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  version_type regtype := (select domain_events._base_type(a.atttypid) from pg_attribute a
                            where a.attrelid = source and a.attname = version_column and a.attnum > 0
                              and not a.attisdropped);
begin
  if version_type is null or version_type not in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) then
    raise exception 'column "%" of table % holds no versions: its type is %', version_column, source,
          coalesce(format_type(version_type, null), 'unknown')
      using errcode = '42804',
            hint = 'A version is a smallint, an int or a bigint: alter table .. alter column .. type bigint using ..';
  end if;
  return case version_type when 'int2'::regtype then 32767
              when 'int4'::regtype then 2147483647 else 9223372036854775807 end;
end
$$;

comment on function domain_events._last_version(regclass, name) is
  'The largest version that a column can hold; raises 42804 where it holds none';

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

-- Makes the reader, or makes it anew, as the table's owner or for them. Runs nothing of theirs.
create function domain_events._make_reader(
  event_table regclass, source regclass, stream_columns name[], version_column name, key oid
) returns regprocedure
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  body text := domain_events._reader_source(source, stream_columns, version_column, key);
  class record;
  present record;
  base text;
  chosen text;
  reader regprocedure;
  asker record;
begin
  select c.relowner, pg_get_userbyid(c.relowner) as owner, c.relnamespace, n.nspname, c.relname into class
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = source;
  -- That of a former owner too, for whoever may replace it.
  select p.oid, p.proname, p.pronamespace, p.proowner into present
    from domain_events.event_tables t
    join pg_proc p on p.proname = t.reader and domain_events._is_reader(p.oid, t.source, p.proowner)
   where t.event_table = _make_reader.event_table and md5(p.prosrc) = t.fingerprint and pg_has_role(p.proowner, 'usage')
   order by p.proowner = class.relowner desc limit 1;
  if present.pronamespace = class.relnamespace then
    chosen := present.proname;
  else
    -- 50 characters of up to 4 bytes would be too many.
    base := class.relname;
    while octet_length(base) > 40 loop
      base := left(base, -1);
    end loop;
    base := base || '_newest_version';
    select c.name into chosen
      from (select case n when 1 then base else format('%s_%s', base, n) end as name, n
              from generate_series(1, 1000) as n) as c
     where not exists (select from pg_proc p where p.pronamespace = class.relnamespace and p.proname = c.name)
     order by c.n limit 1;
  end if;
  begin
    execute format('create or replace function %I.%I(oid, text[], int) returns bigint language plpgsql volatile '
                   'security definer '
                   'set search_path = pg_catalog, pg_temp set row_security = off%s as %L', class.nspname, chosen,
                   case when domain_events._is_ordered(source, stream_columns, version_column)
                        then ' set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off' else '' end,
                             body);
    reader := format('%I.%I(oid, text[], int)', class.nspname, chosen);
    execute format('revoke all on function %s from public', reader);
    if present.oid is distinct from reader then
      -- Default privileges of the schema.
      for asker in
        select distinct quote_ident(pg_get_userbyid(a.grantee)) as name from pg_proc p
          cross join lateral aclexplode(p.proacl) as a
         where p.oid = reader and a.grantee <> p.proowner
      loop
        execute format('revoke all on function %s from %s', reader, asker.name);
      end loop;
    end if;
    execute format('comment on function %s is %L', reader,
                   format('Newest version of a stream of %s, for domain_events.next_aggregate_version()', event_table));
    -- Who may ask the store, or write the table, may ask the reader.
    for asker in
      select distinct case x.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end as name
        from (select a.grantee from pg_proc p
                cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
               where p.oid = 'domain_events.next_aggregate_version(text, text, regclass)'::regprocedure
                 and a.privilege_type = 'EXECUTE'
              union all
              select a.grantee from pg_class c cross join lateral aclexplode(c.relacl) as a
               where c.oid in (event_table, source) and a.privilege_type = 'INSERT') as x
    loop
      execute format('grant execute on function %s to %s', reader, asker.name);
    end loop;
    if (select p.proowner from pg_proc p where p.oid = reader) <> class.relowner then
      execute format('alter function %s owner to %I', reader, class.owner);
    end if;
  exception when insufficient_privilege then
    raise exception 'role % may create no function in schema %', class.owner, class.nspname
      using errcode = '42501',
            detail = format('A function of the owner of %s reads its versions, and lives beside it: %s', event_table,
                            sqlerrm),
            hint = format('Let the schema''s owner run: grant create on schema %I to %I;', class.nspname, class.owner);
  end;
  perform domain_events._command(event_table, 'register event table', jsonb_build_object(
    'source', source::oid::bigint, 'stream_columns', to_jsonb(stream_columns), 'version_column', version_column, 'key',
    key::bigint, 'reader', reader::oid::bigint));
  if present.oid <> reader then
    execute format('drop function %s', present.oid::regprocedure);
  end if;
  return reader;
end
$$;

comment on function domain_events._make_reader(regclass, regclass, name[], name, oid) is
  'Makes the function that reads the versions of a legacy table, and makes both known to the store; '
  'run by the table''s owner or for them';

create function domain_events._write_reader(
  event_table regclass, source regclass, stream_columns name[], version_column name, key oid
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  renamed record;
  reader regprocedure;
  known text[];
  raised_by text;
begin
  -- The trigger that asks for the versions names the columns as well.
  select t.stream_columns || t.version_column as registered, s.stream_columns || s.version_column as present
    into renamed
    from domain_events.event_tables t join domain_events._event_table_states() as s on s.event_table = t.event_table
   where t.event_table = _write_reader.event_table and s.stream_columns is not null;
  reader := domain_events._make_reader(event_table, source, stream_columns, version_column, key);
  perform domain_events._follow_shim(source, renamed.registered, renamed.present);
  -- Once, so that what does not work is told now. What it leaves behind, an expression of an index for one, is undone:
  -- at the commit a deferred trigger or a cursor WITH HOLD would run with the rights of whoever registers the table.
  known := domain_events._prepared_statements();
  begin
    execute format('select %1$s($1, $2, 1), %1$s($1, $2, 2)', reader::regproc)
      using source::oid, array_fill(null::text, array[cardinality(stream_columns)]);
    raise exception 'tried' using errcode = 'DE001', constraint = '_tried';
  exception when sqlstate 'DE001' then
    get stacked diagnostics raised_by = constraint_name;
    if raised_by <> '_tried' then
      raise;
    end if;
  end;
  perform domain_events._forget_prepared(known);
end
$$;

comment on function domain_events._write_reader(regclass, regclass, name[], name, oid) is
  'Makes the reader of a legacy table, lets the table''s trigger follow renamed columns, and tries the reader; '
  'run by the table''s owner';

create function domain_events.register_event_table(event_table regclass, stream_columns name[], version_column name)
  returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform domain_events._check_session();
  perform domain_events._check_event_table(event_table, stream_columns, version_column);
  perform domain_events._write_reader(event_table, event_table, stream_columns, version_column,
                                      domain_events._unique_key(event_table, stream_columns, version_column, true));
end
$$;

comment on function domain_events.register_event_table(regclass, name[], name) is
  'Makes a legacy event table known to next_aggregate_version(). A stream is named by up to four columns (tenant, '
  'type, id); demands a unique key over them and the version (42P16), which may have further columns, '
  'as a partition''s time. Run by the table''s owner.';

create function domain_events._check_event_table(event_table regclass, stream_columns name[], version_column name)
  returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  wanted name[] := stream_columns || version_column;
  missing name;
begin
  perform domain_events._check_target(event_table);
  if stream_columns is null or version_column is null or array_position(stream_columns, null) is not null then
    raise exception '% must not be null',
          case when version_column is null then 'version_column' else 'stream_columns' end
      using errcode = '22004',
            hint = 'Name the columns that hold the stream, for example ''{tenant,type,id}'', and the version.';
  elsif array_ndims(stream_columns) is distinct from 1 or cardinality(stream_columns) not between 1 and 4 then
    raise exception 'a stream is named by one to four columns, not %', cardinality(stream_columns)
      using errcode = '22023', hint = 'For example ''{tenant,type,id}''.';
  elsif (select count(distinct w) from unnest(wanted) as w) < cardinality(wanted) then
    raise exception 'a column is named twice'
      using errcode = '22023', hint = 'The version is no part of what names the stream.';
  end if;
  select w into missing from unnest(wanted) as w
   where not exists (select from pg_attribute a where a.attrelid = event_table and a.attname = w
                        and a.attnum > 0 and not a.attisdropped)
   limit 1;
  if missing is not null then
    raise exception 'column "%" of table % does not exist', missing, event_table
      using errcode = '42703', hint = 'Name the columns that hold the aggregate''s type, its id and the version.';
  end if;
end
$$;

comment on function domain_events._check_event_table(regclass, name[], name) is
  'Raises 22004, 22023, 42P01, 42703, 42809 or 42501 unless the caller owns a table with these columns';

-- The one that takes most texts for the same, if there are several.
create function domain_events._unique_key(event_table regclass, stream_columns name[], version_column name,
                                          may_be_wider boolean) returns oid
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  wanted name[] := stream_columns || version_column;
  key oid;
begin
  select i.indexrelid into key
    from pg_index i
   cross join lateral (
     select array_agg(a.attname) as columns,
            bool_or(exists (select from pg_collation c
                             where c.oid = i.indcollation[p.at] and not c.collisdeterministic)) as is_loose
       from generate_series(0, i.indnkeyatts - 1) as p(at)
       join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[p.at]) as k
   where i.indrelid = event_table and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
     and wanted <@ k.columns
     and (may_be_wider or cardinality(k.columns) = cardinality(wanted)
          -- A partitioned table can have no other.
          or (select c.relkind = 'p' from pg_class c where c.oid = event_table)
             and not exists (select from unnest(k.columns) as further
                              where further <> all (wanted)
                                and not exists (select from pg_partitioned_table p
                                                  join pg_attribute a on a.attrelid = p.partrelid
                                                       and a.attname = further
                                                 where p.partrelid = event_table
                                                   and a.attnum = any (p.partattrs::int2[]))))
   order by cardinality(k.columns), k.is_loose desc, i.indexrelid limit 1;
  if not found then
    raise exception 'table % has no unique key over (%)', event_table, array_to_string(wanted, ', ')
      using errcode = '42P16',
            detail = 'Without it two writers could store one version twice.',
            hint = format('alter table %s add constraint uk_aggregate_version unique (%s);', event_table,
                          (select string_agg(quote_ident(w), ', ' order by n)
                             from unnest(wanted) with ordinality as u(w, n)));
  end if;
  return key;
end
$$;

comment on function domain_events._unique_key(regclass, name[], name, boolean) is
  'The unique key over a stream''s columns and the version; raises 42P16 when there is none';

create function domain_events.register_event_table(
  event_table regclass, type_column name, id_column name, version_column name
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  stream_columns name[] := array_remove(array[type_column, id_column], null);
begin
  perform domain_events._check_session();
  perform domain_events._check_target(event_table);
  if id_column is null or version_column is null then
    raise exception '% must not be null', case when id_column is null then 'id_column' else 'version_column' end
      using errcode = '22004', hint = 'Only type_column may be null, when the key is (id, version).';
  end if;
  perform domain_events._check_event_table(event_table, stream_columns, version_column);
  perform domain_events._write_reader(event_table, event_table, stream_columns, version_column,
                                      domain_events._unique_key(event_table, stream_columns, version_column, false));
end
$$;

comment on function domain_events.register_event_table(regclass, name, name, name) is
  'Makes a legacy event table known to next_aggregate_version(). Demands a unique key over the columns (42P16); '
  'type_column is null where the key is (id, version). Run by the table''s owner.';

-- For the command line: a table whose key follows once its data allows it, and the view that an adopted table has
-- become.
create function domain_events._register_event_table(event_table regclass, stream_columns name[], version_column name)
  returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  sources regclass[] := array[event_table];
  key oid;
begin
  if (select c.relkind = 'v' from pg_class c where c.oid = event_table) then
    sources := array(
      select distinct s.oid from pg_rewrite r
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
             and d.refclassid = 'pg_class'::regclass
        join pg_class v on v.oid = r.ev_class
        join pg_class s on s.oid = d.refobjid and s.relkind in ('r', 'p') and s.relowner = v.relowner
             and s.relnamespace <> 'domain_events'::regnamespace
       where r.ev_class = event_table);
    if cardinality(sources) <> 1 then
      raise exception 'view % is not made of one table of its owner''s', event_table
        using errcode = '42809', hint = 'Register the table that holds the rows.';
    end if;
  end if;
  perform domain_events._check_event_table(sources[1], stream_columns, version_column);
  begin
    key := domain_events._unique_key(sources[1], stream_columns, version_column, true);
  exception when invalid_table_definition then
    null;
  end;
  perform domain_events._write_reader(event_table, sources[1], stream_columns, version_column, key);
end
$$;

comment on function domain_events._register_event_table(regclass, name[], name) is
  'register_event_table() for a table without the key, or for the view over an adopted table';

create function domain_events._register_event_table(
  event_table regclass, type_column name, id_column name, version_column name
) returns void
language sql volatile set search_path = pg_catalog, pg_temp
as $$ select domain_events._register_event_table(event_table, array_remove(array[type_column, id_column], null),
                                                 version_column) $$;

comment on function domain_events._register_event_table(regclass, name, name, name) is
  'The same for a stream of type and id';

-- A table that is gone has no owner who could say so.
create function domain_events._forget_lost_event_tables() returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  with lost as (
    delete from domain_events.event_tables t where not exists (select from pg_class c where c.oid = t.event_table)
           returning 1
  )
  select count(*) from lost
$$;

comment on function domain_events._forget_lost_event_tables() is
  'Forgets legacy event tables that were dropped, and nothing else';

create function domain_events.unregister_event_table(event_table regclass) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  reader record;
begin
  perform domain_events._check_session();
  if not exists (select from domain_events.event_tables t where t.event_table = unregister_event_table.event_table) then
    return false;
  elsif not exists (select from pg_class c where c.oid = event_table) then
    return domain_events._forget_lost_event_tables() > 0;
  end if;
  select p.oid::regprocedure as name, p.proowner into reader
    from domain_events.event_tables t join pg_proc p on p.proname = t.reader and md5(p.prosrc) = t.fingerprint
   where t.event_table = unregister_event_table.event_table and domain_events._is_reader(p.oid, t.source) limit 1;
  perform domain_events._command(event_table, 'unregister event table');
  if reader.name is not null then
    execute format('drop function %s', reader.name);
  end if;
  return true;
end
$$;

comment on function domain_events.unregister_event_table(regclass) is
  'Forgets a legacy event table; true when it was known. Its rows stay as they are. Run by the table''s owner.';
