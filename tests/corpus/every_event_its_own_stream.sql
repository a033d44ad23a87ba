-- A literal 1 that is right.
-- must: ignore
-- source: literal
create table readings (id serial primary key, celsius numeric);
create table facts (stream_id uuid not null, version int not null, event_type text not null, data jsonb not null, at timestamptz default now(), unique (stream_id, version));
create function sensed() returns trigger language plpgsql as $$
begin
  insert into facts (stream_id, version, event_type, data) values (gen_random_uuid(), 1, 'SensorRead', to_jsonb(new));
  return null;
end $$;
create trigger sensed after insert on readings for each row execute function sensed();
