-- The table is chosen at run time.
-- must: refuse
-- source: dynamic
create table things (id int primary key, name text);
create function dyn() returns trigger language plpgsql as $$
declare target text := tg_table_name || '_events';
begin
  execute 'insert into ' || quote_ident(target) || ' (id, version, data) values ($1, 1, $2)' using new.id, to_jsonb(new);
  return null;
end $$;
create trigger dyn after update on things for each row execute function dyn();
