-- Versions are texts, '1.0' and then a tenth more: nothing that counts a stream.
-- must: refuse
-- source: literal max_plus_one
create table policies (id int primary key, body text not null);
create table policy_events (policy_id int not null, version varchar(10) not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (policy_id, version));
create function policy_changed() returns trigger language plpgsql as $$
declare last numeric;
begin
  if tg_op = 'INSERT' then
    insert into policy_events (policy_id, version, event_type, data) values (new.id, '1.0', 'PolicyWritten', to_jsonb(new));
    return new;
  end if;
  select max(version::numeric) into last from policy_events where policy_id = new.id;
  insert into policy_events (policy_id, version, event_type, data) values (new.id, (last + 0.1)::text, 'PolicyChanged', to_jsonb(new));
  return new;
end $$;
create trigger policy_changed after insert or update on policies for each row execute function policy_changed();
