-- Makes that function, and tries it. Run by the table's owner or for them.

-- Makes the reader, or makes it anew, as the table's owner or for them.
create function domain_events._write_reader(
  event_table regclass, source regclass, stream_columns name[], version_column name, key oid
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  body text := domain_events._reader_source(source, stream_columns, version_column, key);
  class record;
  present record;
  base text;
  chosen text;
  reader regprocedure;
  asker record;
  known text[];
  raised_by text;
begin
  select c.relowner, pg_get_userbyid(c.relowner) as owner, c.relnamespace, n.nspname, c.relname into class
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = source;
  select p.oid, p.proname, p.pronamespace, p.proowner into present
    from domain_events.event_tables t
    join pg_proc p on p.proname = t.reader and domain_events._is_reader(p.oid, t.source)
   where t.event_table = _write_reader.event_table and md5(p.prosrc) = t.fingerprint limit 1;
  if present.pronamespace = class.relnamespace then
    chosen := present.proname;
  else
    -- 50 characters of up to 4 bytes would be too many.
    base := class.relname;
    while octet_length(base) > 40 loop
      base := left(base, -1);
    end loop;
    base := base || '_newest_version';
    select c.name into chosen
      from (select case n when 1 then base else format('%s_%s', base, n) end as name, n
              from generate_series(1, 1000) as n) as c
     where not exists (select from pg_proc p where p.pronamespace = class.relnamespace and p.proname = c.name)
     order by c.n limit 1;
  end if;
  begin
    execute format('create or replace function %I.%I(oid, text[], int) returns bigint language plpgsql volatile '
                   'security definer '
                   'set search_path = pg_catalog, pg_temp set row_security = off%s as %L', class.nspname, chosen,
                   case when domain_events._is_ordered(source, stream_columns, version_column)
                        then ' set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off' else '' end,
                             body);
    reader := format('%I.%I(oid, text[], int)', class.nspname, chosen);
    execute format('revoke all on function %s from public', reader);
    if present.oid is distinct from reader then
      -- Default privileges of the schema.
      for asker in
        select distinct quote_ident(pg_get_userbyid(a.grantee)) as name from pg_proc p
          cross join lateral aclexplode(p.proacl) as a
         where p.oid = reader and a.grantee <> p.proowner
      loop
        execute format('revoke all on function %s from %s', reader, asker.name);
      end loop;
    end if;
    execute format('comment on function %s is %L', reader,
                   format('Newest version of a stream of %s, for domain_events.next_aggregate_version()', event_table));
    -- Who may ask the store, or write the table, may ask the reader.
    for asker in
      select distinct case x.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end as name
        from (select a.grantee from pg_proc p
                cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
               where p.oid = 'domain_events.next_aggregate_version(text, text, regclass)'::regprocedure
                 and a.privilege_type = 'EXECUTE'
              union all
              select a.grantee from pg_class c cross join lateral aclexplode(c.relacl) as a
               where c.oid in (event_table, source) and a.privilege_type = 'INSERT') as x
    loop
      execute format('grant execute on function %s to %s', reader, asker.name);
    end loop;
    if (select p.proowner from pg_proc p where p.oid = reader) <> class.relowner then
      execute format('alter function %s owner to %I', reader, class.owner);
    end if;
  exception when insufficient_privilege then
    raise exception 'role % may create no function in schema %', class.owner, class.nspname
      using errcode = '42501',
            detail = format('A function of the owner of %s reads its versions, and lives beside it: %s', event_table,
                            sqlerrm),
            hint = format('Let the schema''s owner run: grant create on schema %I to %I;', class.nspname, class.owner);
  end;
  perform domain_events._command(event_table, 'register event table', jsonb_build_object(
    'source', source::oid::bigint, 'stream_columns', to_jsonb(stream_columns), 'version_column', version_column, 'key',
    key::bigint, 'reader', reader::oid::bigint));
  if present.oid <> reader and pg_has_role(present.proowner, 'usage') then
    execute format('drop function %s', present.oid::regprocedure);
  end if;
  -- Once, so that what does not work is told now. What it leaves behind, an expression of an index for one, is undone:
  -- at the commit a deferred trigger or a cursor WITH HOLD would run with the rights of whoever registers the table.
  known := domain_events._prepared_statements();
  begin
    execute format('select %1$s($1, $2, 1), %1$s($1, $2, 2)', reader::regproc)
      using source::oid, array_fill(null::text, array[cardinality(stream_columns)]);
    raise exception 'tried' using errcode = 'DE001', constraint = '_tried';
  exception when sqlstate 'DE001' then
    get stacked diagnostics raised_by = constraint_name;
    if raised_by <> '_tried' then
      raise;
    end if;
  end;
  perform domain_events._forget_prepared(known);
end
$$;

comment on function domain_events._write_reader(regclass, regclass, name[], name, oid) is
  'Makes the function that reads the versions of a legacy table, and makes both known to the store; '
  'run by the table''s owner';
