-- What is captured, how, and what could not be.

create table domain_events.capture_config (
  capture_id       int generated always as identity,
  relation         regclass not null,
  relation_oid     oid not null,
  store_oid        oid not null,
  table_name       text not null,
  aggregate_type   text collate "C" not null,
  state            text not null default 'active',
  include_only     boolean not null,
  shares_type      boolean not null,
  event_types      jsonb not null default '[]',
  event_name_style text not null,
  payload          text not null,
  on_failure       text not null,
  baseline         text not null,
  replication      text not null,
  whole_row_after  bigint not null default 0,
  fail_closed      boolean not null default false,
  columns_seen     text[] not null default '{}',
  captured_since   timestamptz not null default pg_catalog.clock_timestamp(),
  captured_by      text not null default domain_events._session_user(),
  table_owner      name not null,
  enabled_as       text not null,
  constraint capture_config_pkey primary key (capture_id),
  constraint capture_config_relation_key unique (relation),
  constraint capture_config_state_check check (state in ('active', 'paused')),
  constraint capture_config_event_name_style_check check (event_name_style in ('pascal', 'dotted')),
  constraint capture_config_payload_check check (payload in ('changes', 'full')),
  constraint capture_config_on_failure_check check (on_failure in ('abort', 'dead_letter')),
  constraint capture_config_baseline_check check (baseline in ('lazy', 'now')),
  constraint capture_config_replication_check check (replication in ('origin', 'always'))
);

comment on table domain_events.capture_config is
  'One row per captured table; read it through the view domain_events.captures';
comment on column domain_events.capture_config.capture_id is
  'Names the table''s trigger function: domain_events.capture_<id>()';
comment on column domain_events.capture_config.relation is
  'The captured table; dumped by name, so a restore finds it under its new OID';
comment on column domain_events.capture_config.relation_oid is
  'The table''s OID when attribute numbers were last recorded; another OID means they came from another database';
comment on column domain_events.capture_config.store_oid is
  'OID of domain_events.events at that time; another OID means the same';
comment on column domain_events.capture_config.table_name is
  'Schema-qualified name when last looked at; finds the table again after it was dropped and restored';
comment on column domain_events.capture_config.aggregate_type is 'Type of the streams';
comment on column domain_events.capture_config.state is 'active or paused';
comment on column domain_events.capture_config.include_only is
  'True when columns were named by include: a column added later is not captured';
comment on column domain_events.capture_config.shares_type is
  'True when another captured table had the type already: events then say of which table the row is';
comment on column domain_events.capture_config.event_types is
  'Mapping of operations and changed columns to event types';
comment on column domain_events.capture_config.event_name_style is 'pascal: UserCreated; dotted: user.created';
comment on column domain_events.capture_config.payload is 'changes: changed columns only; full: whole rows';
comment on column domain_events.capture_config.on_failure is
  'dead_letter: the user''s write passes and the event is kept in capture_failures; abort: the statement fails';
comment on column domain_events.capture_config.baseline is
  'lazy: a stream''s first event carries the whole row; now: an event for every existing row';
comment on column domain_events.capture_config.replication is
  'origin: changes of this server''s sessions; always: also rows applied by replication';
comment on column domain_events.capture_config.whole_row_after is
  'A stream whose newest event has at most this position carries the whole row in its next one';
comment on column domain_events.capture_config.fail_closed is
  'True when a redaction rule matches no column any more: all values are redacted until the rule is renewed';
comment on column domain_events.capture_config.columns_seen is
  'Names and types of the columns when they were last recorded';
comment on column domain_events.capture_config.captured_since is 'When capture was enabled';
comment on column domain_events.capture_config.captured_by is 'Who enabled it';
comment on column domain_events.capture_config.table_owner is
  'Owner of the table when last looked at: where it was dropped, only they may put another in its place';
comment on column domain_events.capture_config.enabled_as is
  'Schema-qualified name when capture was enabled: tools that change a table put another in its place by renaming both';

create table domain_events.capture_columns (
  rule_id           int generated always as identity,
  capture_id        int not null,
  attnum            int2,
  column_name       name not null,
  identity_position int,
  captured          boolean not null,
  redacted          boolean not null,
  constraint capture_columns_pkey primary key (rule_id),
  constraint capture_columns_key unique (capture_id, attnum)
);

comment on table domain_events.capture_columns is
  'Every column of every captured table when it was last looked at, and what becomes of it';
comment on column domain_events.capture_columns.rule_id is
  'What a publication of all tables tells the row by: attnum may be null';
comment on constraint capture_columns_pkey on domain_events.capture_columns is 'Rules are numbered';
comment on column domain_events.capture_columns.capture_id is 'The capture';
comment on column domain_events.capture_columns.attnum is
  'Attribute number: follows a rename; null when the column is gone and only its rule is left';
