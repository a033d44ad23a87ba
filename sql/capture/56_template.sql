-- The text of a table's trigger function: blocks of one idea each, in the order in which they stand in it. In a block
-- {{name}} is a part of _capture_parts(): an expression over old and new, a literal, or a block that only some tables
-- need.
--
-- The usual case is written out: guess the version, try the stream's lock, insert. An INSERT guesses 1, everything else
-- looks at the newest event without a lock. Whatever does not go as guessed, goes through _write_event(), which waits
-- and looks again; the unique key decides in both. A lock that is only tried cannot deadlock with one's own waiters.
-- CPU per row of a table of 9 columns, as a multiple of the cheapest SQL: 4.7 by _write_event() alone, 3.2 so; in bulk
-- 7 and 4.

-- In one pass: a part may be the name of a column, whatever that looks like.
create function domain_events._fill(template text, parts jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  pieces constant text[] := string_to_array(template, '{{');
  filled text := pieces[1];
  piece text;
  name text;
begin
  foreach piece in array pieces[2:] loop
    name := split_part(piece, '}}', 1);
    if parts ->> name is null then
      raise exception 'the template has no part "%"', left(name, 63)
        using errcode = '22023', hint = 'Every {{name}} in a template is a key of the parts.';
    end if;
    filled := filled || (parts ->> name) || substr(piece, length(name) + 3);
  end loop;
  return filled;
end
$$;

comment on function domain_events._fill(text, jsonb) is
  'A template with its parts in place of each {{name}}; 22023 when one is missing';

-- Every expression that a session meets first is parsed and planned, 0.02 ms of its first row: so there are few of
-- them, with operators of exactly these types, for which no others are looked at; what one operation needs is asked for
-- no other. _since is the first variable, so that it is found by its place: _renew_capture_function() writes this alone
-- anew.
create function domain_events._declare_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$
declare
  _since constant bigint := {{since}};{{declare_place}}
  _op {{operation}} tg_op; _id text; _old_id text;
  _old_values jsonb; _new_values jsonb; _old_row jsonb; _new_row jsonb; _old_key jsonb; _new_key jsonb;
  _type text; _origin text; _newest text; _told_by xid; _name text; _data jsonb; _left_data jsonb; _metadata jsonb;
  _after bigint; _version bigint; _position bigint; _before timestamptz; _recorded timestamptz;
  _ended bigint; _late bigint; _marks jsonb; _told bigint; _nothing record;
  _is_silent boolean; _is_rekeyed boolean; _surroundings text; _is_locked boolean; _is_outdated boolean;
  _changed text[]; _query text; _code text; _message text; _constraint text;
$$
$template$;

comment on function domain_events._declare_template() is 'Of a trigger function: its variables';

-- A trigger that somebody made with this function by hand: never in the way of a write, and never a second telling of
-- it.
create function domain_events._by_hand_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$
  if tg_name <> {{capture_trigger}} then
    if tg_name not in ({{truncate_trigger}}, {{move_trigger}}, ' domain_events_capture', ' domain_events_truncate') then
      perform domain_events._check_trigger(tg_when, tg_level, tg_op);
      if tg_when = 'BEFORE' and {{is_superfluous}} then
        return case tg_op when 'DELETE' then old else new end;
      end if;
      if domain_events._has_trigger(tg_relid, {{capture_id}}, tg_when, tg_op) then
        return null;
      end if;
    end if;
  end if;
$$
$template$;

comment on function domain_events._by_hand_template() is
  'Of a trigger function: what it does for a trigger that is not the capture''s own';

create function domain_events._resolve_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$
  if current_setting('transaction_isolation'::text) <> 'read committed' or tg_op = 'TRUNCATE' then
    if tg_op = 'TRUNCATE' then
      perform domain_events._capture_truncate({{capture_id}}, tg_relid);
      return null;
    end if;
    perform domain_events._check_snapshot({{watched}});
    _is_outdated := domain_events._columns_signature({{watched}}) is distinct from {{signature}}
                    or domain_events._is_taken_over({{relation}});
  else
    _is_outdated := {{is_outdated}};
  end if;
  if _is_outdated or {{is_elsewhere}} then
    if domain_events._find_capture(tg_relid) = {{capture_id}} then
      _query := domain_events._refresh_capture(tg_relid);
{{new_place}}    end if;
    if _query is null then  -- paused, or put on a table that is not this capture's
      return case tg_when when 'BEFORE' then new end;
    end if;
    _after := domain_events._whole_row_after({{capture_id}});
    case tg_op
      when 'INSERT' then execute _query
        into _old_id, _id, _old_row, _new_row, _old_values, _new_values, _old_key, _new_key using new, new;
      when 'DELETE' then execute _query
        into _old_id, _id, _old_row, _new_row, _old_values, _new_values, _old_key, _new_key using old, old;
      else execute _query
        into _old_id, _id, _old_row, _new_row, _old_values, _new_values, _old_key, _new_key using old, new;
    end case;
    _is_rekeyed := tg_op = 'UPDATE' and _old_id is distinct from _id;
    _is_silent := tg_op = 'UPDATE' and tg_when = 'AFTER' and not _is_rekeyed and _new_values = '{}';
  else
{{leaving}}    if tg_op = 'UPDATE' then
{{differences}}      _id := {{id_new}};
      if {{rekeyed}} then
        _old_id := {{id_old}};
        _is_rekeyed := _old_id is distinct from _id;
      end if;
    elsif tg_op = 'INSERT' then
      _id := {{id_new}};
      _new_row := {{row_new}};
    else
      _id := {{id_old}};
      _old_row := {{row_old}};
    end if;
  end if;
$$
$template$;

comment on function domain_events._resolve_template() is
  'Of a trigger function: ids and values of the row, by the expressions in the text or, where that is out of date, '
  'by a query';

-- The row is not as it was made: if that is told already, this is late.
create function domain_events._late_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$
  if tg_op <> 'DELETE' and new.xmax <> '0' then
    _late := domain_events._find_step(tg_relid, new.ctid);
    if _late is not null then
      _marks := {{place}} || domain_events._late_marks(_late);
    end if;
  end if;
$$
$template$;

comment on function domain_events._late_template() is
  'Of a trigger function: whether what follows has been told before';

create function domain_events._rekeyed_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$
  if _is_silent {{is_told_as_move}} or _op = 'UPDATE' and _new_values is null and _is_rekeyed is not true then
    null;
  elsif _is_rekeyed then
    if _new_row is null then
      _new_row := {{row_new}};
      _old_key := {{key_old}};
      _new_key := {{key_new}};
    end if;
    _type := {{rekeyed_type}};
    _old_id := domain_events._short_id(_old_id);
    _id := domain_events._short_id(_id);
    _left_data := jsonb_build_object('old_values', _old_key, 'new_values', _new_key, 'new_aggregate_id', _id);
    _data := jsonb_build_object('new_values', _new_row, 'old_aggregate_id', _old_id);
    _ended := {{end_of_old}};
    _version := domain_events._write_event({{type}}, _old_id, _type, null, _left_data,
                                           case when _ended is null then '{}'
                                                else domain_events._late_marks(_ended) end);
    _told := coalesce(_ended, _version - 1);
    perform domain_events._write_event({{type}}, _id, _type, null, _data, coalesce(_marks, {{place}}), 'INSERT',
                                       coalesce(_after, _since), end_types => {{insert_ends}});
  else
$$
$template$;

comment on function domain_events._rekeyed_template() is
  'Of a trigger function: what makes no event, and the two events of a key that changed';

create function domain_events._event_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$    if _query is null then
      _type := {{event_type}};
{{set_name}}    else
      select m.* into _type, _name from domain_events._map_event({{capture_id}}, _op, _old_values) as m;
    end if;
{{shorten_id}}{{whole_rows}}    _data := case
                  when _op = 'UPDATE'
                  then jsonb_build_object('old_values', {{payload_old}}, 'new_values', {{payload_new}})
                  when _op = 'INSERT' then jsonb_build_object('new_values', _new_row)
                  else jsonb_build_object('old_values', _old_row) end;
$$
$template$;

comment on function domain_events._event_template() is 'Of a trigger function: type, name and data of the event';

-- The event's id is made short where it may be too long.
create function domain_events._shorten_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$    if octet_length(_id) > 1024 then
      _id := domain_events._short_id(_id);
    end if;
$$
$template$;

comment on function domain_events._shorten_template() is 'Of a trigger function: an id that may be too long';

create function domain_events._whole_rows_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$    if _op = 'UPDATE' and _new_row is null then
      _old_row := {{row_old}};
      _new_row := {{row_new}};
    end if;
$$
$template$;

comment on function domain_events._whole_rows_template() is
  'Of a trigger function with payload => ''full'': both rows of an update';

create function domain_events._guess_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$
    if _query is null and _late is null
       and ('' <> any (array[current_setting('domain_events.actor'::text, true),
                             current_setting('domain_events.correlation_id'::text, true),
                             current_setting('domain_events.causation_id'::text, true),
                             current_setting('domain_events.metadata'::text, true)])) is not true
       and session_user = domain_events._planned_user() then
      if _op <> 'INSERT' then
        select e.aggregate_version, e.global_position, e.recorded_at, e.origin, e.event_type, e.xmin
          into _version, _position, _before, _origin, _newest, _told_by
          from domain_events.events e
         where e.aggregate_type = {{type}} and e.aggregate_id = _id
         order by e.aggregate_version using operator(pg_catalog.>) limit 1;
      end if;
      -- One expression: nothing interrupts between the lock and the answer. Beside a null the lock would be taken,
      -- and not known.
      _is_locked := (case when _op = 'INSERT' then _id is not null
                          else _position > _since and _origin = 'captured'
                               and case when _op = 'DELETE' then age(_told_by) > 0 else {{is_no_end}} end
                     end) is true and pg_try_advisory_lock(domain_events._stream_key({{type}}, _id));
      if _is_locked then
        _recorded := case when _before >= clock_timestamp() then _before + interval '1 microsecond'
                          else clock_timestamp() end;
        -- A row has been written: the transaction has its number before it draws a position.
        insert into domain_events.events
          (aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, metadata, caused_by,
           occurred_at, recorded_at, origin)
        values ({{type}}, _id, coalesce(_version, 0::bigint) + 1::bigint, _type, _name, _data, {{place}}, session_user,
                _recorded, _recorded, domain_events._captured())
        on conflict on constraint uk_aggregate_version do nothing;
        if found then
          _told := case when (currval('domain_events.events_global_position_seq') > _position) is not false
                          then coalesce(_version, 0::bigint)
                        else domain_events._refuse_position() end;
        end if;
        _is_locked := not pg_advisory_unlock(domain_events._stream_key({{type}}, _id));
      end if;
    end if;
$$
$template$;

comment on function domain_events._guess_template() is
  'Of a trigger function: the usual case, by a guessed version and a lock that is only tried';

create function domain_events._long_way_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$
    if _told is null then
      _version := null;
      if _op = 'DELETE' then
        _late := {{end_of_row}};
        _marks := case when _late is null then '{}' else domain_events._late_marks(_late) end;
      end if;
      _marks := coalesce(_marks, {{place}});
      if _op <> 'UPDATE' or _query is null or _id is null then
        _version := domain_events._write_event({{type}}, _id, _type, _name, _data, _marks, _op,
                                               coalesce(_after, _since), end_types => {{ends}}, made_by => {{made_by}});
      end if;
      if _version is null then
        if _old_row is null then
          _old_row := {{row_old}};
        end if;
        if _query is null
           and domain_events._is_told({{type}}, _id, _old_row, coalesce(_after, _since), {{is_one_row}}) then
          _version := domain_events._write_event({{type}}, _id, _type, _name, _data, _marks);
        else
          -- The stream's first event, or its first after a pause, a change of columns, or something that was not told.
          if _new_row is null then
            _new_row := {{row_new}};
          end if;
          _metadata := '{"complete": true}';
          _data := jsonb_build_object('old_values', {{payload_old}}, 'new_values', _new_row);
          _version := domain_events._write_event({{type}}, _id, _type, _name, _data, _metadata || _marks);
        end if;
      end if;
      _told := coalesce(_late, _version - 1);
    end if;
  end if;
$$
$template$;

comment on function domain_events._long_way_template() is
  'Of a trigger function: an event that did not go as guessed, or needs the whole row';

-- With "abort" too: the lock of the usual case belongs to the session and is given back on error.
create function domain_events._failure_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$
  exception when others or query_canceled or assert_failure then
    if _is_locked then
      perform pg_advisory_unlock(domain_events._stream_key({{type}}, _id));
    end if;
    get stacked diagnostics _code = returned_sqlstate, _message = message_text, _constraint = constraint_name;
    if _constraint = 'events_pkey' then
      select f.* into _code, _message from domain_events._explain_failure(_code, _message, _constraint) as f;
    end if;
    if {{propagates}} then
      if _constraint = 'events_pkey' then
        perform domain_events._check_positions(currval('domain_events.events_global_position_seq'));
      end if;
      raise;
    end if;
    if tg_when = 'BEFORE' then
      return new;  -- the move is then told as a delete and an insert
    end if;
{{end_of_move}}    _told := null;
    if _left_data is not null then
      _told := domain_events._keep_failure({{capture_id}}, _op, _old_id, _type, _name, _left_data, '{}', _code,
                                           _message, _ended);
    end if;
    _version := domain_events._keep_failure({{capture_id}}, _op, _id, _type, _name, _data,
                                            coalesce(_metadata, '{}') || {{place}}, _code, _message, _late);
    _told := coalesce(_told, _version);
  end;
$$
$template$;

comment on function domain_events._failure_template() is
  'Of a trigger function: what becomes of an event that could not be stored';

create function domain_events._step_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$
  -- It replaced what this transaction (or one that began after it) had made. While code of a user is running around it,
  -- what made that may be yet to fire.
{{moved_step}}  if tg_op <> 'INSERT' and age(old.xmin) <= 0 then
    get diagnostics _surroundings = pg_context;
    if strpos(_surroundings, E'\n') > 0 then
      perform domain_events._note_step(tg_relid, old.ctid, _told, case when tg_op = 'UPDATE' then tg_relid end,
                                       case when tg_op = 'UPDATE' then new.ctid end);
    end if;
  end if;
$$
$template$;

comment on function domain_events._step_template() is
  'Of a trigger function: notes where in the stream the end of a row version was told';
