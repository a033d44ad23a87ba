-- The event table itself is partitioned, by the aggregate's type; a trigger sits on one leaf of the source.
-- must: port
-- source: literal
-- change: update sensors set value = value + 1
create table sensors (id int not null, site text not null, value numeric not null, primary key (id, site)) partition by list (site);
create table sensors_a partition of sensors for values in ('a');
create table sensors_b partition of sensors for values in ('b');
create table events (aggregate_type text not null, aggregate_id text not null, version int not null, event_type text not null, payload jsonb not null, at timestamptz not null default now(),
  unique (aggregate_type, aggregate_id, version)) partition by list (aggregate_type);
create table events_sensor partition of events for values in ('Sensor');
create table events_rest partition of events default;
create function sensor_read() returns trigger language plpgsql as $$
begin
  insert into events (aggregate_type, aggregate_id, version, event_type, payload) values ('Sensor', new.site || '-' || new.id, 1, 'SensorRead', to_jsonb(new));
  return null;
end $$;
create trigger sensor_read after update on sensors_a for each row execute function sensor_read();
insert into sensors values (1, 'a', 1), (2, 'a', 2), (1, 'b', 3);
