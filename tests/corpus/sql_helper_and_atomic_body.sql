-- Helpers in SQL write the event: one with a text, one in SQL-standard form.
-- must: port
-- source: literal literal
-- change: update wells set depth = depth + 1
create table wells (id int primary key, depth int not null);
create table well_events (well_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (well_id, version));
create function note_depth(int, int) returns void language sql as $$
  insert into well_events (well_id, version, event_type, data) values ($1, 1, 'WellDeepened', jsonb_build_object('depth', $2)) $$;
create function note_check(p_well int) returns void language sql begin atomic
  insert into well_events (well_id, version, event_type, data) values (p_well, 1, 'WellChecked', '{}');
end;
create function well_changed() returns trigger language plpgsql as $$
begin
  perform note_depth(new.id, new.depth);
  perform note_check(new.id);
  return null;
end $$;
create trigger well_changed after update on wells for each row execute function well_changed();
insert into wells values (1, 10);
