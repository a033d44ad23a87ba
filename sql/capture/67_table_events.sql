-- Events about a table as a whole go to a stream of the table.

create function domain_events._table_event(relation oid, event_type text, event_data jsonb) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform domain_events._write_event('domain_events.Table',
                                     domain_events._short_id(domain_events._qualified_name(relation)),
                                     event_type, null, event_data, '{}');
end
$$;

comment on function domain_events._table_event(oid, text, jsonb) is
  'Stores an event in the table''s own stream: type domain_events.Table, id the schema-qualified name';

create function domain_events._scope_of(capture_id int) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  config domain_events.capture_config;
  tables oid[];
begin
  select * into strict config from domain_events.capture_config c where c.capture_id = _scope_of.capture_id;
  -- Rows of another table that has or had the same type are still there.
  tables := array(select t.relid::oid from domain_events._partition_tree(config.relation) as t);
  return case when exists (select from domain_events.capture_places p
                            where p.aggregate_type = config.aggregate_type and p.relation <> all (tables))
              then domain_events._only_in(config.aggregate_type, tables)
              else '{}' end;
end
$$;

comment on function domain_events._scope_of(int) is
  'Which streams of its type are of the rows of a captured table, as an event says it: '
  'all, unless another table shares the type';

create function domain_events._capture_truncate(capture_id int, relation oid) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  -- Asked here: in the query it would be asked for every capture of the database.
  found_id constant int := domain_events._find_capture(relation);
  config domain_events.capture_config;
begin
  select * into config from domain_events.capture_config c where c.capture_id = found_id and c.state = 'active';
  -- A partition that was captured by itself has that trigger still, perhaps before it gets that of the table above.
  if not found or (config.capture_id <> capture_id
                   and (not exists (select from domain_events._capture_triggers(relation) as t
                                     where t.relation = _capture_truncate.relation and t.kind = 'truncate'
                                       and t.capture_id = _capture_truncate.capture_id)
                        or exists (select from domain_events._capture_triggers(relation) as t
                                    where t.relation = _capture_truncate.relation and t.kind = 'truncate'
                                      and t.capture_id = config.capture_id))) then
    return;
  end if;
  -- A table that the transaction has made is emptied in its place.
  delete from domain_events.row_steps s where s.file = pg_relation_filenode(_capture_truncate.relation);
  perform domain_events._table_event(config.relation, 'TableTruncated',
    jsonb_build_object('aggregate_type', config.aggregate_type)
    || case when config.relation::oid <> relation
            then jsonb_build_object('partition', domain_events._qualified_name(relation))
                 || domain_events._only_in(config.aggregate_type, array[relation],
                                           domain_events._qualified_name(relation))
            else domain_events._scope_of(config.capture_id) end);
  -- Every stream, or every one of the partition, has ended: what comes next on one starts from nothing.
  perform domain_events._tell_whole_rows(config.capture_id, is_truncated => true);
end
$$;

comment on function domain_events._capture_truncate(int, oid) is
  'Records that a captured table, or a partition of it, was truncated';
