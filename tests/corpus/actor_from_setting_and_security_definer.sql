-- The actor comes from a setting of the session; the function runs with its owner's rights.
-- must: port
-- source: literal
-- change: update documents set body = coalesce(body, '') || 'x'
create table documents (id int primary key, body text);
create table document_events (document_id int not null, version int not null, type text not null, actor text, data jsonb not null, at timestamptz not null default now(), unique (document_id, version));
create function saved() returns trigger language plpgsql security definer set search_path = public as $$
begin
  insert into document_events (document_id, version, type, actor, data)
  values (new.id, 1, 'DocumentSaved', nullif(current_setting('app.user_id', true), ''), jsonb_build_object('length', length(new.body)));
  return new;
end $$;
create trigger saved after insert or update on documents for each row execute function saved();
insert into documents values (1, 'a');
