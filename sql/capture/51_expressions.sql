-- SQL text that turns a column's value into JSON. The text is built once per capture and baked into its trigger
-- function.
--
-- to_jsonb() calls a user's cast to json where a leaf is of a user's type; the trigger runs with the store's rights, so
-- such a leaf is written as the text its output function gives, which is what to_jsonb() does without the cast.

create function domain_events._base_type(type oid) returns oid
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  found_type record;
begin
  loop
    select t.oid, t.typtype, t.typbasetype into found_type from pg_type t where t.oid = type;
    if found_type.typtype is distinct from 'd' then
      return type;
    end if;
    type := found_type.typbasetype;
  end loop;
end
$$;

comment on function domain_events._base_type(oid) is 'The type below any number of domains';

create function domain_events._element_type(type oid) returns oid
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select t.typelem from pg_type t where t.oid = type and t.typelem <> 0 and t.typcategory = 'A'
$$;

comment on function domain_events._element_type(oid) is 'Element type of an array type, null for anything else';

-- Each type once: of composites within composites there may be 2^n ways to the same one.
create function domain_events._parts_of_type(type oid) returns table (part oid, relation oid)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    with recursive below(base) as (
      select domain_events._base_type(type)
      union
      select domain_events._base_type(inner_type.oid)
        from below b
        join pg_type t on t.oid = b.base
       cross join lateral (
         select t.typelem as oid where t.typelem <> 0 and t.typcategory = 'A'
          union all
         select a.atttypid from pg_attribute a
          where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
       ) as inner_type
    )
    select t.oid, nullif(t.typrelid, 0) from below b join pg_type t on t.oid = b.base
     where not (t.typelem <> 0 and t.typcategory = 'A');
end
$$;

comment on function domain_events._parts_of_type(oid) is
  'The types that a value of this type is made of, below domains and arrays: '
  'composites, with their relations, and what they are made of';

create function domain_events._leaf_types(type oid) returns setof oid
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return query select p.part from domain_events._parts_of_type(type) as p where p.relation is null;
end
$$;

comment on function domain_events._leaf_types(oid) is
  'The scalar types that a value of this type is made of, below domains, arrays and composites';

-- 16384 is the first OID of a user's object in every database.
create function domain_events._is_plain(type oid) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select coalesce(bool_and(leaf < 16384 and leaf not in ('json'::regtype, 'record'::regtype)), true)
    from domain_events._leaf_types(type) as leaf
$$;

comment on function domain_events._is_plain(oid) is
  'True when to_jsonb() of the type can neither call a user''s cast nor meet JSON text that jsonb cannot hold';

-- A value may be many times as large in text as it is stored: 1e131071 takes 16 bytes within jsonb, and a control
-- character becomes seven in the text that COPY writes. What no line of COPY could hold (1 GB) could be dumped by
-- nobody. So a column's value has at most max_bytes bytes as jsonb and twice as many as COPY writes it, else it becomes
-- a marker; all columns of two rows then have 268 and 536 MB. A numeric is left out of that: of those that fit into two
-- rows come less than 350 MB.
create function domain_events._is_wide(type oid) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select exists (select from pg_type t
                  where t.oid = _is_wide.type and t.typlen < 0
                    and t.oid not in ('numeric'::regtype, 'inet'::regtype, 'cidr'::regtype, 'int4range'::regtype,
                                      'int8range'::regtype, 'numrange'::regtype, 'tsrange'::regtype,
                                      'tstzrange'::regtype, 'daterange'::regtype))
$$;

comment on function domain_events._is_wide(oid) is 'True for a base type whose values may be large';

-- jsonb of so many bytes is never too large as text: no more than 9,220 bytes of text come of one.
create function domain_events._small(max_bytes bigint) returns bigint
language sql immutable
as $$ select max_bytes / 5000 $$;

comment on function domain_events._small(bigint) is
  'How large jsonb may be without a look at its text, where values have this limit';

create function domain_events._copied_bytes(value text) returns bigint
language sql immutable
as $$
  select 2::bigint * pg_catalog.octet_length(value)
         - pg_catalog.octet_length(pg_catalog.replace(value, pg_catalog.chr(92), ''))
$$;

comment on function domain_events._copied_bytes(text) is
  'So many bytes JSON text has in the output of COPY, which doubles each backslash';

create function domain_events._too_large(value jsonb, type text, max_bytes bigint) returns jsonb
language plpgsql immutable strict set search_path = pg_catalog, pg_temp
as $$
declare
  form text;
