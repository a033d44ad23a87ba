-- The commonest stream of a service with tenants: tenant, type and id, with the key and without it.
-- must: port
-- source: max_plus_one max_plus_one
-- change: update lockers set state = state || 'x'
create table lockers (tenant uuid not null, id int not null, state text not null, primary key (tenant, id));
create table activity (seq bigserial primary key, tenant uuid not null, entity_type text not null, entity_id text not null, entity_version int not null, action text not null, data jsonb, at timestamptz not null default now(),
  unique (tenant, entity_type, entity_id, entity_version));
create table activity_log (seq bigserial primary key, tenant uuid not null, entity_type text not null, entity_id text not null, entity_version int not null, action text not null, data jsonb, at timestamptz not null default now());
create function locker_changed() returns trigger language plpgsql as $$
declare t constant text := 'Locker'; v int;
begin
  insert into activity (tenant, entity_type, entity_id, entity_version, action, data)
  values (new.tenant, t, new.id::text, (select coalesce(max(a.entity_version), 0) + 1 from activity a where a.tenant = new.tenant and a.entity_type = t and a.entity_id = new.id::text), lower(tg_op), to_jsonb(new));
  select count(*) + 1 into v from activity_log where tenant = new.tenant and entity_type = 'Locker' and entity_id = new.id::text;
  insert into activity_log (tenant, entity_type, entity_id, entity_version, action, data) values (new.tenant, 'Locker', new.id::text, v, lower(tg_op), to_jsonb(new));
  return null;
end $$;
create trigger locker_changed after insert or update on lockers for each row execute function locker_changed();
insert into lockers select md5((i % 2)::text)::uuid, i, 's' from generate_series(1, 4) i;
