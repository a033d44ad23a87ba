-- Partitioned tables. An update that moves a row to another partition reaches the triggers as a DELETE and an INSERT; a BEFORE
-- trigger, the last of its kind, notes the move so that the two are told as the one change they are.

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

comment on table domain_events.row_moves is 'Rows on their way to another partition, for the length of a statement; what is left over from another transaction means nothing';
comment on column domain_events.row_moves.capture_id is 'The capture';
comment on column domain_events.row_moves.leaf is 'The partition that the row leaves';
comment on column domain_events.row_moves.place is 'Where the row is there: several rows may share an id';
comment on column domain_events.row_moves.left_order is 'Set between the DELETE and the INSERT that make up the move; the last to leave arrives first, for triggers may move rows in between';
comment on column domain_events.row_moves.depth is 'How deep within triggers they fire, set with it: what is nested between them is deeper';
comment on column domain_events.row_moves.after_version is 'The version of its stream after which the row left';
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
        or (select a.attname::text from pg_attribute a where a.attrelid = ancestor.relid and a.attnum = key.attnum) = any (changed));
end
$$;

comment on function domain_events._leaves_partition(oid, text[]) is
  'True when a row whose columns changed so may belong to another partition now';

create function domain_events._note_move(
  capture_id int, leaf oid, place tid, old_id text, new_id text, old_row jsonb, old_key jsonb, new_key jsonb, changed text[]
) returns void
language plpgsql volatile
as $$
begin
  insert into domain_events.row_moves as m (capture_id, leaf, place, old_id, new_id, transaction_id, old_row, old_key, new_key, changed)
  values (_note_move.capture_id, _note_move.leaf, _note_move.place, _note_move.old_id, _note_move.new_id, pg_current_xact_id(),
          _note_move.old_row, _note_move.old_key, _note_move.new_key, _note_move.changed)
  on conflict on constraint row_moves_pkey do update
    set left_order = null, depth = null, command = null, after_version = null, old_id = excluded.old_id, new_id = excluded.new_id, transaction_id = excluded.transaction_id,
        old_row = excluded.old_row, old_key = excluded.old_key, new_key = excluded.new_key, changed = excluded.changed;
end
$$;

comment on function domain_events._note_move(int, oid, tid, text, text, jsonb, jsonb, jsonb, text[]) is 'Notes that a row is about to move';

-- A row's DELETE is followed by its INSERT at once, but for what users' triggers do in between, which is nested deeper. So a
-- row whose INSERT is not the next thing to come will not arrive: a trigger of its destination has cancelled that. An update
-- that stayed in its partition after all ends the move it was noted for.
create function domain_events._find_move(capture_id int, operation text, ids text[], leaf oid, place tid, command cid) returns setof domain_events.row_moves
language plpgsql volatile
as $$
declare
  move domain_events.row_moves;
  has_arrived boolean := false;
begin
  for move in
    select m.* from domain_events.row_moves m
     where m.capture_id = _find_move.capture_id and m.new_id = any (ids) and m.left_order is not null
       and m.transaction_id = pg_current_xact_id() and m.depth >= pg_trigger_depth()
     order by m.left_order desc
  loop
    if operation = 'INSERT' and not has_arrived and move.depth = pg_trigger_depth()
       and (move.command is null or _find_move.command is null or move.command = _find_move.command) then
      delete from domain_events.row_moves m where m.capture_id = move.capture_id and m.leaf = move.leaf and m.place = move.place;
      has_arrived := true;
      return next move;
    else
      perform domain_events._end_move(move);
    end if;
  end loop;
  case operation
    when 'DELETE' then
      return query select m.* from domain_events.row_moves m
                    where m.capture_id = _find_move.capture_id and m.leaf = _find_move.leaf and m.place = _find_move.place
                      and m.transaction_id = pg_current_xact_id();
    when 'UPDATE' then
      delete from domain_events.row_moves m
       where m.capture_id = _find_move.capture_id and m.leaf = _find_move.leaf and m.place = _find_move.place;
    else
      null;
  end case;
end
$$;

