-- The row's own optimistic lock is the event's version.
-- must: refuse
-- source: copied_from_row
create table pages (id int primary key, body text, lock_version int not null default 0);
create table page_events (page_id int not null, version int not null, event_type text not null, data jsonb, at timestamptz default now(), unique (page_id, version));
create function edited() returns trigger language plpgsql as $$
begin
  new.lock_version := old.lock_version + 1;
  insert into page_events (page_id, version, event_type, data) values (new.id, new.lock_version, 'PageEdited', to_jsonb(new));
  return new;
end $$;
create trigger edited before update on pages for each row execute function edited();
