-- One number for all streams, unique by itself: a position in the log, not a version.
-- must: ignore
-- source: none
create table taps (id int primary key, open boolean);
create table tap_events (position bigint primary key, tap_id int not null, event_type text not null, data jsonb not null, at timestamptz not null default now());
create function tap_changed() returns trigger language plpgsql as $$
begin
  insert into tap_events (position, tap_id, event_type, data) values ((select coalesce(max(position), 0) + 1 from tap_events), new.id, 'TapTurned', to_jsonb(new));
  return null;
end $$;
create trigger tap_changed after update on taps for each row execute function tap_changed();
