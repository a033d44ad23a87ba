-- Rows that every new parent gets, and work that is queued: neither tells of a change.
-- must: ignore
create table clinics (id int primary key, name text);
create table clinic_settings (id serial primary key, clinic_id int not null references clinics, category text not null, name text not null, value jsonb not null, created_at timestamptz default now(), unique (clinic_id, category, name));
create table clinic_queue (clinic_id int not null, at timestamptz not null, retry_count int not null, label jsonb, unique (clinic_id, at, retry_count));
create function clinic_defaults() returns trigger language plpgsql as $$
begin
  insert into clinic_settings (clinic_id, category, name, value) values (new.id, 'hours', 'open', '8') on conflict (clinic_id, category, name) do nothing;
  insert into clinic_settings (clinic_id, category, name, value) values (new.id, 'hours', 'close', '18') on conflict (clinic_id, category, name) do nothing;
  return new;
end $$;
create trigger clinic_defaults after insert on clinics for each row execute function clinic_defaults();
create function clinic_queued() returns trigger language plpgsql as $$
begin
  insert into clinic_queue (clinic_id, at, retry_count, label) values (new.id, now(), 0, to_jsonb(new.name)) on conflict do nothing;
  return new;
end $$;
create trigger clinic_queued after update on clinics for each row execute function clinic_queued();
