-- What of schema domain_events is not as it was installed. Asks PostgreSQL's catalogue and its functions that write a
-- definition as text; nothing of the schema is called or planned. Definitions are compared in the form of canon.rs.
with ours as materialized (
  select n.oid, n.nspowner as owner,
         @native as is_native
    from pg_catalog.pg_namespace n where n.nspname = 'domain_events'
), listed(kind, object, definition) as (
  values
@expected
), expected as materialized (
  select distinct on (l.object) l.kind, l.object, l.definition
    from listed l, ours o where l.kind <> 'native' or o.is_native
   order by l.object, (l.kind = 'native') desc
), relation as materialized (
  select c.*, case c.relkind when 'r' then 'table ' when 'S' then 'sequence ' when 'v' then 'view ' else 'relation ' end || c.relname as object
    from pg_catalog.pg_class c join ours o on c.relnamespace = o.oid
   where c.relkind not in ('i', 'I')
), own as materialized (
  select r.* from relation r join expected e on e.object = r.object
), routine as materialized (
  select p.*, l.lanname, p.proname || '(' || replace(pg_catalog.oidvectortypes(p.proargtypes), ', ', ',') || ')' as object,
         p.proname ~ '^capture_[0-9]+$' and p.pronargs = 0 and p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype and p.prokind = 'f' as is_capture,
         case when l.lanname = 'c' then concat_ws('|', p.probin, p.prosrc)
              -- Written when it was installed: nothing but literals.
              when p.proname = '_expected_objects' and p.prosrc ~ '^\s*values(\s*[(]''[^'']*'', ''[^'']*'', ''[^'']*''[)],?)+\s*$'
                then ' select null::text, null::text, null::text where false '
              else p.prosrc end as body
    from pg_catalog.pg_proc p
    join ours o on p.pronamespace = o.oid
    join pg_catalog.pg_language l on l.oid = p.prolang
), found(object, head, body) as (
  select r.object,
         case r.relkind
           when 'r' then concat_ws('|', 'r', r.relpersistence::text, coalesce(a.amname, ''), case when r.relrowsecurity or r.relforcerowsecurity then 'row security' end,
                                   case when r.relispartition or r.reloftype <> 0 then 'of something' end)
           when 'S' then concat_ws('|', 's', r.relpersistence::text, format_type(s.seqtypid, null))
           when 'v' then concat_ws('|', regexp_replace(pg_catalog.pg_get_viewdef(r.oid), '\mevents\.', '', 'g'), array_to_string(r.reloptions, '|'))
           else r.relkind::text end,
         case r.relkind when 'v' then '' end
    from relation r
    left join pg_catalog.pg_am a on a.oid = r.relam
    left join pg_catalog.pg_sequence s on s.seqrelid = r.oid
   where r.relkind <> 'c'
  union all
  select 'column ' || a.attname || ' of ' || r.relname,
         concat_ws('|', a.attnum, format_type(a.atttypid, a.atttypmod), case when a.attnotnull then 'not null' else '' end,
                   coalesce((select l.collname from pg_catalog.pg_collation l where l.oid = a.attcollation and a.attcollation <> t.typcollation), ''),
                   coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), ''), a.attidentity::text, nullif(a.attgenerated::text, ''), case when a.attinhcount > 0 then 'inherited' end),
         null
    from own r
    join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0
    left join pg_catalog.pg_type t on t.oid = a.atttypid
    left join pg_catalog.pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
   where r.relkind = 'r' or d.oid is not null
  union all
  select 'constraint ' || k.conname || ' on ' || r.relname, pg_catalog.pg_get_constraintdef(k.oid), null
    from own r join pg_catalog.pg_constraint k on k.conrelid = r.oid
   where k.contype not in ('t', 'n')
  union all
  select 'constraint ' || k.conname || ' of type ' || t.typname, pg_catalog.pg_get_constraintdef(k.oid), null
    from ours o join pg_catalog.pg_type t on t.typnamespace = o.oid join pg_catalog.pg_constraint k on k.contypid = t.oid
   where k.contype <> 'n'
  union all
  select 'index ' || i.relname || ' on ' || r.relname, pg_catalog.pg_get_indexdef(x.indexrelid), null
    from own r
    join pg_catalog.pg_index x on x.indrelid = r.oid
    join pg_catalog.pg_class i on i.oid = x.indexrelid
   where not exists (select from pg_catalog.pg_constraint k where k.conindid = x.indexrelid and k.conrelid = r.oid and k.contype in ('p', 'u', 'x'))
  union all
  select 'trigger ' || g.tgname || ' on ' || r.relname, concat_ws('|', g.tgenabled::text, pg_catalog.pg_get_triggerdef(g.oid)), null
    from own r
    join pg_catalog.pg_trigger g on g.tgrelid = r.oid
    join pg_catalog.pg_proc p on p.oid = g.tgfoid
   where not (g.tgisinternal and p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace)
  union all
  select 'rule ' || w.rulename || ' on ' || r.relname, '', null
    from own r join pg_catalog.pg_rewrite w on w.ev_class = r.oid
   where not (w.rulename = '_RETURN' and r.relkind = 'v')
  union all
  select 'policy ' || y.polname || ' on ' || r.relname, '', null from own r join pg_catalog.pg_policy y on y.polrelid = r.oid
  union all
  select 'statistics ' || s.stxname || ' on ' || r.relname, '', null
    from own r join pg_catalog.pg_statistic_ext s on s.stxrelid = r.oid
   where to_jsonb(s) ->> 'stxexprs' is not null
  union all
  select 'inheritance of ' || r.relname || ' and ' || c.relname, '', null
    from own r
    join pg_catalog.pg_inherits h on r.oid in (h.inhparent, h.inhrelid)
    join pg_catalog.pg_class c on c.oid in (h.inhparent, h.inhrelid) and c.oid <> r.oid
  union all
  select 'function ' || f.object,
         concat_ws('|', f.lanname, f.prokind::text, f.prosecdef::int, f.proleakproof::int, f.proisstrict::int, f.provolatile::text, f.proparallel::text,
                   pg_catalog.pg_get_function_result(f.oid), pg_catalog.pg_get_function_arguments(f.oid), coalesce(array_to_string(f.proconfig, '|'), '')),
         case when f.prosupport <> 0 or f.protrftypes is not null then 'more: ' else '' end || f.body
    from routine f where not f.is_capture
  union all
  select 'type ' || t.typname, concat_ws('|', t.typtype::text, format_type(t.typbasetype, t.typtypmod), case when t.typnotnull then 'not null' end, t.typdefault), null
    from ours o
    join pg_catalog.pg_type t on t.typnamespace = o.oid
    left join pg_catalog.pg_class c on c.oid = t.typrelid
   where coalesce(c.relkind, 'c') = 'c' and not exists (select from pg_catalog.pg_type e where e.typarray = t.oid)
), present as materialized (
  select f.object, case when f.body is null then c.canon
                        else left(encode(sha256(convert_to(c.canon || case when f.object like 'function %' then '||' else '' end || f.body, 'UTF8')), 'hex'), 32) end as definition
    from found f
   cross join lateral (
     select regexp_replace(regexp_replace(regexp_replace(lower(f.head),
              '::(timestamp with time zone|double precision|"char"|[a-z0-9_]+)(\[\])?(?![a-z0-9_.(])', '', 'g'),
              '[\s()";]', '', 'g'),
              '\mpg_catalog\.', '', 'g') as canon) as c
), tolerated(object) as (
  -- Nothing in them runs: a key or an index over columns, by PostgreSQL's own operator classes.
  select 'index ' || i.relname || ' on ' || r.relname
    from own r join pg_catalog.pg_index x on x.indrelid = r.oid join pg_catalog.pg_class i on i.oid = x.indexrelid
   where x.indexprs is null and x.indpred is null
     and not exists (select from unnest(x.indclass::oid[]) as u(class) join pg_catalog.pg_opclass c on c.oid = u.class
                      where c.opcnamespace <> 'pg_catalog'::pg_catalog.regnamespace)
  union all
  select 'constraint ' || k.conname || ' on ' || r.relname
    from own r join pg_catalog.pg_constraint k on k.conrelid = r.oid where k.contype = 'u'
  union all
  -- The store's own while a legacy table is adopted: see migration/75_adoptions.sql.
  select 'trigger events_adopt_first on events'
    from own r
    join pg_catalog.pg_trigger g on g.tgrelid = r.oid and g.tgname = 'events_adopt_first' and g.tgtype = 7
    join routine f on f.oid = g.tgfoid and f.object = '_adopt_first()'
   where r.relname = 'events'
     and regexp_replace(lower(coalesce(pg_catalog.pg_get_triggerdef(g.oid), '')), '[\s()]', '', 'g') like '%foreachrowwhennew.aggregate_version=1execute%'
  union all
  select 'function ' || f.object from routine f
   where f.object = '_ask_as_guest(text,text,text,bigint)' and f.prosecdef and pg_catalog.pg_get_userbyid(f.proowner) = 'domain_events_guest'
), installer as (
  select x.extowner as role from pg_catalog.pg_extension x where x.extname = 'pg_domain_events'
), role as materialized (
  -- Who may have rights on the store's own functions and tables: the owner, superusers, and the three roles.
  select r.oid from pg_catalog.pg_roles r
   where r.rolsuper or r.oid = (select o.owner from ours o)
      or r.rolname in ('domain_events_reader', 'domain_events_writer', 'domain_events_admin')
), strange(object, problem) as (
  select e.object, 'is missing' from expected e where not exists (select from present p where p.object = e.object)
  union all
  select p.object, 'was not installed' from present p
   where not exists (select from expected e where e.object = p.object) and not exists (select from tolerated t where t.object = p.object)
  union all
  select p.object, 'is not what was installed' from present p join expected e on e.object = p.object where p.definition <> e.definition
  union all
  select 'function ' || f.object, 'is not a function of a capture' from routine f, ours o
   where f.is_capture
     and not case when f.lanname = 'c' then o.is_native and f.prosrc = 'de_capture' and f.probin = '$libdir/pg_domain_events' and not f.prosecdef
                  else f.lanname = 'plpgsql' and f.prosecdef and not o.is_native end
  union all
  select w.object, format('belongs to %s, not to %s', pg_catalog.pg_get_userbyid(w.owner), pg_catalog.pg_get_userbyid(o.owner))
    from ours o
   cross join lateral (
     select r.object, r.relowner from relation r
     union all
     select 'function ' || f.object, f.proowner from routine f
      where not exists (select from tolerated t where t.object = 'function ' || f.object)
        -- Only a superuser may write functions in C.
        and not (o.is_native and f.object = '_write_capture_function(integer)' and f.proowner = (select i.role from installer i))
     union all
     select 'type ' || t.typname, t.typowner from pg_catalog.pg_type t where t.typnamespace = o.oid and t.typtype = 'd') as w(object, owner)
   where w.owner <> o.owner
  union all
  select 'function ' || f.object, format('may be executed by %s', case a.grantee when 0 then 'everybody' else pg_catalog.pg_get_userbyid(a.grantee) end)
    from routine f cross join lateral aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) as a
   where left(f.proname, 1) = '_' and a.grantee not in (select r.oid from role r) and a.grantee <> f.proowner
     and not exists (select from tolerated t where t.object = 'function ' || f.object)
  union all
  select r.object, format('%s may %s it', case a.grantee when 0 then 'everybody' else pg_catalog.pg_get_userbyid(a.grantee) end, lower(a.privilege_type))
    from relation r cross join lateral aclexplode(r.relacl) as a
   where a.privilege_type = 'TRIGGER' and a.grantee not in (select r.oid from pg_catalog.pg_roles r where r.rolsuper) and a.grantee <> r.relowner
  union all
  select 'schema domain_events', format('%s may create objects in it', case a.grantee when 0 then 'everybody' else pg_catalog.pg_get_userbyid(a.grantee) end)
    from pg_catalog.pg_namespace n join ours o on o.oid = n.oid cross join lateral aclexplode(n.nspacl) as a
   where a.privilege_type = 'CREATE' and a.grantee <> n.nspowner and a.grantee not in (select r.oid from pg_catalog.pg_roles r where r.rolsuper)
  union all
  -- Operators, operator classes, collations and whatever else a schema can hold.
  select pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid), 'was not installed'
    from pg_catalog.pg_depend d join ours o on d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and d.refobjid = o.oid
   where d.deptype = 'n'
     and d.classid not in ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_type'::pg_catalog.regclass,
                           'pg_catalog.pg_extension'::pg_catalog.regclass, 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass)
  union all
  select pg_catalog.pg_describe_object('pg_catalog.pg_cast'::pg_catalog.regclass, c.oid, 0), 'was not installed'
    from pg_catalog.pg_cast c
    join pg_catalog.pg_type t on t.oid in (c.castsource, c.casttarget)
    join ours o on o.oid = t.typnamespace
  union all
  -- Whoever runs DDL runs it.
  select 'event trigger ' || e.evtname, format('runs a function of %s, who is no superuser', pg_catalog.pg_get_userbyid(f.proowner))
    from pg_catalog.pg_event_trigger e
    join routine f on f.oid = e.evtfoid
    join pg_catalog.pg_roles r on r.oid = f.proowner and not r.rolsuper
)
select s.object, string_agg(distinct s.problem, '; ') as problem from strange s, ours o group by s.object order by s.object
