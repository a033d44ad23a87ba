-- Unique (aggregate_id, version) without the type; a helper that no trigger calls.
-- must: port
-- source: literal
-- change: update app.workspaces set name = name || 'x'
create schema app;
create table app.workspaces (id uuid primary key default gen_random_uuid(), name text not null, settings jsonb not null default '{}', active boolean not null default true);
create table app.event_store (
  id uuid primary key default gen_random_uuid(), aggregate_id uuid not null, aggregate_type text not null, event_type text not null, version integer not null,
  payload jsonb not null, occurred_at timestamptz not null default now(), unique (aggregate_id, version));
create function app.get_next_aggregate_version(p_id uuid) returns integer language sql as $$
  select coalesce(max(version), 0) + 1 from app.event_store where aggregate_id = p_id $$;
create function app.workspace_event() returns trigger language plpgsql as $$
begin
  if old is not distinct from new then return new; end if;
  insert into app.event_store (aggregate_id, aggregate_type, event_type, version, payload)
  values (new.id, 'workspace', 'workspace.updated', 1, jsonb_build_object('before', to_jsonb(old), 'after', to_jsonb(new)));
  return new;
end $$;
create trigger workspace_event after update on app.workspaces for each row execute function app.workspace_event();
insert into app.workspaces (name) values ('one'), ('two');
