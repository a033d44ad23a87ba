-- Triggers that fire for replicated rows too: a shim does not, so that a person has to decide.
-- must: refuse
-- source: literal literal
create table nodes (id int primary key, up boolean);
create table node_events (node_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (node_id, version));
create function node_changed() returns trigger language plpgsql as $$
begin
  insert into node_events (node_id, version, event_type, data) values (new.id, 1, 'NodeChanged', to_jsonb(new));
  return null;
end $$;
create trigger always_on after update on nodes for each row execute function node_changed();
create trigger on_replica after insert on nodes for each row execute function node_changed();
alter table nodes enable always trigger always_on;
alter table nodes enable replica trigger on_replica;
