-- Who, where and why come from settings of the session, from the connection and from the transaction.
-- must: port
-- source: literal
-- change: set app.user_id = '7'; set app.tenant = 'acme'; update orders set total = total + 1
create table orders (id int primary key, total numeric not null);
create table order_events (order_id int not null, version int not null, event_type text not null, data jsonb not null, caused_by int, tenant text not null, request_id text, db_user text not null, client inet, txid bigint not null, at timestamptz not null default clock_timestamp(),
  unique (order_id, version));
create function order_changed() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare who int := nullif(current_setting('app.user_id', true), '')::int;
begin
  insert into order_events (order_id, version, event_type, data, caused_by, tenant, request_id, db_user, client, txid)
  values (new.id, 1, 'OrderChanged', to_jsonb(new) - 'id', who, coalesce(current_setting('app.tenant', true), 'none'), current_setting('app.request_id', true), session_user, inet_client_addr(), txid_current());
  return null;
end $$;
create trigger order_changed after insert or update on orders for each row execute function order_changed();
insert into orders values (1, 10);
