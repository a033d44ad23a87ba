-- event_version is the version of the payload's schema, version the stream's.
-- must: port
-- source: max_plus_one
-- change: update orders set note = coalesce(note, '') || 'x'
create table orders (id int primary key, note text);
create table event_store (sequence_number bigserial primary key, aggregate_id varchar(36) not null, event_type varchar(255) not null,
  event_version int not null default 1, event_data jsonb not null, version int not null, occurred_at timestamp(6) not null default now(), unique (aggregate_id, version));
create function order_events() returns trigger language plpgsql as $$
begin
  insert into event_store (aggregate_id, event_type, event_version, event_data, version)
  values (new.id::text, 'order_changed', 1, row_to_json(new)::jsonb,
          (select coalesce(max(version), 0) from event_store where aggregate_id = new.id::text) + 1);
  return null;
end $$;
create trigger order_events after insert or update on orders for each row execute function order_events();
insert into orders values (1, 'a'), (2, null);
