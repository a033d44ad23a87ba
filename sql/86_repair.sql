-- The map of "domain-events repair": which version an event had before, and which it has now. It is written before an event is
-- touched and marked in the transaction that renumbers it, so that a repair that was interrupted goes on where it stopped.

create table domain_events.repaired_versions (
  repair_id      text not null,
  event_table    text not null,
  row_key        text not null,
  batch          int not null,
  aggregate_type text collate "C",
  aggregate_id   text collate "C" not null,
  old_version    numeric,
  new_version    bigint not null,
  is_late        boolean not null default false,
  repaired_at    timestamptz,
  undone_at      timestamptz,
  written_by     text not null default domain_events._valid_text(current_user),
  constraint repaired_versions_pkey primary key (repair_id, event_table, row_key),
  constraint repaired_versions_new_version_check check (new_version > 0)
) with (fillfactor = 70);  -- each row is marked once or twice, in its page

create index repaired_versions_batch_idx on domain_events.repaired_versions (repair_id, event_table, batch);
create index repaired_versions_stream_idx on domain_events.repaired_versions (event_table, aggregate_type, aggregate_id, old_version);

comment on table domain_events.repaired_versions is 'Old and new version of every event in the streams that "domain-events repair" renumbered in a legacy event table';
comment on column domain_events.repaired_versions.repair_id is 'The repair, a plan in migration_plans';
comment on column domain_events.repaired_versions.event_table is 'The legacy event table, schema-qualified';
comment on column domain_events.repaired_versions.row_key is 'The event''s primary key as text; of several columns, a JSON array of texts';
comment on column domain_events.repaired_versions.batch is 'The transaction that renumbers it: a stream is in one batch, whole';
comment on column domain_events.repaired_versions.aggregate_type is 'The stream''s type; null where the table has no such column';
comment on column domain_events.repaired_versions.aggregate_id is 'The stream''s id';
comment on column domain_events.repaired_versions.old_version is 'Its version before';
comment on column domain_events.repaired_versions.new_version is 'Its version after; the same where the event keeps it';
comment on column domain_events.repaired_versions.is_late is 'It was written after the repair was planned, and is numbered after the stream''s older events';
comment on column domain_events.repaired_versions.repaired_at is 'When it was renumbered; null while it waits';
comment on column domain_events.repaired_versions.undone_at is 'When its old version was put back';
comment on column domain_events.repaired_versions.written_by is 'Who wrote this entry of the map; nobody but the store''s owner can give another name';
comment on constraint repaired_versions_pkey on domain_events.repaired_versions is 'An event is renumbered once in a repair';
comment on constraint repaired_versions_new_version_check on domain_events.repaired_versions is 'Versions count from 1';
comment on index domain_events.repaired_versions_batch_idx is 'The events of one batch';
comment on index domain_events.repaired_versions_stream_idx is 'What an old version has become';