comment on function domain_events._find_move(int, text, text[], oid, tid, cid) is
  'The noted move that a DELETE or an INSERT is half of; the INSERT ends it. Moves to the same streams that did not arrive become deletions';

create function domain_events._begin_move(capture_id int, leaf oid, place tid, command cid, after_version bigint, old_row jsonb) returns void
language plpgsql volatile
as $$
begin
  update domain_events.row_moves m
     set left_order = 1 + coalesce((select max(o.left_order) from domain_events.row_moves o
                                     where o.capture_id = m.capture_id and o.new_id = m.new_id
                                       and o.transaction_id = m.transaction_id), 0),
         depth = pg_trigger_depth(), command = _begin_move.command, after_version = _begin_move.after_version, old_row = _begin_move.old_row
   where m.capture_id = _begin_move.capture_id and m.leaf = _begin_move.leaf and m.place = _begin_move.place;
end
$$;

comment on function domain_events._begin_move(int, oid, tid, cid, bigint, jsonb) is 'Notes that the row has left: its INSERT follows';

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
  delete from domain_events.row_moves m where m.capture_id = move.capture_id and m.leaf = move.leaf and m.place = move.place;
  select * into config from domain_events.capture_config c where c.capture_id = move.capture_id;
  if not found or move.old_id <> move.new_id then
    return;
  end if;
  select * into event from domain_events._map_event(move.capture_id, 'DELETE', '{}');
  begin
    if domain_events._stream_version(config.aggregate_type, move.old_id) > move.after_version then
      late := move.after_version;
    end if;
    perform domain_events._write_event(config.aggregate_type, move.old_id, event.event_type, event.event_name, data,
      case when late is null then '{}' else jsonb_build_object('late', true, 'after_version', late) end);
  exception when others or query_canceled or assert_failure then
    get stacked diagnostics code = returned_sqlstate, message = message_text;
    if config.on_failure = 'abort' or domain_events._propagates(code) then
      raise;
    end if;
    perform domain_events._keep_failure(move.capture_id, 'DELETE', move.old_id, event.event_type, event.event_name, data, '{}',
                                        code, message, late);
  end;
end
$$;

comment on function domain_events._end_move(domain_events.row_moves) is 'Tells a move that did not arrive as the deletion it is';

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

comment on function domain_events._end_open_move() is 'Trigger: at the end of the transaction no move is on its way any more';

-- Where a user makes all constraints immediate, it fires between the two halves: the move is then told as a deletion and an insert.
create constraint trigger row_moves_end after update on domain_events.row_moves deferrable initially deferred
  for each row when (new.left_order is not null) execute function domain_events._end_open_move();

alter table domain_events.row_moves enable always trigger row_moves_end;

comment on trigger row_moves_end on domain_events.row_moves is 'Tells, at the latest at the end of the transaction, that a row did not arrive';

create function domain_events._end_moves() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  set constraints domain_events.row_moves_end immediate;
  set constraints domain_events.row_moves_end deferred;
end
$$;

comment on function domain_events._end_moves() is 'Tells now which rows of this transaction did not arrive: before their capture changes';

create table domain_events.capture_partitions (
  capture_id int not null,
  relation   oid not null,
  table_name text not null,
  constraint capture_partitions_pkey primary key (capture_id, table_name),
  constraint capture_partitions_capture_id_fkey foreign key (capture_id)
    references domain_events.capture_config on delete cascade
);

comment on table domain_events.capture_partitions is 'The partitions of captured tables when last looked at, so that one that is gone is noticed';
comment on column domain_events.capture_partitions.capture_id is 'The capture';
comment on column domain_events.capture_partitions.relation is 'The partition';
comment on column domain_events.capture_partitions.table_name is 'Its schema-qualified name';

create function domain_events._present_partitions(capture_id int)
returns table (relation oid, table_name text)
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select t.relid::oid, domain_events._qualified_name(t.relid)
    from domain_events.capture_config c, pg_partition_tree(c.relation) as t
   where c.capture_id = _present_partitions.capture_id and t.level > 0
$$;

comment on function domain_events._present_partitions(int) is 'The partitions a captured table has now, at every level';

