-- The portable trigger function of one table: its columns baked in, so that a row costs no catalogue and no
-- configuration. Only whether the columns are still the same is looked at, because DDL can come between any two
-- statements: `_has_columns()`.

-- A table whose own capture has ended may still be the one whose truncation another capture has to be told of.
create function domain_events._silent_function(capture_id int) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select format('begin if tg_op = ''TRUNCATE'' then perform domain_events._capture_truncate(%s, tg_relid); '
                'elsif tg_when = ''BEFORE'' then return case tg_op when ''DELETE'' then old else new end; end if; '
                'return null; end',
                capture_id)
$$;

comment on function domain_events._silent_function(int) is
  'The body of the trigger function of a capture that is paused or has ended';

create function domain_events._check_trigger(fired_when text, level text, operation text) returns void
language plpgsql immutable
as $$
begin
  if fired_when = 'INSTEAD OF' or (level = 'STATEMENT' and fired_when = 'AFTER' and operation <> 'TRUNCATE') then
    raise exception 'capture function must be fired for each row, or for a truncate'
      using errcode = '39P01',
            hint = 'Captures are made by domain_events.enable_capture(), their functions serve no other use.';
  end if;
end
$$;

comment on function domain_events._check_trigger(text, text, text) is
  'Raises 39P01 for a trigger that no capture can serve';

create function domain_events._has_trigger(relation oid, capture_id int, fired_when text, operation text)
  returns boolean
language sql stable
as $$
  select exists (select from pg_trigger t
                  join pg_proc p on p.oid = t.tgfoid and p.proname = 'capture_' || _has_trigger.capture_id
                  where t.tgrelid = _has_trigger.relation and t.tgenabled <> 'D'
                    and regexp_replace(t.tgname, '_[0-9]+$', '')
                        = case when _has_trigger.fired_when = 'BEFORE' then '~domain_events_move'
                               when _has_trigger.operation = 'TRUNCATE' then ' domain_events_truncate'
                               else ' domain_events_capture' end)
$$;

comment on function domain_events._has_trigger(oid, int, text, text) is
  'True when the capture''s own trigger on this relation fires then, too';

-- What tells the end of a row whose key was taken again before it fired; only where a stream is one row.
create function domain_events._end_expression(id text, parts jsonb) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select case when (parts ->> 'is_one_row')::boolean
              then domain_events._fill($t$case when domain_events._may_be_late({{type}}, {{id}})
        then domain_events._place_end({{type}}, {{id}}, coalesce(_after, _since),
                                      domain_events._xact_status(old.xmin) is distinct from 'in progress') end$t$,
                                       parts || jsonb_build_object('id', id))
              else 'null' end
$$;

comment on function domain_events._end_expression(text, jsonb) is
  'SQL for the place of a row''s end, where that may be late; null else';

-- Whether the text is out of date. Whoever writes the table has heard of its changes, but not of those of its columns'
-- types. Only a partition has a table above it; asked of a constant, this is part of the plan, as _has_columns() is.
create function domain_events._outdated_expression(watched oid[]) returns text
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select format(case when cardinality(watched) = 1 then 'not domain_events._has_columns(%2$L, %4$L) or %1$s'
                     else '%1$s or array(select a.attname || a.atttypid::text from pg_attribute a where a.attrelid = '
                          'any (%3$L::oid[]) and a.attnum > 0 order by a.attrelid, a.attnum) is distinct from '
                          '%4$L::text[]' end,
                format('((pg_partition_root(%1$L)::oid <> %1$s::oid) is true and not domain_events._tells(%1$L))',
                       watched[1]),
                watched[1], watched, domain_events._columns_signature(watched))
$$;

comment on function domain_events._outdated_expression(oid[]) is
  'SQL that says whether the columns of these relations have changed, or the first is a partition by now';

create function domain_events._difference_statements(capture_id int) returns text
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select coalesce(string_agg(domain_events._fill($t$      if {{changed}} then
        _old_values := coalesce(_old_values, '{}') || jsonb_build_object({{name}}, {{old}});
        _new_values := coalesce(_new_values, '{}') || jsonb_build_object({{name}}, {{new}});
      end if;
$t$, jsonb_build_object('changed', p.changed, 'name', quote_literal(p.column_name),
                        'old', domain_events._bare(p.old_value), 'new', domain_events._bare(p.new_value))), ''
                        order by p.attnum), '')
    from domain_events._pieces(_difference_statements.capture_id) as p where p.captured
