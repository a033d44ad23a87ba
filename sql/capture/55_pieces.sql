-- The pieces of SQL that a table's trigger function is put together from.

-- Always quoted: PL/pgSQL takes words for its own that quote_ident() leaves bare (by, loop, begin ...).
create function domain_events._field(record text, column_name name) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select record || '."' || replace(column_name, '"', '""') || '"' $$;

comment on function domain_events._field(text, name) is 'old."name" or new."name"';

-- The output function's text. A cast to text is the same for these types and cheaper; for others it could be a user's
-- cast.
create function domain_events._text_expression(expression text, type oid) returns text
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select case when domain_events._base_type(type) in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype,
                                                      'uuid'::regtype, 'text'::regtype, 'varchar'::regtype)
              then format('%s::text', expression)
              else format($t$case when num_nulls(%1$s) = 0 then format('%%s', %1$s) end$t$, expression) end
$$;

comment on function domain_events._text_expression(text, oid) is 'SQL for a value''s text within an aggregate id';

create function domain_events._pieces(capture_id int)
returns table (attnum int2, column_name name, identity_position int, captured boolean,
               old_value text, new_value text, changed text, old_text text, new_text text, is_generated boolean)
language sql stable set search_path = pg_catalog, pg_temp
as $$
  with live as (
    select l.*, l.redacted or bool_or(l.attnum is null and l.redacted) over () as hidden,
           bool_or(l.attnum is null and l.identity_position is not null) over () as identity_missing
           from domain_events._live_columns(_pieces.capture_id) as l
  ), limits as materialized (  -- once, not for every column
    select domain_events._max_bytes(_pieces.capture_id) as max_bytes
  )
  select l.attnum, l.column_name, l.identity_position, l.captured,
         case when l.hidden then $m$'{"$value":"redacted"}'::jsonb$m$
              else domain_events._json_expression(domain_events._field('old', l.column_name), l.type, true,
                                                  limits.max_bytes) end,
         case when l.hidden then $m$'{"$value":"redacted"}'::jsonb$m$
              else domain_events._json_expression(domain_events._field('new', l.column_name), l.type, true,
                                                  limits.max_bytes) end,
         format(case when not l.has_image_equality then 'record_image_ne(row(%1$s), row(%2$s))'
                     -- varchar has no operator of its own, nor has a domain
                     when domain_events._base_type(l.type) = 'varchar'::regtype
                       then '%1$s::text is distinct from %2$s::text'
                     when domain_events._base_type(l.type) <> l.type then '%1$s::%3$s is distinct from %2$s::%3$s'
                     else '%1$s is distinct from %2$s' end,
                domain_events._field('old', l.column_name), domain_events._field('new', l.column_name),
                format_type(domain_events._base_type(l.type), null)),
         case when l.identity_missing then 'null::text'
              else domain_events._text_expression(domain_events._field('old', l.column_name), l.type) end,
         case when l.identity_missing then 'null::text'
              else domain_events._text_expression(domain_events._field('new', l.column_name), l.type) end,
         l.is_generated
    from live as l cross join limits
   where l.attnum is not null
   order by l.attnum
$$;

comment on function domain_events._pieces(int) is
  'SQL text per column of a captured table: its values as JSON, whether it changed, its text within the id';

-- jsonb_build_object() renders its arguments as to_jsonb() does: where a value is nothing but to_jsonb(..), that call
-- is saved.
create function domain_events._bare(expression text) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select case when expression like E'to\\_jsonb(%' then substr(expression, 10, length(expression) - 10)
              else expression end
$$;

comment on function domain_events._bare(text) is 'An argument of jsonb_build_object(), without a to_jsonb() around it';

