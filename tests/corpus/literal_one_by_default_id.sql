-- Every event is a stream of its own: its id is the column's default, so that version 1 is right.
-- must: ignore
-- source: literal literal
create table hits (id int primary key, path text);
create table hit_events (event_stream uuid not null default gen_random_uuid(), version int not null default 1, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (event_stream, version));
create function hit() returns trigger language plpgsql as $$
begin
  insert into hit_events (event_type, data) values ('PageHit', to_jsonb(new));
  insert into hit_events (event_stream, version, event_type, data) values (default, 1, 'PageSeen', to_jsonb(new));
  return null;
end $$;
create trigger hit after insert on hits for each row execute function hit();
