-- The same fault as sub-select, by ORDER BY .. LIMIT 1, by count(*), by greatest(), with FOUND, by a window.
-- must: port
-- source: max_plus_one max_plus_one max_plus_one max_plus_one max_plus_one max_plus_one
-- change: insert into leaves (tree_id) values (1)
create table trees (id int primary key);
create table leaves (id serial primary key, tree_id int not null references trees);
create table tree_events (id bigserial primary key, tree_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (tree_id, version));
create function leaf_added() returns trigger language plpgsql as $$
declare v int; r record;
begin
  insert into tree_events (tree_id, version, event_type, data) values (new.tree_id, 1 + coalesce((select max(version) from tree_events where tree_id = new.tree_id), 0), 'A', '{}');
  select version + 1 into v from tree_events where tree_id = new.tree_id order by version desc limit 1;
  if not found then
    v := 1;
  end if;
  insert into tree_events (tree_id, version, event_type, data) values (new.tree_id, v, 'B', '{}');
  v := (select count(*) from tree_events where tree_id = new.tree_id);
  v := v + 1;
  insert into tree_events (tree_id, version, event_type, data) values (new.tree_id, v, 'C', '{}');
  insert into tree_events (tree_id, version, event_type, data)
  select new.tree_id, greatest(max(version), 0) + 1, 'D', '{}' from tree_events where tree_id = new.tree_id;
  select * into r from tree_events where tree_id = new.tree_id order by version desc fetch first 1 row only;
  insert into tree_events (tree_id, version, event_type, data) values (new.tree_id, r.version + 1, 'E', '{}');
  insert into tree_events (tree_id, version, event_type, data)
  select new.tree_id, x.top + 1, 'F', '{}' from (select max(version) as top from tree_events where tree_id = new.tree_id) x;
  return null;
end $$;
create trigger leaf_added after insert on leaves for each row execute function leaf_added();
insert into trees values (1), (2);
