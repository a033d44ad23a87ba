-- The column's default calls a function that counts the stream of a session setting: the INSERT shows no version at all.
-- must: port
-- source: max_plus_one
-- change: update rooms set name = name || 'x'
create table rooms (id int primary key, name text);
create table room_events (room_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (room_id, version));
create function next_room_version() returns int language plpgsql as $$
begin
  return (select count(*) + 1 from room_events where room_id = nullif(current_setting('app.room', true), '')::int);
end $$;
alter table room_events alter column version set default next_room_version();
create function room_changed() returns trigger language plpgsql as $$
begin
  perform set_config('app.room', new.id::text, true);
  insert into room_events (room_id, event_type, data) values (new.id, 'RoomRenamed', to_jsonb(new));
  return null;
end $$;
create trigger room_changed after update on rooms for each row execute function room_changed();
insert into rooms values (1, 'a'), (2, 'b');
