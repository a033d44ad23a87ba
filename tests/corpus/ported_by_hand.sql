-- Somebody calls domain_events.next_aggregate_version() already: done.
-- must: ignore
-- source: max_plus_one_locked
create table hats (id int primary key, size int);
create table hat_events (hat_id int not null, version bigint not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (hat_id, version));
select domain_events.register_event_table('hat_events', null, 'hat_id', 'version');
create function hat_changed() returns trigger language plpgsql as $$
begin
  insert into hat_events (hat_id, version, event_type, data)
  values (new.id, domain_events.next_aggregate_version('hat_events', new.id::text, 'hat_events'), 'HatChanged', to_jsonb(new));
  return null;
end $$;
create trigger hat_changed after update on hats for each row execute function hat_changed();
