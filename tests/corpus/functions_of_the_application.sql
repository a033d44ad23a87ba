-- No trigger at all: the application calls functions, in SQL, in SQL-standard form and in PL/pgSQL.
-- unverified: no trigger calls them
-- must: port
-- source: literal max_plus_one max_plus_one
-- change: select open_ticket(7); select answer_ticket(7, 'hm'); select close_ticket(7)
create table tickets (id int primary key, state text not null default 'open');
create table ticket_events (ticket_id int not null, version int not null, event_type text not null, data jsonb not null default '{}', at timestamptz not null default now(), primary key (ticket_id, version));
create function open_ticket(p_id int) returns void language sql as $$
  insert into tickets (id) values (p_id) on conflict (id) do update set state = 'open';
  insert into ticket_events (ticket_id, version, event_type) values (p_id, 1, 'TicketOpened');
$$;
create function answer_ticket(p_id int, p_text text) returns void language sql begin atomic
  insert into ticket_events (ticket_id, version, event_type, data)
  select p_id, coalesce(max(e.version), 0) + 1, 'TicketAnswered', jsonb_build_object('text', p_text) from ticket_events e where e.ticket_id = p_id;
end;
create function close_ticket(p_id int) returns int language plpgsql as $$
declare made int;
begin
  update tickets set state = 'closed' where id = p_id;
  insert into ticket_events (ticket_id, version, event_type)
  values (p_id, (select coalesce(max(version), 0) + 1 from ticket_events where ticket_id = p_id), 'TicketClosed') returning version into made;
  return made;
end $$;
