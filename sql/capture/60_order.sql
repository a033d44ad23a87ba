-- The order of events that fire late: docs/event-order.md.

-- When an event happened is told by when it fired: as a version of its stream, or as a dead letter after that version,
-- in the order of letters. What fired late happened right before another event, which had fired: before that of the
-- next version, or before a letter. Of several that belong before one event, those that fired later happened earlier.
--
-- A place, in the captures' variables, is a number: n is before the event of version n + 1, -n before the letter n.
create function domain_events._late_marks(place bigint) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select case when place >= 0 then jsonb_build_object('late', true, 'after_version', place)
              else coalesce((select jsonb_build_object('late', true, 'after_version', f.after_version,
                                                       'before_failure', f.failure_id)
                               from domain_events.capture_failures f where f.failure_id = - place), '{}') end
$$;

comment on function domain_events._late_marks(bigint) is
  'What the metadata of an event says that belongs at a place which has been passed; nothing where place is null';

create function domain_events._turn(aggregate_version bigint, metadata jsonb) returns bigint[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  is_letter constant boolean := jsonb_typeof(metadata -> 'failure_id') = 'number'
                                and jsonb_typeof(metadata -> 'after_version') = 'number';
  -- What the store has not marked is not to be trusted: events that somebody has forged must not keep the others from
  -- being read.
  fired bigint[] := case when is_letter
                           then array[least((metadata ->> 'after_version')::numeric, 1e18),
                                      least((metadata ->> 'failure_id')::numeric, 1e18)]
                         else array[aggregate_version, 0] end;
  late constant jsonb := case when is_letter then metadata -> 'queued' else metadata end;
  after_version bigint;
begin
  if jsonb_typeof(late -> 'after_version') is distinct from 'number' then
    return fired || 1::bigint;
  end if;
  after_version := least((late ->> 'after_version')::numeric, 1e18);
  return case when jsonb_typeof(late -> 'before_failure') = 'number'
              then array[after_version, least((late ->> 'before_failure')::numeric, 1e18)]
              else array[after_version + 1, 0] end
         || array[0, - fired[1], - fired[2]];
end
$$;

comment on function domain_events._turn(bigint, jsonb) is
  'By these numbers, in the order of arrays, the late events of a stream happened; '
  'those of an event in its place are its version, 0 and 1';

-- A change fires late when a later one of the same row has fired before it: a user's trigger may change another row of
-- the statement whose own change is still queued, or sort before the capture's. What says so is the row itself.
-- Versions of a row are told apart by where they are stored, never by their values, which may come back: what a
-- transaction has made stays in its place until it ends, or until the table is written anew. So an event that replaces
-- a version of its own transaction, while code of a user is running around it, notes its own place here, and what made
-- that version and fires later finds it.
create unlogged table domain_events.row_steps (
  file           oid not null,
  place          tid not null,
  transaction_id xid8 not null,
  after_version  bigint,
  next_file      oid,
  next_place     tid,
  constraint row_steps_pkey primary key (file, place)
);

comment on table domain_events.row_steps is
  'Row versions that a transaction made and replaced, for the length of a statement; '
  'what is left over from another transaction means nothing';
comment on column domain_events.row_steps.file is
  'File node of the table or partition: another one once it is written anew';
comment on column domain_events.row_steps.place is 'Where the row version is';
comment on column domain_events.row_steps.transaction_id is 'The transaction';
comment on column domain_events.row_steps.after_version is
  'Place of the event that told the end of the version, see _late_marks(); null when it made no event';
comment on column domain_events.row_steps.next_file is
  'File node of the version that replaced it; null when it was deleted';
comment on column domain_events.row_steps.next_place is 'Where that is';

create function domain_events._note_step(relation oid, place tid, after_version bigint, next_relation oid,
                                         next_place tid) returns void
language plpgsql volatile
as $$
#variable_conflict use_column
begin
  insert into domain_events.row_steps (file, place, transaction_id, after_version, next_file, next_place)
  values (pg_relation_filenode(_note_step.relation), _note_step.place, pg_current_xact_id(), _note_step.after_version,
          pg_relation_filenode(_note_step.next_relation), _note_step.next_place)
  on conflict on constraint row_steps_pkey do update
    set transaction_id = excluded.transaction_id, after_version = excluded.after_version,
        next_file = excluded.next_file, next_place = excluded.next_place;
  -- Most are never asked for. Now and then one call removes what ended transactions have left; it waits for nobody.
  if extract(microseconds from clock_timestamp())::int % 499 = 0
     and current_setting('transaction_isolation') = 'read committed' then
    delete from domain_events.row_steps s
     where s.ctid = any (array(select g.ctid from domain_events.row_steps g
                                where g.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
                                limit 5000 for update skip locked));
  end if;
end
$$;

comment on function domain_events._note_step(oid, tid, bigint, oid, tid) is
  'Notes that a row version of this transaction was replaced, and where in the stream that is told';

create function domain_events._find_step(relation oid, place tid) returns bigint
language plpgsql volatile
as $$
#variable_conflict use_column
declare
  step domain_events.row_steps;
begin
  step.next_file := pg_relation_filenode(_find_step.relation);
  step.next_place := _find_step.place;
  loop
    select s.* into step from domain_events.row_steps s
     where s.file = step.next_file and s.place = step.next_place and s.transaction_id = pg_current_xact_id()
       and age(s.xmin) <= 0;
    -- What made no event is passed over.
    if not found or step.after_version is not null then
      return step.after_version;
    end if;
  end loop;
end
$$;

comment on function domain_events._find_step(oid, tid) is
  'The place of an event whose row version was replaced before it fired; null when that is not told yet, '
  'or was only a lock';

-- A row's end fires late when its key was taken again while it was queued: by a trigger, or by the next row of "set id
-- = id + 1". A row that is older than the transaction ends before all that the transaction has told so far, or has kept
-- as dead letters: that is about who came after it. Otherwise the end belongs between two beginnings with no end in
-- between.
create function domain_events._may_be_late(aggregate_type text, aggregate_id text) returns boolean
language plpgsql volatile
as $$
begin
  return domain_events._is_own(aggregate_type, aggregate_id)
         or exists (select from domain_events.capture_failures f
                     where f.aggregate_type = _may_be_late.aggregate_type and f.aggregate_id = _may_be_late.aggregate_id
                       and f.stored_version is null);
end
$$;

comment on function domain_events._may_be_late(text, text) is 'Whether it is worth asking _place_end()';

create function domain_events._place_end(aggregate_type text, aggregate_id text, whole_row_after bigint,
                                         is_older boolean) returns bigint
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  event record;
  is_there boolean := false;
begin
  for event in
    with told as (
      select e.aggregate_version as version, e.event_data as data, e.metadata
        from domain_events.events e
       where e.aggregate_type = _place_end.aggregate_type and e.aggregate_id = _place_end.aggregate_id
         and age(e.xmin) <= 0
         -- `is true` leaves no index but the stream's: a transaction's events may be a million, and statistics that are
         -- older than it say that there are none.
         and (e.transaction_id = pg_current_xact_id() and e.global_position > _place_end.whole_row_after) is true
         and e.origin = 'captured'
         -- What was retried tells of what was before, unless it failed in this transaction.
         and (not jsonb_exists(e.metadata, 'failure_id')
              or exists (select from domain_events.capture_failures f
                          where f.failure_id = (e.metadata ->> 'failure_id')::bigint
                            and f.transaction_id = pg_current_xact_id() and age(f.xmin) <= 0))
      union all
      select null, f.event_data, f.metadata
             || jsonb_build_object('failure_id', f.failure_id, 'after_version', f.after_version)
        from domain_events.capture_failures f
       where f.aggregate_type = _place_end.aggregate_type and f.aggregate_id = _place_end.aggregate_id
         and f.stored_version is null
         and f.transaction_id = pg_current_xact_id() and age(f.xmin) <= 0
    )
    select t.turn,
           case when domain_events._is_end(told.data) then 'end'
                when told.metadata @> '{"baseline": true}' then 'baseline'  -- of a row of any age
                when jsonb_exists(told.data, 'old_values') then 'change'
                else 'beginning' end as kind
      from told cross join lateral domain_events._turn(told.version, told.metadata) as t(turn)
     order by t.turn
  loop
    if (is_older and event.kind <> 'baseline') or (event.kind = 'beginning' and is_there) then
      return case when event.turn[2] = 0 then event.turn[1] - 1 else - event.turn[2] end;
    end if;
    is_there := event.kind <> 'end';
  end loop;
  return null;
end
$$;

comment on function domain_events._place_end(text, text, bigint, boolean) is
  'The place of the end of a row whose key was taken again before it fired; null when it is in order. is_older: '
  'the transaction has not changed the row before';

-- A row shows the transaction that made it, or changed it last, also when that was frozen long ago: then the number may
-- be of any age, and the nearest transaction with it may not have begun, or be older than what the server remembers.
create function domain_events._xact_status(id xid) returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  own bigint := pg_current_xact_id()::text::bigint;
  nearest bigint := own + (id::text::bigint - (own & 4294967295) + 6442450944) % 4294967296 - 2147483648;
begin
  if nearest < 3 then
    return null;
  elsif nearest <= own then
    return pg_xact_status(nearest::text::xid8);
  end if;
  begin
    return pg_xact_status(nearest::text::xid8);
  exception when invalid_parameter_value then
    return null;  -- "in the future"
  end;
end
$$;

comment on function domain_events._xact_status(xid) is
  'committed, aborted or in progress; of the transactions whose rows this one can change, '
  'it and its subtransactions are in progress. Null for one that ended so long ago that nothing is known of it';
