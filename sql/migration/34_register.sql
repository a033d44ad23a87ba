-- Registering a legacy table: its columns are looked at, its unique key is found. Run by the table's owner.

create function domain_events.register_event_table(event_table regclass, stream_columns name[], version_column name)
  returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform domain_events._check_session();
  perform domain_events._check_event_table(event_table, stream_columns, version_column);
  perform domain_events._write_reader(event_table, event_table, stream_columns, version_column,
                                      domain_events._unique_key(event_table, stream_columns, version_column, true));
end
$$;

comment on function domain_events.register_event_table(regclass, name[], name) is
  'Makes a legacy event table known to next_aggregate_version(). A stream is named by up to four columns (tenant, '
  'type, id); demands a unique key over them and the version (42P16), which may have further columns, '
  'as a partition''s time. Run by the table''s owner.';

create function domain_events._check_event_table(event_table regclass, stream_columns name[], version_column name)
  returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  wanted name[] := stream_columns || version_column;
  missing name;
begin
  perform domain_events._check_target(event_table);
  if stream_columns is null or version_column is null or array_position(stream_columns, null) is not null then
    raise exception '% must not be null',
          case when version_column is null then 'version_column' else 'stream_columns' end
      using errcode = '22004',
            hint = 'Name the columns that hold the stream, for example ''{tenant,type,id}'', and the version.';
  elsif array_ndims(stream_columns) is distinct from 1 or cardinality(stream_columns) not between 1 and 4 then
    raise exception 'a stream is named by one to four columns, not %', cardinality(stream_columns)
      using errcode = '22023', hint = 'For example ''{tenant,type,id}''.';
  elsif (select count(distinct w) from unnest(wanted) as w) < cardinality(wanted) then
    raise exception 'a column is named twice'
      using errcode = '22023', hint = 'The version is no part of what names the stream.';
  end if;
  select w into missing from unnest(wanted) as w
   where not exists (select from pg_attribute a where a.attrelid = event_table and a.attname = w
                        and a.attnum > 0 and not a.attisdropped)
   limit 1;
  if missing is not null then
    raise exception 'column "%" of table % does not exist', missing, event_table
      using errcode = '42703', hint = 'Name the columns that hold the aggregate''s type, its id and the version.';
  end if;
end
$$;

comment on function domain_events._check_event_table(regclass, name[], name) is
  'Raises 22004, 22023, 42P01, 42703, 42809 or 42501 unless the caller owns a table with these columns';

-- The one that takes most texts for the same, if there are several.
create function domain_events._unique_key(event_table regclass, stream_columns name[], version_column name,
                                          may_be_wider boolean) returns oid
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  wanted name[] := stream_columns || version_column;
  key oid;
begin
  select i.indexrelid into key
    from pg_index i
   cross join lateral (
     select array_agg(a.attname) as columns,
            bool_or(exists (select from pg_collation c
                             where c.oid = i.indcollation[p.at] and not c.collisdeterministic)) as is_loose
       from generate_series(0, i.indnkeyatts - 1) as p(at)
       join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[p.at]) as k
   where i.indrelid = event_table and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
     and wanted <@ k.columns
     and (may_be_wider or cardinality(k.columns) = cardinality(wanted)
          -- A partitioned table can have no other.
          or (select c.relkind = 'p' from pg_class c where c.oid = event_table)
             and not exists (select from unnest(k.columns) as further
                              where further <> all (wanted)
                                and not exists (select from pg_partitioned_table p
                                                  join pg_attribute a on a.attrelid = p.partrelid
                                                       and a.attname = further
                                                 where p.partrelid = event_table
                                                   and a.attnum = any (p.partattrs::int2[]))))
   order by cardinality(k.columns), k.is_loose desc, i.indexrelid limit 1;
  if not found then
    raise exception 'table % has no unique key over (%)', event_table, array_to_string(wanted, ', ')
      using errcode = '42P16',
            detail = 'Without it two writers could store one version twice.',
            hint = format('alter table %s add constraint uk_aggregate_version unique (%s);', event_table,
                          (select string_agg(quote_ident(w), ', ' order by n)
                             from unnest(wanted) with ordinality as u(w, n)));
  end if;
  return key;
end
$$;

