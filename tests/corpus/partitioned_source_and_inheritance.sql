-- The trigger sits on a partitioned table: its clones are no findings of their own.
-- must: port
-- source: literal
-- change: update meters set value = value + 1
create table meters (id int not null, region text not null, value numeric, primary key (id, region)) partition by list (region);
create table meters_north partition of meters for values in ('north');
create table meters_south partition of meters for values in ('south');
create table meter_events (meter text not null, version int not null, event_type text not null, data jsonb, at timestamptz default now(), unique (meter, version));
create function meter_read() returns trigger language plpgsql as $$
begin
  insert into meter_events (meter, version, event_type, data) values (new.id || '/' || new.region, 1, 'MeterRead', to_jsonb(new));
  return new;
end $$;
create trigger meter_read after update on meters for each row execute function meter_read();
insert into meters values (1, 'north', 1), (2, 'south', 2);
