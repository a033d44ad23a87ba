-- A message store in a schema of its own: the application calls append(), whose helpers take the lock and read the newest position.
-- Nothing in it says where the table is; whoever calls it has the schema in the search_path.
-- must: ignore
-- source: max_plus_one_locked
create schema letters;
create table letters.messages (global_position bigserial primary key, stream_name text not null, position bigint not null, type text not null, data jsonb, time timestamptz not null default now(), unique (stream_name, position));
create function letters.newest(wanted text) returns bigint language plpgsql as $$
declare v bigint;
begin
  select max(position) into v from messages where messages.stream_name = wanted;
  return v;
end $$;
create function letters.hold(wanted text) returns bigint language plpgsql as $$
begin
  perform pg_advisory_xact_lock(hashtext(wanted));
  return 1;
end $$;
create function letters.append(wanted text, "type" text, data jsonb) returns bigint language plpgsql as $$
declare v bigint; p bigint;
begin
  perform hold(append.wanted);
  v := newest(append.wanted);
  if v is null then v := -1; end if;
  p := v + 1;
  insert into messages (stream_name, position, type, data) values (append.wanted, p, append.type, append.data);
  return p;
end $$;
