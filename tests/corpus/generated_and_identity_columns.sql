-- Generated columns in the source, identities on both sides, one GENERATED ALWAYS.
-- must: port
-- source: literal
-- change: update boxes set width = width + 1
create table boxes (id int generated always as identity primary key, width int not null, height int not null, area int generated always as (width * height) stored);
create table box_events (seq bigint generated always as identity primary key, box_id int not null, version int not null, event_type text not null, data jsonb not null, kind text generated always as (event_type || '!') stored, at timestamptz not null default now(), unique (box_id, version));
create function box_changed() returns trigger language plpgsql as $$
begin
  insert into box_events (box_id, version, event_type, data) values (new.id, 1, 'BoxResized', jsonb_build_object('area', new.area));
  return null;
end $$;
create trigger box_changed after insert or update on boxes for each row execute function box_changed();
insert into boxes (width, height) values (1, 2), (3, 4);
