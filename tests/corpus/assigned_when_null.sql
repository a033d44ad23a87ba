-- The event table's trigger has a WHEN: it speaks only where the statement says nothing. One writer gives a number of its own.
-- must: port
-- source: assigned_on_event_table literal
-- change: update boats set name = name || 'x'; update boats set berth = berth + 1
create table boats (id int primary key, name text not null, berth int not null);
create table boat_events (boat_id int not null, version int, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (boat_id, version));
create function assign_boat_version() returns trigger language plpgsql as $$
begin
  new.version := coalesce((select max(e.version) from boat_events e where e.boat_id = new.boat_id), 0) + 1;
  return new;
end $$;
create trigger assign_boat_version before insert on boat_events for each row when (new.version is null) execute function assign_boat_version();
create function boat_renamed() returns trigger language plpgsql as $$
begin
  insert into boat_events (boat_id, event_type, data) values (new.id, 'BoatRenamed', jsonb_build_object('name', new.name));
  return null;
end $$;
create function boat_moved() returns trigger language plpgsql as $$
begin
  insert into boat_events (boat_id, version, event_type, data) values (new.id, 1, 'BoatMoved', jsonb_build_object('berth', new.berth));
  return null;
end $$;
create trigger renamed after update of name on boats for each row execute function boat_renamed();
create trigger moved after update of berth on boats for each row execute function boat_moved();
insert into boats values (1, 'a', 1), (2, 'b', 2);