$$;

comment on function domain_events._difference_statements(int) is
  'Statements of a trigger function that gather the changed columns';

-- Where rows are, as events say it: by partition, or of a table that shares its type.
create function domain_events._places_of(config domain_events.capture_config, is_partitioned boolean) returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if not is_partitioned then
    return jsonb_build_object('in_table', domain_events._place_of(config.aggregate_type, config.relation));
  end if;
  return (select coalesce(jsonb_object_agg(p.relation::oid, jsonb_build_object('in_table', p.mark)), '{}')
            from (select distinct on (p.relation) p.relation, p.mark
                    from domain_events.capture_partitions k
                    join domain_events.capture_places p on p.relation = k.relation
                         and p.aggregate_type = config.aggregate_type
                                                           and p.mark is not null
                   where k.capture_id = config.capture_id
                   order by p.relation, p.place_id) as p);
end
$$;

comment on function domain_events._places_of(domain_events.capture_config, boolean) is
  'What the metadata of a table''s events say of the row''s place: of a partitioned table, by the OID of the partition';

-- What stands in the templates for every table.
create function domain_events._capture_parts(config domain_events.capture_config, is_partitioned boolean) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  watched constant oid[] := domain_events._watched_relations(config.relation);
  is_one_row constant boolean := domain_events._is_one_row(config.capture_id);
  -- For _write_event(): see _is_live() and _is_told().
  ends constant text := quote_literal(domain_events._end_types(config.capture_id)) || '::text[]';
  payload constant text := case config.payload when 'full' then 'row' else 'values' end;
  parts jsonb;
