-- Counts that a shim would change: from 0, from 100, in tens, over the whole table, over all of a kind under a condition, by a
-- column that the event gets otherwise, and one that two writers read in two ways. And a key that is narrower than the condition.
-- must: refuse
-- source: max_plus_one max_plus_one max_plus_one max_plus_one max_plus_one max_plus_one max_plus_one max_plus_one max_plus_one
create table kilns (id int primary key, heat int, hall int);
create table k_zero_events (kiln int not null, version int not null, event_type text not null, data jsonb, at timestamptz not null default now(), unique (kiln, version));
create table k_hundred_events (kiln int not null, version int not null, event_type text not null, data jsonb, at timestamptz not null default now(), unique (kiln, version));
create table k_ten_events (kiln int not null, version int not null, event_type text not null, data jsonb, at timestamptz not null default now(), unique (kiln, version));
create table k_whole_events (kiln int not null, version int not null, event_type text not null, data jsonb, at timestamptz not null default now(), unique (kiln, version));
create table k_open_events (kiln int not null, version int not null, event_type text not null, data jsonb, at timestamptz not null default now(), unique (kiln, version));
create table k_other_events (kiln int not null, hall int, version int not null, event_type text not null, data jsonb, at timestamptz not null default now());
create table k_two_events (kiln int not null, hall int, version int not null, event_type text not null, data jsonb, at timestamptz not null default now());
create table k_narrow_events (kiln int not null, hall int, version int not null, event_type text not null, data jsonb, at timestamptz not null default now(), unique (kiln, version));
create function kiln_changed() returns trigger language plpgsql as $$
declare v int := -1;
begin
  insert into k_zero_events (kiln, version, event_type, data) values (new.id, (select coalesce(max(version), -1) + 1 from k_zero_events where kiln = new.id), 'KilnFired', to_jsonb(new));
  select coalesce(max(version), 99) into v from k_hundred_events where kiln = new.id;
  v := v + 1;
  insert into k_hundred_events (kiln, version, event_type, data) values (new.id, v, 'KilnFired', to_jsonb(new));
  insert into k_ten_events (kiln, version, event_type, data) values (new.id, (select coalesce(max(version), 0) + 10 from k_ten_events where kiln = new.id), 'KilnFired', to_jsonb(new));
  insert into k_whole_events (kiln, version, event_type, data) values (new.id, (select coalesce(max(version), 0) + 1 from k_whole_events), 'KilnFired', to_jsonb(new));
  insert into k_open_events (kiln, version, event_type, data) values (new.id, (select coalesce(max(version), 0) + 1 from k_open_events where kiln = new.id and at > now() - interval '1 year'), 'KilnFired', to_jsonb(new));
  insert into k_other_events (kiln, hall, version, event_type, data) values (new.id, new.hall, (select coalesce(max(version), 0) + 1 from k_other_events where kiln = new.hall), 'KilnFired', to_jsonb(new));
  insert into k_two_events (kiln, hall, version, event_type, data) values (new.id, new.hall, (select coalesce(max(version), 0) + 1 from k_two_events where kiln = new.id), 'KilnFired', to_jsonb(new));
  insert into k_two_events (kiln, hall, version, event_type, data) values (new.id, new.hall, (select coalesce(max(version), 0) + 1 from k_two_events where hall = new.hall), 'HallHeated', to_jsonb(new));
  insert into k_narrow_events (kiln, hall, version, event_type, data) values (new.id, new.hall, (select coalesce(max(version), 0) + 1 from k_narrow_events where kiln = new.id and hall = new.hall), 'KilnFired', to_jsonb(new));
  return null;
end $$;
create trigger kiln_changed after update on kilns for each row execute function kiln_changed();
insert into kilns values (1, 1, 1), (2, 2, 1);
