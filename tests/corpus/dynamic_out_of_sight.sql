-- The text of EXECUTE is put together from the table's name: reported, never guessed.
-- must: refuse
-- source: dynamic dynamic
create table gates (id int primary key, open boolean not null);
create table gates_events (id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (id, version));
create function log_any() returns trigger language plpgsql as $$
declare statement text;
begin
  execute 'insert into ' || quote_ident(tg_table_name || '_events') || ' (id, version, event_type, data) values ($1, 1, $2, $3)' using new.id, 'Changed', to_jsonb(new);
  statement := format('insert into %I values ($1, 1, $2, $3)', tg_table_name || '_events');
  execute statement using new.id, 'Changed', to_jsonb(new);
  return null;
end $$;
create trigger log_any after update on gates for each row execute function log_any();
