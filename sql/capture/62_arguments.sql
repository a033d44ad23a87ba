-- What enable_capture() accepts, and what it finds out about the table.

create function domain_events._check_event_types(target regclass, event_types jsonb) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  entry jsonb;
  n bigint;
  wrong text;
begin
  if event_types is null then
    return;
  elsif jsonb_typeof(event_types) <> 'array' then
    raise exception 'event_types must be a JSON array, not %', jsonb_typeof(event_types)
      using errcode = '22023',
            hint = 'For example [{"on": "update", "when_changed": ["email"], "type": "UserEmailChanged"}].';
  elsif pg_column_size(event_types #> '{}') > 1000000 then
    raise exception 'event_types is too large: % bytes', pg_column_size(event_types #> '{}')
      using errcode = '22023', hint = 'It has at most 1,000,000 bytes.';
  end if;
  for entry, n in select * from jsonb_array_elements(event_types) with ordinality loop
    wrong := case
      when jsonb_typeof(entry) <> 'object' then 'is no JSON object'
      when entry ->> 'on' is null or entry ->> 'on' not in ('insert', 'update', 'delete')
        then 'needs "on": insert, update or delete'
      when jsonb_typeof(entry -> 'type') is distinct from 'string' or entry ->> 'type' = ''
        then 'needs "type": a name in the past tense'
      when octet_length(entry ->> 'type') > 255 then 'has a "type" of more than 255 bytes'
      when coalesce(jsonb_typeof(entry -> 'name'), 'string') <> 'string' then 'has a "name" that is no string'
      when jsonb_exists(entry, 'when_changed') and entry ->> 'on' <> 'update'
        then 'has "when_changed", which only an update can have'
      when jsonb_exists(entry, 'when_changed')
           and (jsonb_typeof(entry -> 'when_changed') <> 'array' or entry -> 'when_changed' = '[]'
                or jsonb_path_exists(entry -> 'when_changed', '$[*] ? (@.type() != "string")'))
                     then 'needs "when_changed": a list of column names'
      when (entry - '{on,type,name,when_changed}'::text[]) <> '{}' then 'has an unknown key'
    end;
    if wrong is not null then
      raise exception 'entry % of event_types %', n, wrong
        using errcode = '22023',
              hint = 'For example {"on": "update", "when_changed": ["email"], "type": "UserEmailChanged"}.';
    end if;
    if jsonb_exists(entry, 'when_changed') then
      perform domain_events._check_columns(target, array(select jsonb_array_elements_text(entry -> 'when_changed')),
                                           'event_types');
      perform domain_events._check_stored(target, array(select jsonb_array_elements_text(entry -> 'when_changed')),
                                          'event_types');
    end if;
  end loop;
end
$$;

comment on function domain_events._check_event_types(regclass, jsonb) is
  'Raises 22023 or 42703 unless the mapping is well formed';

create function domain_events._check_columns(target regclass, columns text[], parameter text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  wrong text;
begin
  if array_position(columns, null) is not null then
    raise exception 'parameter % holds a null', parameter
      using errcode = '22004', hint = 'Name columns of the table.';
  end if;
  select c into wrong from unnest(columns) as c
   where not exists (select from pg_attribute a
                      where a.attrelid = target and a.attname = c and a.attnum > 0 and not a.attisdropped)
   limit 1;
  if wrong is not null then
    raise exception 'column "%" of table % does not exist', wrong, target
      using errcode = '42703', detail = format('It is named in parameter %s.', parameter),
            hint = 'Names are case-sensitive here and stand without quotes.';
  end if;
end
$$;

comment on function domain_events._check_columns(regclass, text[], text) is
  'Raises 42703 unless the table has all these columns';

-- Computed when they are read (18): no trigger gets their values, and setting their expression anew changes all of them
-- unseen.
create function domain_events._virtual_columns(target regclass) returns text[]
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(a.attname::text order by a.attnum), '{}')
    from pg_attribute a where a.attrelid = target and a.attnum > 0 and not a.attisdropped and a.attgenerated = 'v'
$$;

comment on function domain_events._virtual_columns(regclass) is
  'The table''s virtual generated columns, which no capture can tell';

create function domain_events._check_stored(target regclass, columns text[], parameter text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  wrong text := (select c from unnest(columns) as c where c = any (domain_events._virtual_columns(target)) limit 1);
begin
  if wrong is not null then
    raise exception 'virtual generated column "%" cannot be captured', wrong
      using errcode = '22023',
            detail = format('It is named in parameter %s. A virtual column is stored nowhere: '
                            'it is computed when it is read, and triggers see null in its place.',
                            parameter),
            hint = 'Name the columns that it is computed from, or make it a stored generated column.';
  end if;
end
$$;

comment on function domain_events._check_stored(regclass, text[], text) is
  'Raises 22023 where a column is a virtual generated one';

-- A row that moves to another partition is told by a BEFORE trigger, in which its generated columns are not computed
-- yet.
create function domain_events._check_known_before(target regclass, key text[]) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  wrong text := (select a.attname
                   from pg_class c
                   join pg_attribute a on a.attrelid = c.oid
                  where c.oid = target and c.relkind = 'p' and a.attgenerated <> '' and a.attname::text = any (key)
                  limit 1);
begin
  if wrong is not null then
    raise exception 'generated column "%" cannot identify the rows of partitioned table %', wrong, target
      using errcode = '22023',
            detail = 'Whether a row that moves to another partition keeps its aggregate id has to be known before '
                     'its generated columns are computed.',
            hint = 'Name the columns that it is computed from instead.';
  end if;
end
$$;

comment on function domain_events._check_known_before(regclass, text[]) is
  'Raises 22023 where a generated column would be part of the aggregate id of a partitioned table';

create function domain_events._check_choice(parameter text, value text, choices text[]) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if value is null then
    raise exception '% must not be null', parameter
      using errcode = '22004', hint = format('Choose one of %s.', array_to_string(choices, ', '));
  elsif value <> all (choices) then
    raise exception '% must be one of %, not "%"', parameter, array_to_string(choices, ', '), value
      using errcode = '22023', hint = format('Choose one of %s.', array_to_string(choices, ', '));
  end if;
end
$$;

comment on function domain_events._check_choice(text, text, text[]) is
  'Raises 22004 or 22023 unless the value is one of the choices';

create function domain_events._primary_key(target regclass) returns text[]
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select array_agg(a.attname::text order by k.n)
    from pg_index i
    cross join lateral unnest(i.indkey::int2[]) with ordinality as k(attnum, n)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
   where i.indrelid = target and i.indisprimary and k.n <= i.indnkeyatts
$$;

comment on function domain_events._primary_key(regclass) is
  'Columns of the primary key in its order; null when there is none';

-- False when several rows can share a stream.
create function domain_events._is_unique(target regclass, columns text[]) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pg_index i
     where i.indrelid = target and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
       and (select bool_and(a.attname::text = any (columns) and a.attnotnull)
              from unnest(i.indkey::int2[]) with ordinality as k(attnum, n)
              join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
             where k.n <= i.indnkeyatts))
$$;

comment on function domain_events._is_unique(regclass, text[]) is
  'True when a unique key over not-null columns is among these columns';

create function domain_events._is_one_row(capture_id int) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select domain_events._is_unique(c.relation,
                                  (select array_agg(l.column_name::text)
                                     from domain_events._live_columns(c.capture_id) as l
                                                where l.identity_position is not null))
    from domain_events.capture_config c where c.capture_id = _is_one_row.capture_id
$$;

comment on function domain_events._is_one_row(int) is 'True when a stream of the capture is one row';