-- {"a": .., "b": ..} in SQL; a function takes at most 100 arguments, hence pieces of 40 columns.
create function domain_events._object_expression(names name[], expressions text[]) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select coalesce(string_agg('jsonb_build_object(' || chunk.pairs || ')', ' || ' order by chunk.n), '''{}''::jsonb')
    from (select (u.n - 1) / 40 as n,
                 string_agg(format('%L, %s', u.name, domain_events._bare(u.expression)), ', ' order by u.n) as pairs
            from unnest(names, expressions) with ordinality as u(name, expression, n)
           group by (u.n - 1) / 40) as chunk
$$;

comment on function domain_events._object_expression(name[], text[]) is
  'SQL that builds a JSON object of these names and expressions';

create function domain_events._id_expression(texts text[]) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select case coalesce(cardinality(texts), 0)
           when 0 then 'null::text'  -- the key column is gone: 22004, as a null id
           when 1 then texts[1]
           else format('domain_events._composite_id(array[%s])', array_to_string(texts, ', ')) end
$$;

comment on function domain_events._id_expression(text[]) is 'SQL for an aggregate id of these columns';

create function domain_events._composite_id(texts text[]) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select case when array_position(texts, null) is null then to_jsonb(texts)::text end $$;

comment on function domain_events._composite_id(text[]) is
  'The id of several columns: the text of their JSON array; null when one is null';

create function domain_events._expressions(capture_id int,
  out id_old text, out id_new text, out row_old text, out row_new text, out key_old text, out key_new text,
  out diff_old text, out diff_new text, out rekeyed text, out changed_names text)
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select domain_events._id_expression(
           array_agg(p.old_text order by p.identity_position)
             filter (where p.identity_position is not null)),
         domain_events._id_expression(
           array_agg(p.new_text order by p.identity_position)
             filter (where p.identity_position is not null)),
         domain_events._object_expression(array_agg(p.column_name order by p.attnum) filter (where p.captured),
                                          array_agg(p.old_value order by p.attnum) filter (where p.captured)),
         domain_events._object_expression(array_agg(p.column_name order by p.attnum) filter (where p.captured),
                                          array_agg(p.new_value order by p.attnum) filter (where p.captured)),
         domain_events._object_expression(
           array_agg(p.column_name order by p.identity_position)
             filter (where p.identity_position is not null),
           array_agg(p.old_value order by p.identity_position)
             filter (where p.identity_position is not null)),
         domain_events._object_expression(
           array_agg(p.column_name order by p.identity_position)
             filter (where p.identity_position is not null),
           array_agg(p.new_value order by p.identity_position)
             filter (where p.identity_position is not null)),
         coalesce(string_agg(format('case when %s then jsonb_build_object(%L, %s) else ''{}'' end',
                                    p.changed, p.column_name, p.old_value),
                             ' || ' order by p.attnum) filter (where p.captured), '''{}''::jsonb'),
         coalesce(string_agg(format('case when %s then jsonb_build_object(%L, %s) else ''{}'' end',
                                    p.changed, p.column_name, p.new_value),
                             ' || ' order by p.attnum) filter (where p.captured), '''{}''::jsonb'),
         coalesce(string_agg(p.changed, ' or ' order by p.identity_position)
                    filter (where p.identity_position is not null), 'false'),
         -- Generated columns have no new value yet where this is asked, before the update.
         format('array_remove(array[%s], null)',
                string_agg(format('case when %s then %L end', p.changed, p.column_name), ', ')
                                                   filter (where not p.is_generated))
    from domain_events._pieces(_expressions.capture_id) as p
$$;

comment on function domain_events._expressions(int) is 'The SQL expressions over old and new that a capture is made of';

-- What the trigger runs for a row when its text is out of date.
create function domain_events._row_query(capture_id int) returns text
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select format('select %s, %s, %s, %s, %s, %s, %s, %s from (select ($1).*) as old, (select ($2).*) as new',
                e.id_old, e.id_new, e.row_old, e.row_new, e.diff_old, e.diff_new, e.key_old, e.key_new)
    from domain_events._expressions(_row_query.capture_id) as e
$$;

comment on function domain_events._row_query(int) is
  'One query that gives everything about a changed row: ids, whole rows, differences, keys';

-- Chooses the event's type, or its name, from the operation and the changed columns.
create function domain_events._mapping_chain(capture_id int, wanted text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  config domain_events.capture_config;
  chain text := '';
  entry jsonb;
begin
  select * into strict config from domain_events.capture_config c where c.capture_id = _mapping_chain.capture_id;
  for entry in select e from jsonb_array_elements(config.event_types) with ordinality as u(e, n) order by n loop
    chain := chain || format(
      E'    when _op = %L%s then %L\n', upper(entry ->> 'on'),
      case when jsonb_exists(entry, 'when_changed')
           then format(' and jsonb_exists_any(_old_values, %L::text[])',
                       array(select jsonb_array_elements_text(entry -> 'when_changed')))
           else '' end,
      entry ->> wanted);
  end loop;
  return E'case\n' || chain || case wanted
    when 'name' then E'    else null end'
    else format(E'    when _op = ''INSERT'' then %L\n    when _op = ''DELETE'' then %L\n    else %L end',
                domain_events._event_type(config.aggregate_type, config.event_name_style, 'Created'),
                domain_events._event_type(config.aggregate_type, config.event_name_style, 'Deleted'),
                domain_events._event_type(config.aggregate_type, config.event_name_style, 'Updated')) end;
end
$$;

comment on function domain_events._mapping_chain(int, text) is
  'SQL that chooses the event''s type or name from the operation and the changed columns';

-- The same for one change, where there is no text or it is out of date. The configuration may be as well: another
-- session is about to renew it. So its columns are found by their numbers.
create function domain_events._map_event(capture_id int, operation text, old_values jsonb, out event_type text,
                                         out event_name text)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  config domain_events.capture_config;
  entry jsonb;
begin
  select * into strict config from domain_events.capture_config c where c.capture_id = _map_event.capture_id;
  select e into entry
    from jsonb_array_elements(config.event_types) with ordinality as u(e, n)
   where upper(e ->> 'on') = operation
     and (not jsonb_exists(e, 'when_changed')
          or jsonb_exists_any(old_values, array(
               select coalesce(a.attname, w)
                 from jsonb_array_elements_text(e -> 'when_changed') as w
                 left join domain_events.capture_columns k on k.capture_id = config.capture_id and k.column_name = w
                 left join pg_attribute a on a.attrelid = config.relation and a.attnum = k.attnum
                           and config.relation_oid = config.relation::oid)))
   order by n limit 1;
  event_type := coalesce(entry ->> 'type', domain_events._event_type(config.aggregate_type, config.event_name_style,
    case operation when 'INSERT' then 'Created' when 'DELETE' then 'Deleted' else 'Updated' end));
  event_name := entry ->> 'name';
end
$$;

comment on function domain_events._map_event(int, text, jsonb) is
  'The event''s type and name for an operation and the columns it changed';

