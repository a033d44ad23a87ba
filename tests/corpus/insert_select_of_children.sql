-- INSERT .. SELECT: one event per child row of the changed parent.
-- must: port
-- source: literal
-- change: update carts set coupon = coupon || 'x'
create table carts (id int primary key, coupon text not null default '');
create table cart_lines (cart_id int not null references carts, line int not null, sku text not null, primary key (cart_id, line));
create table line_events (cart_id int not null, line int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (cart_id, line, version));
create function coupon_changed() returns trigger language plpgsql as $$
begin
  insert into line_events (cart_id, line, version, event_type, data)
  select l.cart_id, l.line, 1, 'LineRepriced', jsonb_build_object('sku', l.sku, 'coupon', new.coupon) from cart_lines l where l.cart_id = new.id;
  return null;
end $$;
create trigger coupon_changed after update on carts for each row when (new.coupon <> old.coupon) execute function coupon_changed();
insert into carts (id) values (1), (2);
insert into cart_lines values (1, 1, 'a'), (1, 2, 'b'), (2, 1, 'c');
