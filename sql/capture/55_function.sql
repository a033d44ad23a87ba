-- The portable trigger function of one table: its columns baked in, so that a row costs no catalogue and no configuration.
-- Only whether the columns are still the same is looked at, because DDL can come between any two statements: `_has_columns()`.
--
-- The usual case is written out: guess the version, try the stream's lock, insert. An INSERT guesses 1, everything else looks at
-- the newest event without a lock. Whatever does not go as guessed, goes through _write_event(), which waits and looks
-- again; the unique key decides in both. A lock that is only tried cannot deadlock with one's own waiters. CPU per row of
-- a table of 9 columns, as a multiple of the cheapest SQL: 4.7 by _write_event() alone, 3.2 so; in bulk 7 and 4.

-- A table whose own capture has ended may still be the one whose truncation another capture has to be told of.
create function domain_events._silent_function(capture_id int) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select format('begin if tg_op = ''TRUNCATE'' then perform domain_events._capture_truncate(%s, tg_relid); elsif tg_when = ''BEFORE'' then return case tg_op when ''DELETE'' then old else new end; end if; return null; end', capture_id)
$$;

comment on function domain_events._silent_function(int) is 'The body of the trigger function of a capture that is paused or has ended';

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

comment on function domain_events._check_trigger(text, text, text) is 'Raises 39P01 for a trigger that no capture can serve';

create function domain_events._has_trigger(relation oid, capture_id int, fired_when text, operation text) returns boolean
language sql stable
as $$
  select exists (select from pg_trigger t
                  join pg_proc p on p.oid = t.tgfoid and p.proname = 'capture_' || _has_trigger.capture_id
                  where t.tgrelid = _has_trigger.relation and t.tgenabled <> 'D'
                    and regexp_replace(t.tgname, '_[0-9]+$', '') = case when _has_trigger.fired_when = 'BEFORE' then '~domain_events_move'
                                                                        when _has_trigger.operation = 'TRUNCATE' then ' domain_events_truncate'
                                                                        else ' domain_events_capture' end)
$$;

comment on function domain_events._has_trigger(oid, int, text, text) is 'True when the capture''s own trigger on this relation fires then, too';

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
  is_one_row boolean := domain_events._is_one_row(capture_id);
  -- For _write_event(): see _is_live() and _is_told().
  ends text := quote_literal(domain_events._end_types(capture_id)) || '::text[]';
  insert_ends text := case when is_one_row then ends else 'null' end;
  differences text;
  place_end text;
  -- Only a partition has a table above it; asked of a constant, this is part of the plan, as _has_columns() is.
  is_taken text;
  late_marks text := 'case when %1$s is null then ''{}'' else domain_events._late_marks(%1$s) end';
  -- What the event's metadata says of the row's place; and what tests that an id is not too long, where it may be.
  place text;
  too_long text := '';
  -- The first variable, so that it is found by its place: _renew_capture_function() writes this alone anew.
  since text := format(E'\ndeclare\n  _since constant bigint := %s;', (select c.whole_row_after from domain_events.capture_config c where c.capture_id = _write_capture_function.capture_id));
  declarations text;
  by_hand text;
  body text;
