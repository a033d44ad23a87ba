-- The row's own counter, plus one; the xmin of the row; the length of its history. Each means something to a reader.
-- must: refuse
-- source: copied_from_row copied_from_row
create table notes (id int primary key, body text, revision int not null default 0, history jsonb not null default '[]');
create table note_events (note_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (note_id, version));
create function note_changed() returns trigger language plpgsql as $$
declare v int := old.revision;
begin
  insert into note_events (note_id, version, event_type, data) values (new.id, v + 1, 'NoteChanged', to_jsonb(new));
  return new;
end $$;
create function note_grown() returns trigger language plpgsql as $$
begin
  insert into note_events (note_id, version, event_type, data) values (new.id, jsonb_array_length(new.history) + 1, 'NoteGrown', to_jsonb(new));
  return new;
end $$;
create trigger changed after update of body on notes for each row execute function note_changed();
create trigger grown after update of history on notes for each row execute function note_grown();
