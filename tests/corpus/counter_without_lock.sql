-- The counter is read without a lock, and counted up later: two sessions read the same number.
-- must: refuse
-- source: max_plus_one
create table visitors (id int primary key, last_version int not null default 0);
create table visits (id int primary key, visitor_id int not null references visitors, note text);
create table visitor_events (visitor_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (visitor_id, version));
create function visited() returns trigger language plpgsql as $$
declare v int;
begin
  select last_version + 1 into v from visitors where id = new.visitor_id;
  insert into visitor_events (visitor_id, version, event_type, data) values (new.visitor_id, v, 'Visited', to_jsonb(new));
  update visitors set last_version = v where id = new.visitor_id;
  return null;
end $$;
create trigger visited after insert or update on visits for each row execute function visited();
insert into visitors (id) values (1);
insert into visits values (1, 1), (2, 1);
