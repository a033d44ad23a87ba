-- The legacy application of the demonstration as it is in MySQL: users, an event log, the function and the trigger that were
-- written for it. The trigger has the version hardcoded; the function would count, but was never put to use.

create table users (
  id            bigint unsigned not null auto_increment primary key,
  name          varchar(255) not null,
  email         varchar(190) not null,
  status        enum('active','suspended') not null default 'active',
  login_count   int unsigned not null default 0,
  last_login_at timestamp null default null,
  created_at    timestamp not null default current_timestamp,
  updated_at    timestamp not null default current_timestamp on update current_timestamp,
  unique key users_email_unique (email)
) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_unicode_ci;

create table domain_events (
  id                  bigint unsigned not null auto_increment primary key,
  event_id            char(36) not null,
  aggregate_type      varchar(100) not null,
  aggregate_id        varchar(100) not null,
  aggregate_version   bigint unsigned not null,
  event_type          varchar(150) not null,
  event_name          varchar(200) not null,
  event_data          json not null,
  event_metadata      json null,
  caused_by_user_id   bigint unsigned null,
  correlation_id      varchar(100) null,
  causation_id        varchar(100) null,
  occurred_at         timestamp not null default current_timestamp,
  recorded_at         timestamp not null default current_timestamp,
  is_processed        tinyint(1) not null default 0,
  processed_at        timestamp null default null,
  processing_error    text null,
  processing_attempts int unsigned not null default 0,
  unique key domain_events_event_id_unique (event_id),
  unique key uk_aggregate_version (aggregate_type, aggregate_id, aggregate_version),
  key domain_events_is_processed_index (is_processed, occurred_at),
  constraint domain_events_caused_by_foreign foreign key (caused_by_user_id) references users (id) on delete set null
) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_unicode_ci;

delimiter $$
create function GetNextAggregateVersion(p_aggregate_type varchar(100), p_aggregate_id varchar(100))
returns bigint unsigned
reads sql data
deterministic
begin
  declare next_version bigint unsigned default 1;
  select coalesce(max(aggregate_version), 0) + 1 into next_version
    from domain_events
   where aggregate_type = p_aggregate_type and aggregate_id = p_aggregate_id;
  return next_version;
end$$

create trigger log_user_changes after update on users
for each row
begin
  insert into domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data,
                             caused_by_user_id, occurred_at)
  values (uuid(), "User", new.id, 1, "UserUpdated", "User profile updated",
          json_object('old_values', json_object('name', old.name, 'email', old.email, 'status', old.status, 'login_count', old.login_count),
                      'new_values', json_object('name', new.name, 'email', new.email, 'status', new.status, 'login_count', new.login_count)),
          new.id, now());
end$$
delimiter ;

insert into users (name, email) values
  ('Ada Lovelace', 'ada@example.com'), ('Grace Hopper', 'grace@example.com'), ('Edsger Dijkstra', 'edsger@example.com'),
  ('Barbara Liskov', 'barbara@example.com'), ('Zoë O''Neill', 'zoe@example.com');

-- Every user but one has used up the only version there is; two were "repaired" by hand, with what came to mind.
update users set login_count = 1, last_login_at = now() where id <> 3;
insert into domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, caused_by_user_id)
values (uuid(), 'User', '4', 4, 'UserUpdated', 'User profile updated', '{"fixed": "by hand"}', 4),
       (uuid(), 'User', '2', 20, 'UserUpdated', 'User profile updated', '{"fixed": "by hand"}', 2),
       (uuid(), 'User', '4', 3, 'UserUpdated', 'User profile updated', '{"fixed": "by hand, again"}', 4);
