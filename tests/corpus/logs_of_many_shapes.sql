-- Logs that say what they tell of in ways of their own: the table alone, the row alone, all of the row, the row read again; and one
-- whose rows get a mark later. None has a version.
-- must: ignore
-- source: none none none none none none
create table parcels (id int primary key, label text, weight int);
create table audit_main (id serial primary key, action text not null, table_name text not null, created_on timestamp not null default now());
create table parcel_history (id int, label text);
create table parcel_copies_archive (like parcels);
create table parcel_archive (id int primary key, label text);
create table parcel_log (id bigserial primary key, parcel_id int, what text, row_data jsonb, delivered_to jsonb default '[]', at timestamptz not null default now());
create table parcel_transactions (txid bigint not null, at timestamptz not null, who text, primary key (at, txid));
create function parcel_told() returns trigger language plpgsql as $$
begin
  insert into audit_main (action, table_name) values (tg_op, tg_table_name);
  insert into parcel_history (id, label) values (old.id, old.label);
  insert into parcel_copies_archive values (old.*);
  insert into parcel_archive (id, label) select p.id, p.label from parcels p where p.id = old.id;
  insert into parcel_log (parcel_id, what, row_data) values (old.id, tg_op, to_jsonb(old));
  insert into parcel_transactions values (txid_current(), transaction_timestamp(), session_user) on conflict do nothing;
  return old;
end $$;
create trigger parcel_told before delete on parcels for each row execute function parcel_told();
create function parcel_delivered(wanted bigint, who text) returns void language sql as $$
  update parcel_log set delivered_to = delivered_to || to_jsonb(who) where id = wanted;
$$;
