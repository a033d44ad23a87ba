-- The version counts, but is kept as text: '10' comes before '9'.
-- must: refuse
-- source: max_plus_one
create table drafts (id int primary key, body text not null);
create table draft_events (draft_id int not null, version text not null, event_type text not null, data jsonb not null, at timestamptz not null default now(), unique (draft_id, version));
create function draft_changed() returns trigger language plpgsql as $$
begin
  insert into draft_events (draft_id, version, event_type, data)
  values (new.id, (select coalesce(max(version::int), 0) + 1 from draft_events where draft_id = new.id)::text, 'DraftChanged', to_jsonb(new));
  return null;
end $$;
create trigger draft_changed after update on drafts for each row execute function draft_changed();
