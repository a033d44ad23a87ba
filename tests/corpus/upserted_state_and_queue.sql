-- ON CONFLICT DO UPDATE: the newest state, a queue, an idempotency table. None is a log.
-- must: ignore
create table jobs (id int primary key, state text not null);
create table job_state_events (job_id int primary key, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now());
create table job_queue (job_id int not null, attempt int not null default 1, payload jsonb not null, primary key (job_id, attempt));
create function job_changed() returns trigger language plpgsql as $$
begin
  insert into job_state_events (job_id, version, event_type, data) values (new.id, 1, 'JobChanged', to_jsonb(new))
  on conflict (job_id) do update set version = job_state_events.version + 1, data = excluded.data, at = now();
  insert into job_queue (job_id, payload) values (new.id, to_jsonb(new)) on conflict (job_id, attempt) do update set payload = excluded.payload;
  return null;
end $$;
create trigger job_changed after insert or update on jobs for each row execute function job_changed();
