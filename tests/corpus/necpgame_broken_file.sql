-- As it was committed: a column twice, an index inside CREATE TABLE, a comma missing. What can be read is judged all the same.
-- must: port refuse
-- source: literal literal dynamic dynamic dynamic
-- offline
create table world_state (id uuid primary key, state_key varchar(100) not null, state_key varchar(100), state_value jsonb not null);
create table world_events (
  id uuid primary key default gen_random_uuid(), world_id uuid not null, event_version integer not null default 1, event_type varchar(50) not null,
  event_data jsonb not null, created_at timestamptz not null default now(),
  unique (world_id, event_version));
create table world_snapshots (id uuid primary key, world_id uuid not null, taken_at timestamptz not null, index idx_world (world_id));
create table broken (id int primary key
  name text not null);
comment on column world_events.event_version is 'Version of the aggregate''s stream';
create function on_world() returns trigger as $$
begin
  insert into world_events (world_id, event_type, event_data) values (new.id, 'WORLD_CHANGED', to_jsonb(new));
  return new;
end;
$$ language plpgsql;
create trigger on_world after update on world_state for each row execute procedure on_world();
create trigger on_nothing after update on no_such_table for each row execute procedure on_world();
insert into world_state values ('oops);
create trigger second after insert on world_state for each row execute procedure not_in_the_file();
