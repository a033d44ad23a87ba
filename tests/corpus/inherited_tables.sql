-- Tables by INHERITS: each has a trigger of its own, with one function.
-- must: port
-- source: literal literal
-- change: update vehicles set wheels = wheels + 1
create table vehicles (id int primary key, wheels int not null);
create table trucks (load numeric, primary key (id)) inherits (vehicles);
create table vehicle_events (vehicle_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (vehicle_id, version));
create function vehicle_changed() returns trigger language plpgsql as $$
begin
  insert into vehicle_events (vehicle_id, version, event_type, data) values (new.id, 1, initcap(tg_table_name) || 'Changed', to_jsonb(new));
  return null;
end $$;
create trigger vehicle_changed after update on vehicles for each row execute function vehicle_changed();
create trigger vehicle_changed after update on trucks for each row execute function vehicle_changed();
insert into vehicles values (1, 4);
insert into trucks values (2, 6, 7.5);
