-- Whether the rows of a captured table are what their streams say: finds what changed unseen and no event has told yet.
--
-- It reads the user's table, so it runs with its caller's rights, and what it compares is of one snapshot.

create function domain_events._row_expressions(target regclass, out aggregate_type text, out id text,
                                               out row_value text, out is_one_row boolean, out shares_type boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  config domain_events.capture_config;
  expressions record;
begin
  select * into strict config from domain_events.capture_config c
   where c.capture_id = (select domain_events._capture_of(target));
  select * into strict expressions from domain_events._expressions(config.capture_id);
  aggregate_type := config.aggregate_type;
  id := expressions.id_new;
  row_value := expressions.row_new;
  is_one_row := domain_events._is_one_row(config.capture_id);
  shares_type := exists (select from domain_events.capture_config c
                          where c.aggregate_type = config.aggregate_type and c.capture_id <> config.capture_id);
end
$$;

comment on function domain_events._row_expressions(regclass) is
  'The SQL, over a row called new, for a captured table''s ids and values, for check_rows()';

-- A column that one side has not was added, dropped or renamed, and no event has told since; a number that became a
-- text reads the same.
create function domain_events._differs_by_columns(fold jsonb, row_value jsonb) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select not exists (select from jsonb_each(fold) as f join jsonb_each(row_value) as r using (key)
                      where f.value::text <> r.value::text
                        and (jsonb_typeof(f.value) = jsonb_typeof(r.value)
                             or f.value #>> '{}' is distinct from r.value #>> '{}'))
$$;

comment on function domain_events._differs_by_columns(jsonb, jsonb) is
  'True when all that both values have is the same, and only the columns are others';

create function domain_events.check_rows(
  target regclass, max_rows int default null, after text default null,
  out code text, out aggregate_id text, out detail text, out next text
) returns setof record
language plpgsql stable
set search_path = pg_catalog, pg_temp set row_security = off set synchronize_seqscans = off
set timezone = 'UTC' set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set bytea_output = 'hex'
set extra_float_digits = 1 set lc_monetary = 'C' set quote_all_identifiers = off
as $$
#variable_conflict use_column
declare
  expressions record;
  leaf record;
  one record;
  fold jsonb;
  looked_at int := 0;
  first_leaf oid := case when after like 'rows %' then split_part(after, ' ', 2)::oid else 0 end;
  first_place tid := case when after like 'rows %' then split_part(after, ' ', 3)::tid else '(0,0)' end;
  first_stream text := case when after like 'streams %' then substr(after, 9) else '' end;
begin
  perform domain_events._check_target(target);
  if max_rows < 1 then
    raise exception 'max_rows must be positive, not %', max_rows
      using errcode = '22023', hint = 'Leave it out for all rows at once.';
  elsif after !~ E'^(rows [0-9]+ \\([0-9]+,[0-9]+\\)|streams .*)$' then
    raise exception 'after "%" is no place to go on from', after
      using errcode = '22023', hint = 'Give what the call before returned in its last row, in column next.';
  end if;
  select * into strict expressions from domain_events._row_expressions(target);

  if after is null or after like 'rows %' then
    for leaf in
      select t.relid from (select p.relid::oid from pg_partition_tree(target) as p where p.isleaf
                                  union select target::oid) as t
        join pg_class c on c.oid = t.relid and c.relkind = 'r'
       where t.relid >= first_leaf order by t.relid
    loop
      for one in execute format(
        'select new.ctid as place, domain_events._short_id(%s) as id, %s as value from only %s as new where new.ctid > '
        '%L::tid%s',
        expressions.id, expressions.row_value, leaf.relid::regclass,
        case when leaf.relid = first_leaf then first_place else '(0,0)' end,
        coalesce(' limit ' || (max_rows - looked_at), ''))
      loop
        looked_at := looked_at + 1;
        if one.id is null then
          code := 'row_unknown';
          detail := 'a column of its aggregate id is null';
        else
          fold := domain_events.fold_stream(expressions.aggregate_type, one.id);
          code := case when fold is null then 'row_unknown'
                       when fold::text = one.value::text or not expressions.is_one_row then null
                       when domain_events._differs_by_columns(fold, one.value) then 'row_outdated'
                       else 'row_differs' end;
          detail := case code when 'row_outdated'
                           then 'the columns of the table changed after its last event, '
                                'and its next event will tell it whole'
                              when 'row_unknown' then 'the table has the row, and its stream has none: '
                                                      'it came unseen, or its first event is yet to come, '
                                                      'as its next event will tell'
                              else format('it is not what its stream says in %s: it changed unseen, '
                                          'and its next event will tell it whole',
                                            (select string_agg(quote_ident(k), ', ' order by k)
                                             from (select jsonb_object_keys(fold || one.value) as k) as keys
                                            where (fold -> k)::text is distinct from (one.value -> k)::text)) end;
        end if;
        if code is not null then
          aggregate_id := one.id;
          return next;
        end if;
        if looked_at = max_rows then
          code := null; aggregate_id := null; detail := null;
          next := format('rows %s %s', leaf.relid, one.place);
          return next;
          return;
        end if;
      end loop;
    end loop;
  end if;

  -- Streams that say they have a row. Where several tables have the type, it may be another one's.
  if not expressions.shares_type then
    for one in execute format(
      'with recursive stream(id) as (
         (select min(e.aggregate_id) from domain_events.events e where e.aggregate_type = $1 and e.aggregate_id > $2)
         union all
         select (select min(e.aggregate_id) from domain_events.events e
                  where e.aggregate_type = $1 and e.aggregate_id > stream.id)
           from stream where stream.id is not null
       ), batch as materialized (select id from stream where id is not null%s)
       select b.id, not exists (select from %s as new where domain_events._short_id(%s) = b.id) as is_gone
         from batch b order by b.id collate "C"',
      coalesce(' limit ' || (max_rows - looked_at), ''),
      case when (select c.relkind from pg_class c where c.oid = target) = 'p' then target::text
           else 'only ' || target::text end, expressions.id)
      using expressions.aggregate_type, first_stream
    loop
      looked_at := looked_at + 1;
      if one.is_gone and domain_events.fold_stream(expressions.aggregate_type, one.id) is not null then
        code := 'row_gone';
        aggregate_id := one.id;
        detail := 'its stream has a row, and the table has none: it went unseen, and the next row with its key will '
                  'replace it';
        return next;
      end if;
      if looked_at = max_rows then
        code := null; aggregate_id := null; detail := null;
        next := 'streams ' || one.id;
        return next;
        return;
      end if;
    end loop;
  end if;
end
$$;

comment on function domain_events.check_rows(regclass, int, text) is
  'Compares the rows of a captured table with what their streams say, one row per finding: '
  'row_unknown, row_differs, row_gone, and row_outdated where only the table''s columns have changed since. '
  'With max_rows it looks at so many rows or streams and ends with a row that has no code: '
  'its column next is where the next call goes on (after). Runs with the rights of its caller, who owns the table.';
