-- Two helpers of one name, told apart by their arguments; one is right, the other is not.
-- must: port
-- source: max_plus_one max_plus_one_locked
-- change: update forks set size = size + 1
create table forks (id int primary key, size int not null);
create table fork_events (fork_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (fork_id, version));
create function next_fork(p int) returns int language plpgsql as $$
begin
  return (select coalesce(max(version), 0) + 1 from fork_events where fork_id = p);
end $$;
create function next_fork(p int, safe boolean) returns int language plpgsql as $$
begin
  perform pg_advisory_xact_lock(4, p);
  return (select coalesce(max(version), 0) + 1 from fork_events where fork_id = p);
end $$;
create function fork_changed() returns trigger language plpgsql as $$
begin
  insert into fork_events (fork_id, version, event_type, data) values (new.id, next_fork(new.id, true), 'ForkA', to_jsonb(new));
  return null;
end $$;
create function fork_changed_again() returns trigger language plpgsql as $$
begin
  insert into fork_events (fork_id, version, event_type, data) values (new.id, next_fork(new.id), 'ForkB', to_jsonb(new));
  return null;
end $$;
create trigger a after update on forks for each row execute function fork_changed();
create trigger b after update on forks for each row execute function fork_changed_again();
insert into forks values (1, 1);
