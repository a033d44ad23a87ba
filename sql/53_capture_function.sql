-- The portable trigger function of one table: its columns baked in, so that a row costs no catalogue and no configuration.
-- Only the columns' signature is looked at, because DDL can come between any two statements.

-- Always quoted: PL/pgSQL takes words for its own that quote_ident() leaves bare (by, loop, begin ...).
create function domain_events._field(record text, column_name name) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select record || '."' || replace(column_name, '"', '""') || '"' $$;

comment on function domain_events._field(text, name) is 'old."name" or new."name"';

-- The output function's text. A cast to text is the same for these types and cheaper; for others it could be a user's cast.
create function domain_events._text_expression(expression text, type oid) returns text
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select case when domain_events._base_type(type) in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype,
                                                      'text'::regtype, 'varchar'::regtype)
              then format('%s::text', expression)
              else format($t$case when num_nulls(%1$s) = 0 then format('%%s', %1$s) end$t$, expression) end
$$;

comment on function domain_events._text_expression(text, oid) is 'SQL for a value''s text within an aggregate id';

create function domain_events._pieces(capture_id int)
returns table (attnum int2, column_name name, identity_position int, captured boolean,
               old_value text, new_value text, changed text, old_text text, new_text text)
language sql stable set search_path = pg_catalog, pg_temp
as $$
  with live as (
    select l.*, l.redacted or bool_or(l.attnum is null) over () as hidden from domain_events._live_columns(_pieces.capture_id) as l
  )
  select l.attnum, l.column_name, l.identity_position, l.captured,
         case when l.hidden then $m$'{"$value":"redacted"}'::jsonb$m$
              else domain_events._json_expression(domain_events._field('old', l.column_name), l.type, true, limits.max_bytes) end,
         case when l.hidden then $m$'{"$value":"redacted"}'::jsonb$m$
              else domain_events._json_expression(domain_events._field('new', l.column_name), l.type, true, limits.max_bytes) end,
         format('record_image_ne(row(%s), row(%s))', domain_events._field('old', l.column_name), domain_events._field('new', l.column_name)),
         domain_events._text_expression(domain_events._field('old', l.column_name), l.type),
         domain_events._text_expression(domain_events._field('new', l.column_name), l.type)
    from live as l
    cross join lateral (select domain_events._max_bytes(_pieces.capture_id) as max_bytes) as limits
   where l.attnum is not null
   order by l.attnum
$$;

comment on function domain_events._pieces(int) is 'SQL text per column of a captured table: its values as JSON, whether it changed, its text within the id';

