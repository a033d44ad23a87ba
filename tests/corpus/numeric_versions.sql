-- Versions in numeric columns, with and without a fraction: the store counts whole numbers of an integer type.
-- must: refuse
-- source: literal literal
create table wires (id int primary key, length int not null);
create table wire_events_n (wire_id int not null, version numeric not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (wire_id, version));
create table wire_events_z (wire_id int not null, version numeric(10, 0) not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (wire_id, version));
create function wire_changed() returns trigger language plpgsql as $$
begin
  insert into wire_events_n (wire_id, version, event_type, data) values (new.id, 1, 'WireCut', to_jsonb(new));
  insert into wire_events_z (wire_id, version, event_type, data) values (new.id, 1.0, 'WireCut', to_jsonb(new));
  return null;
end $$;
create trigger wire_changed after update on wires for each row execute function wire_changed();
insert into wires values (1, 5), (2, 6);
