-- One generic function on two tables, the type from an argument, the operation in CASE.
-- must: port
-- source: literal literal
-- change: update customers set name = name || 'x'; update invoices set total = total + 1
create table customers (id int primary key, name text);
create table invoices (id int primary key, total numeric(10, 2), paid boolean not null default false);
create table journal (no bigserial primary key, entity text not null, entity_id text not null, rev int not null, action text not null, body jsonb, at timestamptz default clock_timestamp(),
  constraint journal_rev unique (entity, entity_id, rev));
create function note() returns trigger language plpgsql as $$
declare r record;
begin
  r := case when tg_op = 'DELETE' then old else new end;
  insert into journal (entity, entity_id, rev, action, body)
  values (tg_argv[0], r.id, 1, case tg_op when 'INSERT' then 'created' when 'UPDATE' then 'updated' else 'deleted' end, to_jsonb(r));
  return null;
end $$;
create trigger note after insert or update or delete on customers for each row execute function note('Customer');
create trigger note after insert or update or delete on invoices for each row execute function note('Invoice');
insert into customers values (1, 'a');
insert into invoices values (1, 10.5), (2, 7);
