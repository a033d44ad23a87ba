-- Unique, but partial, or checked only at commit, or over an expression: none of them keeps a stream, so a shim does until the data is repaired and the key is added.
-- must: port
-- change: insert into tanks values (1, 5), (2, 7) on conflict (id) do update set level = tanks.level + 1
-- source: max_plus_one max_plus_one max_plus_one
create table tanks (id int primary key, level int);
create table tank_events_p (tank_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now());
create unique index on tank_events_p (tank_id, version) where event_type <> 'Noise';
create table tank_events_d (tank_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (tank_id, version) deferrable initially deferred);
create table tank_events_x (tank_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now());
create unique index on tank_events_x ((tank_id::text), version);
create function tank_changed() returns trigger language plpgsql as $$
begin
  insert into tank_events_p (tank_id, version, event_type, data) values (new.id, (select coalesce(max(version), 0) + 1 from tank_events_p where tank_id = new.id), 'TankFilled', to_jsonb(new));
  insert into tank_events_d (tank_id, version, event_type, data) values (new.id, (select coalesce(max(version), 0) + 1 from tank_events_d where tank_id = new.id), 'TankFilled', to_jsonb(new));
  insert into tank_events_x (tank_id, version, event_type, data) values (new.id, (select coalesce(max(version), 0) + 1 from tank_events_x where tank_id = new.id), 'TankFilled', to_jsonb(new));
  return null;
end $$;
create trigger tank_changed after update on tanks for each row execute function tank_changed();
