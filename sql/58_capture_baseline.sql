-- Events for rows that were there before their capture.

create function domain_events._write_baseline(target regclass, max_rows int) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set row_security = off
set timezone = 'UTC' set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set bytea_output = 'hex'
set extra_float_digits = 1 set lc_monetary = 'C' set quote_all_identifiers = off
as $$
declare
  config domain_events.capture_config;
  expressions record;
  one record;
  written bigint := 0;
begin
  select * into strict config from domain_events.capture_config c where c.capture_id = domain_events._capture_of(target);
  if config.state = 'paused' then
    raise exception 'the capture of % is paused', target
      using errcode = '55000', hint = 'Call domain_events.resume_capture() first.';
  end if;
  perform domain_events._follow_columns(config.capture_id);
  select * into strict config from domain_events.capture_config c where c.capture_id = config.capture_id;
  select * into strict expressions from domain_events._expressions(config.capture_id);
  -- FOR SHARE: the row is written down as it is when its event is stored, and nobody changes it until then.
  for one in execute format(
    'select domain_events._short_id(%1$s) as id, %2$s as data, new.tableoid as relation
       from (select *, tableoid from %7$s %3$s as new
              where not exists (select from domain_events.events e
                                 where e.aggregate_type = %4$L and e.aggregate_id = domain_events._short_id(%1$s)
                                   and e.global_position > %5$s and e.origin = ''captured'')
              limit %6$s for share) as new',
    expressions.id_new, expressions.row_new, target, config.aggregate_type, config.whole_row_after,
    coalesce(max_rows::text, 'all'),
    -- Rows of inheritance children are no rows of this table.
    case when (select r.relkind = 'p' from pg_class r where r.oid = target) then '' else 'only' end)
  loop
    perform domain_events._write_event(config.aggregate_type, one.id,
      domain_events._event_type(config.aggregate_type, config.event_name_style, 'Baselined'), null,
      jsonb_build_object('new_values', one.data),
      '{"complete": true, "baseline": true}'
      || case when one.relation = target and not config.shares_type then '{}'
              else jsonb_build_object('in_table', domain_events._qualified_name(one.relation)) end);
    written := written + 1;
  end loop;
  return written;
end
$$;

comment on function domain_events._write_baseline(regclass, int) is 'The part of baseline_capture() that reads the table and writes the store';

create function domain_events.baseline_capture(target regclass, max_rows int default 10000) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  store_owner name := (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = 'domain_events.events'::regclass);
  written bigint;
  schema regnamespace := (select c.relnamespace from pg_class c where c.oid = target);
  may_read boolean;
  may_enter boolean;
begin
  perform domain_events._check_target(target);
  perform domain_events._capture_of(target);
  if max_rows < 1 then
    raise exception 'max_rows must be positive, not %', max_rows
      using errcode = '22023', hint = 'Leave it out for 10,000 rows, or give null for all at once.';
  end if;
  -- The store's owner reads the table for this one call; FOR SHARE asks for the right to update as well.
  may_enter := has_schema_privilege(store_owner, schema, 'usage');
  if not may_enter then
    if not has_schema_privilege(schema, 'usage with grant option') then
      raise exception 'the store''s owner % may not use schema %', store_owner, schema
        using errcode = '42501', hint = format('Let the schema''s owner grant it: grant usage on schema %s to %I.', schema, store_owner);
    end if;
    execute format('grant usage on schema %s to %I', schema, store_owner);
  end if;
  may_read := has_table_privilege(store_owner, target, 'select') and has_table_privilege(store_owner, target, 'update');
  if not may_read then
    execute format('grant select, update on %s to %I', target, store_owner);
  end if;
  written := domain_events._write_baseline(target, max_rows);
  if not may_read then
    execute format('revoke select, update on %s from %I', target, store_owner);
  end if;
  if not may_enter then
    execute format('revoke usage on schema %s from %I', schema, store_owner);
  end if;
  return written;
end
$$;

comment on function domain_events.baseline_capture(regclass, int) is
  'Stores <Type>Baselined for up to max_rows rows (null: all) that have no event since capture began, and returns how many. Call it until it returns 0; a call that was interrupted is simply repeated.';
