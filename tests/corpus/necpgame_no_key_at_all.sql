-- A stream version with max()+1 and no unique key: nothing keeps two sessions apart, and nothing shows it. The shim keeps them apart until the key is added.
-- must: port
-- change: insert into player_states (id) values ('00000000-0000-4000-8000-000000000001') on conflict (id) do update set level = player_states.level + 1
-- source: max_plus_one
create table player_states (id uuid primary key default gen_random_uuid(), level int not null default 1, updated_at timestamptz not null default now());
create table player_state_events (id uuid primary key default gen_random_uuid(), player_id uuid not null references player_states on delete cascade, state_version bigint not null, event_type varchar(50) not null, event_data jsonb not null default '{}', created_at timestamptz not null default now());
create index on player_state_events (player_id, state_version);
create function player_state_changed() returns trigger language plpgsql as $$
declare next_version bigint;
begin
  select coalesce(max(state_version), 0) + 1 into next_version from player_state_events where player_id = new.id;
  insert into player_state_events (player_id, state_version, event_type, event_data) values (new.id, next_version, 'PLAYER_STATE_CHANGED', to_jsonb(new));
  return new;
end $$;
create trigger player_state_changed after update on player_states for each row execute function player_state_changed();
