-- Reading streams.

create function domain_events.read_stream(
  aggregate_type text, aggregate_id text, from_version bigint default 1, to_version bigint default null,
  max_count bigint default null, backwards boolean default false
) returns setof domain_events.events
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  perform domain_events._check_read(read_stream.aggregate_type, read_stream.aggregate_id);
  if from_version is null then
    raise exception 'from_version must not be null'
      using errcode = '22004', hint = 'Leave it out to read from the first version.';
  elsif from_version < 1 or to_version < from_version or max_count < 0 then
    raise exception 'versions % to %, at most % events: not a range', from_version, to_version, max_count
      using errcode = '22023', hint = 'from_version is at least 1, to_version not below it, max_count not negative.';
  end if;
  if backwards then
    return query
      select * from domain_events.events e
       where e.aggregate_type = read_stream.aggregate_type and e.aggregate_id = read_stream.aggregate_id
         and e.aggregate_version >= from_version and (to_version is null or e.aggregate_version <= to_version)
       order by e.aggregate_version desc
       limit max_count;
  else
    return query
      select * from domain_events.events e
       where e.aggregate_type = read_stream.aggregate_type and e.aggregate_id = read_stream.aggregate_id
         and e.aggregate_version >= from_version and (to_version is null or e.aggregate_version <= to_version)
       order by e.aggregate_version
       limit max_count;
  end if;
end
$$;

comment on function domain_events.read_stream(text, text, bigint, bigint, bigint, boolean) is
  'The events of one stream in the order of their versions, or the newest first; no row for an unknown stream. '
  'Raises 22004 and 22023 for a bad stream or range.';

create function domain_events.read_streams(streams jsonb, max_count bigint default null)
  returns setof domain_events.events
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  asked record;
begin
  if streams is null then
    raise exception 'streams must not be null'
      using errcode = '22004', hint = 'For example [{"aggregate_type": "User", "aggregate_id": "1"}].';
  elsif jsonb_typeof(streams) <> 'array'
     or exists (select from jsonb_array_elements(streams) as x
                 where jsonb_typeof(x) <> 'object'
                    or exists (select from jsonb_each(x) as k(name, value)
                                where case when k.name in ('aggregate_type', 'aggregate_id')
                                           then jsonb_typeof(k.value) <> 'string'
                                           when k.name in ('from_version', 'to_version')
                                           then jsonb_typeof(k.value) not in ('number', 'null')
                                                or k.value::text !~ '^([0-9]{1,18}|null)$'
                                           else true end)) then
    raise exception 'streams must be a JSON array of {aggregate_type, aggregate_id, from_version, to_version}'
      using errcode = '22023',
            hint = 'For example [{"aggregate_type": "User", "aggregate_id": "1", "from_version": 4}].';
  elsif max_count < 0 then
    raise exception 'max_count must not be negative, but is %', max_count
      using errcode = '22023', hint = 'Leave it out to read all events of these streams.';
  end if;
  for asked in
    select s.* from jsonb_to_recordset(streams) as s(aggregate_type text, aggregate_id text, from_version bigint,
                                                     to_version bigint)
  loop
    perform domain_events._check_read(asked.aggregate_type, asked.aggregate_id);
    if coalesce(asked.from_version, 1) < 1 or asked.to_version < coalesce(asked.from_version, 1) then
      raise exception 'versions % to % of stream (%, %): not a range', coalesce(asked.from_version, 1),
            asked.to_version, asked.aggregate_type, asked.aggregate_id
        using errcode = '22023', hint = 'from_version is at least 1, and to_version not below it.';
    end if;
  end loop;
  return query
    select e.*
      from jsonb_array_elements(streams) with ordinality as s(stream, ordinality)
     cross join lateral (
       select e.* from domain_events.events e
        where e.aggregate_type = s.stream ->> 'aggregate_type' and e.aggregate_id = s.stream ->> 'aggregate_id'
          and e.aggregate_version >= coalesce((s.stream ->> 'from_version')::bigint, 1)
          and e.aggregate_version <= coalesce((s.stream ->> 'to_version')::bigint, 9223372036854775807)
        order by e.aggregate_version) as e
     order by s.ordinality, e.aggregate_version
     limit max_count;
end
$$;

comment on function domain_events.read_streams(jsonb, bigint) is
  'The events of several streams, [{aggregate_type, aggregate_id, from_version, to_version}], stream after stream in '
  'the order given; no row for an unknown one. Raises 22004 and 22023 for bad arguments.';
