-- A BEFORE UPDATE trigger that touches updated_at and writes the event.
-- must: port
-- source: literal
-- change: update profiles set born = coalesce(born, date '2000-01-01') + 1
create table profiles (id uuid primary key default gen_random_uuid(), nick varchar(12) not null, born date, updated_at timestamptz not null default now());
create table profile_log (profile uuid not null, version smallint not null, what text not null, old_row jsonb, new_row jsonb, at timestamptz not null default now(), by_whom text not null default current_user, unique (profile, version));
create function touch() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  insert into profile_log (profile, version, what, old_row, new_row) values (old.id, 1, 'ProfileChanged', to_jsonb(old), to_jsonb(new));
  return new;
end $$;
create trigger touch before update on profiles for each row execute function touch();
insert into profiles (nick) values ('ann'), ('bob');
