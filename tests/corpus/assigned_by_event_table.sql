-- The event table assigns the version itself, under no lock.
-- must: port
-- source: assigned_on_event_table
-- change: update items set name = coalesce(name, '') || 'x'
create table items (id int primary key, name text);
create table item_events (id bigserial primary key, item_id int not null, version int, event_type text not null, data jsonb not null, at timestamptz default now(), unique (item_id, version));
create function assign_version() returns trigger language plpgsql as $$
begin
  if new.version is null then
    select coalesce(max(version), 0) + 1 into new.version from item_events where item_id = new.item_id;
  end if;
  return new;
end $$;
create trigger assign_version before insert on item_events for each row execute function assign_version();
create function item_changed() returns trigger language plpgsql as $$
begin
  insert into item_events (item_id, event_type, data) values (coalesce(new.id, old.id), 'ItemChanged', jsonb_build_object('op', tg_op));
  return null;
end $$;
create trigger item_changed after insert or update or delete on items for each row execute function item_changed();
insert into items values (1, 'a'), (2, 'b');
