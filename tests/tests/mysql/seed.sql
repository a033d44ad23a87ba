create table users (
  id bigint unsigned not null auto_increment primary key,
  name varchar(255) not null,
  email varchar(255) default null,
  last_login_at timestamp null default null,
  login_count int not null default 0,
  is_active tinyint(1) not null default 1,
  balance decimal(10,2) not null default 0
);
create table domain_events (
  id bigint unsigned not null auto_increment primary key,
  event_id char(36) not null,
  aggregate_type varchar(100) not null,
  aggregate_id varchar(100) not null,
  aggregate_version bigint unsigned not null,
  event_type varchar(150) not null,
  event_name varchar(200) default null,
  event_data json not null,
  caused_by_user_id bigint unsigned default null,
  occurred_at timestamp not null default current_timestamp,
  unique key event_id (event_id),
  unique key uk_aggregate_version (aggregate_type, aggregate_id, aggregate_version)
);
delimiter ;;
create function GetNextAggregateVersion(p_aggregate_type varchar(100), p_aggregate_id varchar(100))
returns bigint unsigned
reads sql data
deterministic
begin
  declare next_version bigint unsigned default 1;
  select coalesce(max(aggregate_version), 0) + 1 into next_version
    from domain_events
   where aggregate_type = p_aggregate_type
     and aggregate_id = p_aggregate_id;
  return next_version;
end ;;
create trigger log_user_changes after update on users for each row
begin
  insert ignore into domain_events (
    event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_name, event_data, caused_by_user_id, occurred_at
  ) values (
    uuid(), "User", new.id, GetNextAggregateVersion("User", new.id), "UserUpdated", "User profile updated",
    json_object(
      "old_values", json_object("name", old.name, "email", old.email, "last_login_at", old.last_login_at, "is_active", old.is_active, "balance", old.balance),
      "new_values", json_object("name", new.name, "email", new.email, "last_login_at", new.last_login_at, "is_active", new.is_active, "balance", new.balance),
      "changed_fields", json_array(
        case when old.name != new.name then "name" end,
        case when old.email != new.email then "email" end,
        if(not (old.last_login_at <=> new.last_login_at), "last_login_at", null))),
    new.id, now()
  );
end ;;
create trigger user_created after insert on users for each row
insert into domain_events (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_data, caused_by_user_id)
values (uuid(), 'User', new.id, 1, 'UserCreated', json_object('name', new.name, 'email', ifnull(new.email, '')), @actor_id) ;;
delimiter ;
