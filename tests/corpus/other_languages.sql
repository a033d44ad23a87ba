-- A trigger function in a language that is not read, and one that comes with the server.
-- must: ignore
-- source: dynamic
create table blobs (id int primary key, body text);
create table blob_events (blob_id int not null, version int not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (blob_id, version));
create trigger quiet before update on blobs for each row execute function suppress_redundant_updates_trigger();
-- as superuser
create function in_c() returns trigger language internal as 'suppress_redundant_updates_trigger';
create trigger in_c before update on blobs for each row execute function in_c();
