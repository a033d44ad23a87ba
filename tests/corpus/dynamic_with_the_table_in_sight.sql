-- EXECUTE format() with constants for every name: the table can be seen, the replay cannot follow it.
-- unverified: EXECUTE is not replayed on copies
-- must: port
-- source: literal
-- change: update flags set up = not up
create table flags (id int primary key, up boolean not null);
create table flag_events (flag_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (flag_id, version));
create function flag_changed() returns trigger language plpgsql as $$
begin
  execute format('insert into %I.%I (flag_id, version, event_type, data) values ($1, 1, %L, $2)', 'public', 'flag_events', 'FlagTurned') using new.id, to_jsonb(new);
  return null;
end $$;
create trigger flag_changed after update on flags for each row execute function flag_changed();
insert into flags values (1, true), (2, false);
