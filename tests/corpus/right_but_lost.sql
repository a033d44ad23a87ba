-- max()+1 under a lock is right, but ON CONFLICT DO NOTHING would hide it if a writer forgets the lock.
-- must: port
-- source: max_plus_one_locked
-- change: update gears set teeth = teeth + 1
create table gears (id int primary key, teeth int not null);
create table gear_events (gear_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (gear_id, version));
create function gear_changed() returns trigger language plpgsql as $$
declare v int;
begin
  perform pg_advisory_xact_lock(hashtextextended('gear' || new.id, 0));
  v := (select coalesce(max(e.version), 0) + 1 from gear_events e where e.gear_id = new.id);
  insert into gear_events (gear_id, version, event_type, data) values (new.id, v, 'GearCut', to_jsonb(new)) on conflict (gear_id, version) do nothing;
  return null;
end $$;
create trigger gear_changed after update on gears for each row execute function gear_changed();
insert into gears values (1, 12), (2, 18);
