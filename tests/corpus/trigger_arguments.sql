-- The aggregate's type, the event's name and even the version are arguments of the trigger.
-- must: port
-- source: literal literal
-- change: update invoices set total = total + 1; update refunds set total = total + 1
create table invoices (id int primary key, total numeric not null);
create table refunds (id int primary key, total numeric not null);
create table ledger_events (id bigserial primary key, kind text not null, ref text not null, version int not null, event_type text not null, body jsonb not null, at timestamptz not null default now(), unique (kind, ref, version));
create function ledger() returns trigger language plpgsql as $$
declare
  kind constant text := tg_argv[0];
  name text := tg_argv[1];
begin
  insert into ledger_events (kind, ref, version, event_type, body) values (kind, new.id::text, tg_argv[2]::int, name, to_jsonb(new));
  return new;
end $$;
insert into invoices values (1, 10), (2, 20);
insert into refunds values (1, 5);
create trigger ledger after insert or update on invoices for each row execute function ledger('Invoice', 'InvoiceSaved', '1');
create trigger ledger after insert or update on refunds for each row execute function ledger('Refund', 'RefundSaved', '1');
