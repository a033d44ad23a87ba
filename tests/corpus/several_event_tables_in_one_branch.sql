-- One branch writes two versioned streams and a read model.
-- must: port
-- source: literal literal
-- change: update transfers set amount = amount + 1
create table transfers (id int primary key, source int not null, target int not null, amount numeric not null);
create table account_events (account_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (account_id, version));
create table transfer_events (transfer_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (transfer_id, version));
create table transfer_view (transfer_id int primary key, amount numeric);
create function transfer_changed() returns trigger language plpgsql as $$
begin
  insert into account_events (account_id, version, event_type, data) values
    (new.source, 1, 'MoneySent', jsonb_build_object('amount', new.amount)),
    (new.target, 1, 'MoneyReceived', jsonb_build_object('amount', new.amount));
  insert into transfer_events (transfer_id, version, event_type, data) values (new.id, 1, 'TransferChanged', to_jsonb(new));
  insert into transfer_view values (new.id, new.amount) on conflict (transfer_id) do update set amount = excluded.amount;
  return null;
end $$;
create trigger transfer_changed after insert or update on transfers for each row execute function transfer_changed();
insert into transfers values (1, 10, 20, 5);
