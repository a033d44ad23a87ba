-- The INSERT stands in WITH and feeds an outbox; the version comes from another WITH query.
-- must: port
-- source: max_plus_one none
-- change: update lamps set lit = not lit
create table lamps (id int primary key, lit boolean not null);
create table lamp_events (lamp_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (lamp_id, version));
create table outbox (id bigserial primary key, topic text not null, payload jsonb not null, created_at timestamptz not null default now());
create function lamp_changed() returns trigger language plpgsql as $$
begin
  with next as (
    select coalesce(max(version), 0) + 1 as n from lamp_events where lamp_id = new.id
  ), written as (
    insert into lamp_events (lamp_id, version, event_type, data) select new.id, next.n, 'LampSwitched', to_jsonb(new) from next returning *
  )
  insert into outbox (topic, payload) select 'lamps', to_jsonb(w) from written w;
  return null;
end $$;
create trigger lamp_changed after update on lamps for each row execute function lamp_changed();
insert into lamps values (1, true), (2, false);
