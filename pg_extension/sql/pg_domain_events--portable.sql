-- Adopts a portable store that is there already: every object of it becomes a member of the extension. Nothing else
-- changes; "alter extension pg_domain_events update" then makes it native.
--
-- The store may belong to a role that is no superuser: nothing of it is called here.

-- Nothing of the store's schema, which may belong to somebody else, is found by its bare name.
set local search_path = pg_catalog, pg_temp;
set local quote_all_identifiers = off;

do $$
begin
  if to_regclass('domain_events.events') is null or to_regprocedure('domain_events.engine()') is null then
    raise exception 'there is no portable event store to adopt'
      using errcode = '55000',
            hint = 'Use: create extension pg_domain_events; or install one first: '
                   'domain-events install --engine portable.';
  end if;
end
$$;

@proof portable
do $$
declare
  object record;
begin
  for object in
    select case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end as kind,
           c.oid::regclass::text as name
      from pg_class c
     where c.relnamespace = 'domain_events'::regnamespace and c.relkind in ('r', 'p', 'v', 'S')
    union all
    -- Not the trigger functions of captures: they come and go with their captures.
    select case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
           p.oid::regprocedure::text
      from pg_proc p
     where p.pronamespace = 'domain_events'::regnamespace and p.proname !~ '^capture_[0-9]+$'
    union all
    select 'type', t.oid::regtype::text
      from pg_type t
     where t.typnamespace = 'domain_events'::regnamespace and t.typtype in ('d', 'e', 'r', 'm')
    union all
    select 'event trigger', quote_ident(e.evtname)
      from pg_event_trigger e join pg_proc p on p.oid = e.evtfoid
     where p.pronamespace = 'domain_events'::regnamespace
  loop
    execute format('alter extension pg_domain_events add %s %s', object.kind, object.name);
  end loop;
  for object in
    select c.oid::regclass as name
      from pg_class c
     where c.relnamespace = 'domain_events'::regnamespace and c.relkind in ('r', 'p', 'S') and c.relpersistence = 'p'
       and c.relname <> 'stream_locks'
  loop
    perform pg_extension_config_dump(object.name, '');
  end loop;
end
$$;
