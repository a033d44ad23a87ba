-- Statement triggers with OLD and NEW tables: the version is counted inside the statement by row_number().
-- must: port
-- source: max_plus_one literal literal
-- change: update parts set stock = stock + 1; update parts set stock = stock - 1 where sku = 'a'
-- change: delete from parts where sku = 'z'; insert into parts values ('z', 1)
create table parts (sku text primary key, stock int not null);
create table part_events (seq bigserial primary key, sku text not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (sku, version));
create function parts_added() returns trigger language plpgsql as $$
begin
  insert into part_events (sku, version, event_type, data) select n.sku, 1, 'PartAdded', to_jsonb(n) from added n;
  return null;
end $$;
create function parts_changed() returns trigger language plpgsql as $$
begin
  insert into part_events (sku, version, event_type, data)
  select n.sku, (select coalesce(max(e.version), 0) from part_events e where e.sku = n.sku) + row_number() over (partition by n.sku), 'PartChanged',
         jsonb_build_object('from', o.stock, 'to', n.stock)
    from after n join before o using (sku) where o.stock <> n.stock;
  return null;
end $$;
create function parts_removed() returns trigger language plpgsql as $$
begin
  insert into part_events (sku, version, event_type, data) select o.sku, 1, 'PartRemoved', to_jsonb(o) from gone o;
  return null;
end $$;
insert into parts values ('a', 1), ('b', 2);
create trigger added after insert on parts referencing new table as added for each statement execute function parts_added();
create trigger changed after update on parts referencing old table as before new table as after for each statement execute function parts_changed();
create trigger removed after delete on parts referencing old table as gone for each statement execute function parts_removed();
