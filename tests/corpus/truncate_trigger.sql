-- A TRUNCATE writes an event of the table itself.
-- must: port
-- source: literal literal
-- change: insert into scratch values (1); truncate scratch
create table scratch (id int);
create table table_events (table_name text not null, version int not null, event_type text not null, data jsonb not null default '{}', at timestamptz not null default now(), unique (table_name, version));
create function table_changed() returns trigger language plpgsql as $$
begin
  if tg_op = 'TRUNCATE' then
    insert into table_events (table_name, version, event_type) values (tg_table_name, 1, 'TableEmptied');
  else
    insert into table_events (table_name, version, event_type) values (tg_relid::regclass::text, 1, 'TableFilled');
  end if;
  return null;
end $$;
create trigger emptied after truncate on scratch for each statement execute function table_changed();
create trigger filled after insert on scratch for each statement execute function table_changed();
