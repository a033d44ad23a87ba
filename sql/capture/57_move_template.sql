-- What the trigger functions of partitioned tables have besides: places, and rows that move from one partition to
-- another; and the whole, put together.

-- Where the row is from now on: truncating that ends the stream. A partition that is not in the list is new.
create function domain_events._declare_place_template(is_partitioned boolean) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select case when is_partitioned then $$
  _known_place jsonb := {{places}}::jsonb -> tg_relid::text;
  _place jsonb := case when tg_op = 'DELETE' then '{}' else coalesce(_known_place, '{}') end;
  _moved domain_events.row_moves;$$ else $$
  _place constant jsonb := case when tg_op = 'DELETE' then '{}' else {{places}}::jsonb end;$$ end
$template$;

comment on function domain_events._declare_place_template(boolean) is
  'Of the trigger function of a partitioned table, or of one that shares its type: what events say of the row''s place';

create function domain_events._new_place_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$      if tg_op <> 'DELETE' then
        _place := jsonb_build_object('in_table', domain_events._place_of({{type}}, tg_relid));
      end if;
$$
$template$;

comment on function domain_events._new_place_template() is
  'Of a partitioned table''s trigger function: the place of a partition that is not in the list';

create function domain_events._leaving_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$
    if tg_when = 'BEFORE' then
      _changed := {{changed_names}};
      if not domain_events._leaves_partition(tg_relid, _changed) then
        return new;
      end if;
      _old_id := {{id_old}};
      _id := {{id_new}};
      _old_row := {{row_old}};
      _old_key := {{key_old}};
      _new_key := {{key_new}};
    end if;
$$
$template$;

comment on function domain_events._leaving_template() is
  'Of a partitioned table''s trigger function: whether an update is about to move the row';

create function domain_events._note_move_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$
  if tg_when = 'BEFORE' then
    perform domain_events._note_move({{capture_id}}, tg_relid, old.ctid, domain_events._short_id(_old_id),
                                     domain_events._short_id(_id), _old_row, _old_key, _new_key,
                                     coalesce(_changed, array(select jsonb_object_keys(_old_values))));
    return new;
  end if;
$$
$template$;

comment on function domain_events._note_move_template() is
  'Of a partitioned table''s trigger function: notes that the update will move the row';

create function domain_events._moved_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$
  if tg_op = 'INSERT' then
    -- A row version that was made and replaced by one transaction does not tell its command.
    select * into _moved from domain_events._find_move({{capture_id}}, tg_op, array[domain_events._short_id(_id)],
                                                       tg_relid, null, case when new.xmax = '0' then new.cmin end);
  else
    select * into _moved
      from domain_events._find_move({{capture_id}}, tg_op,
                                    array[domain_events._short_id(_old_id), domain_events._short_id(_id)],
                                    tg_relid, old.ctid, null);
  end if;
  if tg_op = 'DELETE' and found then
    _late := {{end_of_moved}};
    _told := coalesce(_late, domain_events._stream_version({{type}}, domain_events._short_id(_id)));
    perform domain_events._begin_move({{capture_id}}, tg_relid, old.ctid, case when age(old.xmin) > 0 then old.cmax end,
                                      _told, _old_row);
    if _moved.new_id = domain_events._short_id(_id) then
      _is_silent := true;  -- the INSERT that follows tells it as one update
    else
      _op := 'LEAVE';
      _type := {{rekeyed_type}};
      _data := jsonb_build_object('old_values', _moved.old_key, 'new_values', _moved.new_key,
                                  'new_aggregate_id', _moved.new_id);
      _marks := case when _late is null then '{}' else domain_events._late_marks(_late) end;
      _version := domain_events._write_event({{type}}, domain_events._short_id(_id), _type, null, _data, _marks);
      _told := coalesce(_late, _version - 1);
    end if;
  elsif tg_op = 'INSERT' and found then
    if _moved.old_id <> domain_events._short_id(_id) then
      _op := 'ARRIVE';
      _type := {{rekeyed_type}};
      _data := jsonb_build_object('new_values', _new_row, 'old_aggregate_id', _moved.old_id);
      perform domain_events._write_event({{type}}, domain_events._short_id(_id), _type, null, _data,
                                         coalesce(_marks, _place), 'INSERT', coalesce(_after, _since),
                                         end_types => {{insert_ends}});
    else
      _op := 'UPDATE';
      _old_row := _moved.old_row;
      select coalesce(jsonb_object_agg(n.key, _old_row -> n.key), '{}'),
             coalesce(jsonb_object_agg(n.key, n.value), '{}')
        into _old_values, _new_values
        from jsonb_each(_new_row) as n
       where n.key = any (_moved.changed) or n.value::text is distinct from (_old_row -> n.key)::text;
      _is_silent := _new_values = '{}';
    end if;
  end if;
$$
$template$;

comment on function domain_events._moved_template() is
  'Of a partitioned table''s trigger function: what a delete and an insert are told as that Postgres makes of an '
  'update';

create function domain_events._moved_step_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$  if tg_op = 'INSERT' and _op = 'UPDATE' then
    get diagnostics _surroundings = pg_context;
    if strpos(_surroundings, E'\n') > 0 then
      perform domain_events._note_step(_moved.leaf, _moved.place, _told, tg_relid, new.ctid);
    end if;
  end if;
$$
$template$;

comment on function domain_events._moved_step_template() is
  'The same for the version that a row had before it moved to another partition';

create function domain_events._end_of_move_template() returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select $$    if tg_op = 'INSERT' and _moved.place is not null then
      delete from domain_events.row_moves m  -- it has arrived
       where m.capture_id = {{capture_id}} and m.leaf = _moved.leaf and m.place = _moved.place;
    end if;
    _op := case _op when 'LEAVE' then 'DELETE' when 'ARRIVE' then 'INSERT' else _op end;
$$
$template$;

comment on function domain_events._end_of_move_template() is
  'Of a partitioned table''s trigger function: a move whose event could not be stored';

-- No name of a user's in a comment: a carriage return in it would end the comment, and the rest would be code.
create function domain_events._capture_template(is_partitioned boolean) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $template$
  select '-- Written by domain_events._write_capture_function(); changes are overwritten.'
         || domain_events._declare_template()
         || E'\nbegin\n'
         || domain_events._by_hand_template()
         || E'\n  begin\n'
         || domain_events._resolve_template()
         || case when is_partitioned then domain_events._note_move_template() else '' end
         || domain_events._late_template()
         || case when is_partitioned then domain_events._moved_template() else '' end
         || domain_events._rekeyed_template()
         || domain_events._event_template()
         || domain_events._guess_template()
         || domain_events._long_way_template()
         || domain_events._failure_template()
         || case when is_partitioned then E'  if tg_when = ''BEFORE'' then\n    return new;\n  end if;' else '' end
         || domain_events._step_template()
         || E'\n  return _nothing;\nend\n'
$template$;

comment on function domain_events._capture_template(boolean) is
  'The whole of a trigger function, of a partitioned table or of another';
