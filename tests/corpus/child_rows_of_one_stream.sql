-- Lines of an order write into the order's stream: no row lock holds it.
-- must: port
-- source: max_plus_one
-- change: insert into order_lines (order_id, item) select id, 'nut' from orders
create table orders (id int primary key);
create table order_lines (id serial primary key, order_id int not null references orders, item text not null, quantity int not null default 1 check (quantity > 0));
create table order_events (order_id int not null, version bigint not null, event_type text not null, payload jsonb not null, recorded timestamptz not null default now(), primary key (order_id, version));
create function line_added() returns trigger language plpgsql as $$
declare v bigint;
begin
  select max(version) into v from order_events where order_id = new.order_id;
  insert into order_events (order_id, version, event_type, payload) values (new.order_id, coalesce(v, 0) + 1, 'LineAdded', to_jsonb(new));
  return null;
end $$;
create trigger line_added after insert on order_lines for each row execute function line_added();
insert into orders values (1), (2);
insert into order_lines (order_id, item) values (1, 'x'), (2, 'y');
