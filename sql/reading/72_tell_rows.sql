-- Tells what check_rows() finds: rows that changed unseen, as they are now, and rows that went.
--
-- The table is read with the rights of the caller, its owner; finished rows go to the store, as baseline_capture()'s
-- do.

-- An owner may say of their own table that its rows are gone, as they could have deleted them.
create function domain_events._end_streams(target regclass, ids text[]) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  config domain_events.capture_config;
  event record;
  id text;
  told jsonb;
  ended bigint := 0;
begin
  select * into strict config from domain_events.capture_config c
   where c.capture_id = (select domain_events._capture_of(target));
  if config.state = 'paused' then
    raise exception 'the capture of % is paused', target
      using errcode = '55000', hint = 'Call domain_events.resume_capture() first.';
  elsif exists (select from domain_events.capture_config c
                 where c.aggregate_type = config.aggregate_type and c.capture_id <> config.capture_id) then
    raise exception 'another table has events of type % too', config.aggregate_type
      using errcode = '22023', hint = 'A row that this one does not have may be that one''s.';
  end if;
  select * into event from domain_events._map_event(config.capture_id, 'DELETE', '{}');
  foreach id in array ids loop
    told := domain_events.fold_stream(config.aggregate_type, id);
    if told is not null then
      perform domain_events._write_event(config.aggregate_type, id, event.event_type, event.event_name,
                                         jsonb_build_object('old_values', told), '{}');
      ended := ended + 1;
    end if;
  end loop;
  return ended;
end
$$;

comment on function domain_events._end_streams(regclass, text[]) is
  'Stores the deletion of rows that a captured table does not have, as far as their streams have them';

create function domain_events.tell_rows(
  target regclass, max_rows int default null, after text default null, out told bigint, out next text
) returns record
language plpgsql volatile
set search_path = pg_catalog, pg_temp set row_security = off
set timezone = 'UTC' set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set bytea_output = 'hex'
set extra_float_digits = 1 set lc_monetary = 'C' set quote_all_identifiers = off
as $$
#variable_conflict use_column
declare
  expressions record;
  finding record;
  source text;
  changed text[] := '{}';
  gone text[] := '{}';
  is_back boolean;
begin
  perform domain_events._check_session();
  perform domain_events._check_target(target);
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'tell_rows() has to see what others commit meanwhile'
      using errcode = '55000', hint = 'Call it in a transaction of isolation level READ COMMITTED.';
  end if;
  perform domain_events._meet_restored(target);
  select * into strict expressions from domain_events._row_expressions(target);
  source := case when (select c.relkind from pg_class c where c.oid = target) = 'p' then '' else 'only ' end
            || target::text;
  for finding in select * from domain_events.check_rows(target, max_rows, after) loop
    next := finding.next;
    if finding.code = 'row_gone' then
      gone := gone || finding.aggregate_id;
    elsif finding.aggregate_id is not null then
      changed := changed || finding.aggregate_id;
    end if;
  end loop;
  told := 0;
  -- One scan for so many. FOR SHARE: what is told stays so until this ends.
  for n in 0 .. (cardinality(changed) - 1) / 500 loop
    told := told + domain_events._tell(target, format(
      'select domain_events._short_id(%1$s) as id, %2$s as data, new.tableoid::bigint as relation
         from (select *, tableoid from %3$s as new where domain_events._short_id(%1$s) = any ($1) for share) as new',
      expressions.id, expressions.row_value, source), changed[n * 500 + 1 : n * 500 + 500]);
  end loop;
  for n in 0 .. (cardinality(gone) - 1) / 500 loop
    continue when gone[n * 500 + 1] is null;
    -- The streams are held from here on: a row that comes now, is told after this.
    told := told + domain_events._command(target, 'end streams',
                                          jsonb_build_object('ids', gone[n * 500 + 1 : n * 500 + 500]))::bigint;
    execute format('select exists (select from %s as new where domain_events._short_id(%s) = any ($1))', source,
                   expressions.id)
      into is_back using gone[n * 500 + 1 : n * 500 + 500];
    if is_back then
      raise exception 'could not serialize access: a row came back while it was told to be gone'
        using errcode = '40001', hint = 'Repeat the call.';
    end if;
  end loop;
end
$$;

comment on function domain_events.tell_rows(regclass, int, text) is
  'Stores an event for each row of a captured table that is not what its stream says, '
  'with the whole row (<Type>Baselined), or that is gone (<Type>Deleted), and returns how many. '
  'With max_rows it looks at so many rows or streams and returns where the next call goes on (next, for after); '
  'null at the end. What it finds is what check_rows() tells.';
