-- max()+1 after an advisory lock, in a volatile helper: right, left alone.
-- must: ignore
-- source: max_plus_one_locked
create table accounts (id int primary key, balance numeric not null default 0);
create table account_events (id bigserial primary key, account_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz default now(), unique (account_id, version));
create function next_version(p int) returns int language plpgsql as $$
begin
  perform pg_advisory_xact_lock(4711, p);
  return (select coalesce(max(version), 0) + 1 from account_events where account_id = p);
end $$;
create function account_changed() returns trigger language plpgsql as $$
begin
  insert into account_events (account_id, version, event_type, data) values (new.id, next_version(new.id), 'AccountChanged', to_jsonb(new));
  return new;
end $$;
create trigger account_changed after update on accounts for each row execute function account_changed();
