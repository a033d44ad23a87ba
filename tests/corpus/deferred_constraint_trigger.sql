-- A constraint trigger that fires at commit.
-- must: port
-- source: literal
-- change: update bills set paid = not paid
create table bills (id int primary key, paid boolean not null default false);
create table bill_events (bill_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (bill_id, version));
create function bill_changed() returns trigger language plpgsql as $$
begin
  insert into bill_events (bill_id, version, event_type, data) values (new.id, 1, 'BillChanged', to_jsonb(new));
  return null;
end $$;
create constraint trigger bill_changed after insert or update on bills deferrable initially deferred for each row execute function bill_changed();
insert into bills (id) values (1), (2);
