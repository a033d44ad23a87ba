-- The function belongs to another role and runs with its rights; comments and privileges everywhere.
-- must: port
-- source: literal
-- change: update safes set code = code || 'x'
create table safes (id int primary key, code text not null);
create table safe_events (safe_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (safe_id, version));
comment on table safe_events is 'What happened to safes';
grant insert, select on safe_events to {role};
grant select on safes to public;
-- as superuser
create function safe_changed() returns trigger language plpgsql security definer set search_path = public as $$
begin
  insert into safe_events (safe_id, version, event_type, data) values (new.id, 1, 'SafeChanged', to_jsonb(new) - 'code');
  return null;
end $$;
alter function safe_changed() owner to {role};
revoke execute on function safe_changed() from public;
grant execute on function safe_changed() to app_owner;
comment on function safe_changed() is 'keeps the code out of the log';
-- as owner
create trigger safe_changed after update on safes for each row execute function safe_changed();
comment on trigger safe_changed on safes is 'do not touch';
insert into safes values (1, 'a'), (2, 'b');
