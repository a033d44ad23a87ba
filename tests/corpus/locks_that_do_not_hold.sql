-- Locks that only look like some: taken in the reading statement, before a STABLE helper, too weak, only tried, behind the read.
-- must: port
-- source: max_plus_one max_plus_one max_plus_one max_plus_one max_plus_one
-- change: insert into crates select coalesce(max(id), 0) + 1, 1 from crates; update crates set weight = weight + 1
create table pallets (id int primary key);
create table crates (id int primary key, pallet_id int not null references pallets, weight int not null default 1);
create table pallet_events (pallet_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (pallet_id, version));
create function stable_version(p int) returns int language plpgsql stable as $$
begin
  return (select coalesce(max(version), 0) + 1 from pallet_events where pallet_id = p);
end $$;
create function in_the_same_statement() returns trigger language plpgsql as $$
begin
  insert into pallet_events (pallet_id, version, event_type, data)
  select new.pallet_id, (select coalesce(max(version), 0) + 1 from pallet_events where pallet_id = new.pallet_id), 'A', to_jsonb(new)
    from (select pg_advisory_xact_lock(new.pallet_id)) l;
  return null;
end $$;
create function before_a_stable_helper() returns trigger language plpgsql as $$
begin
  insert into pallet_events (pallet_id, version, event_type, data) select new.pallet_id, stable_version(new.pallet_id), 'B', to_jsonb(new);
  return null;
end $$;
create function too_weak() returns trigger language plpgsql as $$
declare v int;
begin
  lock table pallet_events in row exclusive mode;
  perform 1 from pallets where id = new.pallet_id for key share;
  select coalesce(max(version), 0) + 1 into v from pallet_events where pallet_id = new.pallet_id;
  insert into pallet_events (pallet_id, version, event_type, data) values (new.pallet_id, v, 'C', to_jsonb(new));
  return null;
end $$;
create function only_tried() returns trigger language plpgsql as $$
declare v int;
begin
  perform pg_try_advisory_xact_lock(new.pallet_id);
  select coalesce(max(version), 0) + 1 into v from pallet_events where pallet_id = new.pallet_id;
  insert into pallet_events (pallet_id, version, event_type, data) values (new.pallet_id, v, 'D', to_jsonb(new));
  return null;
end $$;
create function too_late() returns trigger language plpgsql as $$
declare v int;
begin
  select coalesce(max(version), 0) + 1 into v from pallet_events where pallet_id = new.pallet_id;
  perform pg_advisory_xact_lock(new.pallet_id);
  insert into pallet_events (pallet_id, version, event_type, data) values (new.pallet_id, v, 'E', to_jsonb(new));
  return null;
end $$;
insert into pallets values (1);
create trigger a after insert on crates for each row execute function in_the_same_statement();
create trigger b after update on crates for each row execute function before_a_stable_helper();
create trigger c after update on crates for each row execute function too_weak();
create trigger d after update on crates for each row execute function only_tried();
create trigger e after update on crates for each row execute function too_late();
