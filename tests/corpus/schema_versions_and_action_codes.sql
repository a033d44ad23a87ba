-- Integer constants that are no versions of a stream: a schema's version, a code of the action, a row's format.
-- must: ignore
-- source: none
create table albums (id int primary key, title text);
create table album_log (id bigserial primary key, album_id int not null, action smallint not null, schema_version int not null default 1, event_version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now());
comment on column album_log.event_version is 'Version of the schema of data';
create function album_changed() returns trigger language plpgsql as $$
begin
  insert into album_log (album_id, action, event_version, event_type, data) values (new.id, case tg_op when 'INSERT' then 1 else 2 end, 1, 'AlbumChanged', to_jsonb(new));
  return null;
end $$;
create trigger album_changed after insert or update on albums for each row execute function album_changed();
