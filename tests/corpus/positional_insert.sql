-- INSERT without a column list, in a table whose columns were added and dropped.
-- must: port
-- source: literal
-- change: update labels set text = text || 'x'
create table labels (id int primary key, text text not null);
create table label_events (gone int, label_id int not null, version int not null, event_type text not null, data jsonb not null);
alter table label_events drop column gone, add column at timestamptz not null default now(), add constraint label_version unique (label_id, version);
create function label_changed() returns trigger language plpgsql as $$
begin
  insert into label_events values (new.id, 1, 'LabelChanged', to_jsonb(new), default);
  return null;
end $$;
create trigger label_changed after update on labels for each row execute function label_changed();
insert into labels values (1, 'a'), (2, 'b');
