-- The events are written through a view of the event table.
-- must: refuse
-- source: dynamic
create table kites (id int primary key, colour text not null);
create table kite_events_v1 (kite_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (kite_id, version));
create view kite_events as select kite_id, version, event_type, data, at from kite_events_v1;
create function kite_changed() returns trigger language plpgsql as $$
begin
  insert into kite_events (kite_id, version, event_type, data) values (new.id, 1, 'KitePainted', to_jsonb(new));
  return null;
end $$;
create trigger kite_changed after update on kites for each row execute function kite_changed();
