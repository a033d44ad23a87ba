-- Whether the store is as it was installed, and its captures and ported triggers as they were left.

-- What the installation put here, as text of its own: 95_fingerprints.sql writes the function anew at its end. Not a table, so
-- that a dump restores it once.
create function domain_events._expected_objects(out kind text, out object text, out fingerprint text) returns setof record
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select null::text, null::text, null::text where false $$;

comment on function domain_events._expected_objects() is 'Functions and event triggers of this installation with the fingerprints they had when it was made, and the functions that everybody may execute';

-- Only what is the same on every server version and after a restore.
create function domain_events._function_fingerprint(function oid) returns text
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  select md5(concat_ws('|', l.lanname, p.prosrc, p.probin, p.prosecdef, p.provolatile, p.proisstrict, p.proretset,
                       format_type(p.prorettype, null), replace(array_to_string(p.proconfig, '|'), '"', '')))
    from pg_proc p join pg_language l on l.oid = p.prolang where p.oid = function
$$;

comment on function domain_events._function_fingerprint(oid) is 'Changes with the body, the language and the properties of a function';

create function domain_events._present_functions(out object text, out function oid, out fingerprint text, out is_native boolean) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  select p.oid::regprocedure::text, p.oid, domain_events._function_fingerprint(p.oid),
         -- The native engine's own: C functions of its library, and the two whose text says which engine it is.
         (select e.engine from domain_events.engine() as e) = 'native'
           and (p.prosrc ~ '^de_[a-z_]+$' and p.probin ~ 'pg_domain_events$' and p.prolang = (select l.oid from pg_language l where l.lanname = 'c')
                or p.proname = 'engine' and p.prosrc ~ '''native'''
                or p.proname = '_write_capture_function' and p.prosrc ~ 'de_capture')
    from pg_proc p
   where p.pronamespace = 'domain_events'::regnamespace
$$;

comment on function domain_events._present_functions() is 'The functions of the store as they are now';

