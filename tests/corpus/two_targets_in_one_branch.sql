-- An event and an outbox row in one branch; the outbox has no version and is none of ours.
-- must: port
-- source: literal none
-- change: update tickets set place = place || 'x'
create table tickets (id int primary key, place text not null, price numeric);
create table ticket_events (id bigserial primary key, ticket_id int not null, seq int not null, kind text not null, data jsonb not null, created_at timestamptz not null default now(), unique (ticket_id, seq));
create table outbox (id bigserial primary key, event_type text not null, ref int, payload jsonb not null, created_at timestamptz not null default now());
create function ticket_moved() returns trigger language plpgsql as $$
begin
  if new.place is distinct from old.place then
    insert into ticket_events (ticket_id, seq, kind, data) values (new.id, 1, 'TicketMoved', jsonb_build_object('from', old.place, 'to', new.place));
    insert into outbox (event_type, ref, payload) values ('TicketMoved', new.id, to_jsonb(new));
  end if;
  return new;
end $$;
create trigger ticket_moved after update of place, price on tickets for each row when (old.* is distinct from new.*) execute function ticket_moved();
insert into tickets values (1, 'A1', 10), (2, 'A2', 20);
