-- The native engine: the hot paths of the portable one, replaced. Runs in "alter extension pg_domain_events update"
-- over an adopted portable store, and as the last part of a new install. Lines with an @ are filled in from sql/ when
-- the extension is built. Same names, arguments and results; privileges, owners and comments stay as the portable
-- script set them. A native function writes the store's table itself and needs nobody's rights for it: who may call it
-- is what decides.

-- Nothing of the store's schema, which may belong to somebody else, is found by its bare name.
set local search_path = pg_catalog, pg_temp;
set local quote_all_identifiers = off;

-- A library that is missing, or was built for another major version, is told before anything is changed.
do $$
declare
  said text;
  why text;
begin
  execute format('load %L', 'MODULE_PATHNAME');
exception when others then
  get stacked diagnostics said = message_text, why = pg_exception_detail;
  raise exception 'the library of pg_domain_events cannot be loaded: %', said
    using errcode = '55000', detail = why,
          hint = format('It has to be built for PostgreSQL %s, with the pg_config of this server, '
                        'and copied to it (docs/install.md). The portable engine needs no library.',
                        current_setting('server_version_num')::int / 10000);
end
$$;

@proof portable
@writers
-- The argument lists, defaults included, and the results are those of the portable functions.
@c _next_own_version(text,text) de_next_own_version
@c next_aggregate_version(text,text,regclass) de_next_aggregate_version
@c _append(domain_events.events,bigint) de_append_row
@c append_event(text,text,text,jsonb,text,jsonb,bigint,uuid,text,text,text,timestamp with time zone,integer) de_append_event
@c append_events(text,text,jsonb,bigint) de_append_events
@c append_events(jsonb,jsonb) de_append_to_several
@c _write_event(text,text,text,text,jsonb,jsonb,text,bigint,timestamp with time zone,text,text,text,boolean,text[],xid) de_write_event
@c _invalidate_capture(regclass) de_invalidate_capture
@c _guard_drop() de_guard_drop

create or replace function domain_events.engine(out engine text, out version text)
language sql immutable parallel safe
as $$ select 'native'::text, '0.1.0'::text $$;

-- Asked with two snapshots, hence stable: that of a REPEATABLE READ transaction and the newest. Where they differ, the
-- plan that _capture_plan() gives the transaction is out of date, or the table is captured without its knowing: it
-- fails (40001).
create function domain_events._plan_basis(relation oid) returns text
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (select jsonb_build_array(
              to_jsonb(c) - 'table_name', domain_events._is_one_row(c.capture_id),
              (select jsonb_agg(to_jsonb(k) - 'rule_id' order by k.attnum, k.column_name)
                 from domain_events.capture_columns k where k.capture_id = c.capture_id),
              (select jsonb_agg(l order by l.attnum, l.column_name)
                 from domain_events._live_columns(c.capture_id) as l))::text
       from domain_events.capture_config c
      where c.relation = any (domain_events._with_ancestors(_plan_basis.relation))
      order by array_position(domain_events._with_ancestors(_plan_basis.relation), c.relation::oid) desc limit 1),
    '')
$$;

comment on function domain_events._plan_basis(oid) is
  'All that the plan of the capture is made of that serves a relation, as text; empty when there is none';

-- Every capture's function is the same C function; its plan comes from the relation that fired it. Only a superuser may
-- create it, so this runs as the one who installed the extension, and gives the function to the store's owner, who may
-- be a lesser role: hence it reads PostgreSQL's catalogue and its argument, and nothing of the store.
create or replace function domain_events._write_capture_function(capture_id int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  name text := 'capture_' || capture_id;
begin
  -- It is the same for every plan: after a truncation there is nothing to write.
  if exists (select from pg_proc p
               join pg_namespace n on n.oid = p.pronamespace and n.nspname = 'domain_events' and n.nspowner = p.proowner
               join pg_language l on l.oid = p.prolang and l.lanname = 'c'
               join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'x'
               join pg_extension x on d.refclassid = 'pg_extension'::regclass and x.oid = d.refobjid
                    and x.extname = 'pg_domain_events'
              where p.proname = name and p.pronargs = 0 and p.probin = 'MODULE_PATHNAME'
                and p.prosrc = 'de_capture') then
    return;
  end if;
  execute format('create or replace function domain_events.%I() returns trigger language c as ''MODULE_PATHNAME'', '
                 '''de_capture''',
                 name);
  execute format('alter function domain_events.%I() owner to %I', name,
                 (select pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname = 'domain_events'));
  -- Without the library the table's users could not write: dropping the extension has to name the triggers.
  execute format('alter function domain_events.%I() depends on extension pg_domain_events', name);
end
$$;

do $$
declare
  store_owner name := (select pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname = 'domain_events');
  kept record;
begin
  -- Nobody else has a right on it, whatever the default privileges say.
  for kept in
    select distinct case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as name
      from pg_proc p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
     where p.oid = 'domain_events._plan_basis(oid)'::regprocedure and a.grantee <> p.proowner
  loop
    execute format('revoke all on function domain_events._plan_basis(oid) from %s', kept.name);
  end loop;
  execute format('alter function domain_events._plan_basis(oid) owner to %I', store_owner);
  execute format('alter function domain_events._write_capture_function(int) owner to %I', current_user);
  execute format('grant execute on function domain_events._write_capture_function(int) to %I', store_owner);
  -- A script may replace only what belongs to its extension: the captures' functions do for that moment.
  for kept in
    select format('domain_events.%I()', p.proname) as name, substr(p.proname, 9)::int as capture_id
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where n.nspname = 'domain_events' and p.proname ~ '^capture_[0-9]+$' and p.pronargs = 0
  loop
    execute format('alter extension pg_domain_events add function %s', kept.name);
    perform domain_events._write_capture_function(kept.capture_id);  -- that of above, whose owner we are
    execute format('alter extension pg_domain_events drop function %s', kept.name);
  end loop;
  -- What pg_dump has to take along; locks on streams mean nothing elsewhere.
  for kept in
    select c.oid::regclass as name
      from pg_catalog.pg_class c
      join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
      join pg_catalog.pg_extension x on x.oid = d.refobjid and x.extname = 'pg_domain_events'
     where c.relkind in ('r', 'p', 'S') and c.relpersistence = 'p' and c.relname <> 'stream_locks'
  loop
    perform pg_catalog.pg_extension_config_dump(kept.name, '');
  end loop;
end
$$;
