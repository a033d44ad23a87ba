-- Versions in a smallint column, given as a text.
-- must: port
-- source: literal
-- change: update wires set length = length + 1
create table wires (id int primary key, length int not null);
create table wire_events_s (wire_id int not null, version smallint not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (wire_id, version));
create function wire_changed() returns trigger language plpgsql as $$
begin
  insert into wire_events_s (wire_id, version, event_type, data) values (new.id, '1', 'WireCut', to_jsonb(new));
  return null;
end $$;
create trigger wire_changed after update on wires for each row execute function wire_changed();
insert into wires values (1, 5), (2, 6);
