-- Keys of partitioned tables hold the time of the partitions: the stream is what max() is read by, or the key without the time.
-- must: port
-- source: max_plus_one literal max_plus_one
-- change: update pumps set pressure = pressure + 1
-- change: update valves set turns = turns + 1
create table pumps (id int primary key, pressure int not null);
create table pump_events (pump int not null, n int not null, event_type text not null, data jsonb not null, happened timestamptz not null default clock_timestamp(), unique (pump, n, happened)) partition by range (happened);
create table pump_events_all partition of pump_events default;
create table pump_log (pump int not null, rev int not null, day date not null default current_date, what text not null, data jsonb, primary key (day, pump, rev));
create table valves (id int primary key, turns int not null);
create table valve_events (aggregate_type text not null, aggregate_id text not null, aggregate_version int not null, event_type text not null, data jsonb, at timestamptz not null default clock_timestamp(), unique (aggregate_type, aggregate_id, aggregate_version, at)) partition by range (at);
create table valve_events_all partition of valve_events default;
create function pump_changed() returns trigger language plpgsql as $$
begin
  insert into pump_events (pump, n, event_type, data) values (new.id, (select coalesce(max(e.n), 0) + 1 from pump_events e where e.pump = new.id), 'PumpRan', to_jsonb(new));
  insert into pump_log (pump, rev, what, data) values (new.id, coalesce((select l.rev from pump_log l where l.pump = new.id order by l.rev desc limit 1), 0) + 1, tg_op, to_jsonb(new));
  return null;
end $$;
create trigger pump_changed after update on pumps for each row execute function pump_changed();
create function valve_changed() returns trigger language plpgsql as $$
begin
  insert into valve_events (aggregate_type, aggregate_id, aggregate_version, event_type, data) values ('Valve', new.id::text, 1, 'ValveTurned', to_jsonb(new));
  return null;
end $$;
create trigger valve_changed after update on valves for each row execute function valve_changed();
insert into pumps select i, i from generate_series(1, 4) i;
insert into valves select i, i from generate_series(1, 4) i;
