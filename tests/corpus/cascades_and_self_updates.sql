-- A foreign key cascades into a table with a trigger, and a trigger updates its own row again: several events per statement.
-- must: port
-- source: literal literal
-- change: insert into albums values (9, 'x'); insert into tracks values (91, 9, 0); update tracks set plays = plays + 1; delete from albums where id = 9
create table albums (id int primary key, title text not null);
create table tracks (id int primary key, album_id int not null references albums on delete cascade, plays int not null default 0, popular boolean not null default false);
create table track_events (track_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (track_id, version));
create function track_changed() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    insert into track_events (track_id, version, event_type, data) values (old.id, 1, 'TrackRemoved', to_jsonb(old));
    return old;
  end if;
  insert into track_events (track_id, version, event_type, data) values (new.id, 1, 'TrackPlayed', to_jsonb(new));
  if new.plays > 1 and not new.popular then
    update tracks set popular = true where id = new.id;
  end if;
  return new;
end $$;
create trigger track_changed after update or delete on tracks for each row execute function track_changed();
insert into albums values (1, 'a');
insert into tracks values (1, 1), (2, 1);