comment on column domain_events.capture_columns.column_name is
  'Name; follows the column after a dump and restore, which changes attribute numbers';
comment on column domain_events.capture_columns.identity_position is
  '1, 2 ... within the aggregate id; null when not part of it';
comment on column domain_events.capture_columns.captured is 'False when excluded: its changes make no event';
comment on column domain_events.capture_columns.redacted is 'True: its changes make events, its values never appear';

-- No foreign key: a parallel restore loads the tables of an extension in any order, with their constraints in place.
create function domain_events._forget_capture() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  delete from domain_events.capture_columns k where k.capture_id = old.capture_id;
  delete from domain_events.capture_partitions k where k.capture_id = old.capture_id;
  return null;
end
$$;

comment on function domain_events._forget_capture() is 'Trigger: what was known of a table goes with its capture';

create trigger capture_config_forget after delete on domain_events.capture_config
  for each row execute function domain_events._forget_capture();

comment on trigger capture_config_forget on domain_events.capture_config is
  'Takes the columns and partitions of a capture with it';

create table domain_events.capture_failures (
  failure_id       bigint generated always as identity primary key,
  failed_at        timestamptz not null default pg_catalog.clock_timestamp(),
  table_name       text not null,
  operation        text not null,
  aggregate_type   text not null,
  aggregate_id     text,
  event_type       text,
  event_name       text,
  event_data       jsonb,
  metadata         jsonb not null,
  correlation_id   text,
  causation_id     text,
  caused_by        text,
  occurred_at      timestamptz not null,
  after_version    bigint,
  after_position   bigint,
  error_code       text not null,
  error_message    text not null,
  retries          int not null default 0,
  retried_at       timestamptz,
  stored_version   bigint,
  transaction_id   xid8 not null default pg_catalog.pg_current_xact_id()
);

comment on table domain_events.capture_failures is
  'Events that could not be stored while the user''s write went on; domain_events.retry_capture_failures() stores them';
comment on column domain_events.capture_failures.failure_id is
  'Order of the failures: what the same version came before is folded in this order';
comment on column domain_events.capture_failures.failed_at is 'When it failed';
comment on column domain_events.capture_failures.table_name is 'The captured table';
comment on column domain_events.capture_failures.operation is 'INSERT, UPDATE, DELETE or TRUNCATE';
comment on column domain_events.capture_failures.aggregate_type is 'The event''s stream, type';
comment on column domain_events.capture_failures.aggregate_id is
  'The event''s stream, id; null when that is what failed';
comment on column domain_events.capture_failures.event_type is 'The event''s type';
comment on column domain_events.capture_failures.event_name is 'The event''s label for people';
comment on column domain_events.capture_failures.event_data is 'The event''s data';
comment on column domain_events.capture_failures.metadata is 'The event''s metadata';
comment on column domain_events.capture_failures.correlation_id is 'Of the context';
comment on column domain_events.capture_failures.causation_id is 'Of the context';
comment on column domain_events.capture_failures.caused_by is 'Of the context, else the session user';
comment on column domain_events.capture_failures.occurred_at is 'When the change happened';
comment on column domain_events.capture_failures.after_version is
  'Newest version of the stream at that moment: the event''s place when it is folded, '
  'unless its metadata says that it fired late (queued)';
comment on column domain_events.capture_failures.after_position is
  'Newest position of the store at that moment: tells whether the event comes before or after a truncation';
comment on column domain_events.capture_failures.error_code is 'SQLSTATE';
comment on column domain_events.capture_failures.error_message is
  'The message; withheld where the table has redacted or excluded columns, for it could quote them';
comment on column domain_events.capture_failures.retries is 'How often it was tried again';
comment on column domain_events.capture_failures.retried_at is 'When it was last tried again';
comment on column domain_events.capture_failures.stored_version is
  'Version under which it was stored in the end; null while it is pending';
comment on column domain_events.capture_failures.transaction_id is
  'The transaction that made the change; means nothing after a restore into another cluster';

create index capture_failures_pending on domain_events.capture_failures (failure_id) where stored_version is null;

comment on index domain_events.capture_failures_pending is 'What retry_capture_failures() has to do';

create index capture_failures_stream on domain_events.capture_failures (aggregate_type, aggregate_id)
where stored_version is null;

comment on index domain_events.capture_failures_stream is 'Whether a stream has dead letters';

comment on sequence domain_events.capture_columns_rule_id_seq is 'Numbers the rules';
comment on sequence domain_events.capture_config_capture_id_seq is 'Numbers the captures; a number is never used twice';
comment on sequence domain_events.capture_failures_failure_id_seq is 'Numbers the failures';