create function domain_events._object_findings(
  out code text, out severity text, out object text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  select 'function_missing', 'error', e.object, 'the installation made it and it is gone'
    from domain_events._expected_objects() as e
    left join domain_events._present_functions() as p on p.object = e.object
   where e.kind = 'function' and p.object is null
  union all
  select 'function_altered', 'error', e.object, 'it is not the function that was installed'
    from domain_events._expected_objects() as e
    join domain_events._present_functions() as p on p.object = e.object
   where e.kind = 'function' and p.fingerprint <> e.fingerprint and not p.is_native
  union all
  select 'function_owner', 'error', p.function::regprocedure::text,
         format('runs with the rights of its owner %s, who is neither the store''s owner nor a superuser', pg_get_userbyid(f.proowner))
    from domain_events._present_functions() as p
    join pg_proc f on f.oid = p.function and f.prosecdef
    join pg_class store on store.oid = 'domain_events.events'::regclass
    join pg_roles r on r.oid = f.proowner
   where f.proowner <> store.relowner and not r.rolsuper and f.proname <> '_ask_as_guest'  -- see 78_adoptions.sql
  union all
  select 'append_only_disabled', 'error', 'domain_events.events', format('trigger %s is missing, disabled or altered: stored events can be changed', wanted.name)
    from (values ('events_append_only'::name, 26), ('events_append_only_truncate', 34)) as wanted(name, type)
   where not exists (select from pg_trigger t
                      where t.tgrelid = 'domain_events.events'::regclass and t.tgname = wanted.name and t.tgenabled = 'A'
                        and t.tgtype = wanted.type and t.tgqual is null
                        and t.tgfoid = to_regprocedure('domain_events._refuse_change()'))
  union all
  select 'trigger_unknown', 'warning', 'domain_events.events', format('trigger %s is not the store''s: it runs with every event', t.tgname)
    from pg_trigger t
   where t.tgrelid = 'domain_events.events'::regclass and not t.tgisinternal
     and t.tgname not in ('events_append_only', 'events_append_only_truncate')
     and not (t.tgname = 'events_adopt_first' and t.tgfoid = to_regprocedure('domain_events._adopt_first()'))
  union all
  select 'unique_key_missing', 'error', 'domain_events.events', format('constraint %s is missing', wanted)
    from unnest('{events_pkey,uk_aggregate_version,events_event_id_key}'::name[]) as wanted
   where not exists (select from pg_constraint k join pg_index i on i.indexrelid = k.conindid
                      where k.conrelid = 'domain_events.events'::regclass and k.conname = wanted and i.indisvalid)
  union all
  select 'event_trigger_missing', 'warning', e.object, 'the event trigger is missing or disabled: what it refuses or records passes in silence'
    from domain_events._expected_objects() as e
   where e.kind = 'event trigger'
     -- The owner of a managed database, who is no superuser, can make none: a dump of a store that had them is as one of their own.
     and (exists (select from pg_class store join pg_roles r on r.oid = store.relowner where store.oid = 'domain_events.events'::regclass and r.rolsuper)
          or exists (select from pg_event_trigger t join pg_proc f on f.oid = t.evtfoid where f.pronamespace = 'domain_events'::regnamespace))
     and not exists (select from pg_event_trigger t where t.evtname = e.object and t.evtenabled in ('O', 'A'))
$$;

comment on function domain_events._object_findings() is 'Functions, triggers and keys of the store that are not as they were installed';

create function domain_events._engine_findings(
  out code text, out severity text, out object text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp
as $$
  with engine as (
    select e.engine, e.version, x.extversion, (select count(*) from domain_events._present_functions() as p join pg_proc f on f.oid = p.function
                                                where f.prolang = (select l.oid from pg_language l where l.lanname = 'c')) as c_functions
      from domain_events.engine() as e left join pg_extension x on x.extname = 'pg_domain_events'
  )
  select 'engine_disagrees', 'error', 'domain_events.engine()', d.detail
    from engine e
   cross join lateral (values
     (e.engine = 'native' and e.extversion is null, 'the engine says native, and the extension pg_domain_events is not installed'),
     (e.engine = 'native' and e.extversion is distinct from e.version and e.extversion is not null,
      format('the engine says version %s, the extension %s: alter extension pg_domain_events update', e.version, e.extversion)),
     (e.engine = 'native' and e.c_functions = 0, 'the engine says native, and no function is'),
     (e.engine = 'portable' and e.extversion <> 'portable', format('the engine says portable, and the extension is at version %s', e.extversion)),
     (e.engine = 'portable' and e.c_functions > 0, format('the engine says portable, and %s functions are written in C', e.c_functions))
   ) as d(is_found, detail)
   where d.is_found
$$;

comment on function domain_events._engine_findings() is 'Where engine(), the extension and the functions disagree on which engine runs';

create function domain_events._privilege_findings(
  out code text, out severity text, out object text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  -- Who may write past the store's functions.
  select 'privilege_excessive', 'error', 'domain_events.' || c.relname,
         format('%s may %s it', case a.grantee when 0 then 'everybody' else pg_get_userbyid(a.grantee) end, lower(a.privilege_type))
    from pg_class c cross join lateral aclexplode(c.relacl) as a
   where c.relnamespace = 'domain_events'::regnamespace and a.grantee <> c.relowner
     and (a.grantee = 0
          or c.relkind = 'S' and a.privilege_type in ('USAGE', 'UPDATE')
          or a.privilege_type in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
             -- A command proves by itself whose the table is.
             and not (c.relname = 'commands' and c.relkind = 'v' and a.privilege_type = 'INSERT' and pg_get_userbyid(a.grantee) = 'domain_events_admin'))
  union all
  -- A plan in the journal is run by others: what it says and who wrote it is changed by nobody.
  select 'privilege_excessive', 'error', format('domain_events.%s.%s', c.relname, t.attname),
         format('%s may %s it', case a.grantee when 0 then 'everybody' else pg_get_userbyid(a.grantee) end, lower(a.privilege_type))
    from pg_class c join pg_attribute t on t.attrelid = c.oid cross join lateral aclexplode(t.attacl) as a
   where c.relnamespace = 'domain_events'::regnamespace and a.grantee <> c.relowner and a.privilege_type in ('INSERT', 'UPDATE')
     and not (pg_get_userbyid(a.grantee) = 'domain_events_admin' and c.relname in ('migration_plans', 'migration_journal', 'repaired_versions')
              and case a.privilege_type when 'INSERT' then t.attname not in ('applied_by', 'done_by', 'written_by')
                       else t.attname in ('state', 'changed_at', 'repaired_at', 'undone_at') end)
  union all
  select 'privilege_excessive', 'error', 'domain_events', format('%s may create objects in the schema', case a.grantee when 0 then 'everybody' else pg_get_userbyid(a.grantee) end)
    from pg_namespace n cross join lateral aclexplode(n.nspacl) as a
   where n.nspname = 'domain_events' and a.privilege_type = 'CREATE' and a.grantee <> n.nspowner
  union all
  select 'privilege_excessive', 'error', f.oid::regprocedure::text,
         format('%s may execute it', case a.grantee when 0 then 'everybody' else pg_get_userbyid(a.grantee) end)
    from pg_proc f
    join pg_class store on store.oid = 'domain_events.events'::regclass
   cross join lateral aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) as a
   where f.pronamespace = 'domain_events'::regnamespace and a.grantee not in (f.proowner, store.relowner)
     and case when a.grantee = 0
              then not exists (select from domain_events._expected_objects() as e where e.kind = 'public function' and e.object = f.oid::regprocedure::text)
              else left(f.proname, 1) = '_' and pg_get_userbyid(a.grantee) not in ('domain_events_reader', 'domain_events_writer', 'domain_events_admin')
                   -- What next_aggregate_version() calls as its caller; the command line lets writers of a ported table call it.
                   and f.proname not in ('_next_legacy_version', '_check_stream', '_check_read', '_check_writable') end
  union all
  -- And who is missing what it needs.
  select 'privilege_missing', 'warning', r.rolname, 'the role lacks rights in the store: the owner calls domain_events.grant_privileges()'
    from pg_roles r
   where case r.rolname
           when 'domain_events_writer' then not exists (
             select from pg_proc f where f.pronamespace = 'domain_events'::regnamespace and f.proname = 'append_event'
                and has_function_privilege(r.oid, f.oid, 'execute'))
           when 'domain_events_reader' then not has_table_privilege(r.oid, 'domain_events.events', 'select')
           when 'domain_events_admin' then not exists (
             select from pg_proc f where f.pronamespace = 'domain_events'::regnamespace and f.proname = 'enable_capture'
                and has_function_privilege(r.oid, f.oid, 'execute'))
           else false end
$$;

comment on function domain_events._privilege_findings() is 'Rights that somebody has and should not, or the three roles lack';
