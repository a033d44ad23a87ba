-- A trigger that is switched off writes nothing.
-- must: ignore
-- source: literal
create table sinks (id int primary key, full_ boolean);
create table sink_events (sink_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (sink_id, version));
create function sink_changed() returns trigger language plpgsql as $$
begin
  insert into sink_events (sink_id, version, event_type, data) values (new.id, 1, 'SinkChanged', to_jsonb(new));
  return null;
end $$;
create trigger sink_changed after update on sinks for each row execute function sink_changed();
alter table sinks disable trigger sink_changed;