-- Records partitions that came and went since the last call; the caller sees to the triggers of the new ones.
create function domain_events._record_partitions(target regclass) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  id int := domain_events._capture_of(target);
  gone record;
  renamed record;
  has_left boolean;
begin
  for renamed in
    select k.table_name as old_name, p.table_name as new_name, c.aggregate_type from domain_events.capture_partitions k
      join domain_events.capture_config c on c.capture_id = k.capture_id
      join domain_events._present_partitions(id) as p on p.relation = k.relation and p.table_name <> k.table_name
     where k.capture_id = id
  loop
    perform domain_events._table_event(target, 'PartitionRenamed',
      jsonb_build_object('aggregate_type', renamed.aggregate_type, 'partition', renamed.new_name, 'old_partition', renamed.old_name));
  end loop;
  for gone in
    select k.relation, k.table_name, c.aggregate_type from domain_events.capture_partitions k
      join domain_events.capture_config c on c.capture_id = k.capture_id
     where k.capture_id = id
       and not exists (select from domain_events._present_partitions(id) as p where p.relation = k.relation or p.table_name = k.table_name)
  loop
    perform domain_events._table_event(target,
      case when exists (select from pg_class r where r.oid = gone.relation) then 'PartitionDetached' else 'PartitionDropped' end,
      jsonb_build_object('aggregate_type', gone.aggregate_type, 'partition', gone.table_name));
    has_left := true;
  end loop;
  if has_left then
    -- Its rows may come back, and be others then.
    perform domain_events._tell_whole_rows(id);
  end if;
  delete from domain_events.capture_partitions k where k.capture_id = id;
  insert into domain_events.capture_partitions (capture_id, relation, table_name)
  select id, p.relation, p.table_name from domain_events._present_partitions(id) as p;
end
$$;

comment on function domain_events._record_partitions(regclass) is
  'Stores PartitionDetached, PartitionDropped and PartitionRenamed, and remembers the present partitions';

create function domain_events.follow_partitions(target regclass) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  id int;
  leaf regclass;
begin
  perform domain_events._check_target(target);
  id := domain_events._capture_of(target);
  for leaf in
    select p.relid from pg_partition_tree(target) as p
     where not exists (select from pg_trigger t where t.tgrelid = p.relid and t.tgname = ' domain_events_truncate')
  loop
    perform domain_events._command(target, 'open capture');
    execute format('create trigger " domain_events_truncate" after truncate on %s for each statement execute function domain_events.%I()',
                   leaf, 'capture_' || id);
    if (select c.replication from domain_events.captures c where c.target = follow_partitions.target) = 'always' then
      execute format('alter table %s enable always trigger " domain_events_truncate"', leaf);
    end if;
    perform domain_events._command(target, 'seal capture');
  end loop;
  perform domain_events._command(target, 'record partitions');
end
$$;

comment on function domain_events.follow_partitions(regclass) is
  'After partitions were added, detached or dropped: watches the new ones for TRUNCATE and records those that are gone. Where event triggers may be created it runs by itself.';

-- The event trigger that does it, and lets a capture follow ALTER TABLE at once instead of at the next write.
create function domain_events._follow_ddl() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  captured record;
begin
  for captured in
    select c.capture_id, c.relation, r.relkind from domain_events.capture_config c join pg_class r on r.oid = c.relation
     -- None yet: pg_restore is between two tables of a data-only dump.
     where exists (select from domain_events.capture_columns k where k.capture_id = c.capture_id)
  loop
    if captured.relkind = 'p'
       and exists (select p.table_name from domain_events._present_partitions(captured.capture_id) as p
                    full join domain_events.capture_partitions k on k.relation = p.relation and k.table_name = p.table_name
                   where (k.capture_id is null or k.capture_id = captured.capture_id) and (k.relation is null or p.relation is null)) then
      perform domain_events.follow_partitions(captured.relation);
    end if;
    if tg_tag in ('ALTER TABLE', 'ALTER TYPE') then
      perform domain_events._grant_partitioning(captured.capture_id);  -- the owner may be another one now
      perform domain_events._follow_columns(captured.capture_id);
    end if;
  end loop;
end
$$;

comment on function domain_events._follow_ddl() is
  'Event trigger: captures follow changes of columns and partitions at once';
