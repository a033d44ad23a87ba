-- From the native engine back to the portable one: every function gets the definition of the portable engine, which is
-- part of this script. Events, captures and the users' triggers stay as they are.

-- Nothing of the store's schema, which may belong to somebody else, is found by its bare name.
set local search_path = pg_catalog, pg_temp;
set local quote_all_identifiers = off;

@proof native
@portable
drop function domain_events._plan_basis(oid);

-- A capture's portable function is written from the capture's configuration. That is the store's owner's work: in a
-- function of theirs, where nobody can become somebody else, and where what they have deferred to the end of the
-- transaction fires.
create function domain_events._write_capture_functions() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  id int;
begin
  for id in select c.capture_id from domain_events.capture_config c loop
    perform domain_events._write_capture_function(id);
  end loop;
  set constraints all immediate;
end
$$;

do $$
declare
  store_owner name := (select pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname = 'domain_events');
  captures text[] := array(select format('domain_events.%I()', p.proname) from pg_proc p
                             join pg_namespace n on n.oid = p.pronamespace
                            where n.nspname = 'domain_events' and p.proname ~ '^capture_[0-9]+$' and p.pronargs = 0);
  name text;
begin
  execute format('alter function domain_events._write_capture_function(int) owner to %I', store_owner);
  execute format('alter function domain_events._write_capture_functions() owner to %I', store_owner);
  -- A script may replace only what belongs to its extension: the captures' functions do for that moment.
  foreach name in array captures loop
    execute format('alter extension pg_domain_events add function %s', name);
  end loop;
  -- As REFRESH does it: what the functions of the store's owner leave for the commit is refused.
  create materialized view domain_events._capture_functions as
    select domain_events._write_capture_functions() is null as written with no data;
  execute format('alter materialized view domain_events._capture_functions owner to %I', store_owner);
  refresh materialized view domain_events._capture_functions;
  drop materialized view domain_events._capture_functions;
  foreach name in array captures loop
    execute format('alter function %s no depends on extension pg_domain_events', name);
    execute format('alter extension pg_domain_events drop function %s', name);
  end loop;
  drop function domain_events._write_capture_functions();
end
$$;
