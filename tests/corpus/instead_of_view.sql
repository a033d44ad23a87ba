-- An INSTEAD OF trigger of a view writes the table and the event.
-- unverified: a view is not copied
-- must: port
-- source: literal
-- change: update people set name = name || 'x'
create table people_rows (id int primary key, first text not null, last text not null);
create view people as select id, first || ' ' || last as name from people_rows;
create table people_events (person_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (person_id, version));
create function people_update() returns trigger language plpgsql as $$
begin
  update people_rows set last = new.name where id = new.id;
  insert into people_events (person_id, version, event_type, data) values (new.id, 1, 'PersonRenamed', jsonb_build_object('name', new.name));
  return new;
end $$;
create trigger people_update instead of update on people for each row execute function people_update();
insert into people_rows values (1, 'a', 'b'), (2, 'c', 'd');
