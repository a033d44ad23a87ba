-- While events exist, the store is not dropped by the way. Needs an event trigger, which only a superuser may create: elsewhere
-- a plain "drop schema" is refused by its dependencies, and a cascade is not.

create function domain_events._guard_drop() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- A drop command does not tell its objects before it starts, and afterwards this function may be gone with them: hence
  -- the statement's text. The native engine looks at the parsed statement instead.
  if (tg_tag = 'DROP SCHEMA' and current_query() ~* E'drop\\s+schema\\s[^;]*\\mdomain_events\\M'
      or tg_tag = 'DROP EXTENSION' and current_query() ~* E'drop\\s+extension\\s[^;]*\\mpg_domain_events\\M'
         -- once its objects are detached, which is how the way back to the portable engine goes, it drops nothing
         and exists (select from pg_depend d join pg_extension x on d.refclassid = 'pg_extension'::regclass and d.refobjid = x.oid
                      where x.extname = 'pg_domain_events' and d.deptype = 'e'))
     and exists (select from domain_events.events)
     and not domain_events._is_restoring() then  -- "pg_restore --clean" puts another store in its place
    raise exception 'the event store holds events and is not dropped'
      using errcode = '2BP01', hint = 'Run "domain-events uninstall --keep-events" or "domain-events uninstall --drop-events".';
  end if;
end
$$;

comment on function domain_events._guard_drop() is
  'Event trigger: refuses to drop the schema or the extension while events exist';

create function domain_events._guard_table() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  captured text;
  dropped record;
  is_restoring boolean := domain_events._is_restoring();
begin
  if is_restoring then
    -- "pg_restore --clean" replaces the store and all that is captured, on purpose. What it leaves out is told.
    for dropped in
      select c.relation, c.aggregate_type, d.address_names[3] as trigger
        from pg_event_trigger_dropped_objects() as d
        join domain_events.capture_config c on c.relation = to_regclass(format('%I.%I', d.address_names[1], d.address_names[2]))
       where d.object_type = 'trigger' and d.address_names[3] ~ '^ domain_events_capture(_[0-9]+)?$' and d.original
    loop
      perform domain_events._table_event(dropped.relation, 'CaptureDisabled',
        jsonb_build_object('aggregate_type', dropped.aggregate_type, 'dropped_trigger', dropped.trigger));
    end loop;
    return;
  end if;
  if exists (select from pg_event_trigger_dropped_objects() as d
              where d.object_type = 'table' and d.object_identity = 'domain_events.events')
     or exists (select from pg_event_trigger_dropped_objects() as d
                 where d.object_type = 'trigger' and d.object_identity like E'events\\_append\\_only% on domain_events.events') then
    raise exception 'the event store protects its events: neither their table nor its triggers are dropped'
      using errcode = '23001', hint = 'Run "domain-events uninstall" to remove the store.';
  end if;
  -- What another capture has left on a partition is no guard of this one.
  select c.table_name into captured
    from pg_event_trigger_dropped_objects() as d
    join domain_events.capture_config c on c.relation = any (domain_events._with_ancestors(to_regclass(format('%I.%I', d.address_names[1], d.address_names[2]))))
   where d.object_type = 'trigger' and d.address_names[3] ~ '^( domain_events_(capture|truncate)|~domain_events_move)(_[0-9]+)?$'
     and coalesce(substring(d.address_names[3] from '[0-9]+$')::bigint = c.capture_id,
                  c.relation = to_regclass(format('%I.%I', d.address_names[1], d.address_names[2])))
   limit 1;
  if found then
    raise exception 'table % is captured: its capture triggers are not dropped by themselves', captured
      using errcode = '23001', hint = format('Call domain_events.disable_capture(%L), which records that it was done.', captured);
  end if;
end
$$;

comment on function domain_events._guard_table() is
  'Event trigger: refuses to drop the table of events, the triggers that keep it append-only and those of a capture';

do $$
begin
  if (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
    create event trigger domain_events_guard_drop on ddl_command_start
      when tag in ('DROP SCHEMA', 'DROP EXTENSION') execute function domain_events._guard_drop();
    comment on event trigger domain_events_guard_drop is 'Refuses to drop the event store while it holds events';
    create event trigger domain_events_guard_table on sql_drop
      when tag in ('DROP TABLE', 'DROP TRIGGER') execute function domain_events._guard_table();
    comment on event trigger domain_events_guard_table is 'Refuses to drop the table of events, its protection, or a capture''s triggers';
    create event trigger domain_events_before_ddl on ddl_command_start
      when tag in ('ALTER TABLE', 'CREATE TABLE') execute function domain_events._follow_ddl();
    comment on event trigger domain_events_before_ddl is 'Lets the owner of a captured partitioned table make partitions, who may have become it by REASSIGN OWNED';
    create event trigger domain_events_follow_ddl on ddl_command_end
      when tag in ('ALTER TABLE', 'ALTER TYPE', 'ALTER SCHEMA', 'CREATE TABLE', 'CREATE TABLE AS') execute function domain_events._follow_ddl();
    comment on event trigger domain_events_follow_ddl is 'Lets captures follow changes of columns, partitions, names and owners';
    create event trigger domain_events_follow_drop on sql_drop
      when tag in ('DROP TABLE', 'DROP SCHEMA', 'DROP OWNED', 'DROP EXTENSION', 'DROP TYPE') execute function domain_events._follow_ddl();
    comment on event trigger domain_events_follow_drop is 'Records dropped partitions of captured tables, and takes back rights on what is gone';
  else
    raise notice 'event triggers need a superuser: "drop schema domain_events cascade" is not refused in this database'
      using hint = 'A plain "drop schema" is; see domain_events.check_infrastructure() for what else is only detected.';
  end if;
end
$$;
