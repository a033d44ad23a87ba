-- From the native engine back to the portable one: every function gets the definition it had. Events, captures and the
-- users' triggers stay as they are.

do $$
declare
  kept record;
  store_owner name := (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = 'domain_events.events'::regclass);
begin
  for kept in select p.signature, p.definition from domain_events._portable_functions p loop
    execute kept.definition;
  end loop;
  execute format('alter function domain_events._write_capture_function(int) owner to %I', store_owner);
  drop function domain_events._has_capture(oid);
  drop table domain_events._portable_functions;
  -- From here on the functions are the store owner's again, and run with no more than the owner's rights.
  execute format('set local role %I', store_owner);
  perform domain_events._write_capture_function(c.capture_id) from domain_events.capture_config c;
  reset role;
end
$$;