begin
  begin
    form := value::text;
  exception when program_limit_exceeded then
    null;  -- there is no text of 1 GB
  end;
  if pg_column_size(value #> '{}') <= max_bytes and domain_events._copied_bytes(form) <= 2 * max_bytes then
    return null;
  end if;
  -- Arrays and composite values have been rendered as JSON, other types as a string of their text.
  if type not in ('jsonb', 'json') and jsonb_typeof(value) = 'string' then
    form := value #>> '{}';
  end if;
  if octet_length(form) > 268435456 then
    form := null;  -- too large to be read as a whole
  end if;
  return jsonb_build_object('$value', 'unrepresentable', 'type', type, 'bytes', octet_length(form),
                            'sha256', encode(sha256(convert_to(form, 'UTF8')), 'hex'));
end
$$;

comment on function domain_events._too_large(jsonb, text, bigint) is
  'The marker for a value that has more than max_bytes bytes as jsonb, or twice as many in the output of COPY, '
  'else null: length and SHA-256 of its text form, of an array or composite value of its JSON; '
  'null for both where that has more than 256 MB';

create function domain_events._bounded(value jsonb, type text, max_bytes bigint) returns jsonb
language plpgsql immutable strict set search_path = pg_catalog, pg_temp
as $$
begin
  if pg_column_size(value) <= domain_events._small(max_bytes) then
    return value;
  end if;
  return coalesce(domain_events._too_large(value, type, max_bytes), value);
end
$$;

comment on function domain_events._bounded(jsonb, text, bigint) is
  'A value of a column, just rendered; the unrepresentable marker when it is too large';

create function domain_events._bounded_text(value text, type text, max_bytes bigint) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if octet_length(value) > max_bytes or domain_events._copied_bytes(to_json(value)::text) > 2 * max_bytes then
    return domain_events._unrepresentable(value, type);
  end if;
  return to_jsonb(value);
end
$$;

comment on function domain_events._bounded_text(text, text, bigint) is
  'A text as jsonb; the unrepresentable marker when it is too large';

create function domain_events._json_expression(expression text, type oid, top boolean, max_bytes bigint) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  base oid := domain_events._base_type(type);
  element oid := domain_events._element_type(base);
  class oid := (select t.typrelid from pg_type t where t.oid = base and t.typtype = 'c');
  fields text[];
begin
  if base = 'jsonb'::regtype and top then
    return format($sql$coalesce(
      case when pg_column_size(%1$s #> '{}') > %2$s then domain_events._too_large(%1$s, 'jsonb', %3$s) end,
      case jsonb_typeof(%1$s)
      when 'null' then '{"$value":"jsonb null"}'::jsonb
      when 'object' then case when jsonb_exists(%1$s, '$value')
                              then jsonb_build_object('$value', 'literal', 'of', %1$s) else %1$s::jsonb end
      else %1$s::jsonb end)$sql$, expression, domain_events._small(max_bytes), max_bytes);
  elsif base = 'json'::regtype then
    return format('domain_events._json_to_jsonb(%s, %L, %s)', expression, top, max_bytes);
  elsif base in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype) and top then
    -- A control character is seven bytes in the output of COPY.
    return format('case when octet_length(%1$s) > %2$s then domain_events._bounded_text(%1$s, %3$L, '
                  '%4$s) else to_jsonb(%1$s) end', expression, max_bytes * 2 / 7 - 2, format_type(base, null),
                    max_bytes);
  elsif base = 'bytea'::regtype and top then
    return format('case when octet_length(%1$s) > %2$s then domain_events._unrepresentable(%1$s) else to_jsonb(%1$s) '
                  'end', expression, max_bytes / 2 - 1);
  elsif top and domain_events._is_wide(base) then
    return format('domain_events._bounded(%s, %L, %s)',
                  domain_events._json_expression(expression, base, false, max_bytes),
                  format_type(base, null), max_bytes);
  elsif domain_events._is_plain(base) then
    return format('to_jsonb(%s)', expression);
  elsif element is not null then
    -- unnest() in FROM would make the columns of a composite of it, and of a null a row of nulls.
    return format($sql$case when %1$s is null then null when array_ndims(%1$s) is null then '[]'::jsonb
      when array_ndims(%1$s) = 1
      then (select jsonb_agg(%2$s order by i) from generate_subscripts(%1$s, 1) as i)
      else domain_events._nest((select array_agg(%3$s) from (select unnest(%1$s) as e) as flat),
                               array_dims(%1$s)) end$sql$,
      expression,
      domain_events._json_expression(format('(%s)[i]', expression), element, false, max_bytes),
      domain_events._json_expression('e', element, false, max_bytes));
  elsif class is not null then
    select array_agg(format('jsonb_build_object(%L, %s)', a.attname,
                            domain_events._json_expression(
                              format('(%s)."%s"', expression, replace(a.attname, '"', '""')),
                              a.atttypid, false, max_bytes))
                     order by a.attnum)
      into fields
      from pg_attribute a where a.attrelid = class and a.attnum > 0 and not a.attisdropped;
    return format('case when num_nulls(%s) = 0 then %s end', expression,
                  coalesce(array_to_string(fields, ' || '), '''{}''::jsonb'));
  else
    return format('case when num_nulls(%1$s) = 0 then to_jsonb(format(''%%s'', %1$s)) end', expression);
  end if;
end
$$;

comment on function domain_events._json_expression(text, oid, boolean, bigint) is
  'SQL that renders an expression of this type as to_jsonb() does, calling no user''s cast; top: '
  'a whole column, whose jsonb null, $value objects and oversized values become markers';

create function domain_events._unrepresentable(value bytea) returns jsonb
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object('$value', 'unrepresentable', 'type', 'bytea', 'bytes', octet_length(value),
                            'sha256', encode(sha256(value), 'hex'))
$$;

comment on function domain_events._unrepresentable(bytea) is
  'The marker for a bytea that jsonb cannot hold: length and SHA-256 of the raw bytes';

create function domain_events._unrepresentable(value text, type text) returns jsonb
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object('$value', 'unrepresentable', 'type', type, 'bytes', octet_length(value),
                            'sha256', encode(sha256(convert_to(value, 'UTF8')), 'hex'))
$$;

comment on function domain_events._unrepresentable(text, text) is
  'The marker for a value that jsonb cannot hold: length and SHA-256 of its text form';

create function domain_events._json_to_jsonb(value json, top boolean, max_bytes bigint) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  converted jsonb;
begin
  if value is null then
    return null;
  end if;
  begin
    converted := value::jsonb;
  exception when others then
    -- "\u0000", 1e500000 and what else is JSON but no jsonb
    return domain_events._unrepresentable(value::text, 'json');
  end;
  if top and pg_column_size(converted) > domain_events._small(max_bytes)
     and domain_events._too_large(converted, 'json', max_bytes) is not null then
    return domain_events._unrepresentable(value::text, 'json');
  elsif top and jsonb_typeof(converted) = 'null' then
    return '{"$value":"jsonb null"}';
  elsif top and jsonb_typeof(converted) = 'object' and jsonb_exists(converted, '$value') then
    return jsonb_build_object('$value', 'literal', 'of', converted);
  end if;
  return converted;
end
$$;

comment on function domain_events._json_to_jsonb(json, boolean, bigint) is
  'A json value as jsonb; the unrepresentable marker for what jsonb cannot hold, '
  'and for a whole column that is too large';

-- Puts the flat elements of an array of two or more dimensions back into nested JSON arrays.
create function domain_events._nest(flat jsonb[], dimensions text) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  bounds text[];
  size int;
  level jsonb[] := flat;
begin
  bounds := string_to_array(trim(both '[]' from dimensions), '][');
  for i in reverse cardinality(bounds) .. 1 loop
    size := split_part(bounds[i], ':', 2)::int - split_part(bounds[i], ':', 1)::int + 1;
    level := array(select to_jsonb(level[n:n + size - 1]) from generate_series(1, cardinality(level), size) as n
                    order by n);
  end loop;
  return level[1];
end
$$;

comment on function domain_events._nest(jsonb[], text) is
  'Nests a flat list of elements by the text of array_dims(), as to_jsonb() shows an array of several dimensions';

-- The settings that a rendering depends on, fixed in the trigger function only where one of the table's types needs
-- them: each costs about 0.5 us a call.
create function domain_events._render_settings(types oid[], identity_types oid[]) returns text[]
language sql stable set search_path = pg_catalog, pg_temp
as $$
  with leaf as (
    select l as type, false as identity from unnest(types) as t, domain_events._leaf_types(t) as l
    union
    select l, true from unnest(identity_types) as t, domain_events._leaf_types(t) as l
  ), needed as (
    select case
             when leaf.type in ('bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'oid'::regtype,
                                'text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'name'::regtype,
                                '"char"'::regtype, 'numeric'::regtype, 'uuid'::regtype, 'json'::regtype,
                                'jsonb'::regtype, 'inet'::regtype, 'cidr'::regtype, 'macaddr'::regtype,
                                'macaddr8'::regtype, 'bit'::regtype, 'varbit'::regtype,
                                'time'::regtype, 'xml'::regtype, 'tsvector'::regtype, 'int4range'::regtype,
                                'int8range'::regtype, 'numrange'::regtype)
                  or exists (select from pg_type t where t.oid = leaf.type and t.typtype = 'e') then '{}'::text[]
             when leaf.type in ('date'::regtype, 'timestamp'::regtype)
               then case when leaf.identity then array['datestyle = ''ISO, MDY'''] else '{}' end
             when leaf.type in ('timestamptz'::regtype, 'timetz'::regtype)
               then array['timezone = ''UTC''']
                    || case when leaf.identity then array['datestyle = ''ISO, MDY'''] else '{}' end
             when leaf.type = 'interval'::regtype then array['intervalstyle = ''postgres''']
             when leaf.type = 'bytea'::regtype then array['bytea_output = ''hex''']
             when leaf.type in ('float4'::regtype, 'float8'::regtype) then array['extra_float_digits = 1']
             when leaf.type = 'money'::regtype then array['lc_monetary = ''C''']
             else array['timezone = ''UTC''', 'datestyle = ''ISO, MDY''', 'intervalstyle = ''postgres''',
                        'bytea_output = ''hex''', 'extra_float_digits = 1', 'lc_monetary = ''C''',
                        'quote_all_identifiers = off']
           end as settings
      from leaf
  )
  select coalesce(array_agg(distinct s order by s), '{}') from needed, unnest(needed.settings) as s
$$;

comment on function domain_events._render_settings(oid[], oid[]) is
  'The SET clauses that make the rendering of these types independent of the session';