-- {"a": .., "b": ..} in SQL; a function takes at most 100 arguments, hence pieces of 40 columns.
create function domain_events._object_expression(names name[], expressions text[]) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select coalesce(string_agg('jsonb_build_object(' || chunk.pairs || ')', ' || ' order by chunk.n), '''{}''::jsonb')
    from (select (u.n - 1) / 40 as n, string_agg(format('%L, %s', u.name, u.expression), ', ' order by u.n) as pairs
            from unnest(names, expressions) with ordinality as u(name, expression, n)
           group by (u.n - 1) / 40) as chunk
$$;

comment on function domain_events._object_expression(name[], text[]) is 'SQL that builds a JSON object of these names and expressions';

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

comment on function domain_events._composite_id(text[]) is 'The id of several columns: the text of their JSON array; null when one is null';

create function domain_events._expressions(capture_id int,
  out id_old text, out id_new text, out row_old text, out row_new text, out key_old text, out key_new text,
  out diff_old text, out diff_new text, out rekeyed text)
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select domain_events._id_expression(array_agg(p.old_text order by p.identity_position) filter (where p.identity_position is not null)),
         domain_events._id_expression(array_agg(p.new_text order by p.identity_position) filter (where p.identity_position is not null)),
         domain_events._object_expression(array_agg(p.column_name order by p.attnum) filter (where p.captured),
                                          array_agg(p.old_value order by p.attnum) filter (where p.captured)),
         domain_events._object_expression(array_agg(p.column_name order by p.attnum) filter (where p.captured),
                                          array_agg(p.new_value order by p.attnum) filter (where p.captured)),
         domain_events._object_expression(array_agg(p.column_name order by p.identity_position) filter (where p.identity_position is not null),
                                          array_agg(p.old_value order by p.identity_position) filter (where p.identity_position is not null)),
         domain_events._object_expression(array_agg(p.column_name order by p.identity_position) filter (where p.identity_position is not null),
                                          array_agg(p.new_value order by p.identity_position) filter (where p.identity_position is not null)),
         coalesce(string_agg(format('case when %s then jsonb_build_object(%L, %s) else ''{}'' end', p.changed, p.column_name, p.old_value),
                             ' || ' order by p.attnum) filter (where p.captured), '''{}''::jsonb'),
         coalesce(string_agg(format('case when %s then jsonb_build_object(%L, %s) else ''{}'' end', p.changed, p.column_name, p.new_value),
                             ' || ' order by p.attnum) filter (where p.captured), '''{}''::jsonb'),
         coalesce(string_agg(p.changed, ' or ' order by p.identity_position) filter (where p.identity_position is not null), 'false')
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

comment on function domain_events._row_query(int) is 'One query that gives everything about a changed row: ids, whole rows, differences, keys';

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
      E'    when tg_op = %L%s then %L\n', upper(entry ->> 'on'),
      case when jsonb_exists(entry, 'when_changed')
           then format(' and jsonb_exists_any(_old_values, %L::text[])', array(select jsonb_array_elements_text(entry -> 'when_changed')))
           else '' end,
      entry ->> wanted);
  end loop;
  return E'case\n' || chain || case wanted
    when 'name' then E'    else null end'
    else format(E'    when tg_op = ''INSERT'' then %L\n    when tg_op = ''DELETE'' then %L\n    else %L end',
                domain_events._event_type(config.aggregate_type, config.event_name_style, 'Created'),
                domain_events._event_type(config.aggregate_type, config.event_name_style, 'Deleted'),
                domain_events._event_type(config.aggregate_type, config.event_name_style, 'Updated')) end;
end
$$;

comment on function domain_events._mapping_chain(int, text) is
  'SQL that chooses the event''s type or name from the operation and the changed columns';

create function domain_events._write_capture_function(capture_id int) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  config domain_events.capture_config;
  e record;
  watched oid[];
  types oid[];
  identity_types oid[];
  is_partitioned boolean;
  differences text;
  declarations text;
  body text;
begin
  select * into strict config from domain_events.capture_config c where c.capture_id = _write_capture_function.capture_id;
  if config.state = 'paused' then
    execute format($f$create or replace function domain_events.%I() returns trigger
      language plpgsql security definer set search_path = pg_catalog, pg_temp
      as 'begin return null; end'$f$, 'capture_' || config.capture_id);
    return;
  end if;

  select * into strict e from domain_events._expressions(config.capture_id);
  watched := domain_events._watched_relations(config.relation);
  is_partitioned := (select r.relkind = 'p' from pg_class r where r.oid = config.relation);
  select array_agg(l.type) filter (where l.captured), array_agg(l.type) filter (where l.identity_position is not null)
    into types, identity_types
    from domain_events._live_columns(config.capture_id) as l
   where l.attnum is not null;
  select string_agg(format(E'      if %s then\n        _old_values := _old_values || jsonb_build_object(%L, %s);\n        _new_values := _new_values || jsonb_build_object(%2$L, %4$s);\n      end if;\n',
                           p.changed, p.column_name, p.old_value, p.new_value), '' order by p.attnum)
    into differences
    from domain_events._pieces(config.capture_id) as p where p.captured;

  declarations := $d$
declare
  _id text; _old_id text;
  _old_values jsonb := '{}'; _new_values jsonb := '{}'; _old_row jsonb; _new_row jsonb; _old_key jsonb; _new_key jsonb;
  _type text; _name text; _data jsonb; _left_data jsonb; _metadata jsonb := '{}';
  _version bigint; _query text; _code text; _message text;
$d$;
  body := format($b$
  if tg_op = 'TRUNCATE' then
    perform domain_events._capture_truncate(%1$s, tg_relid);
    return null;
  end if;
  if %2$s
     or (select sum((hashtextextended(a.attname::text, (a.attnum::bigint << 32) | a.atttypid::bigint) >> 32)::int)
           from pg_attribute a where a.attrelid = any (%3$L) and a.attnum > 0 and not a.attisdropped)
        is distinct from %4$s then
    _query := domain_events._refresh_capture(tg_relid);
    if _query is null then
      return null;
    end if;
    case tg_op
      when 'INSERT' then execute _query into _old_id, _id, _old_row, _new_row, _old_values, _new_values, _old_key, _new_key using new, new;
      when 'DELETE' then execute _query into _old_id, _id, _old_row, _new_row, _old_values, _new_values, _old_key, _new_key using old, old;
      else execute _query into _old_id, _id, _old_row, _new_row, _old_values, _new_values, _old_key, _new_key using old, new;
    end case;
    if tg_op = 'UPDATE' and _old_id is not distinct from _id and _new_values = '{}' then
      return null;
    end if;
  else
    case tg_op
      when 'INSERT' then
        _id := %5$s;
        _new_row := %6$s;
      when 'DELETE' then
        _id := %7$s;
        _old_row := %8$s;
      else
%9$s
        _id := %5$s;
        if %10$s then
          _old_id := %7$s;
        else
          _old_id := _id;
          if _new_values = '{}' then
            return null;
          end if;
        end if;
    end case;
  end if;
$b$,
    config.capture_id,
    case when is_partitioned then format('pg_partition_root(tg_relid) <> %s::oid', config.relation::oid)
         else format('tg_relid <> %s::oid', config.relation::oid) end,
    watched, domain_events._columns_signature(watched),
    e.id_new, e.row_new, e.id_old, e.row_old, coalesce(differences, ''), e.rekeyed);
  body := body || format($b$
  if tg_op = 'UPDATE' and _old_id is distinct from _id then
    if _new_row is null then
      _new_row := %1$s;
      _old_key := %2$s;
      _new_key := %3$s;
    end if;
    _type := %4$L;
    _metadata := '{"complete": true}';
    _old_id := domain_events._short_id(_old_id);
    _id := domain_events._short_id(_id);
    _left_data := jsonb_build_object('old_values', _old_key, 'new_values', _new_key, 'new_aggregate_id', _id);
    _data := jsonb_build_object('new_values', _new_row, 'old_aggregate_id', _old_id);
    perform domain_events._write_event(%5$L, _old_id, _type, null, _left_data, '{}');
    perform domain_events._write_event(%5$L, _id, _type, null, _data, _metadata);
    return null;
  end if;

  _type := %6$s;
  _name := %8$s;
  if octet_length(_id) > 1024 then
    _id := domain_events._short_id(_id);
  end if;
  case tg_op
    when 'INSERT' then
      _data := jsonb_build_object('new_values', _new_row);
      if domain_events._write_event(%5$L, _id, _type, _name, _data, '{}', 'INSERT', %9$s) = 0 then
        perform domain_events._write_placed(%5$L, _id, _type, _name, _data, 'INSERT', null);
      end if;
    when 'DELETE' then
      _data := jsonb_build_object('old_values', _old_row);
      perform domain_events._write_event(%5$L, _id, _type, _name, _data, '{}');
    else
%7$s
  end case;
$b$,
    e.row_new, e.key_old, e.key_new,
    domain_events._event_type(config.aggregate_type, config.event_name_style, 'Rekeyed'),
    config.aggregate_type,
    domain_events._mapping_chain(config.capture_id, 'type'),
    case config.payload
      when 'full' then format($u$      if _new_row is null then
        _old_row := %1$s;
        _new_row := %2$s;
      end if;
      _data := jsonb_build_object('old_values', _old_row, 'new_values', _new_row);
      _version := domain_events._write_event(%3$L, _id, _type, _name, _data, '{}', 'UPDATE', %4$s);
      if _version is null then
        _metadata := '{"complete": true}';
        perform domain_events._write_event(%3$L, _id, _type, _name, _data, _metadata);
      elsif _version = 0 then
        perform domain_events._write_placed(%3$L, _id, _type, _name, _data, 'UPDATE', _old_row);
      end if;$u$, e.row_old, e.row_new, config.aggregate_type, config.whole_row_after)
      else format($u$      _data := jsonb_build_object('old_values', _old_values, 'new_values', _new_values);
      if _query is null then
        _version := domain_events._write_event(%2$L, _id, _type, _name, _data, '{}', 'UPDATE', %3$s);
      end if;
      if _version is null then
        -- The stream's first event, or its first after a pause or a change of columns.
        if _new_row is null then
          _new_row := %1$s;
        end if;
        _metadata := '{"complete": true}';
        _data := jsonb_build_object('old_values', _old_values, 'new_values', _new_row);
        perform domain_events._write_event(%2$L, _id, _type, _name, _data, _metadata);
      elsif _version = 0 then
        if _old_row is null then
          _old_row := %4$s;
        end if;
        perform domain_events._write_placed(%2$L, _id, _type, _name, _data, 'UPDATE', _old_row);
      end if;$u$, e.row_new, config.aggregate_type, config.whole_row_after, e.row_old)
    end,
    case when jsonb_path_exists(config.event_types, '$[*].name') then domain_events._mapping_chain(config.capture_id, 'name') else 'null' end,
    config.whole_row_after);
  if config.on_failure = 'dead_letter' then
    body := format($b$
  begin
%1$s
  exception when others then
    get stacked diagnostics _code = returned_sqlstate, _message = message_text;
    if domain_events._propagates(_code) then
      raise;
    end if;
    if _left_data is not null then
      perform domain_events._keep_failure(%2$s, tg_op, _old_id, _type, _name, _left_data, '{}', _code, _message);
    end if;
    perform domain_events._keep_failure(%2$s, tg_op, _id, _type, _name, _data, _metadata, _code, _message);
  end;
$b$, body, config.capture_id);
  end if;

  execute format('create or replace function domain_events.%I() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp %s as %L',
    'capture_' || config.capture_id,
    (select string_agg('set ' || s, ' ') from unnest(domain_events._render_settings(types, identity_types)) as s),
    format(E'-- Written by domain_events._write_capture_function() for %s; changes are overwritten.%s\nbegin\n%s\n  return null;\nend\n',
           replace(config.table_name, E'\n', ' '), declarations, body));
end
$$;

comment on function domain_events._write_capture_function(int) is
  'Writes a captured table''s trigger function anew, from its configuration and its present columns';

-- Called by a trigger whose text is out of date, and by the native engine when it reads a plan. Only one session rewrites;
-- others go on with the query for this one row, so that nobody waits for anybody's transaction.
create function domain_events._follow_columns(capture_id int) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  config domain_events.capture_config;
begin
  select * into strict config from domain_events.capture_config c where c.capture_id = _follow_columns.capture_id;
  if config.relation_oid = config.relation::oid
     and config.store_oid = 'domain_events.events'::regclass::oid
     and not exists (
       (select a.attnum, a.attname from pg_attribute a
         where a.attrelid = config.relation and a.attnum > 0 and not a.attisdropped
        except
        select k.attnum, k.column_name from domain_events.capture_columns k where k.capture_id = config.capture_id)
       union all
       (select k.attnum, k.column_name from domain_events.capture_columns k where k.capture_id = config.capture_id and k.attnum is not null
        except
        select a.attnum, a.attname from pg_attribute a
         where a.attrelid = config.relation and a.attnum > 0 and not a.attisdropped)) then
    return;
  end if;
  perform domain_events._sync_columns(capture_id);
end
$$;

comment on function domain_events._follow_columns(int) is 'Calls _sync_columns() when names or numbers of the table''s columns have changed';

create function domain_events._refresh_capture(relation oid) returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  id int := domain_events._find_capture(relation);
begin
  if id is null then
    return null;  -- a trigger left over from another database: check_infrastructure() reports it
  end if;
  if (select c.state from domain_events.capture_config c where c.capture_id = id) = 'paused' then
    return null;
  end if;
  -- A key of its own next to the streams' keys; 0 seeds no table.
  if pg_try_advisory_xact_lock(hashtextextended('capture_' || id, 0)) then
    perform domain_events._follow_columns(id);
    perform domain_events._write_capture_function(id);
  end if;
  return domain_events._row_query(id);
end
$$;

comment on function domain_events._refresh_capture(oid) is
  'Rewrites the trigger function of the capture that serves a relation and returns the query for the row at hand; null when the relation is not captured';

create function domain_events._short_id(id text) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select case when octet_length(id) > 1024 then 'sha256:' || encode(sha256(convert_to(id, 'UTF8')), 'hex') else id end
$$;

comment on function domain_events._short_id(text) is 'An aggregate id: the key''s text, or its SHA-256 when that is over 1,024 bytes';
