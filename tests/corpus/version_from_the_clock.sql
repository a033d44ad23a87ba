-- A version made of the clock, at random, or of the transaction: no number in a stream.
-- must: refuse
-- source: dynamic dynamic dynamic
create table ticks (id int primary key, n int not null);
create table tick_events (tick_id int not null, version bigint not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (tick_id, version));
create function ticked() returns trigger language plpgsql as $$
begin
  insert into tick_events (tick_id, version, event_type, data) values (new.id, extract(epoch from clock_timestamp()) * 1000000, 'TickA', to_jsonb(new));
  insert into tick_events (tick_id, version, event_type, data) values (new.id, (random() * 1e9)::bigint, 'TickB', to_jsonb(new));
  insert into tick_events (tick_id, version, event_type, data) values (new.id, txid_current(), 'TickC', to_jsonb(new));
  return null;
end $$;
create trigger ticked after update on ticks for each row execute function ticked();
insert into ticks values (1, 0), (2, 0);
