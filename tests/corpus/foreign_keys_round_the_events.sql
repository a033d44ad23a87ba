-- The events point at users, and a table of the application points at the events.
-- must: port
-- source: literal
-- change: update members set name = name || 'x'
create table members (id int primary key, name text not null);
create table member_events (id bigserial primary key, member_id int not null references members on delete cascade, version int not null, event_type text not null, data jsonb not null, caused_by int references members on delete set null, at timestamptz not null default now(), unique (member_id, version));
create table notices (event_id bigint not null references member_events on delete cascade, sent_at timestamptz);
create function member_changed() returns trigger language plpgsql as $$
declare made bigint;
begin
  insert into member_events (member_id, version, event_type, data, caused_by) values (new.id, 1, 'MemberChanged', to_jsonb(new), new.id) returning id into made;
  insert into notices (event_id) values (made);
  return null;
end $$;
create trigger member_changed after insert or update on members for each row execute function member_changed();
insert into members values (1, 'a'), (2, 'b');
