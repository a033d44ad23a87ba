-- Partitioned tables. An update that moves a row to another partition reaches the triggers as a DELETE and an INSERT; a
-- BEFORE trigger, the last of its kind, notes the move so that the two are told as the one change they are.

create unlogged table domain_events.row_moves (
  capture_id     int not null,
  leaf           oid not null,
  place          tid not null,
  left_order     int,
  depth          int,
  command        cid,
  after_version  bigint,
  old_id         text collate "C" not null,
  new_id         text collate "C" not null,
  transaction_id xid8 not null,
  old_row        jsonb not null,
  old_key        jsonb not null,
  new_key        jsonb not null,
  changed        text[] not null,
  constraint row_moves_pkey primary key (capture_id, leaf, place)
);

create index row_moves_new_id on domain_events.row_moves (capture_id, new_id);

comment on table domain_events.row_moves is
  'Rows on their way to another partition, for the length of a statement; what is left over from another transaction '
  'means nothing';
comment on column domain_events.row_moves.capture_id is 'The capture';
comment on column domain_events.row_moves.leaf is 'The partition that the row leaves';
comment on column domain_events.row_moves.place is 'Where the row is there: several rows may share an id';
comment on column domain_events.row_moves.left_order is
  'Set between the DELETE and the INSERT that make up the move; the last to leave arrives first, '
  'for triggers may move rows in between';
comment on column domain_events.row_moves.depth is
  'How deep within triggers they fire, set with it: what is nested between them is deeper';
comment on column domain_events.row_moves.after_version is
  'The place in its stream at which the row left, see _late_marks()';
comment on column domain_events.row_moves.command is 'The command that moves the row, where the row tells it';
comment on column domain_events.row_moves.old_id is 'Aggregate id before the move';
comment on column domain_events.row_moves.new_id is 'Aggregate id after it';
comment on column domain_events.row_moves.transaction_id is 'The moving transaction';
comment on column domain_events.row_moves.old_row is 'The captured columns before the move';
comment on column domain_events.row_moves.old_key is 'The identity columns before';
comment on column domain_events.row_moves.new_key is 'The identity columns after';
comment on column domain_events.row_moves.changed is 'Names of the changed columns, compared by their image';
comment on index domain_events.row_moves_new_id is 'Finds a move by the row that arrives';

-- In PL/pgSQL, which keeps the plan: 20 us for every update of a partitioned table, not 330.
create function domain_events._leaves_partition(leaf oid, changed text[]) returns boolean
language plpgsql stable
as $$
begin
  return cardinality(changed) > 0 and exists (
    select from pg_partition_ancestors(leaf) as ancestor
      join pg_partitioned_table p on p.partrelid = ancestor.relid
     cross join unnest(p.partattrs::int2[]) as key(attnum)
     where key.attnum = 0
        -- No join: the planner would read all of pg_attribute.
        or (select a.attname::text from pg_attribute a
             where a.attrelid = ancestor.relid and a.attnum = key.attnum) = any (changed));
end
$$;

comment on function domain_events._leaves_partition(oid, text[]) is
  'True when a row whose columns changed so may belong to another partition now';

create function domain_events._note_move(
  capture_id int, leaf oid, place tid, old_id text, new_id text, old_row jsonb, old_key jsonb, new_key jsonb,
  changed text[]
) returns void
language plpgsql volatile
as $$
begin
  if new_id is null then
    return;  -- A column of the id is gone: the dead letters of the deletion and of the insert say so.
  end if;
  insert into domain_events.row_moves as m (capture_id, leaf, place, old_id, new_id, transaction_id, old_row, old_key,
                                            new_key, changed)
  values (_note_move.capture_id, _note_move.leaf, _note_move.place, _note_move.old_id, _note_move.new_id,
          pg_current_xact_id(), _note_move.old_row, _note_move.old_key, _note_move.new_key, _note_move.changed)
  on conflict on constraint row_moves_pkey do update
    set left_order = null, depth = null, command = null, after_version = null, old_id = excluded.old_id,
        new_id = excluded.new_id, transaction_id = excluded.transaction_id,
        old_row = excluded.old_row, old_key = excluded.old_key, new_key = excluded.new_key, changed = excluded.changed;
end
$$;

comment on function domain_events._note_move(int, oid, tid, text, text, jsonb, jsonb, jsonb, text[]) is
  'Notes that a row is about to move';

-- A row's DELETE is followed by its INSERT at once, but for what users' triggers do in between, which is nested deeper.
-- So a row whose INSERT is not the next thing to come will not arrive: a trigger of its destination has cancelled that.
-- An update that stayed in its partition after all ends the move it was noted for.
create function domain_events._find_move(capture_id int, operation text, ids text[], leaf oid, place tid, command cid)
  returns setof domain_events.row_moves
language plpgsql volatile
as $$
declare
  move domain_events.row_moves;
  has_arrived boolean := false;
