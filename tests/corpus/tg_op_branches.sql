-- One function, three branches on TG_OP, a CASE statement on the row's state, an early RETURN.
-- must: port
-- source: literal literal literal literal
-- change: update shipments set state = case state when 'packed' then 'sent' else 'packed' end
-- change: delete from shipments where id > 100; insert into shipments values (101, 'packed')
create table shipments (id int primary key, state text not null, note text);
create table shipment_events (id bigserial primary key, shipment_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (shipment_id, version));
create function shipment_events() returns trigger language plpgsql as $$
begin
  if (tg_op = 'INSERT') then
    insert into shipment_events (shipment_id, version, event_type, data) values (new.id, 1, 'ShipmentCreated', to_jsonb(new));
    return new;
  elsif tg_op = 'UPDATE' then
    if new is not distinct from old then
      return new;
    end if;
    case new.state
      when 'sent' then
        insert into shipment_events (shipment_id, version, event_type, data) values (new.id, 1, 'ShipmentSent', jsonb_build_object('state', new.state, 'was', old.state));
      else
        insert into shipment_events (shipment_id, version, event_type, data) values (new.id, 1, 'ShipmentChanged', to_jsonb(new));
    end case;
    return new;
  end if;
  insert into shipment_events (shipment_id, version, event_type, data) values (old.id, 1, 'ShipmentDeleted', to_jsonb(old));
  return old;
end $$;
insert into shipments values (1, 'packed'), (2, 'sent');
create trigger shipment_events after insert or update or delete on shipments for each row execute function shipment_events();
