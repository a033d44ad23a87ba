-- event_version is the stream version because its comment says so; without a unique key a constant alone does not tell, so a shim is for a person to choose.
-- must: refuse
-- source: literal
create table global_state (id uuid primary key default gen_random_uuid(), state_key text not null, state_value jsonb);
create table global_state_events (
  id uuid primary key default gen_random_uuid(), aggregate_id uuid not null, event_type varchar(100) not null, event_version integer not null default 1,
  event_data jsonb not null, created_at timestamptz not null default now());
comment on column global_state_events.event_version is 'Version of the aggregate after this event';
create function on_state() returns trigger language plpgsql as $$
begin
  insert into global_state_events (aggregate_id, event_type, event_data) values (new.id, 'GlobalStateChanged', to_jsonb(new));
  return new;
end $$;
create trigger on_state after insert or update on global_state for each row execute function on_state();