begin
  select * into strict config from domain_events.capture_config c where c.capture_id = _write_capture_function.capture_id;
  if config.state = 'paused' then
    execute format($f$create or replace function domain_events.%I() returns trigger
      language plpgsql security definer set search_path = pg_catalog, pg_temp
      as %L$f$, 'capture_' || config.capture_id, domain_events._silent_function(config.capture_id));
    return;
  end if;

  select * into strict e from domain_events._expressions(config.capture_id);
  watched := domain_events._watched_relations(config.relation);
  is_taken := format('((pg_partition_root(%1$L)::oid <> %1$s::oid) is true and not domain_events._tells(%1$L))', watched[1]);
  is_partitioned := (select r.relkind = 'p' from pg_class r where r.oid = config.relation);
  -- The end of a row whose key was taken again before it fired; only where a stream is one row.
  place_end := case when is_one_row
                    then format('case when domain_events._may_be_late(%1$L, %%1$s) then domain_events._place_end(%1$L, %%1$s, coalesce(_after, %2$s), domain_events._xact_status(old.xmin) is distinct from ''in progress'') end',
                                replace(config.aggregate_type, '%', '%%'), '_since')
                    else 'null' end;
  select array_agg(l.type) filter (where l.captured), array_agg(l.type) filter (where l.identity_position is not null)
    into types, identity_types
    from domain_events._live_columns(config.capture_id) as l
   where l.attnum is not null;
  select string_agg(format(E'      if %s then\n        _old_values := coalesce(_old_values, ''{}'') || jsonb_build_object(%L, %s);\n        _new_values := coalesce(_new_values, ''{}'') || jsonb_build_object(%2$L, %4$s);\n      end if;\n',
                           p.changed, p.column_name, domain_events._bare(p.old_value), domain_events._bare(p.new_value)), '' order by p.attnum)
    into differences
    from domain_events._pieces(config.capture_id) as p where p.captured;

  place := case when is_partitioned or config.shares_type then '_place' else '''{}''::jsonb' end;
  if cardinality(identity_types) is distinct from 1
     or domain_events._base_type(identity_types[1]) not in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype) then
    too_long := E'    if octet_length(_id) > 1024 then\n      _id := domain_events._short_id(_id);\n    end if;\n';
  end if;
  -- Where the row is from now on: truncating that ends the stream. A partition that is not in the list is new.
  -- Every expression that a session meets first is parsed and planned, 0.02 ms of its first row: so there are few of them, with
  -- operators of exactly these types, for which no others are looked at; what one operation needs is asked for no other.
  declarations := since || case when is_partitioned then format($d$
  _known_place jsonb := %L::jsonb -> tg_relid::text;
  _place jsonb := case when tg_op = 'DELETE' then '{}' else coalesce(_known_place, '{}') end;
  _moved domain_events.row_moves;$d$,
    (select coalesce(jsonb_object_agg(p.relation::oid, jsonb_build_object('in_table', p.mark)), '{}')
       from (select distinct on (p.relation) p.relation, p.mark
               from domain_events.capture_partitions k
               join domain_events.capture_places p on p.relation = k.relation and p.aggregate_type = config.aggregate_type and p.mark is not null
              where k.capture_id = config.capture_id order by p.relation, p.place_id) as p))
  when config.shares_type then format($d$
  _place constant jsonb := case when tg_op = 'DELETE' then '{}' else %L::jsonb end;$d$,
    jsonb_build_object('in_table', domain_events._place_of(config.aggregate_type, config.relation)))
  else '' end || format($d$
  _op %s tg_op; _id text; _old_id text;
  _old_values jsonb; _new_values jsonb; _old_row jsonb; _new_row jsonb; _old_key jsonb; _new_key jsonb;
  _type text; _origin text; _newest text; _told_by xid; _name text; _data jsonb; _left_data jsonb; _metadata jsonb;
  _after bigint; _version bigint; _position bigint; _before timestamptz; _recorded timestamptz;
  _ended bigint; _late bigint; _marks jsonb; _told bigint; _nothing record; _is_silent boolean; _is_rekeyed boolean; _surroundings text;
  _is_locked boolean; _is_outdated boolean; _changed text[]; _query text; _code text; _message text; _constraint text;
$d$, case when is_partitioned then 'text :=' else 'alias for' end);
  -- A trigger that somebody made with this function by hand: never in the way of a write, and never a second telling of it.
  by_hand := format($b$
  if tg_name <> %3$L then
    if tg_name not in (%4$L, %5$L, ' domain_events_capture', ' domain_events_truncate') then
      perform domain_events._check_trigger(tg_when, tg_level, tg_op);
      if tg_when = 'BEFORE' and %1$s then
        return case tg_op when 'DELETE' then old else new end;
      end if;
      if domain_events._has_trigger(tg_relid, %2$s, tg_when, tg_op) then
        return null;
      end if;
    end if;
  end if;
$b$, case when is_partitioned
          then format($p$(tg_op <> 'UPDATE' or domain_events._has_trigger(tg_relid, %s, tg_when, tg_op))$p$, config.capture_id) else 'true' end,
    config.capture_id,
    domain_events._trigger_name(' domain_events_capture', config.capture_id, is_partitioned),
    domain_events._trigger_name(' domain_events_truncate', config.capture_id, is_partitioned),
    domain_events._trigger_name('~domain_events_move', config.capture_id, true));
  body := format($b$
  if current_setting('transaction_isolation'::text) <> 'read committed' or tg_op = 'TRUNCATE' then
    if tg_op = 'TRUNCATE' then
      perform domain_events._capture_truncate(%1$s, tg_relid);
      return null;
    end if;
    perform domain_events._check_snapshot(%12$L);
    _is_outdated := domain_events._columns_signature(%12$L) is distinct from %4$L or domain_events._is_taken_over(%14$s);
  else
    _is_outdated := %3$s;
  end if;
  if _is_outdated or %2$s then
    if domain_events._find_capture(tg_relid) = %1$s then
      _query := domain_events._refresh_capture(tg_relid);
%13$s    end if;
    if _query is null then  -- paused, or put on a table that is not this capture's
      return case tg_when when 'BEFORE' then new end;
    end if;
    _after := domain_events._whole_row_after(%1$s);
    case tg_op
      when 'INSERT' then execute _query into _old_id, _id, _old_row, _new_row, _old_values, _new_values, _old_key, _new_key using new, new;
      when 'DELETE' then execute _query into _old_id, _id, _old_row, _new_row, _old_values, _new_values, _old_key, _new_key using old, old;
      else execute _query into _old_id, _id, _old_row, _new_row, _old_values, _new_values, _old_key, _new_key using old, new;
    end case;
    _is_rekeyed := tg_op = 'UPDATE' and _old_id is distinct from _id;
    _is_silent := tg_op = 'UPDATE' and tg_when = 'AFTER' and not _is_rekeyed and _new_values = '{}';
  else
%11$s    if tg_op = 'UPDATE' then
%9$s      _id := %5$s;
      if %10$s then
        _old_id := %7$s;
        _is_rekeyed := _old_id is distinct from _id;
      end if;
    elsif tg_op = 'INSERT' then
      _id := %5$s;
      _new_row := %6$s;
    else
      _id := %7$s;
      _old_row := %8$s;
    end if;
  end if;
$b$,
    config.capture_id,
    -- The captured table may be a partition itself by now. Null on a table that is none.
    case when is_partitioned then format('_known_place is null or (pg_partition_root(tg_relid) is distinct from %1$s::oid and %1$s::oid <> all (array(select a.relid from pg_partition_ancestors(tg_relid) as a)))', config.relation::oid)
         else format('tg_relid <> %s::oid', config.relation::oid) end,
    -- Whoever writes the table has heard of its changes, but not of those of its columns' types.
    case when cardinality(watched) = 1
         then format('not domain_events._has_columns(%L, %L) or %s', watched[1], domain_events._columns_signature(watched), is_taken)
         else format('%3$s or array(select a.attname || a.atttypid::text from pg_attribute a where a.attrelid = any (%1$L::oid[]) and a.attnum > 0 order by a.attrelid, a.attnum) is distinct from %2$L::text[]',
                     watched, domain_events._columns_signature(watched), is_taken) end,
    domain_events._columns_signature(watched),
    e.id_new, e.row_new, e.id_old, e.row_old, coalesce(differences, ''), e.rekeyed,
    case when is_partitioned then format($p$
    if tg_when = 'BEFORE' then
      _changed := %1$s;
      if not domain_events._leaves_partition(tg_relid, _changed) then
        return new;
      end if;
      _old_id := %2$s;
      _id := %3$s;
      _old_row := %4$s;
      _old_key := %5$s;
      _new_key := %6$s;
    end if;
$p$, e.changed_names, e.id_old, e.id_new, e.row_old, e.key_old, e.key_new) else '' end,
    watched,
    case when is_partitioned then format($p$      if tg_op <> 'DELETE' then
        _place := jsonb_build_object('in_table', domain_events._place_of(%L, tg_relid));
      end if;
$p$, config.aggregate_type) else '' end,
    config.relation::oid);
  if is_partitioned then
    body := body || format($p$
  if tg_when = 'BEFORE' then
    perform domain_events._note_move(%1$s, tg_relid, old.ctid, domain_events._short_id(_old_id), domain_events._short_id(_id), _old_row, _old_key, _new_key,
                                     coalesce(_changed, array(select jsonb_object_keys(_old_values))));
    return new;
  end if;
$p$, config.capture_id);
  end if;
  -- The row is not as it was made: if that is told already, this is late.
  body := body || format($l$
  if tg_op <> 'DELETE' and new.xmax <> '0' then
    _late := domain_events._find_step(tg_relid, new.ctid);
    if _late is not null then
      _marks := %s || domain_events._late_marks(_late);
    end if;
  end if;
$l$, place);
  if is_partitioned then
    body := body || format($p$
  if tg_op = 'INSERT' then
    -- A row version that was made and replaced by one transaction does not tell its command.
    select * into _moved from domain_events._find_move(%1$s, tg_op, array[domain_events._short_id(_id)], tg_relid, null, case when new.xmax = '0' then new.cmin end);
  else
    select * into _moved from domain_events._find_move(%1$s, tg_op, array[domain_events._short_id(_old_id), domain_events._short_id(_id)], tg_relid, old.ctid, null);
  end if;
  if tg_op = 'DELETE' and found then
    _late := %5$s;
    _told := coalesce(_late, domain_events._stream_version(%4$L, domain_events._short_id(_id)));
    perform domain_events._begin_move(%1$s, tg_relid, old.ctid, case when age(old.xmin) > 0 then old.cmax end, _told, _old_row);
    if _moved.new_id = domain_events._short_id(_id) then
      _is_silent := true;  -- the INSERT that follows tells it as one update
    else
      _op := 'LEAVE';
      _type := %3$L;
      _data := jsonb_build_object('old_values', _moved.old_key, 'new_values', _moved.new_key, 'new_aggregate_id', _moved.new_id);
      _marks := %6$s;
      _version := domain_events._write_event(%4$L, domain_events._short_id(_id), _type, null, _data, _marks);
      _told := coalesce(_late, _version - 1);
    end if;
  elsif tg_op = 'INSERT' and found then
    if _moved.old_id <> domain_events._short_id(_id) then
      _op := 'ARRIVE';
      _type := %3$L;
      _data := jsonb_build_object('new_values', _new_row, 'old_aggregate_id', _moved.old_id);
      perform domain_events._write_event(%4$L, domain_events._short_id(_id), _type, null, _data, coalesce(_marks, _place), 'INSERT', coalesce(_after, %7$s), end_types => %8$s);
    else
      _op := 'UPDATE';
      _old_row := _moved.old_row;
      select coalesce(jsonb_object_agg(n.key, _old_row -> n.key), '{}'), coalesce(jsonb_object_agg(n.key, n.value), '{}')
        into _old_values, _new_values
        from jsonb_each(_new_row) as n
       where n.key = any (_moved.changed) or n.value::text is distinct from (_old_row -> n.key)::text;
      _is_silent := _new_values = '{}';
    end if;
  end if;
$p$, config.capture_id, null, domain_events._event_type(config.aggregate_type, config.event_name_style, 'Rekeyed'),
      config.aggregate_type, format(place_end, 'domain_events._short_id(_id)'), format(late_marks, '_late'), '_since', insert_ends);
  end if;
  body := body || format($b$
  if _is_silent %16$s or _op = 'UPDATE' and _new_values is null and _is_rekeyed is not true then
    null;
  elsif _is_rekeyed then
    if _new_row is null then
      _new_row := %1$s;
      _old_key := %2$s;
      _new_key := %3$s;
    end if;
    _type := %4$L;
    _old_id := domain_events._short_id(_old_id);
    _id := domain_events._short_id(_id);
    _left_data := jsonb_build_object('old_values', _old_key, 'new_values', _new_key, 'new_aggregate_id', _id);
    _data := jsonb_build_object('new_values', _new_row, 'old_aggregate_id', _old_id);
    _ended := %12$s;
    _version := domain_events._write_event(%5$L, _old_id, _type, null, _left_data, %13$s);
    _told := coalesce(_ended, _version - 1);
    perform domain_events._write_event(%5$L, _id, _type, null, _data, coalesce(_marks, %24$s), 'INSERT', coalesce(_after, %9$s), end_types => %18$s);
  else
    if _query is null then
      _type := %6$s;
%8$s    else
      select m.* into _type, _name from domain_events._map_event(%17$s, _op, _old_values) as m;
    end if;
%23$s%7$s
    if _query is null and _late is null
       and ('' <> any (array[current_setting('domain_events.actor'::text, true), current_setting('domain_events.correlation_id'::text, true),
                             current_setting('domain_events.causation_id'::text, true), current_setting('domain_events.metadata'::text, true)])) is not true
       and session_user = domain_events._planned_user() then
      if _op <> 'INSERT' then
        select e.aggregate_version, e.global_position, e.recorded_at, e.origin, e.event_type, e.xmin
          into _version, _position, _before, _origin, _newest, _told_by
          from domain_events.events e
         where e.aggregate_type = %5$L and e.aggregate_id = _id
         order by e.aggregate_version using operator(pg_catalog.>) limit 1;
      end if;
      -- One expression: nothing interrupts between the lock and the answer. Beside a null the lock would be taken, and not known.
      _is_locked := (case when _op = 'INSERT' then _id is not null
                          else _position > %9$s and _origin = 'captured' and case when _op = 'DELETE' then age(_told_by) > 0 else %20$s end
                     end) is true and pg_try_advisory_lock(domain_events._stream_key(%5$L, _id));
      if _is_locked then
        _recorded := case when _before >= clock_timestamp() then _before + interval '1 microsecond' else clock_timestamp() end;
        -- A row has been written: the transaction has its number before it draws a position.
        insert into domain_events.events
          (aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, metadata, caused_by, occurred_at, recorded_at, origin)
        values (%5$L, _id, coalesce(_version, 0::bigint) + 1::bigint, _type, _name, _data, %24$s, session_user, _recorded, _recorded, domain_events._captured())
        on conflict on constraint uk_aggregate_version do nothing;
        if found then
          _told := case when (currval('domain_events.events_global_position_seq') > _position) is not false then coalesce(_version, 0::bigint)
                        else domain_events._refuse_position() end;
        end if;
        _is_locked := not pg_advisory_unlock(domain_events._stream_key(%5$L, _id));
      end if;
    end if;

    if _told is null then
      _version := null;
      if _op = 'DELETE' then
        _late := %14$s;
        _marks := %15$s;
      end if;
      _marks := coalesce(_marks, %24$s);
      if _op <> 'UPDATE' or _query is null or _id is null then
        _version := domain_events._write_event(%5$L, _id, _type, _name, _data, _marks, _op, coalesce(_after, %9$s), end_types => %19$s, made_by => %21$s);
      end if;
      if _version is null then
        if _old_row is null then
          _old_row := %11$s;
        end if;
        if _query is null and domain_events._is_told(%5$L, _id, _old_row, coalesce(_after, %9$s), %22$s) then
          _version := domain_events._write_event(%5$L, _id, _type, _name, _data, _marks);
        else
          -- The stream's first event, or its first after a pause, a change of columns, or something that was not told.
          if _new_row is null then
            _new_row := %1$s;
          end if;
          _metadata := '{"complete": true}';
          _data := jsonb_build_object('old_values', %10$s, 'new_values', _new_row);
          _version := domain_events._write_event(%5$L, _id, _type, _name, _data, _metadata || _marks);
        end if;
      end if;
      _told := coalesce(_late, _version - 1);
    end if;
  end if;
$b$,
    e.row_new, e.key_old, e.key_new,
    domain_events._event_type(config.aggregate_type, config.event_name_style, 'Rekeyed'),
    config.aggregate_type,
    domain_events._mapping_chain(config.capture_id, 'type'),
    case config.payload
      when 'full' then format($u$    if _op = 'UPDATE' and _new_row is null then
      _old_row := %1$s;
      _new_row := %2$s;
    end if;
$u$, e.row_old, e.row_new) else '' end
    || format($u$    _data := case when _op = 'UPDATE' then jsonb_build_object('old_values', %1$s, 'new_values', %2$s)
                  when _op = 'INSERT' then jsonb_build_object('new_values', _new_row)
                  else jsonb_build_object('old_values', _old_row) end;
$u$, case config.payload when 'full' then '_old_row' else '_old_values' end, case config.payload when 'full' then '_new_row' else '_new_values' end),
    case when jsonb_path_exists(config.event_types, '$[*].name') then format(E'      _name := %s;\n', domain_events._mapping_chain(config.capture_id, 'name')) else '' end,
    '_since',
    case config.payload when 'full' then '_old_row' else '_old_values' end,
    e.row_old,
    format(place_end, '_old_id'), format(late_marks, '_ended'), format(place_end, '_id'), format(late_marks, '_late'),
    case when is_partitioned then 'or _op in (''LEAVE'', ''ARRIVE'')' else '' end,
    config.capture_id, insert_ends,
    case when is_one_row then ends else format('case _op when ''UPDATE'' then %s end', ends) end,
    format(case when is_one_row then '_newest <> all (%s) and (tg_op <> ''UPDATE'' or age(old.xmin) >= age(_told_by))' else '_newest <> all (%s)' end, ends),
    case when is_one_row then 'case tg_op when ''UPDATE'' then old.xmin end' else 'null' end,
    is_one_row::text, too_long, place);
  -- With "abort" too: the lock of the usual case belongs to the session and is given back on error.
  body := format($b$
  begin
%1$s
  exception when others or query_canceled or assert_failure then
    if _is_locked then
      perform pg_advisory_unlock(domain_events._stream_key(%4$L, _id));
    end if;
    get stacked diagnostics _code = returned_sqlstate, _message = message_text, _constraint = constraint_name;
    if _constraint = 'events_pkey' then
      select f.* into _code, _message from domain_events._explain_failure(_code, _message, _constraint) as f;
    end if;
    if %5$s then
      if _constraint = 'events_pkey' then
        perform domain_events._check_positions(currval('domain_events.events_global_position_seq'));
      end if;
      raise;
    end if;
    if tg_when = 'BEFORE' then
      return new;  -- the move is then told as a delete and an insert
    end if;
%7$s    _told := null;
    if _left_data is not null then
      _told := domain_events._keep_failure(%2$s, _op, _old_id, _type, _name, _left_data, '{}', _code, _message, _ended);
    end if;
    _version := domain_events._keep_failure(%2$s, _op, _id, _type, _name, _data, coalesce(_metadata, '{}') || %8$s, _code, _message, _late);
    _told := coalesce(_told, _version);
  end;
%3$s
  -- It replaced what this transaction (or one that began after it) had made. While code of a user is running around it, what
  -- made that may be yet to fire.
%6$s  if tg_op <> 'INSERT' and age(old.xmin) <= 0 then
    get diagnostics _surroundings = pg_context;
    if strpos(_surroundings, E'\n') > 0 then
      perform domain_events._note_step(tg_relid, old.ctid, _told, case when tg_op = 'UPDATE' then tg_relid end, case when tg_op = 'UPDATE' then new.ctid end);
    end if;
  end if;
$b$, body, config.capture_id, case when is_partitioned then E'  if tg_when = ''BEFORE'' then\n    return new;\n  end if;' else '' end,
    config.aggregate_type,
    case config.on_failure when 'abort' then 'true' else 'domain_events._propagates(_code)' end,
    case when is_partitioned then $p$  if tg_op = 'INSERT' and _op = 'UPDATE' then
    get diagnostics _surroundings = pg_context;
    if strpos(_surroundings, E'\n') > 0 then
      perform domain_events._note_step(_moved.leaf, _moved.place, _told, tg_relid, new.ctid);
    end if;
  end if;
$p$ else '' end,
    case when is_partitioned then format($p$    if tg_op = 'INSERT' and _moved.place is not null then
      delete from domain_events.row_moves m where m.capture_id = %1$s and m.leaf = _moved.leaf and m.place = _moved.place;  -- it has arrived
    end if;
    _op := case _op when 'LEAVE' then 'DELETE' when 'ARRIVE' then 'INSERT' else _op end;
$p$, config.capture_id) else '' end, place);

  execute format('create or replace function domain_events.%I() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp %s as %L',
    'capture_' || config.capture_id,
    (select string_agg('set ' || s, ' ') from (
       select unnest(domain_events._render_settings(types, identity_types)) as s
        union select 'quote_all_identifiers = off' where is_partitioned or config.shares_type) as settings),
    -- No name of a user's in a comment: a carriage return in it would end the comment, and the rest would be code.
    format(E'-- Written by domain_events._write_capture_function(); changes are overwritten.%s\nbegin\n%s\n  return _nothing;\nend\n',
           declarations, by_hand || body));
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
  if first = length(known) or strpos(written.prosrc, E'\n') < first - length(known) or since !~ '^[0-9]+$' or since is null then
    perform domain_events._write_capture_function(capture_id);
    return;
  end if;
  execute format('create or replace function domain_events.%I() returns trigger language plpgsql security definer %s as %L', name,
    (select string_agg(format('set %s = %s', split_part(s, '=', 1), case split_part(s, '=', 1) when 'search_path' then substr(s, 13) else quote_literal(substr(s, strpos(s, '=') + 1)) end), ' ')
       from unnest(written.proconfig) as s),
    overlay(written.prosrc placing written.whole_row_after::text from first for length(since)));
end
$$;

comment on function domain_events._renew_capture_function(int) is
  'Writes into a captured table''s trigger function from where on each stream''s next event carries the whole row';

-- Called by a trigger whose text is out of date, and by the native engine when it reads a plan. Only one session rewrites;
-- others go on with the query for this one row, so that nobody waits for anybody's transaction.
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

comment on function domain_events._follow_columns(int) is 'Calls _sync_columns() when the table''s columns have changed';

-- No stream has had a whole row since the columns changed; unless that was noticed before, and baselines were written since.
create function domain_events._whole_row_after(capture_id int) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  return (select case when c.relation_oid = c.relation::oid and c.store_oid = 'domain_events.events'::regclass::oid
                           and c.columns_seen = domain_events._columns_signature(domain_events._watched_relations(c.relation))
                      then c.whole_row_after else domain_events._newest_position() end
            from domain_events.capture_config c where c.capture_id = _whole_row_after.capture_id);
end
$$;

comment on function domain_events._whole_row_after(int) is 'The position up to which a stream''s newest event is followed by one with the whole row, asked when the trigger''s text is out of date';

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
    if not exists (select from domain_events.capture_partitions k where k.capture_id = id and k.relation = _refresh_capture.relation)
       and exists (select from domain_events._present_partitions(id) as p where p.relation = _refresh_capture.relation) then
      perform domain_events._meet_partitions(id);
    end if;
    perform domain_events._write_capture_function(id);
  end if;
  return domain_events._row_query(id);
end
$$;

comment on function domain_events._refresh_capture(oid) is
  'Rewrites the trigger function of the capture that serves a relation and returns the query for the row at hand; null when the relation is not captured';

create function domain_events._short_id(id text) returns text
language sql stable set search_path = pg_catalog, pg_temp
as $$
  -- Bytes of a database without an encoding are taken as they are: they need not be text in any.
  select case when octet_length(id) > 1024
              then 'sha256:' || encode(sha256(convert_to(id, case getdatabaseencoding() when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end)), 'hex')
              else id end
$$;

comment on function domain_events._short_id(text) is 'An aggregate id: the key''s text, or its SHA-256 when that is over 1,024 bytes';
