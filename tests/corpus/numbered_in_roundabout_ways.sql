-- Numbers that no INSERT shows: by a text that is made at run time, by an UPDATE of the row that is there, over the whole log.
-- must: refuse
-- source: assigned_on_event_table assigned_on_event_table assigned_on_event_table none
create table contracts (id int primary key, body text);
create table contract_versions (id serial primary key, contract_id int not null, version int not null, body text, at timestamptz not null default now(), unique (contract_id, version));
create function number_by_text() returns trigger language plpgsql as $$
declare m int;
begin
  execute format('select max(version) + 1 from %I where %I = $1', tg_table_name, tg_argv[0]) into m using new.contract_id;
  new.version := coalesce(m, 1);
  return new;
end $$;
create trigger number_by_text before insert on contract_versions for each row execute function number_by_text('contract_id');
create table contract_revisions (id serial primary key, contract_id int not null, revision int, body text, at timestamptz not null default now(), unique (contract_id, revision));
create function number_afterwards() returns trigger language plpgsql as $$
declare m int;
begin
  select coalesce(max(revision), 0) + 1 into m from contract_revisions where contract_id = new.contract_id;
  update contract_revisions set revision = m where id = new.id;
  return null;
end $$;
create trigger number_afterwards after insert on contract_revisions for each row execute function number_afterwards();
create table contract_transactions (txid bigint primary key, at timestamptz not null, who text, place bigint unique);
create function place_in_all() returns trigger language plpgsql as $$
begin
  select coalesce(max(place) + 1, 0) into new.place from contract_transactions;
  return new;
end $$;
create trigger place_in_all before insert on contract_transactions for each row execute function place_in_all();
create function contract_changed() returns trigger language plpgsql as $$
begin
  insert into contract_transactions (txid, at, who) values (txid_current(), now(), current_user) on conflict do nothing;
  return null;
end $$;
create trigger contract_changed after insert or update on contracts for each row execute function contract_changed();
