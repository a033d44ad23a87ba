-- Run once per database before the specs. Events stay, so every permutation writes streams of its own: s('a') is the
-- permutation's stream "a". A sequence is read without a snapshot, so that s() changes nothing about isolation.
-- Numbers depend on the spec alone, so that messages are the same whichever specs are run.
create sequence permutation;
create function permutation(spec text) returns void language plpgsql as $$
declare
  base bigint := (hashtext(spec) & 65535) * 1000;
begin
  if (select last_value / 1000 * 1000 from permutation) = base then
    perform nextval('permutation');
  else
    perform setval('permutation', base + 1);
  end if;
end
$$;
create function s(name text) returns text language sql volatile as $$ select name || '/' || last_value from permutation $$;
create function n() returns int language sql volatile as $$ select last_value::int from permutation $$;

-- A spec's SQL may not hold a closing brace: hence no JSON in the arguments of these.
create function append(name text, expected_version bigint default null, event_id uuid default null, data int default 0)
returns bigint language sql volatile as $$
  select (domain_events.append_event('Spec', s(name), 'Happened', jsonb_build_object('n', data),
                                     expected_version => expected_version, event_id => event_id)).aggregate_version
$$;
create function next(name text) returns bigint language sql volatile as $$
  select domain_events.next_aggregate_version('Spec', s(name))
$$;
-- One call over several streams, in the order given: append_to('x m y'). With a stream that must not exist: append_to('y', 'x').
create function append_to(names text, absent text default null) returns text language sql volatile as $$
  select string_agg(split_part(e.aggregate_id, '/', 1) || e.aggregate_version, ' ' order by e.aggregate_id, e.aggregate_version)
    from domain_events.append_events(
           (select jsonb_agg(jsonb_build_object('aggregate_type', 'Spec', 'aggregate_id', s(x.name), 'event_type', 'Happened') order by x.n)
              from unnest(string_to_array(names, ' ')) with ordinality as x(name, n)),
           case when absent is null then '[]'
                else jsonb_build_array(jsonb_build_object('aggregate_type', 'Spec', 'aggregate_id', s(absent), 'version', 0)) end) as e
$$;
-- An event id of this permutation.
create function id(k int) returns uuid language sql volatile as $$
  select ('01890000-0000-7000-8000-' || lpad(to_hex(n() * 16 + k), 12, '0'))::uuid
$$;
-- So many other streams that the transaction is beyond any bound on locks it may keep.
create function fill() returns bigint language sql volatile as $$
  select count(domain_events.append_event('Fill', n() || ' ' || pg_backend_pid() || ' ' || i, 'Happened')) from generate_series(1, 1100) as i
$$;
-- What is stored of this permutation.
create view stored as
  select split_part(aggregate_id, '/', 1) as stream, count(*) as events, min(aggregate_version) as first, max(aggregate_version) as newest
    from domain_events.events
   where aggregate_type = 'Spec' and split_part(aggregate_id, '/', 2) = n()::text
   group by 1 order by 1;

-- Rows of one order share a stream; a row of "doc" is a stream.
create table item (order_id int, sku text, primary key (order_id, sku));
create table doc (id int primary key, v int not null);
select domain_events.enable_capture('item', aggregate_type => 'Order', aggregate_id => '{order_id}');
select domain_events.enable_capture('doc');
create view captured as
  select aggregate_type, count(*) as events, min(aggregate_version) as first, max(aggregate_version) as newest,
         string_agg(replace(event_type, aggregate_type, ''), ' ' order by aggregate_version) as types,
         domain_events.fold_stream(aggregate_type, min(aggregate_id)) ->> 'v' as v
    from domain_events.events
   where aggregate_type in ('Order', 'Doc') and aggregate_id = n()::text
   group by 1 order by 1;
