-- Holding capture for a while, turning it off, forgetting dropped tables, and the view of what is captured.

create function domain_events._capture_of(target regclass) returns int
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  id int := (select c.capture_id from domain_events.capture_config c where c.relation = target);
begin
  if target is null then
    raise exception 'the table must not be null'
      using errcode = '22004', hint = 'Name a table, for example ''public.users''.';
  elsif id is null and domain_events._restored_capture(target) is not null then
    raise exception 'table % was dropped and restored, and its capture has not found it again', target
      using errcode = '55000',
            hint = format('Its next write does, or: select * from domain_events.tell_rows(%L), '
                          'which also tells the rows that are not what their streams say.',
                          target);
  elsif id is null then
    raise exception 'table % is not captured', target
      using errcode = '42704', hint = 'The captured tables are in the view domain_events.captures.';
  end if;
  return id;
end
$$;

comment on function domain_events._capture_of(regclass) is 'The capture of a table; raises 42704 when it has none';

create function domain_events._set_capture_state(target regclass, new_state text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  id int := domain_events._capture_of(target);
begin
  perform domain_events._end_moves();
  -- Not while a trigger that found its columns changed writes the same function.
  if not pg_try_advisory_xact_lock(domain_events._stream_key('domain_events.Capture', id::text)) then
    perform domain_events._await_lock(domain_events._stream_key('domain_events.Capture', id::text), true, '250 ms');
  end if;
  update domain_events.capture_config c set state = new_state where c.capture_id = id and c.state <> new_state;
  if not found then
    return;
  end if;
  perform domain_events._table_event(
    target,
    case new_state when 'paused' then 'CapturePaused' else 'CaptureResumed' end,
    (select jsonb_build_object('aggregate_type', c.aggregate_type) from domain_events.capture_config c
      where c.capture_id = id));
  perform domain_events._tell_whole_rows(id);
end
$$;

comment on function domain_events._set_capture_state(regclass, text) is
  'Pauses or resumes a capture and records that it did';

create function domain_events.pause_capture(target regclass) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform domain_events._check_session();
  perform domain_events._check_target(target);
  perform domain_events._meet_restored(target);
  perform domain_events._command(target, 'capture state', '{"state": "paused"}');
end
$$;

comment on function domain_events.pause_capture(regclass) is
  'Emergency: stops making events for the table, without a lock on it, until resume_capture(). '
  'That it happened is an event. Statements that have begun still make theirs.';

-- A statement that has begun goes on with the trigger functions it began with: one that began during the pause would
-- store nothing for rows that others have stored complete events of since. So nobody may be writing when the pause
-- ends, and who comes next locks the table and reads the function anew. pause_capture() needs no such lock: what is
-- stored after it counts for nothing once whole_row_after is set here.
create function domain_events.resume_capture(target regclass) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform domain_events._check_session();
  perform domain_events._check_target(target);
  perform domain_events._meet_restored(target);
  perform domain_events._capture_of(target);
  execute format('lock table %s in share row exclusive mode', target);
  perform domain_events._command(target, 'capture state', '{"state": "active"}');
end
$$;

comment on function domain_events.resume_capture(regclass) is
  'Ends a pause: each stream''s next event carries the whole row, so that the fold is right again. '
  'Like create trigger it waits for the transactions that write the table and holds back new ones, not readers, '
  'until its own ends: set lock_timeout before, and call it again when it was in vain.';

create function domain_events._unregister_capture(target regclass, keep_triggers boolean) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  id int := domain_events._capture_of(target);
begin
  perform domain_events._end_moves();
  perform domain_events._table_event(target, 'CaptureDisabled',
    (select jsonb_build_object('aggregate_type', c.aggregate_type) from domain_events.capture_config c
      where c.capture_id = id));
  perform domain_events._invalidate_capture(target);
  if keep_triggers then
    update domain_events.capture_config c set state = 'paused' where c.capture_id = id;
    perform domain_events._write_capture_function(id);
  end if;
  perform domain_events._keep_owner(c.aggregate_type, target, pg_get_userbyid(r.relowner))
     from domain_events.capture_config c join pg_class r on r.oid = target where c.capture_id = id;
  delete from domain_events.capture_config c where c.capture_id = id;
end
$$;

comment on function domain_events._unregister_capture(regclass, boolean) is
  'The part of disable_capture() that writes the store';

-- Trigger functions of captures that are gone, unless a disabled trigger was left on purpose and still names one.
create function domain_events._drop_idle_functions() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  idle regprocedure;
begin
  for idle in
    select p.oid from pg_proc p
     where p.pronamespace = 'domain_events'::regnamespace and p.proname ~ '^capture_[0-9]+$'
       and not exists (select from domain_events.capture_config c where 'capture_' || c.capture_id = p.proname)
       and not exists (select from pg_trigger t where t.tgfoid = p.oid)
  loop
    execute format('drop function %s', idle);
  end loop;
end
$$;

comment on function domain_events._drop_idle_functions() is
  'Drops the trigger functions that no capture and no trigger needs any more';

create function domain_events.disable_capture(target regclass, keep_triggers boolean default false) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  kept record;
begin
  perform domain_events._check_session();
  perform domain_events._check_target(target);
  perform domain_events._meet_restored(target);
  perform domain_events._capture_of(target);
  if keep_triggers then
    for kept in select t.relation, t.name from domain_events._capture_triggers(target) as t where t.kind <> 'move' loop
      execute format('alter table only %s disable trigger %I', kept.relation, kept.name);
    end loop;
  end if;
  perform domain_events._command(target, 'unregister capture', jsonb_build_object('keep_triggers', keep_triggers));
  if keep_triggers is not true then
    perform domain_events._drop_foreign_triggers(target, null);
  end if;
end
$$;

comment on function domain_events.disable_capture(regclass, boolean) is
  'Ends the capture of a table and forgets how it was configured; its events stay. '
  'Dropping the triggers locks out readers for a moment: keep_triggers only disables them, '
  'until the table is captured again or the store is uninstalled.';

create function domain_events.forget_dropped_tables() returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  gone domain_events.capture_config;
  forgotten bigint := 0;
begin
  perform domain_events._check_session();
  for gone in
    select c.* from domain_events.capture_config c where not exists (select from pg_class r where r.oid = c.relation)
       and domain_events._restored_capture(domain_events._relation_named(c.table_name)) is distinct from c.capture_id
     order by c.capture_id
  loop
    perform domain_events._grant_partitioning(gone.capture_id);
    delete from domain_events.capture_config c where c.capture_id = gone.capture_id;
    forgotten := forgotten + 1;
  end loop;
  update domain_events.capture_places p set table_owner = null
   where p.table_owner is not null and not exists (select from pg_class r where r.oid = p.relation);
  perform domain_events._drop_idle_functions();
  return forgotten;
end
$$;

comment on function domain_events.forget_dropped_tables() is
  'Ends the captures whose tables were dropped and returns how many: their functions, rights and configurations go, '
  'their events stay, and the types of dropped tables are free for other owners. '
  'Until then a table that is restored under its name goes on being captured. For the store''s owner.';

-- From two relations: the text that Postgres makes of the columns of one alone is another since 16, and is compared.
create view domain_events.captures as
  select c.relation as target, c.aggregate_type,
         (select array_agg(k.column_name::text order by k.identity_position) as array_agg
            from domain_events.capture_columns k
           where k.capture_id = c.capture_id and k.identity_position is not null) as aggregate_id,
         (select array_agg(k.column_name::text order by k.attnum) as array_agg from domain_events.capture_columns k
           where k.capture_id = c.capture_id and k.captured and c.include_only) as include,
         (select array_agg(k.column_name::text order by k.attnum) as array_agg from domain_events.capture_columns k
           where k.capture_id = c.capture_id and not k.captured and not c.include_only) as exclude,
         (select array_agg(k.column_name::text order by k.attnum) as array_agg from domain_events.capture_columns k
           where k.capture_id = c.capture_id and k.redacted) as redact,
         c.event_types, c.event_name_style, c.payload, c.on_failure, c.baseline, c.replication, c.state,
         c.captured_since, p.pending_failures
    from domain_events.capture_config c
   cross join lateral (select count(*) as pending_failures from domain_events.capture_failures f
                        where f.aggregate_type = c.aggregate_type and f.stored_version is null) p;

comment on view domain_events.captures is 'The captured tables and how each is captured';
comment on column domain_events.captures.target is 'The table';
comment on column domain_events.captures.aggregate_type is 'Type of its streams';
comment on column domain_events.captures.aggregate_id is 'Columns of the aggregate id';
comment on column domain_events.captures.include is 'Captured columns, when they were named';
comment on column domain_events.captures.exclude is 'Columns that are not captured';
comment on column domain_events.captures.redact is 'Columns whose values never appear';
comment on column domain_events.captures.event_types is 'Mapping of operations and changed columns to event types';
comment on column domain_events.captures.event_name_style is 'pascal or dotted';
comment on column domain_events.captures.payload is 'changes or full';
comment on column domain_events.captures.on_failure is 'dead_letter or abort';
comment on column domain_events.captures.baseline is 'lazy or now';
comment on column domain_events.captures.replication is 'origin or always';
comment on column domain_events.captures.state is 'active or paused';
comment on column domain_events.captures.captured_since is 'When capture was enabled';
comment on column domain_events.captures.pending_failures is 'Events waiting in capture_failures';
