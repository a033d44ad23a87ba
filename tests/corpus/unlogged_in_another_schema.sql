-- An UNLOGGED event table in a schema of its own, found by the function's search_path; fillfactor and all.
-- must: port
-- source: max_plus_one
-- change: update clicks set n = n + 1
create schema tracking;
create table clicks (id int primary key, n int not null);
create unlogged table tracking.click_events (click_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now()) with (fillfactor = 80);
create unique index click_events_version on tracking.click_events (click_id, version) include (event_type);
create function tracking.clicked() returns trigger language plpgsql set search_path = tracking as $$
declare last_version int;
begin
  select version into last_version from click_events where click_id = new.id order by version desc limit 1;
  insert into click_events (click_id, version, event_type, data) values (new.id, coalesce(last_version, 0) + 1, 'Clicked', to_jsonb(new));
  return null;
end $$;
create trigger clicked after update on clicks for each row execute function tracking.clicked();
insert into clicks values (1, 0), (2, 0);
