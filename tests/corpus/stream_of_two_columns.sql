-- The stream is a tenant and an id, both taken from the row: no type, but two columns before the version.
-- must: port
-- source: literal
-- change: update doors set open = not open
create table doors (tenant int not null, id int not null, open boolean not null, primary key (tenant, id));
create table door_events (tenant_id int not null, door_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (tenant_id, door_id, version));
create function door_changed() returns trigger language plpgsql as $$
begin
  insert into door_events (tenant_id, door_id, version, event_type, data) values (new.tenant, new.id, 1, 'DoorMoved', to_jsonb(new));
  return null;
end $$;
create trigger door_changed after update on doors for each row execute function door_changed();
insert into doors values (1, 1, true), (1, 2, false), (2, 1, true);
