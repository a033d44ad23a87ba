-- The schema and the three roles. Runs in a plain session and inside CREATE EXTENSION alike.

do $guard$
declare
  existing record;
  in_extension boolean := exists (select from pg_catalog.pg_extension where extname = 'pg_domain_events');
begin
  if pg_catalog.current_setting('server_version_num')::int < 130000 then
    raise exception 'pg_domain_events needs PostgreSQL 13 or newer'
      using errcode = '0A000',
            detail = pg_catalog.format('This server runs %s.', pg_catalog.current_setting('server_version')),
            hint = 'Upgrade the server first.';
  end if;

  select n.oid,
         n.nspowner = (select r.oid from pg_catalog.pg_roles r where r.rolname = current_user) as mine,
         pg_catalog.pg_get_userbyid(n.nspowner) as owner,
         (select count(*) from pg_catalog.pg_depend d
           where d.refclassid = 'pg_catalog.pg_namespace'::regclass and d.refobjid = n.oid and d.deptype = 'n'
             and d.classid <> 'pg_catalog.pg_extension'::regclass) as objects,
         exists (select from pg_catalog.pg_proc p
                  where p.pronamespace = n.oid and p.proname = 'engine' and p.pronargs = 0) as ours,
         exists (select from pg_catalog.pg_class c
                  where c.relnamespace = n.oid and c.relname = 'events' and c.relkind = 'r')
           and exists (select from pg_catalog.pg_proc p
                        where p.pronamespace = n.oid and p.proname = '_refuse_change' and p.pronargs = 0) as kept
    into existing
    from pg_catalog.pg_namespace n
   where n.nspname = 'domain_events';

  if existing.oid is null then
    create schema domain_events;
  elsif existing.kept and not existing.ours then
    raise exception 'schema "domain_events" holds the events that an uninstall has kept'
      using errcode = '42P06',
            detail = 'Only the command line takes them into the new store. Nothing was changed.',
            hint = pg_catalog.format('Run "domain-events install" as role "%s": their versions go on.', existing.owner);
  elsif not existing.mine then
    raise exception 'schema "domain_events" already exists and belongs to role "%"', existing.owner
      using errcode = '42P06',
            detail = 'The event store is installed only into a schema of its own that the installing role owns. '
                     'Nothing was changed.',
            hint = 'Install as that role, or rename the existing schema.';
  elsif existing.ours then
    raise exception 'the event store is already installed in this database'
      using errcode = '55000',
            detail = 'Schema "domain_events" holds an event store. Nothing was changed.',
            hint = 'See select * from domain_events.engine(); use "domain-events install" to change the engine or the '
                   'version.';
  elsif not in_extension or existing.objects > 0 then
    raise exception 'schema "domain_events" already exists and is not an event store'
      using errcode = '42P06',
            detail = 'Nothing was changed.',
            hint = 'Rename the existing schema, then install again.';
  end if;
end
$guard$;

comment on schema domain_events is
  'Event store of pg_domain_events: versioned domain events, change capture and ordered reading.';

-- Roles belong to the whole cluster: an installer without CREATEROLE is told what to run, and the store works without
-- them for its owner. domain_events.grant_privileges() gives the rights to those of the roles that exist.
do $roles$
declare
  wanted text;
  may_create boolean := (select rolsuper or rolcreaterole from pg_catalog.pg_roles where rolname = current_user);
begin
  foreach wanted in array array['domain_events_reader', 'domain_events_writer', 'domain_events_admin'] loop
    continue when exists (select from pg_catalog.pg_roles where rolname = wanted);
    if may_create then
      begin
        execute pg_catalog.format('create role %I nologin', wanted);
      exception when duplicate_object or unique_violation then
        null;  -- another database of this cluster is being installed at the same moment
      end;
    else
      raise notice 'role "%" does not exist and role "%" may not create it', wanted, current_user
        using hint = pg_catalog.format(
            'Ask for: create role %I nologin; then run: select domain_events.grant_privileges();', wanted);
    end if;
  end loop;
end
$roles$;
