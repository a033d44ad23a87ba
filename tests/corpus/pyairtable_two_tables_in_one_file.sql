-- event_store and domain_events side by side, each without the type in its key, one with a version nobody counts.
-- must: port
-- source: literal none
-- change: update app_users set email = email || 'x'
create table app_users (id uuid primary key default gen_random_uuid(), email varchar(255) not null, is_active boolean not null default true);
create table event_store (id uuid primary key default gen_random_uuid(), aggregate_id uuid not null, aggregate_type varchar(100) not null, event_type varchar(100) not null, event_data jsonb not null, metadata jsonb default '{}', version integer not null, created_at timestamptz default current_timestamp,
  constraint unique_aggregate_version unique (aggregate_id, version));
create table domain_events (id uuid primary key default gen_random_uuid(), event_id uuid not null unique default gen_random_uuid(), event_type varchar(100) not null, aggregate_id uuid not null, payload jsonb not null, published boolean default false, occurred_at timestamptz default current_timestamp);
create function user_event() returns trigger language plpgsql as $$
begin
  insert into event_store (aggregate_id, aggregate_type, event_type, event_data, version) values (new.id, 'user', 'user.updated', to_jsonb(new), 1);
  insert into domain_events (event_type, aggregate_id, payload) values ('user.updated', new.id, to_jsonb(new));
  return new;
end $$;
create trigger user_event after update on app_users for each row execute function user_event();
insert into app_users (email) values ('a@example.org'), ('b@example.org');
