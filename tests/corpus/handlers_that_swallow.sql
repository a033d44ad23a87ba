-- A handler of the caller hides that the helper's event was not written; another raises again.
-- must: port
-- source: literal literal
-- change: update pumps set on_ = not on_; update pumps set pressure = pressure + 1
create table pumps (id int primary key, on_ boolean not null default false, pressure int not null default 0);
create table pump_events (pump_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (pump_id, version));
create table error_log (at timestamptz default now(), message text);
create function write_pump_event(p_id int, p_data jsonb) returns void language plpgsql as $$
begin
  insert into pump_events (pump_id, version, event_type, data) values (p_id, 1, 'PumpSwitched', p_data);
end $$;
create function pump_switched() returns trigger language plpgsql as $$
begin
  begin
    perform write_pump_event(new.id, to_jsonb(new));
  exception
    when unique_violation then
      raise warning 'no event for %', new.id;
    when others then
      insert into error_log (message) values (sqlerrm);
  end;
  return new;
end $$;
create function pump_pressed() returns trigger language plpgsql as $$
begin
  insert into pump_events (pump_id, version, event_type, data) values (new.id, 1, 'PumpPressed', to_jsonb(new));
  return new;
exception when unique_violation then
  raise exception 'pump % is busy', new.id;
end $$;
create trigger switched after update of on_ on pumps for each row execute function pump_switched();
create trigger pressed after update of pressure on pumps for each row execute function pump_pressed();
insert into pumps (id) values (1), (2);
