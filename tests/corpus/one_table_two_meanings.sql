-- Two functions write one table: a literal, and the row's own revision that readers join on. A shim would renumber both.
-- must: refuse
-- source: literal copied_from_row
create table maps (id int primary key, name text, revision int not null default 0);
create table map_events (map_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (map_id, version));
create function map_drawn() returns trigger language plpgsql as $$
begin
  insert into map_events (map_id, version, event_type, data) values (new.id, 1, 'MapDrawn', to_jsonb(new));
  return null;
end $$;
create function map_revised() returns trigger language plpgsql as $$
begin
  insert into map_events (map_id, version, event_type, data) values (new.id, new.revision, 'MapRevised', to_jsonb(new));
  return null;
end $$;
create trigger drawn after insert on maps for each row execute function map_drawn();
create trigger revised after update on maps for each row execute function map_revised();
