-- The trigger CALLs a procedure that writes the event.
-- must: port
-- source: literal
-- change: update loans set returned = not returned
create table loans (id int primary key, returned boolean not null default false);
create table loan_events (id uuid primary key default gen_random_uuid(), loan_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (loan_id, version));
create procedure write_loan_event(p_loan int, p_type text, p_data jsonb, p_version int default 1) language plpgsql as $$
begin
  insert into loan_events (loan_id, version, event_type, data) values (p_loan, p_version, p_type, p_data);
end $$;
create function loan_changed() returns trigger language plpgsql as $$
begin
  call write_loan_event(new.id, 'LoanChanged', to_jsonb(new), 1);
  return null;
end $$;
create trigger loan_changed after update on loans for each row execute function loan_changed();
insert into loans (id) values (1), (2);
