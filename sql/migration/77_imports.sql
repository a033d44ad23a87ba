-- How far "domain-events import" came: each batch is one transaction, which writes its rows and this journal.

create table domain_events.imports (
  import_id     bigint generated always as identity,
  source        text not null,
  source_table  text not null,
  target        text not null,
  fingerprint   text not null,
  adoption_id   bigint,
  options       text not null,
  state         text not null default 'loading',
  rows_read     bigint not null default 0,
  rows_stored   bigint not null default 0,
  rejected      bigint[] not null default '{}',
  rejects_bytes bigint not null default 0,
  began_by      text not null default domain_events._session_user(),
  began_at      timestamptz not null default pg_catalog.clock_timestamp(),
  changed_at    timestamptz not null default pg_catalog.clock_timestamp(),
  ended_at      timestamptz,
  constraint imports_pkey primary key (import_id),
  constraint imports_state_check check (state in ('loading', 'finished'))
);

comment on sequence domain_events.imports_import_id_seq is 'Numbers of imports';
comment on table domain_events.imports is
  'Tables and events brought from another server by "domain-events import", and how far each came';
comment on column domain_events.imports.import_id is 'The import of one table';
comment on column domain_events.imports.source is 'The server and database without password, or the path of the dump';
comment on column domain_events.imports.source_table is 'The table there';
comment on column domain_events.imports.target is 'The table here, schema-qualified; domain_events.events for events';
comment on column domain_events.imports.fingerprint is
  'Size and hash of the dump: an import goes on with the same file only';
comment on column domain_events.imports.adoption_id is 'The positions reserved for the events';
comment on column domain_events.imports.options is
  'What decides how rows are read: an import goes on with the same options only';
comment on column domain_events.imports.state is 'loading or finished';
comment on column domain_events.imports.rows_read is 'Rows of the source that are dealt with, in its order';
comment on column domain_events.imports.rows_stored is 'Rows of them that are stored';
comment on column domain_events.imports.rejected is 'Numbers of the rows that were rejected';
comment on column domain_events.imports.rejects_bytes is 'Bytes of the reject file that belong to it';
comment on column domain_events.imports.began_by is 'Who began it';
comment on column domain_events.imports.began_at is 'When it began';
comment on column domain_events.imports.changed_at is 'When its last batch was stored';
comment on column domain_events.imports.ended_at is 'When it was finished';
comment on constraint imports_pkey on domain_events.imports is 'An import has a number';
comment on constraint imports_state_check on domain_events.imports is 'loading or finished';
