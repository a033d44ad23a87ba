-- A legacy application's database: users, an event log that the application reads, and a trigger that writes to it with the
-- version hardcoded. The log's unique key turns the second update of any user into an error of the user's own write.

create table users (
  id           bigint generated always as identity primary key,
  name         text not null,
  email        text not null unique,
  status       text not null default 'active',
  login_count  int not null default 0,
  last_login   timestamptz,
  updated_at   timestamptz not null default now()
);

create table domain_events (
  id                 bigint generated always as identity primary key,
  event_id           uuid not null default gen_random_uuid() unique,
  aggregate_type     varchar(100) not null,
  aggregate_id       varchar(100) not null,
  aggregate_version  bigint not null,
  event_type         varchar(255) not null,
  event_name         varchar(255),
  event_data         jsonb not null,
  caused_by_user_id  bigint,
  occurred_at        timestamptz not null default now(),
  is_processed       boolean not null default false,
  constraint uk_aggregate_version unique (aggregate_type, aggregate_id, aggregate_version)
);

create function log_user_changes() returns trigger
language plpgsql
as $$
begin
  insert into domain_events (
    aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, caused_by_user_id, occurred_at
  ) values (
    'User', new.id, 1, 'UserUpdated', 'User profile updated',   -- always version 1
    jsonb_build_object(
      'old_values', jsonb_build_object('name', old.name, 'email', old.email, 'status', old.status, 'login_count', old.login_count),
      'new_values', jsonb_build_object('name', new.name, 'email', new.email, 'status', new.status, 'login_count', new.login_count)),
    new.id, now()
  );
  return new;
end
$$;

create trigger log_user_changes
  after update on users
  for each row execute function log_user_changes();

-- Some thousand rows. Every second user has been updated once, and so has used up the only version there is.
insert into users (name, email)
select 'User ' || i, 'user' || i || '@example.com' from generate_series(1, 5000) i;

update users set login_count = 1, last_login = now() where id % 2 = 0;
