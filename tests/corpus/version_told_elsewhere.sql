-- The number is also written into the payload, announced by NOTIFY and kept in the row: another number would contradict them.
-- must: refuse
-- source: max_plus_one max_plus_one literal literal
create table deals (id int primary key, state text, last_event int);
create table deal_events (deal_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (deal_id, version));
create function deal_changed() returns trigger language plpgsql as $$
declare v int;
begin
  select coalesce(max(version), 0) + 1 into v from deal_events where deal_id = new.id;
  insert into deal_events (deal_id, version, event_type, data) values (new.id, v, 'DealChanged', jsonb_build_object('state', new.state, 'version', v));
  return null;
end $$;
create function deal_opened() returns trigger language plpgsql as $$
declare v int;
begin
  select coalesce(max(version), 0) + 1 into v from deal_events where deal_id = new.id;
  insert into deal_events (deal_id, version, event_type, data) values (new.id, v, 'DealOpened', '{}');
  perform pg_notify('deals', new.id || ':' || v);
  return null;
end $$;
create trigger changed after update of state on deals for each row execute function deal_changed();
create trigger opened after insert on deals for each row execute function deal_opened();
create table rents (id int primary key, amount int);
create table rent_events (rent_id int not null, version int not null, event_type text not null, data jsonb not null, proof text, at timestamptz not null default now(), unique (rent_id, version));
create table rent_log (rent_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (rent_id, version));
create function rent_changed() returns trigger language plpgsql as $$
begin
  insert into rent_events (rent_id, version, event_type, data, proof) values (new.id, 1, 'RentChanged', to_jsonb(new), md5(new.id || '/' || 1));
  insert into rent_log (rent_id, version, event_type, data) values (new.id, 1, 'RentChanged', jsonb_build_object('amount', new.amount, 'event_version', 1));
  return null;
end $$;
create trigger rent_changed after update on rents for each row execute function rent_changed();
