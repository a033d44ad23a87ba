-- Reading one stream.

create function domain_events.read_stream(
  aggregate_type text, aggregate_id text, from_version bigint default 1, to_version bigint default null,
  max_count bigint default null
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
  return query
    select * from domain_events.events e
     where e.aggregate_type = read_stream.aggregate_type and e.aggregate_id = read_stream.aggregate_id
       and e.aggregate_version >= from_version and (to_version is null or e.aggregate_version <= to_version)
     order by e.aggregate_version
     limit max_count;
end
$$;

comment on function domain_events.read_stream(text, text, bigint, bigint, bigint) is
  'The events of one stream in version order; no row for an unknown stream. '
  'Raises 22004 and 22023 for a bad stream or range.';
