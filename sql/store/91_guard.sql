-- While events exist, the store is not dropped by the way. Needs an event trigger, which only a superuser may create:
-- elsewhere a plain "drop schema" is refused by its dependencies, and a cascade is not.

-- Says so in plain words where the statement names the schema or the extension. A drop command does not tell its
-- objects before it starts, and afterwards this function may be gone with them: hence the statement's text, without its
-- comments and literals. The native engine looks at the parsed statement instead. What neither sees, _guard_hold()
-- stops.
create function domain_events._guard_drop() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  statement text := regexp_replace(current_query(), E'/[*].*?[*]/|--[^\n]*|''[^'']*''', ' ', 'g');
  wanted text := case tg_tag when 'DROP SCHEMA' then 'domain_events' when 'DROP EXTENSION' then 'pg_domain_events' end;
begin
  if exists (select from regexp_matches(statement, E'\\mdrop\\s+' || substr(tg_tag, 6)
                                        || E'\\s+(?:if\\s+exists\\s+)?([^;]*)', 'gi') as named(list),
                         regexp_split_to_table(named.list[1], ',') as part
              where btrim(part, E' \t\r\n') ~* ('^' || wanted || E'(\\s|$)')
                    or btrim(part, E' \t\r\n') ~ ('^"' || wanted || E'"(\\s|$)'))
     -- once its objects are detached, which is how the way back to the portable engine goes, it drops nothing
     and (tg_tag <> 'DROP EXTENSION'
          or exists (select from pg_depend d
                       join pg_extension x on d.refclassid = 'pg_extension'::regclass and d.refobjid = x.oid
                      where x.extname = 'pg_domain_events' and d.deptype = 'e'))
     and exists (select from domain_events.events)
     and not domain_events._is_restoring() then  -- "pg_restore --clean" puts another store in its place
    raise exception 'the event store holds events and is not dropped'
      using errcode = '2BP01',
            hint = 'Run "domain-events uninstall --keep-events" or "domain-events uninstall --drop-events".';
  end if;
end
$$;

comment on function domain_events._guard_drop() is
  'Event trigger: refuses to drop the schema or the extension while events exist';

-- While a command runs that may drop anything, the table of events is in use: PostgreSQL itself then refuses (55006) to
-- drop it, whatever the command is called and however it got there.
create function domain_events._guard_hold() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  held refcursor := 'the event store holds events';
begin
  if exists (select from pg_cursors c where c.name = held::text) then
    if tg_event = 'ddl_command_end' then
      close held;
    end if;
  elsif tg_event = 'ddl_command_start' and exists (select from domain_events.events)
        and not domain_events._is_restoring() then
    open held for select from domain_events.events;
  end if;
end
$$;

comment on function domain_events._guard_hold() is
  'Event trigger: keeps the table of events in use while something is dropped, so that it is not dropped along';

-- Reads the catalogue alone: after a renaming nothing of the store is found by its name. Objects are told by their
-- names, not by their identity, a text that depends on quote_all_identifiers.
create function domain_events._guard_schema() returns event_trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_event = 'ddl_command_end' then
    if exists (select from pg_event_trigger e join pg_proc p on p.oid = e.evtfoid
                 join pg_namespace n on n.oid = p.pronamespace
                where e.evtname = 'domain_events_at_rename' and n.nspname <> 'domain_events') then
      raise exception 'schema domain_events is not renamed: captured tables write to it by its name'
        using errcode = '23001',
              hint = 'Run "domain-events uninstall --keep-events": the events are then free to move.';
    end if;
  elsif exists (select from pg_event_trigger_dropped_objects() as d
                 where d.object_type = 'function' and d.address_names = '{domain_events,_guard_table}') then
    raise exception 'what protects the event store is not dropped'
      using errcode = '23001', hint = 'Run "domain-events uninstall" to remove the store.';
  end if;
end
$$;

comment on function domain_events._guard_schema() is
  'Event trigger: refuses to rename the schema, and to drop what refuses to drop the rest';

create function domain_events._guard_table() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  captured text;
  dropped record;
