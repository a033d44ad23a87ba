-- max()+1 under an advisory lock is right and also stands in the payload; beside it a literal, which a shim would mend with another lock.
-- must: refuse
-- source: literal max_plus_one_locked
create table vans (id int primary key, km int not null, driver text);
create table van_events (van_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (van_id, version));
create function van_driven() returns trigger language plpgsql as $$
declare v int;
begin
  perform pg_advisory_xact_lock(99, new.id);
  select coalesce(max(version), 0) + 1 into v from van_events where van_id = new.id;
  insert into van_events (van_id, version, event_type, data) values (new.id, v, 'VanDriven', jsonb_build_object('km', new.km, 'version', v));
  return null;
end $$;
create function van_manned() returns trigger language plpgsql as $$
begin
  insert into van_events (van_id, version, event_type, data) values (new.id, 1, 'VanManned', jsonb_build_object('driver', new.driver));
  return null;
end $$;
create trigger driven after update of km on vans for each row execute function van_driven();
create trigger manned after update of driver on vans for each row execute function van_manned();
