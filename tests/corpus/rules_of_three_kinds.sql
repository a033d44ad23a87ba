-- Rules: an INSERT with a condition, an INSERT .. SELECT, and one that writes another table.
-- unverified: rules are not replayed
-- must: port
-- source: literal max_plus_one
-- change: update prices set cents = cents + 1; delete from prices where sku = 'zz'
-- change: update prices set cents = cents + 1 where sku = 'b'
create table prices (sku text primary key, cents int not null);
create table price_events (sku text not null, version int not null, event_type text not null, data jsonb, at timestamptz not null default now(), unique (sku, version));
create table price_cache (sku text, cents int);
create rule log_update as on update to prices where old.cents <> new.cents do also
  insert into price_events (sku, version, event_type, data) values (new.sku, 1, 'PriceChanged', jsonb_build_object('cents', new.cents));
create rule log_delete as on delete to prices do also
  insert into price_events (sku, version, event_type, data)
  select old.sku, (select coalesce(max(e.version), 0) + 1 from price_events e where e.sku = old.sku), 'PriceRemoved', null;
create rule warm as on insert to prices do also insert into price_cache values (new.sku, new.cents);
insert into prices values ('a', 100), ('b', 200), ('zz', 1);