begin
  if not exists (select from pg_event_trigger_dropped_objects() as d
                  where d.object_type = 'trigger' or d.schema_name = 'domain_events') then
    return;  -- as nearly always
  end if;
  if domain_events._is_restoring() then
    -- "pg_restore --clean" replaces the store and all that is captured, on purpose. What it leaves out is told.
    for dropped in
      select c.relation, c.aggregate_type, d.address_names[3] as trigger
        from pg_event_trigger_dropped_objects() as d
        join domain_events.capture_config c
             on c.relation = domain_events._relation_named(format('%I.%I', d.address_names[1], d.address_names[2]))
       where d.object_type = 'trigger' and d.address_names[3] ~ '^ domain_events_capture(_[0-9]+)?$' and d.original
    loop
      perform domain_events._table_event(dropped.relation, 'CaptureDisabled',
        jsonb_build_object('aggregate_type', dropped.aggregate_type, 'dropped_trigger', dropped.trigger));
    end loop;
    return;
  end if;
  if exists (select from pg_event_trigger_dropped_objects() as d
              where d.object_type = 'table' and d.address_names = '{domain_events,events}'
                 or d.object_type = 'trigger' and d.address_names[:2] = '{domain_events,events}'
                    and starts_with(d.address_names[3], 'events_append_only')) then
    raise exception 'the event store protects its events: neither their table nor its triggers are dropped'
      using errcode = '23001', hint = 'Run "domain-events uninstall" to remove the store.';
  end if;
  if exists (select from pg_event_trigger_dropped_objects() as d
              where d.object_type = 'function' and d.address_names[1] = 'domain_events'
                and d.address_names[2] in ('_guard_drop', '_guard_hold', '_guard_schema', '_follow_ddl')) then
    raise exception 'what protects the event store is not dropped'
      using errcode = '23001', hint = 'Run "domain-events uninstall" to remove the store.';
  end if;
  -- What another capture has left on a partition is no guard of this one.
  select c.table_name into captured
    from pg_event_trigger_dropped_objects() as d
    join domain_events.capture_config c
         on c.relation = any (domain_events._with_ancestors(
             domain_events._relation_named(format('%I.%I', d.address_names[1], d.address_names[2]))))
   where d.object_type = 'trigger'
     and d.address_names[3] ~ '^( domain_events_(capture|truncate)|~domain_events_move)(_[0-9]+)?$'
     and coalesce(substring(d.address_names[3] from '[0-9]+$')::bigint = c.capture_id,
                  c.relation = domain_events._relation_named(format('%I.%I', d.address_names[1], d.address_names[2])))
   limit 1;
  if found then
    raise exception 'table % is captured: its capture triggers are not dropped by themselves', captured
      using errcode = '23001',
            hint = format('Call domain_events.disable_capture(%L), which records that it was done.', captured);
  end if;
end
$$;

comment on function domain_events._guard_table() is
  'Event trigger: refuses to drop the table of events, what protects it, and the triggers of a capture';

do $$
begin
  if (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
    create event trigger domain_events_guard_drop on ddl_command_start
      when tag in ('DROP SCHEMA', 'DROP EXTENSION') execute function domain_events._guard_drop();
    comment on event trigger domain_events_guard_drop is 'Refuses to drop the event store while it holds events';
    create event trigger domain_events_guard_hold on ddl_command_start
      when tag in ('DROP SCHEMA', 'DROP EXTENSION', 'DROP OWNED') execute function domain_events._guard_hold();
    comment on event trigger domain_events_guard_hold is 'Keeps the table of events in use while something is dropped';
    create event trigger domain_events_guard_release on ddl_command_end
      when tag in ('DROP SCHEMA', 'DROP EXTENSION', 'DROP OWNED') execute function domain_events._guard_hold();
    comment on event trigger domain_events_guard_release is 'Ends that use';
    -- Its name comes before those of the others, which find nothing after a renaming.
    create event trigger domain_events_at_rename on ddl_command_end
      when tag in ('ALTER SCHEMA') execute function domain_events._guard_schema();
    comment on event trigger domain_events_at_rename is 'Refuses to rename the schema';
    create event trigger domain_events_guard_guard on sql_drop
      when tag in ('DROP FUNCTION', 'DROP ROUTINE', 'DROP OWNED') execute function domain_events._guard_schema();
    comment on event trigger domain_events_guard_guard is 'Refuses to drop what protects the rest';
    create event trigger domain_events_guard_table on sql_drop
      when tag in ('DROP TABLE', 'DROP TRIGGER', 'DROP FUNCTION', 'DROP ROUTINE',
                   'DROP OWNED') execute function domain_events._guard_table();
    comment on event trigger domain_events_guard_table is 'Refuses to drop the table of events, its protection, '
                                                          'or a capture''s triggers';
    create event trigger domain_events_before_ddl on ddl_command_start
      when tag in ('ALTER TABLE', 'CREATE TABLE') execute function domain_events._follow_ddl();
    comment on event trigger domain_events_before_ddl is 'Lets the owner of a captured partitioned table make '
                                                         'partitions, who may have become it by REASSIGN OWNED';
    create event trigger domain_events_follow_ddl on ddl_command_end
      when tag in ('ALTER TABLE', 'ALTER TYPE', 'ALTER SCHEMA', 'CREATE TABLE',
                   'CREATE TABLE AS') execute function domain_events._follow_ddl();
    comment on event trigger domain_events_follow_ddl is 'Lets captures follow changes of columns, partitions, '
                                                         'names and owners';
    create event trigger domain_events_follow_drop on sql_drop
      when tag in ('DROP TABLE', 'DROP SCHEMA', 'DROP OWNED', 'DROP EXTENSION',
                   'DROP TYPE') execute function domain_events._follow_ddl();
    comment on event trigger domain_events_follow_drop is 'Records dropped partitions of captured tables, '
                                                          'and takes back rights on what is gone';
  else
    raise notice 'event triggers need a superuser: "drop schema domain_events cascade" is not refused in this database'
      using hint = 'A plain "drop schema" is; see domain_events.check_infrastructure() for what else is only detected.';
  end if;
end
$$;
