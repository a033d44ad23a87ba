-- The version comes through three helpers, with named arguments and a default.
-- must: port
-- source: max_plus_one
-- change: update teams set name = name || 'x'
create schema log;
create table teams (id uuid primary key default gen_random_uuid(), name text not null);
create table log.events (id bigserial primary key, stream_type text not null, stream_id uuid not null, stream_version bigint not null, event_type text not null, data jsonb not null, meta jsonb, at timestamptz not null default now(),
  unique (stream_type, stream_id, stream_version));
create function log.last_version(p_type text, p_id uuid) returns bigint language sql stable as $$
  select max(e.stream_version) from log.events e where e.stream_type = p_type and e.stream_id = p_id $$;
create function log.next_version(p_type text, p_id uuid, p_step int default 1) returns bigint language plpgsql as $$
declare found_version bigint;
begin
  found_version := log.last_version(p_type => p_type, p_id => p_id);
  if found_version is null then
    return 1;
  end if;
  return found_version + p_step;
end $$;
create function log.append(p_type text, p_id uuid, p_event text, p_data jsonb, p_meta jsonb default '{}') returns void language plpgsql as $$
begin
  insert into log.events (stream_type, stream_id, stream_version, event_type, data, meta)
  values (p_type, p_id, log.next_version(p_type, p_id), p_event, p_data, p_meta);
end $$;
create function log.team_changed() returns trigger language plpgsql as $$
begin
  perform log.append('Team', new.id, p_data => to_jsonb(new), p_event => 'TeamRenamed');
  return null;
end $$;
create trigger team_changed after update on teams for each row execute function log.team_changed();
insert into teams (name) values ('red'), ('blue');
