-- Events for rows that were there before their capture. The table is read with its owner's rights, who calls; finished
-- rows go to the store.

-- The query's text, written as the store's owner, who knows the configuration; it is run as the caller.
create function domain_events._baseline_query(target regclass, max_rows int) returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  config domain_events.capture_config;
  expressions record;
begin
  select * into strict config from domain_events.capture_config c
   where c.capture_id = (select domain_events._capture_of(target));
  if config.state = 'paused' then
    raise exception 'the capture of % is paused', target
      using errcode = '55000', hint = 'Call domain_events.resume_capture() first.';
  end if;
  perform domain_events._follow_columns(config.capture_id);
  select * into strict config from domain_events.capture_config c where c.capture_id = config.capture_id;
  select * into strict expressions from domain_events._expressions(config.capture_id);
  -- FOR SHARE: the row is written down as it is when its event is stored, and nobody changes it until then.
  return format(
    'select domain_events._short_id(%1$s) as id, %2$s as data, new.tableoid::bigint as relation
       from (select *, tableoid from %7$s %3$s as new
              where not exists (select from domain_events.events e
                                 where e.aggregate_type = %4$L and e.aggregate_id = domain_events._short_id(%1$s)
                                   and e.global_position > %5$s and e.origin = ''captured'')
              limit %6$s for share) as new',
    expressions.id_new, expressions.row_new, target, config.aggregate_type, config.whole_row_after,
    coalesce(max_rows::text, 'all'),
    -- Rows of inheritance children are no rows of this table.
    case when (select r.relkind = 'p' from pg_class r where r.oid = target) then '' else 'only' end);
end
$$;

comment on function domain_events._baseline_query(regclass, int) is
  'SQL that gives up to so many rows without an event, as its events tell them';

-- The rows of one's own table are what its owner says: they could as well have been inserted.
create function domain_events._store_baseline(target regclass, rows jsonb) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  config domain_events.capture_config;
  one jsonb;
  relation oid;
  written bigint := 0;
begin
  select * into strict config from domain_events.capture_config c
   where c.capture_id = (select domain_events._capture_of(target));
  if config.state = 'paused' then
    raise exception 'the capture of % is paused', target
      using errcode = '55000', hint = 'Call domain_events.resume_capture() first.';
  end if;
  for one in select jsonb_array_elements(rows) loop
    relation := (one ->> 'relation')::oid;
    if jsonb_typeof(one -> 'data') is distinct from 'object'
       or coalesce(jsonb_typeof(one -> 'id'), 'null') not in ('string', 'null')
       or (relation = target or config.relation::oid = any (domain_events._with_ancestors(relation))) is not true
       or exists (select from jsonb_object_keys(one -> 'data') as d
                   where not exists (select from domain_events.capture_columns k
                                      where k.capture_id = config.capture_id and k.captured and k.attnum is not null
                                        and k.column_name = d))
       or pg_column_size(one -> 'data') > domain_events._small(300000000)
          and domain_events._too_large(one -> 'data', 'jsonb', 300000000) is not null then
      raise exception 'a row of % is none of it', target
        using errcode = '22023', hint = 'Call domain_events.baseline_capture().';
    end if;
    perform domain_events._write_event(config.aggregate_type, domain_events._short_id(one ->> 'id'),
      domain_events._event_type(config.aggregate_type, config.event_name_style, 'Baselined'), null,
      jsonb_build_object('new_values', one -> 'data'),
      '{"complete": true, "baseline": true}'
      || case when relation = target and not config.shares_type then '{}'
              else jsonb_build_object('in_table', domain_events._place_of(config.aggregate_type, relation)) end);
    written := written + 1;
  end loop;
  return written;
end
$$;

comment on function domain_events._store_baseline(regclass, jsonb) is
  'Stores <Type>Baselined for rows of a captured table, as _baseline_query() gave them';

create function domain_events._tell(target regclass, query text, ids text[]) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp set row_security = off
set timezone = 'UTC' set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set bytea_output = 'hex'
set extra_float_digits = 1 set lc_monetary = 'C' set quote_all_identifiers = off
as $$
declare
  one record;
  rows jsonb[] := '{}';
  size bigint := 0;
  written bigint := 0;
begin
  for one in execute query using ids loop
    rows := rows || jsonb_build_object('id', one.id, 'data', one.data, 'relation', one.relation);
    size := size + pg_column_size(one.data);
    -- A handful at a time: a value may be large, and jsonb holds less than 256 MB.
    if cardinality(rows) >= 500 or size > 4000000 then
      written := written + domain_events._command(target, 'store baseline', jsonb_build_object('rows', rows))::bigint;
      rows := '{}';
      size := 0;
    end if;
  end loop;
  if cardinality(rows) > 0 then
    written := written + domain_events._command(target, 'store baseline', jsonb_build_object('rows', rows))::bigint;
  end if;
  return written;
end
$$;

comment on function domain_events._tell(regclass, text, text[]) is
  'Reads rows of a captured table as the caller, by a query over $1, and has them stored as <Type>Baselined';

create function domain_events.baseline_capture(target regclass, max_rows int default 10000) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp set row_security = off
set timezone = 'UTC' set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set bytea_output = 'hex'
set extra_float_digits = 1 set lc_monetary = 'C' set quote_all_identifiers = off
as $$
begin
  perform domain_events._check_session();
  perform domain_events._check_target(target);
  perform domain_events._meet_restored(target);
  perform domain_events._capture_of(target);
  if max_rows < 1 then
    raise exception 'max_rows must be positive, not %', max_rows
      using errcode = '22023', hint = 'Leave it out for 10,000 rows, or give null for all at once.';
  end if;
  return domain_events._tell(
    target, domain_events._command(target, 'baseline query', jsonb_build_object('max_rows', max_rows)) #>> '{}', null);
end
$$;

comment on function domain_events.baseline_capture(regclass, int) is
  'Stores <Type>Baselined for up to max_rows rows (null: all) that have no event since capture began, '
  'and returns how many. Call it until it returns 0; a call that was interrupted is simply repeated.';