begin
  select to_jsonb(e) into strict parts from domain_events._expressions(config.capture_id) as e;
  parts := parts || jsonb_build_object(
    'capture_id', config.capture_id,
    'since', config.whole_row_after,
    'relation', config.relation::oid,
    'type', quote_literal(config.aggregate_type),
    'rekeyed_type', quote_literal(domain_events._event_type(config.aggregate_type, config.event_name_style, 'Rekeyed')),
    'watched', quote_literal(watched::text),
    'signature', quote_literal(domain_events._columns_signature(watched)::text),
    'is_outdated', domain_events._outdated_expression(watched),
    'differences', domain_events._difference_statements(config.capture_id),
    'event_type', domain_events._mapping_chain(config.capture_id, 'type'),
    'place', case when is_partitioned or config.shares_type then '_place' else '''{}''::jsonb' end,
    'payload_old', '_old_' || payload,
    'payload_new', '_new_' || payload,
    'is_one_row', is_one_row,
    'ends', case when is_one_row then ends else format('case _op when ''UPDATE'' then %s end', ends) end,
    'insert_ends', case when is_one_row then ends else 'null' end,
    'is_no_end', format('_newest <> all (%s)', ends)
                 || case when is_one_row then ' and (tg_op <> ''UPDATE'' or age(old.xmin) >= age(_told_by))'
                         else '' end,
    'made_by', case when is_one_row then 'case tg_op when ''UPDATE'' then old.xmin end' else 'null' end,
    'propagates', case config.on_failure when 'abort' then 'true' else 'domain_events._propagates(_code)' end,
    'capture_trigger', quote_literal(domain_events._trigger_name(' domain_events_capture', config.capture_id,
                                                                 is_partitioned)),
    'truncate_trigger', quote_literal(domain_events._trigger_name(' domain_events_truncate', config.capture_id,
                                                                  is_partitioned)),
    'move_trigger', quote_literal(domain_events._trigger_name('~domain_events_move', config.capture_id, true)));
  return parts || jsonb_build_object(
    'end_of_row', domain_events._end_expression('_id', parts),
    'end_of_old', domain_events._end_expression('_old_id', parts),
    'end_of_moved', domain_events._end_expression('domain_events._short_id(_id)', parts));
end
$$;

comment on function domain_events._capture_parts(domain_events.capture_config, boolean) is
  'The parts of a capture''s trigger function, by name: expressions over old and new, and literals';

-- What only some tables need, empty for the others.
create function domain_events._optional_parts(config domain_events.capture_config, is_partitioned boolean,
                                              id_types oid[], parts jsonb)
returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  parts := parts || jsonb_build_object(
    'operation', 'alias for', 'declare_place', '', 'is_superfluous', 'true',
    'is_elsewhere', format('tg_relid <> %s::oid', config.relation::oid),
    'new_place', '', 'leaving', '', 'is_told_as_move', '', 'end_of_move', '', 'moved_step', '',
    'set_name', case when jsonb_path_exists(config.event_types, '$[*].name')
                     then format(E'      _name := %s;\n',
                                 domain_events._mapping_chain(config.capture_id, 'name')) else '' end,
    -- An id of such a type is never too long.
    'shorten_id', case when cardinality(id_types) = 1 and domain_events._base_type(id_types[1])
                            in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype) then ''
                       else domain_events._shorten_template() end,
    'whole_rows', case config.payload when 'full' then domain_events._fill(domain_events._whole_rows_template(), parts)
                       else '' end);
  if is_partitioned or config.shares_type then
    parts := parts || jsonb_build_object('places', quote_literal(domain_events._places_of(config, is_partitioned)));
    parts := parts || jsonb_build_object(
      'declare_place', domain_events._fill(domain_events._declare_place_template(is_partitioned), parts));
  end if;
  if is_partitioned then
    parts := parts || jsonb_build_object(
      'operation', 'text :=',
      'is_superfluous', domain_events._fill(
          '(tg_op <> ''UPDATE'' or domain_events._has_trigger(tg_relid, {{capture_id}}, tg_when, tg_op))', parts),
      -- The captured table may be a partition itself by now. Null on a table that is none.
      'is_elsewhere', domain_events._fill(
          '_known_place is null or (pg_partition_root(tg_relid) is distinct from {{relation}}::oid and '
          '{{relation}}::oid <> all (array(select a.relid from pg_partition_ancestors(tg_relid) as a)))',
          parts),
      'new_place', domain_events._fill(domain_events._new_place_template(), parts),
      'leaving', domain_events._fill(domain_events._leaving_template(), parts),
      'is_told_as_move', 'or _op in (''LEAVE'', ''ARRIVE'')',
      'end_of_move', domain_events._fill(domain_events._end_of_move_template(), parts),
      'moved_step', domain_events._moved_step_template());
  end if;
  return parts;
end
$$;

comment on function domain_events._optional_parts(domain_events.capture_config, boolean, oid[], jsonb) is
  'Adds the parts of a trigger function that only some tables need: what tells places, moves and whole rows; '
  'empty for the others';

create function domain_events._write_capture_function(capture_id int) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  config domain_events.capture_config;
  is_partitioned boolean;
  types oid[];
  id_types oid[];
  settings text[];
  body text;
begin
  select * into strict config from domain_events.capture_config c
   where c.capture_id = _write_capture_function.capture_id;
  if config.state = 'paused' then
    body := domain_events._silent_function(config.capture_id);
  else
    is_partitioned := (select r.relkind = 'p' from pg_class r where r.oid = config.relation);
    select array_agg(l.type) filter (where l.captured), array_agg(l.type) filter (where l.identity_position is not null)
      into types, id_types
      from domain_events._live_columns(config.capture_id) as l
     where l.attnum is not null;
    settings := domain_events._render_settings(types, id_types)
                || case when is_partitioned or config.shares_type then array['quote_all_identifiers = off'] end;
    body := domain_events._fill(
      domain_events._capture_template(is_partitioned),
      domain_events._optional_parts(config, is_partitioned, id_types,
                                    domain_events._capture_parts(config, is_partitioned)));
  end if;
  execute format('create or replace function domain_events.%I() returns trigger language plpgsql security definer set '
                 'search_path = pg_catalog, pg_temp %s as %L', 'capture_' || config.capture_id,
                 (select string_agg(distinct 'set ' || s, ' ') from unnest(settings) as s),
                 body);
end
$$;

comment on function domain_events._write_capture_function(int) is
  'Writes a captured table''s trigger function anew, from its configuration and its present columns';

-- After a truncation nothing of the text is another but that number.
create function domain_events._renew_capture_function(capture_id int) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set check_function_bodies = off
as $$
declare
  name text := 'capture_' || capture_id;
  -- Looked for as a text: patterns over the 13,000 characters of a function took two thirds of the time.
  known constant text := E'\ndeclare\n  _since constant bigint := ';
  written record;
  first int;
  since text;
begin
  select p.prosrc, p.proconfig, c.whole_row_after into written
    from domain_events.capture_config c
    join pg_proc p on p.oid = to_regprocedure(format('domain_events.%I()', name))
   where c.capture_id = _renew_capture_function.capture_id and c.state = 'active';
  first := strpos(written.prosrc, known) + length(known);
  since := split_part(substr(written.prosrc, first, 30), ';', 1);
  -- The declaration is in the second line, or it is not ours.
  if first = length(known) or strpos(written.prosrc, E'\n') < first - length(known) or since !~ '^[0-9]+$'
     or since is null then
    perform domain_events._write_capture_function(capture_id);
    return;
  end if;
  execute format('create or replace function domain_events.%I() returns trigger language plpgsql security definer %s '
                 'as %L',
                 name,
    (select string_agg(format('set %s = %s', split_part(s, '=', 1),
                              case split_part(s, '=', 1) when 'search_path' then substr(s, 13)
                                   else quote_literal(substr(s, strpos(s, '=') + 1)) end), ' ')
       from unnest(written.proconfig) as s),
    overlay(written.prosrc placing written.whole_row_after::text from first for length(since)));
end
$$;

comment on function domain_events._renew_capture_function(int) is
  'Writes into a captured table''s trigger function from where on each stream''s next event carries the whole row';

-- Called by a trigger whose text is out of date, and by the native engine when it reads a plan. Only one session
-- rewrites; others go on with the query for this one row, so that nobody waits for anybody's transaction.
create function domain_events._follow_columns(capture_id int) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  config domain_events.capture_config;
begin
  select * into strict config from domain_events.capture_config c where c.capture_id = _follow_columns.capture_id;
  if config.relation_oid <> config.relation::oid or config.store_oid <> 'domain_events.events'::regclass::oid
     or config.columns_seen <> domain_events._columns_signature(domain_events._watched_relations(config.relation)) then
    perform domain_events._sync_columns(capture_id);
  end if;
end
$$;

comment on function domain_events._follow_columns(int) is
  'Calls _sync_columns() when the table''s columns have changed';

-- No stream has had a whole row since the columns changed; unless that was noticed before, and baselines were written
-- since.
create function domain_events._whole_row_after(capture_id int) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  return (select case when c.relation_oid = c.relation::oid and c.store_oid = 'domain_events.events'::regclass::oid
                           and c.columns_seen
                               = domain_events._columns_signature(domain_events._watched_relations(c.relation))
                      then c.whole_row_after else domain_events._newest_position() end
            from domain_events.capture_config c where c.capture_id = _whole_row_after.capture_id);
end
$$;

comment on function domain_events._whole_row_after(int) is
  'The position up to which a stream''s newest event is followed by one with the whole row, '
  'asked when the trigger''s text is out of date';

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
  perform domain_events._check_secret_ids(id);
  if pg_try_advisory_xact_lock(domain_events._stream_key('domain_events.Capture', id::text)) then
    perform domain_events._follow_columns(id);
    if not exists (select from domain_events.capture_partitions k
                    where k.capture_id = id and k.relation = _refresh_capture.relation)
       and exists (select from domain_events._present_partitions(id) as p where p.relation = _refresh_capture.relation)
             then
      perform domain_events._meet_partitions(id);
    end if;
    perform domain_events._write_capture_function(id);
  end if;
  return domain_events._row_query(id);
end
$$;

comment on function domain_events._refresh_capture(oid) is
  'Rewrites the trigger function of the capture that serves a relation and returns the query for the row at hand; '
  'null when the relation is not captured';

create function domain_events._short_id(id text) returns text
language sql stable set search_path = pg_catalog, pg_temp
as $$
  -- Bytes of a database without an encoding are taken as they are: they need not be text in any.
  select case when octet_length(id) > 1024
              then 'sha256:' || encode(sha256(convert_to(
                     id, case getdatabaseencoding() when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end)), 'hex')
              else id end
$$;

comment on function domain_events._short_id(text) is
  'An aggregate id: the key''s text, or its SHA-256 when that is over 1,024 bytes';
