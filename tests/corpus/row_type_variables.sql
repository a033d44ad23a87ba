-- Variables of the event table's row type, filled field by field, inserted whole.
-- must: port
-- source: literal max_plus_one
-- change: update cups set ml = ml + 1; update cups set colour = colour || 'x'
create schema audit;
create table cups (id int primary key, ml int not null, colour text not null);
create table audit.cup_events (cup_id int not null, version int not null, event_type text not null, data jsonb, at timestamptz not null default now(), primary key (cup_id, version));
create function audit.cup_filled() returns trigger language plpgsql as $$
declare r audit.cup_events;
begin
  r.cup_id := new.id;
  r.version := 1;
  r.event_type := 'CupFilled';
  r.data := to_jsonb(new);
  r.at := now();
  insert into audit.cup_events values (r.*);
  return null;
end $$;
create function audit.cup_painted() returns trigger language plpgsql as $$
declare r audit.cup_events%rowtype;
begin
  r.cup_id := new.id;
  select coalesce(max(e.version), 0) + 1 into r.version from audit.cup_events e where e.cup_id = new.id;
  r.event_type := 'CupPainted';
  r.at := now();
  insert into audit.cup_events select r.*;
  return null;
end $$;
create trigger filled after update of ml on cups for each row execute function audit.cup_filled();
create trigger painted after update of colour on cups for each row execute function audit.cup_painted();
insert into cups values (1, 100, 'red'), (2, 200, 'blue');