begin
  for move in
    select m.* from domain_events.row_moves m
     where m.capture_id = _find_move.capture_id and m.new_id = any (ids) and m.left_order is not null
       and m.transaction_id = pg_current_xact_id() and age(m.xmin) <= 0 and m.depth >= pg_trigger_depth()
     order by m.left_order desc
  loop
    if operation = 'INSERT' and not has_arrived and move.depth = pg_trigger_depth()
       and (move.command is null or _find_move.command is null or move.command = _find_move.command) then
      delete from domain_events.row_moves m
       where m.capture_id = move.capture_id and m.leaf = move.leaf and m.place = move.place;
      has_arrived := true;
      return next move;
    else
      perform domain_events._end_move(move);
    end if;
  end loop;
  case operation
    when 'DELETE' then
      return query select m.* from domain_events.row_moves m
                    where m.capture_id = _find_move.capture_id and m.leaf = _find_move.leaf
                      and m.place = _find_move.place
                      and m.transaction_id = pg_current_xact_id() and age(m.xmin) <= 0;
    when 'UPDATE' then
      delete from domain_events.row_moves m
       where m.capture_id = _find_move.capture_id and m.leaf = _find_move.leaf and m.place = _find_move.place;
    else
      null;
  end case;
end
$$;

comment on function domain_events._find_move(int, text, text[], oid, tid, cid) is
  'The noted move that a DELETE or an INSERT is half of; the INSERT ends it. '
  'Moves to the same streams that did not arrive become deletions';

create function domain_events._begin_move(capture_id int, leaf oid, place tid, command cid, after_version bigint,
                                          old_row jsonb) returns void
language plpgsql volatile
as $$
begin
  update domain_events.row_moves m
     set left_order = 1 + coalesce((select max(o.left_order) from domain_events.row_moves o
                                     where o.capture_id = m.capture_id and o.new_id = m.new_id
                                       and o.transaction_id = m.transaction_id), 0),
         depth = pg_trigger_depth(), command = _begin_move.command, after_version = _begin_move.after_version,
         old_row = _begin_move.old_row
   where m.capture_id = _begin_move.capture_id and m.leaf = _begin_move.leaf and m.place = _begin_move.place;
end
$$;

comment on function domain_events._begin_move(int, oid, tid, cid, bigint, jsonb) is
  'Notes that the row has left: its INSERT follows';

-- A deletion, told late. The old stream of a changed key has been ended already.
create function domain_events._end_move(move domain_events.row_moves) returns void
language plpgsql volatile
as $$
declare
  config domain_events.capture_config;
  event record;
  data jsonb := jsonb_build_object('old_values', move.old_row);
  late bigint;
  code text;
  message text;
begin
  delete from domain_events.row_moves m
   where m.capture_id = move.capture_id and m.leaf = move.leaf and m.place = move.place;
  select * into config from domain_events.capture_config c where c.capture_id = move.capture_id;
  if not found or move.old_id <> move.new_id then
    return;
  end if;
  select * into event from domain_events._map_event(move.capture_id, 'DELETE', '{}');
  begin
    if move.after_version < 0
       or domain_events._stream_version(config.aggregate_type, move.old_id) > move.after_version then
      late := move.after_version;
    end if;
    perform domain_events._write_event(config.aggregate_type, move.old_id, event.event_type, event.event_name, data,
      case when late is null then '{}' else domain_events._late_marks(late) end);
  exception when others or query_canceled or assert_failure then
    get stacked diagnostics code = returned_sqlstate, message = message_text;
    if config.on_failure = 'abort' or domain_events._propagates(code) then
      raise;
    end if;
    perform domain_events._keep_failure(move.capture_id, 'DELETE', move.old_id, event.event_type, event.event_name,
                                        data, '{}', code, message, late);
  end;
end
$$;

comment on function domain_events._end_move(domain_events.row_moves) is
  'Tells a move that did not arrive as the deletion it is';

create function domain_events._end_open_move() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  move domain_events.row_moves;
begin
  select * into move from domain_events.row_moves m
   where m.capture_id = new.capture_id and m.leaf = new.leaf and m.place = new.place and m.left_order is not null;
  if found then
    perform domain_events._end_move(move);
  end if;
  return null;
end
$$;

comment on function domain_events._end_open_move() is
  'Trigger: at the end of the transaction no move is on its way any more';

-- Where a user makes all constraints immediate, it fires between the two halves: the move is then told as a deletion
-- and an insert.
create constraint trigger row_moves_end after update on domain_events.row_moves deferrable initially deferred
  for each row when (new.left_order is not null) execute function domain_events._end_open_move();

alter table domain_events.row_moves enable always trigger row_moves_end;

comment on trigger row_moves_end on domain_events.row_moves is
  'Tells, at the latest at the end of the transaction, that a row did not arrive';

create function domain_events._end_moves() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  set constraints domain_events.row_moves_end immediate;
  set constraints domain_events.row_moves_end deferred;
end
$$;

comment on function domain_events._end_moves() is
  'Tells now which rows of this transaction did not arrive: before their capture changes';
