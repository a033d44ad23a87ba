-- A statement trigger that writes one event per row of its transition table.
-- must: port
-- source: literal
-- change: update stock set quantity = quantity + 1
create table stock (sku text primary key, quantity int not null);
create table stock_events (stream text not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (stream, version));
create function stock_changed() returns trigger language plpgsql as $$
begin
  insert into stock_events (stream, version, event_type, data) select n.sku, 1, 'StockChanged', to_jsonb(n) from new_rows n;
  return null;
end $$;
create trigger stock_changed after update on stock referencing new table as new_rows for each statement execute function stock_changed();
insert into stock values ('a', 1), ('b', 2), ('c', 3);
