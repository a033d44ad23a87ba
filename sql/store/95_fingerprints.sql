-- The last word of the installation: every function is there. The trigger functions of captures are not among them,
-- they come and go; nor is the function that this writes. An upgrade does it again.

do $again$
declare
  list text;
begin
  perform set_config('search_path', 'pg_catalog, pg_temp', true), set_config('quote_all_identifiers', 'off', true);
  select string_agg(format(E'    (%L, %L, %L)', o.kind, o.object, o.fingerprint), E',\n'
                    order by o.kind collate "C", o.object collate "C")
    into list
    from (select 'function' as kind, p.object, p.fingerprint from domain_events._present_functions() as p
           where p.object <> 'domain_events._expected_objects()' and p.object !~ '^domain_events[.]capture_[0-9]+[(]'
          union all
          select 'public function', p.object, '' from domain_events._present_functions() as p
           where pg_catalog.has_function_privilege('public', p.function, 'execute')
          union all
          select 'event trigger', t.evtname, '' from pg_catalog.pg_event_trigger t
            join pg_catalog.pg_proc f on f.oid = t.evtfoid
           where f.pronamespace = 'domain_events'::regnamespace) as o;
  execute format('
create or replace function domain_events._expected_objects(out kind text, out object text, out fingerprint text)
returns setof record
language sql immutable set search_path = pg_catalog, pg_temp
as $list$
  values
%s
$list$', list);
end
$again$;
