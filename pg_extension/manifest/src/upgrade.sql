-- From one release to the next, in one transaction: pg_domain_events--OLD--NEW.sql begins as this.

-- Nothing of the store's schema, which may belong to somebody else, is found by its bare name.
set local search_path = pg_catalog, pg_temp;
set local quote_all_identifiers = off;
-- Functions are made before those that they call.
set local check_function_bodies = off;

@writers
-- 1. By hand, what cannot be replaced in place: tables, types, sequences, triggers; functions that went, or whose arguments
--    or result are others now. A column stays: a dropped one would be there still, for the proof and for the library.

-- 2. Everything else, from sql/.
@replace ENGINE

-- 3. What is new belongs to the store's owner, who may be a lesser role than whoever upgrades.
do $$
declare
  store_owner name := (select pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname = 'domain_events');
  made regprocedure;
begin
  for made in
    select p.oid::regprocedure from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where n.nspname = 'domain_events' and p.proowner <> n.nspowner
       -- Writes functions in C, as only a superuser may.
       and p.proname <> '_write_capture_function'
  loop
    execute format('alter function %s owner to %I', made, store_owner);
  end loop;
end
$$;
