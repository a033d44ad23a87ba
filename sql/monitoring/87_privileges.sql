-- Who may do what with the objects of the store, and who should not. What is found here is what grant_privileges()
-- takes back.

-- With the statements that take it back, as the object's owner. What somebody has from another than the owner goes with
-- the right of that one to pass it on: nobody but the giver could revoke it by itself.
create function domain_events._given_privileges(
  out kind text, out object oid, out name text, out part name, out owner oid, out grantee oid, out privilege text,
  out take_back text[]
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  with object as (
    select case c.relkind when 'S' then 'sequence' else 'table' end as kind, c.oid,
           format('domain_events.%I', c.relname) as name, null::name as part,
           c.relowner as owner, c.relacl as acl
      from pg_class c where c.relnamespace = 'domain_events'::regnamespace and c.relacl is not null
    union all
    select 'table', c.oid, format('domain_events.%I', c.relname), t.attname, c.relowner, t.attacl
      from pg_class c join pg_attribute t on t.attrelid = c.oid and t.attacl is not null and not t.attisdropped
     where c.relnamespace = 'domain_events'::regnamespace
    union all
    select 'schema', n.oid, 'domain_events', null, n.nspowner, n.nspacl from pg_namespace n
     where n.nspname = 'domain_events'
    union all
    select 'routine', f.oid, f.oid::regprocedure::text, null, f.proowner,
           coalesce(f.proacl, acldefault('f', f.proowner))
      from pg_proc f where f.pronamespace = 'domain_events'::regnamespace
    union all
    select 'type', t.oid, format('domain_events.%I', t.typname), null, t.typowner, t.typacl
      from pg_type t where t.typnamespace = 'domain_events'::regnamespace and t.typacl is not null
  )
  select o.kind, o.oid, o.name, o.part, o.owner, a.grantee, a.privilege_type,
         array(with recursive giver(grantee, grantor) as (
                 select a.grantee, a.grantor
                 union
                 select b.grantee, b.grantor from giver g cross join lateral aclexplode(o.acl) as b
                  where g.grantor <> o.owner and b.grantee = g.grantor and b.privilege_type = a.privilege_type
                    and b.is_grantable)
               select format('revoke %s%s%s on %s %s from %s cascade',
                             case when a.grantor <> o.owner then 'grant option for ' else '' end,
                             lower(a.privilege_type), ' (' || quote_ident(o.part) || ')', o.kind, o.name,
                             case g.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end)
                 from giver g where g.grantor = o.owner)
    from object o cross join lateral aclexplode(o.acl) as a
   where a.grantee <> o.owner
     -- Who may use a type learns nothing by it.
     and (o.kind <> 'type' or a.grantee <> 0)
$$;

comment on function domain_events._given_privileges() is
  'Every right on an object of the store that is not its owner''s, and the statements that take it back';

create function domain_events._excessive_privileges(
  out kind text, out name text, out part name, out owner oid, out grantee oid, out privilege text, out take_back text[]
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select g.kind, g.name, g.part, g.owner, g.grantee, g.privilege, g.take_back
    from domain_events._given_privileges() as g
    left join pg_roles r on r.oid = g.grantee
   where case
     -- Who may write past the store's functions.
     when g.kind in ('table', 'sequence') and g.part is null then
       g.grantee = 0
       or g.kind = 'sequence' and g.privilege in ('USAGE', 'UPDATE')
       or g.privilege in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
          -- A command proves by itself whose the table is.
          and (g.name = 'domain_events.commands' and g.privilege = 'INSERT'
               and r.rolname = 'domain_events_admin') is not true
     -- A plan in the journal is run by others: what it says and who wrote it is changed by nobody.
     when g.kind = 'table' then
       g.grantee = 0
       or g.privilege in ('INSERT', 'UPDATE')
          and (r.rolname = 'domain_events_admin'
               and g.name in ('domain_events.migration_plans', 'domain_events.migration_journal',
                              'domain_events.repaired_versions')
               and case g.privilege when 'INSERT' then g.part not in ('applied_by', 'done_by', 'written_by')
                        else g.part in ('state', 'changed_at', 'repaired_at', 'undone_at') end) is not true
     when g.kind = 'schema' then g.privilege = 'CREATE'
     when g.kind = 'routine' then
       g.grantee <> (select c.relowner from pg_class c where c.oid = 'domain_events.events'::regclass)
       and case when g.grantee = 0
                then not exists (select from domain_events._expected_objects() as e
                                  where e.kind = 'public function' and e.object = g.name)
                else starts_with(g.name, 'domain_events._')
                     and (r.rolname in ('domain_events_reader', 'domain_events_writer', 'domain_events_admin')
                          -- What next_aggregate_version() calls as its caller; the command line lets writers of a
                          -- ported table call it.
                          or split_part(g.name, '(', 1) in ('domain_events._next_legacy_version',
                                                            'domain_events._check_stream', 'domain_events._check_read',
                                                            'domain_events._check_writable')) is not true end
     else false end
$$;

comment on function domain_events._excessive_privileges() is
  'Rights on the store that somebody has and should not, and the statements that take them back';

create function domain_events._privilege_findings(
  out code text, out severity text, out object text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select 'privilege_excessive', 'error', concat_ws('.', e.name, e.part),
         format('%s may %s; %s runs: select domain_events.grant_privileges()',
                case e.grantee when 0 then 'everybody' else pg_get_userbyid(e.grantee) end,
                case e.kind when 'schema' then 'create objects in the schema' else lower(e.privilege) || ' it' end,
                case when e.owner = n.nspowner then 'the store''s owner' else 'a superuser' end)
    from domain_events._excessive_privileges() as e
    join pg_namespace n on n.nspname = 'domain_events'
  union all
  -- And who is missing what it needs.
  select 'privilege_missing', 'warning', r.rolname,
         'the role lacks rights in the store; the store''s owner runs: select domain_events.grant_privileges()'
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

comment on function domain_events._privilege_findings() is
  'Rights that somebody has and should not, or the three roles lack';
