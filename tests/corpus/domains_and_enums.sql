-- Domains for ids and versions, enums for types, a composite and an array beside.
-- must: port
-- source: max_plus_one
-- change: update pets set name = name || 'x'
create domain pet_id as uuid;
create domain stream_version as integer check (value > 0);
create type pet_event as enum ('PetNamed', 'PetLost');
create type collar as (colour text, size int);
create table pets (id pet_id primary key default gen_random_uuid(), name text not null, collar collar, tricks text[] not null default '{}');
create table pet_events (pet pet_id not null, version stream_version not null, event_type pet_event not null, data jsonb not null, at timestamptz not null default now(), unique (pet, version));
create function pet_changed() returns trigger language plpgsql as $$
declare v stream_version;
begin
  select coalesce(max(version), 0) + 1 into v from pet_events where pet = new.id;
  insert into pet_events (pet, version, event_type, data) values (new.id, v, 'PetNamed', to_jsonb(new));
  return null;
end $$;
create trigger pet_changed after update on pets for each row execute function pet_changed();
insert into pets (name, collar) values ('rex', '(red,3)'), ('tom', null);
