-- The second try of the first seed: a helper with max()+1 and an insert that gives way in silence.
-- must: port
-- source: max_plus_one
-- change: update users set login_count = login_count + 1
create table users (id bigserial primary key, name text not null, email text not null unique, login_count int not null default 0, last_login_at timestamptz);
create table domain_events (
  id bigserial primary key, event_id uuid not null default gen_random_uuid(), aggregate_type varchar(100) not null, aggregate_id varchar(100) not null,
  aggregate_version bigint not null, event_type varchar(150) not null, event_name varchar(200) not null, event_data jsonb not null, event_metadata jsonb,
  caused_by_user_id bigint references users on delete set null, correlation_id varchar(100), causation_id varchar(100),
  occurred_at timestamptz not null default now(), recorded_at timestamptz not null default now(), is_processed boolean not null default false,
  processed_at timestamptz, processing_error text, processing_attempts int not null default 0,
  constraint uk_aggregate_version unique (aggregate_type, aggregate_id, aggregate_version), unique (event_id));
create function get_next_aggregate_version(p_aggregate_type varchar, p_aggregate_id varchar) returns bigint language plpgsql as $$
declare next_version bigint default 1;
begin
  select coalesce(max(aggregate_version), 0) + 1 into next_version from domain_events
   where aggregate_type = p_aggregate_type and aggregate_id = p_aggregate_id;
  return next_version;
end $$;
create function log_user_changes() returns trigger language plpgsql as $$
begin
  insert into domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, caused_by_user_id, occurred_at)
  values (gen_random_uuid(), 'User', new.id, get_next_aggregate_version('User', new.id::varchar), 'UserUpdated', 'User profile updated',
    jsonb_build_object('old_values', jsonb_build_object('name', old.name, 'login_count', old.login_count),
      'new_values', jsonb_build_object('name', new.name, 'login_count', new.login_count),
      'changed_fields', jsonb_build_array(case when old.name <> new.name then 'name' end, case when old.last_login_at <> new.last_login_at then 'last_login_at' end)),
    new.id, now())
  on conflict do nothing;
  return new;
end $$;
create trigger log_user_changes after update on users for each row execute function log_user_changes();
insert into users (name, email) select 'u' || i, 'u' || i || '@example.org' from generate_series(1, 30) i;