comment on function domain_events._unique_key(regclass, name[], name, boolean) is
  'The unique key over a stream''s columns and the version; raises 42P16 when there is none';

create function domain_events.register_event_table(
  event_table regclass, type_column name, id_column name, version_column name
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  stream_columns name[] := array_remove(array[type_column, id_column], null);
begin
  perform domain_events._check_session();
  perform domain_events._check_target(event_table);
  if id_column is null or version_column is null then
    raise exception '% must not be null', case when id_column is null then 'id_column' else 'version_column' end
      using errcode = '22004', hint = 'Only type_column may be null, when the key is (id, version).';
  end if;
  perform domain_events._check_event_table(event_table, stream_columns, version_column);
  perform domain_events._write_reader(event_table, event_table, stream_columns, version_column,
                                      domain_events._unique_key(event_table, stream_columns, version_column, false));
end
$$;

comment on function domain_events.register_event_table(regclass, name, name, name) is
  'Makes a legacy event table known to next_aggregate_version(). Demands a unique key over the columns (42P16); '
  'type_column is null where the key is (id, version). Run by the table''s owner.';

-- For the command line: a table whose key follows once its data allows it, and the view that an adopted table has
-- become.
create function domain_events._register_event_table(event_table regclass, stream_columns name[], version_column name)
  returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  sources regclass[] := array[event_table];
  key oid;
begin
  if (select c.relkind = 'v' from pg_class c where c.oid = event_table) then
    sources := array(
      select distinct s.oid from pg_rewrite r
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
             and d.refclassid = 'pg_class'::regclass
        join pg_class v on v.oid = r.ev_class
        join pg_class s on s.oid = d.refobjid and s.relkind in ('r', 'p') and s.relowner = v.relowner
             and s.relnamespace <> 'domain_events'::regnamespace
       where r.ev_class = event_table);
    if cardinality(sources) <> 1 then
      raise exception 'view % is not made of one table of its owner''s', event_table
        using errcode = '42809', hint = 'Register the table that holds the rows.';
    end if;
  end if;
  perform domain_events._check_event_table(sources[1], stream_columns, version_column);
  begin
    key := domain_events._unique_key(sources[1], stream_columns, version_column, true);
  exception when invalid_table_definition then
    null;
  end;
  perform domain_events._write_reader(event_table, sources[1], stream_columns, version_column, key);
end
$$;

comment on function domain_events._register_event_table(regclass, name[], name) is
  'register_event_table() for a table without the key, or for the view over an adopted table';

create function domain_events._register_event_table(
  event_table regclass, type_column name, id_column name, version_column name
) returns void
language sql volatile set search_path = pg_catalog, pg_temp
as $$ select domain_events._register_event_table(event_table, array_remove(array[type_column, id_column], null),
                                                 version_column) $$;

comment on function domain_events._register_event_table(regclass, name, name, name) is
  'The same for a stream of type and id';

-- A table that is gone has no owner who could say so.
create function domain_events._forget_lost_event_tables() returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  with lost as (
    delete from domain_events.event_tables t where not exists (select from pg_class c where c.oid = t.event_table)
           returning 1
  )
  select count(*) from lost
$$;

comment on function domain_events._forget_lost_event_tables() is
  'Forgets legacy event tables that were dropped, and nothing else';

create function domain_events.unregister_event_table(event_table regclass) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  reader record;
begin
  perform domain_events._check_session();
  if not exists (select from domain_events.event_tables t where t.event_table = unregister_event_table.event_table) then
    return false;
  elsif not exists (select from pg_class c where c.oid = event_table) then
    return domain_events._forget_lost_event_tables() > 0;
  end if;
  select p.oid::regprocedure as name, p.proowner into reader
    from domain_events.event_tables t join pg_proc p on p.proname = t.reader and md5(p.prosrc) = t.fingerprint
   where t.event_table = unregister_event_table.event_table and domain_events._is_reader(p.oid, t.source) limit 1;
  perform domain_events._command(event_table, 'unregister event table');
  if reader.name is not null then
    execute format('drop function %s', reader.name);
  end if;
  return true;
end
$$;

comment on function domain_events.unregister_event_table(regclass) is
  'Forgets a legacy event table; true when it was known. Its rows stay as they are. Run by the table''s owner.';
