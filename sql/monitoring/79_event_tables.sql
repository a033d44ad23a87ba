-- Registered legacy event tables, and the triggers of ported ones: whether they still get versions. What stops them is
-- told before the first write fails, with the call that mends it. See migration/36_altered_tables.sql.

create function domain_events._event_table_findings(
  out code text, out severity text, out object text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set jit = off
as $$
  select 'event_table_missing', 'warning', t.registered_as,
         format('the registered event table no longer exists, or is no table; '
                'an administrator runs: select domain_events.unregister_event_table(%s)', t.event_table::oid)
    from domain_events.event_tables t
   where not exists (select from pg_class c where c.oid = t.source and c.relkind in ('r', 'p'))
  union all
  select 'event_table_altered', 'error', domain_events._qualified_name(s.event_table),
         format('a column that names its streams, or holds their versions, is gone: nobody gets a version for it; '
                'its owner registers it by others: '
                'select domain_events.register_event_table(%L, stream_columns, version_column)', s.event_table)
    from domain_events._event_table_states() as s where s.stream_columns is null
  union all
  select 'event_table_reader_missing', 'error', domain_events._qualified_name(s.event_table),
         'the function that reads its versions is missing, was altered, or belongs to another role than the table: '
         'every event of it fails; '
         || domain_events._how_to_register(s.event_table, s.source, s.stream_columns, s.version_column)
    from domain_events._event_table_states() as s where s.stream_columns is not null and s.reader is null
  union all
  select 'event_table_altered',
         case when w.version_type in (21, 23, 20) and w.is_served then 'warning' else 'error' end,
         domain_events._qualified_name(s.event_table),
         case when w.version_type not in (21, 23, 20)
              then format('its versions are of type %s: every event of it fails; '
                          'its owner alters column %I to bigint, then %s',
                          format_type(w.version_type, null), s.version_column, h.how)
              else format('its columns were (%s) and are (%s): %s; %s',
                          array_to_string(s.was, ', '), array_to_string(s.types, ', '),
                          case when w.is_served
                               then 'versions are given, but slower, to its owner and by its trigger alone, '
                                    'and not in sessions that asked for one before'
                               else 'every event of it fails' end,
                          h.how) end
    from domain_events._event_table_states() as s
    join pg_class c on c.oid = s.source
    join pg_attribute a on a.attrelid = s.source and a.attname = s.version_column
   cross join lateral (
     select domain_events._base_type(a.atttypid) as version_type,
            not (c.relrowsecurity and c.relforcerowsecurity)
              and not exists (select from domain_events._stream_columns(
                                s.source, s.stream_columns,
                                domain_events._key_of(s.source, s.stream_columns, s.version_column)) as k
                               where k.refused is not null)
              and not exists (select from domain_events._shims() as h
                               where h.relation = s.source and h.function_owner <> s.owner) as is_served) as w
   cross join lateral (
     select domain_events._how_to_register(s.event_table, s.source, s.stream_columns, s.version_column) as how) as h
   where s.reader is not null and s.was <> s.types
     -- A wider integer is read as before.
     and (w.version_type not in (21, 23, 20)
          or s.was[:cardinality(s.stream_columns)] <> s.types[:cardinality(s.stream_columns)])
  union all
  select 'event_table_column_renamed', 'error', domain_events._qualified_name(h.relation),
         format('trigger ~domain_events_version writes column %I, which the table does not have: '
                'every insert fails; %s', missing.name,
                coalesce(case when h.function_owner <> s.owner
                              then format('as %I, the owner of its function, or as a superuser: ',
                                          pg_get_userbyid(h.function_owner)) end
                         || domain_events._how_to_register(s.event_table, s.source, s.stream_columns, s.version_column),
                         domain_events._how_to_register(s.event_table, s.source, s.stream_columns, s.version_column),
                         'its function is to be written anew'))
    from domain_events._shims() as h
   cross join lateral (select n.name from unnest(h.stream_columns || h.version_column) as n(name)
                        where not exists (select from pg_attribute a
                                           where a.attrelid = h.relation and a.attname = n.name and a.attnum > 0
                                             and not a.attisdropped)
                        limit 1) as missing
    left join domain_events._event_table_states() as s on s.source = h.relation and s.stream_columns is not null
  union all
  -- As after "pg_dump --schema-only", or of a schema alone.
  select 'event_table_not_registered', 'error', domain_events._qualified_name(h.relation),
         'trigger ~domain_events_version asks for its versions, and the table is not registered: every insert fails; '
         || domain_events._how_to_register(h.relation, h.relation, h.stream_columns, h.version_column)
    from domain_events._shims() as h
   where h.relation <> all (select t.event_table from domain_events.event_tables t)
     and h.relation <> all (select t.source from domain_events.event_tables t)
  union all
  select 'event_table_without_rights', 'error', domain_events._qualified_name(h.relation),
         format('the function of trigger ~domain_events_version runs as %s, who may not ask the store for versions: '
                'every insert fails; the store''s owner runs: grant domain_events_writer to %1$s;',
                quote_ident(pg_get_userbyid(h.function_owner)))
    from domain_events._shims() as h
   where not has_function_privilege(h.function_owner,
                                    'domain_events.next_aggregate_version(text, text, regclass)'::regprocedure,
                                    'execute')
$$;

comment on function domain_events._event_table_findings() is
  'Registered tables that were altered, given away or dropped, and triggers of ported tables that get no version';
