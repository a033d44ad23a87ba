-- max()+1 after FOR UPDATE of the parent, after LOCK TABLE, after a lock in the caller: right, left alone.
-- must: ignore
-- source: max_plus_one_locked max_plus_one_locked max_plus_one_locked
create table baskets (id int primary key);
create table basket_lines (basket_id int not null references baskets, line int not null, primary key (basket_id, line));
create table basket_events (basket_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (basket_id, version));
create function by_parent() returns trigger language plpgsql as $$
declare v int;
begin
  perform 1 from baskets where id = new.basket_id for update;
  select coalesce(max(version), 0) + 1 into v from basket_events where basket_id = new.basket_id;
  insert into basket_events (basket_id, version, event_type, data) values (new.basket_id, v, 'LineAdded', to_jsonb(new));
  return null;
end $$;
create function by_table() returns trigger language plpgsql as $$
begin
  lock table basket_events in share row exclusive mode;
  insert into basket_events (basket_id, version, event_type, data)
  select new.basket_id, count(*) + 1, 'LineMoved', to_jsonb(new) from basket_events where basket_id = new.basket_id;
  return null;
end $$;
create function version_after_lock(p int) returns int language plpgsql volatile as $$
begin
  return (select coalesce(max(version), 0) + 1 from basket_events where basket_id = p);
end $$;
create function by_caller() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock(17, old.basket_id);
  insert into basket_events (basket_id, version, event_type, data) values (old.basket_id, version_after_lock(old.basket_id), 'LineRemoved', to_jsonb(old));
  return null;
end $$;
create trigger added after insert on basket_lines for each row execute function by_parent();
create trigger moved after update on basket_lines for each row execute function by_table();
create trigger removed after delete on basket_lines for each row execute function by_caller();
