-- From the native engine back to the portable one: every function gets the definition it had. Events, captures and the
-- users' triggers stay as they are.

-- Nothing of the store's schema, which may belong to somebody else, is found by its bare name.
set local search_path = pg_catalog, pg_temp;

do $$
declare
  kept record;
  store_owner name := (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = 'domain_events.events'::regclass);
begin
  for kept in select p.signature, p.definition from domain_events._portable_functions p loop
    execute kept.definition;
  end loop;
  execute format('alter function domain_events._write_capture_function(int) owner to %I', store_owner);
  drop function domain_events._plan_basis(oid);
  drop table domain_events._portable_functions;
  -- From here on the functions are the store owner's again: they run with no more than the owner's rights. A script may
  -- replace only what belongs to its extension: the captures' functions do for that moment.
  for kept in select format('domain_events.%I()', 'capture_' || c.capture_id) as name, c.capture_id from domain_events.capture_config c loop
    execute format('alter extension pg_domain_events add function %s', kept.name);
    execute format('set local role %I', store_owner);
    perform domain_events._write_capture_function(kept.capture_id);
    reset role;
    execute format('alter function %s no depends on extension pg_domain_events', kept.name);
    execute format('alter extension pg_domain_events drop function %s', kept.name);
  end loop;
end
$$;
