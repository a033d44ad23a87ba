-- A sequence: unique, never gapless; a reader may take it for a global order.
-- must: refuse
-- source: sequence
create table probes (id int primary key, up boolean);
create sequence event_no;
create table probe_events (probe_id int not null, version bigint not null default nextval('event_no'), event_type text not null, data jsonb, at timestamptz default now(), unique (probe_id, version));
create function ping() returns trigger language plpgsql as $$
begin
  insert into probe_events (probe_id, event_type, data) values (new.id, 'Ping', to_jsonb(new));
  return null;
end $$;
create trigger ping after update on probes for each row execute function ping();
