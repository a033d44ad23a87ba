-- MERGE inserts the event where there is none yet.
-- must: port
-- source: literal
-- change: delete from locks where id = 3; insert into locks values (3, true)
create table locks (id int primary key, shut boolean not null);
create table lock_events (lock_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (lock_id, version));
create function lock_changed() returns trigger language plpgsql as $$
begin
  merge into lock_events e using (select new.id as id, 0 as never) s on e.lock_id = s.id and e.version = s.never
  when matched then do nothing
  when not matched then insert (lock_id, version, event_type, data) values (s.id, 1, 'LockChanged', to_jsonb(new));
  return null;
end $$;
create trigger lock_changed after insert or update on locks for each row execute function lock_changed();
insert into locks values (1, true), (2, false);
