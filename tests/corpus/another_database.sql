-- The events go to another database by dblink: reported, never guessed.
-- must: refuse
-- source: dynamic
create table kegs (id int primary key, full_ boolean);
create function keg_changed() returns trigger language plpgsql as $$
begin
  perform dblink_exec('dbname=events', 'insert into keg_events (keg_id, version, event_type) values (' || new.id || ', 1, ''KegChanged'')');
  return null;
end $$;
create trigger keg_changed after update on kegs for each row execute function keg_changed();
