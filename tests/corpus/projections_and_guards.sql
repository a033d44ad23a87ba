-- Triggers that read events or guard them write none: projections, notifications, an append-only guard, a timestamp.
-- must: ignore
create table game_events (game_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (game_id, version));
create table games (id int primary key, score int not null default 0, updated_at timestamptz);
create function project() returns trigger language plpgsql as $$
begin
  insert into games (id, score, updated_at) values (new.game_id, coalesce((new.data ->> 'score')::int, 0), new.at)
  on conflict (id) do update set score = excluded.score, updated_at = excluded.updated_at;
  perform pg_notify('game_events', new.game_id || '/' || new.version);
  return null;
end $$;
create function guard() returns trigger language plpgsql as $$
begin
  raise exception 'events are never changed' using errcode = 'restrict_violation';
end $$;
create function touch() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  return new;
end $$;
create trigger project after insert on game_events for each row execute function project();
create trigger guard before update or delete on game_events for each row execute function guard();
create trigger touch before update on games for each row execute function touch();
