-- A multi-row VALUES writes two events of one stream; the versions are v and v + 1.
-- must: port
-- source: max_plus_one
-- change: update seats set holder = holder || 'x'
create table seats (id int primary key, holder text not null);
create table seat_events (seat_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), primary key (seat_id, version));
create function seat_changed() returns trigger language plpgsql as $$
declare v int := (select coalesce(max(version), 0) + 1 from seat_events where seat_id = new.id);
begin
  insert into seat_events (seat_id, version, event_type, data) values
    (new.id, v, 'SeatReleased', jsonb_build_object('by', old.holder)),
    (new.id, v + 1, 'SeatTaken', jsonb_build_object('by', new.holder));
  return null;
end $$;
create trigger seat_changed after update on seats for each row execute function seat_changed();
insert into seats values (1, 'a'), (2, 'b');
