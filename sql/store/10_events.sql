-- The append-only table of events, what protects it, and the list of streams.

-- One by one and without a cache: positions rise with the versions of a stream, and native guesses the next one.
create sequence domain_events.events_global_position_seq as bigint;

comment on sequence domain_events.events_global_position_seq is
  'Positions of events. Drawn before commit: their order is not the order of commits.';

-- A UUIDv7 is a random UUID whose first 48 bits are milliseconds, followed by the version; the next 12 bits are the
-- fraction of the millisecond here, as in uuidv7() of PostgreSQL 18. Rising ids keep the index on event_id dense.
create function domain_events.uuid_v7() returns uuid
language sql volatile parallel safe
as $$
  -- 65,536 parts of a millisecond, of whose 16 bits the upper four make room for the 7. Few operators: each costs every
  -- event 1,000 instructions, and one of other types than these the first event of a session 600,000.
  select pg_catalog.encode(
           overlay(pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
                   placing pg_catalog.int8send(
                       (pg_catalog.date_part('epoch'::text, pg_catalog.clock_timestamp()) * 65536000::float8)::bigint
                       & ~61440::bigint | 28672::bigint)
                   from 1 for 8), 'hex'::text)::uuid
$$;

comment on function domain_events.uuid_v7() is
  'A new UUID of version 7: its first 48 bits are the milliseconds since 1970, the next 12 their fraction, '
  'the rest is random.';

-- A check of the table would be read from its text by every INSERT, 41,000 instructions; that of a type is kept.
create domain domain_events.event_origin as text
  constraint event_origin_check check (value in ('captured', 'appended', 'imported', 'adopted'));

comment on domain domain_events.event_origin is 'How an event came into the store';
comment on constraint event_origin_check on domain domain_events.event_origin is
  'captured, appended, imported or adopted';

create function domain_events._captured() returns domain_events.event_origin
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select 'captured'::domain_events.event_origin $$;

comment on function domain_events._captured() is
  'The origin of captured events, a constant that need not be checked again';

create function domain_events._appended() returns domain_events.event_origin
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select 'appended'::domain_events.event_origin $$;

comment on function domain_events._appended() is 'The origin of appended events: see _captured()';

-- A transaction has its number before it draws a position: reading/74_ticks.sql rests on it.
create table domain_events.events (
  global_position   bigint not null default nextval(case when pg_catalog.pg_current_xact_id() is not null
                                                         then 'domain_events.events_global_position_seq'::regclass
                                                         else null end),
  transaction_id    xid8 not null default pg_catalog.pg_current_xact_id(),
  event_id          uuid not null default domain_events.uuid_v7(),
  aggregate_type    text collate "C" not null,
  aggregate_id      text collate "C" not null,
  aggregate_version bigint not null,
  event_type        text not null,
  event_name        text,
  event_data        jsonb not null default '{}',
  metadata          jsonb not null default '{}',
  correlation_id    text,
  causation_id      text,
  caused_by         text,
  schema_version    int not null default 1,
  occurred_at       timestamptz not null default pg_catalog.clock_timestamp(),
  recorded_at       timestamptz not null default pg_catalog.clock_timestamp(),
  origin            domain_events.event_origin collate "C" not null default 'appended',
  constraint events_pkey primary key (global_position),
  constraint uk_aggregate_version unique (aggregate_type, aggregate_id, aggregate_version),
  constraint events_event_id_key unique (event_id),
  constraint events_aggregate_version_check check (aggregate_version > 0)
);

-- For readers that come back to a transaction that was running before. With the position, as one transaction may have
-- written a million events, of which a reader takes a page at a time.
create index events_transaction_id_idx on domain_events.events (transaction_id, global_position);

comment on index domain_events.events_transaction_id_idx is
  'Finds the events of transactions that were running when a reader came by';

alter sequence domain_events.events_global_position_seq owned by domain_events.events.global_position;

-- The table only grows, and its newest rows are what is read: vacuum by inserts alone, and soon.
alter table domain_events.events set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

comment on table domain_events.events is
  'Domain events, append-only. Written by domain_events.append_event() and by captures; '
  'update, delete and truncate are refused.';
comment on column domain_events.events.global_position is
  'From a sequence, unique; drawn before commit, so not the order of commits';
comment on column domain_events.events.transaction_id is
  'The writing transaction; means nothing after a restore into another cluster';
comment on column domain_events.events.event_id is
  'UUIDv7 unless the caller gave its own; appending the same id again returns the stored event';
comment on column domain_events.events.aggregate_type is
  'Kind of aggregate, first half of the stream''s key; at most 255 bytes';
comment on column domain_events.events.aggregate_id is
  'Identity of the aggregate, second half of the stream''s key; at most 1,024 bytes';
comment on column domain_events.events.aggregate_version is '1, 2, 3 ... without a gap within the stream';
comment on column domain_events.events.event_type is 'What happened, in the past tense: UserUpdated';
comment on column domain_events.events.event_name is 'A label for people';
comment on column domain_events.events.event_data is 'What happened, as data';
comment on column domain_events.events.metadata is 'Context: whatever the caller adds';
comment on column domain_events.events.correlation_id is 'Groups all events of one business operation';
comment on column domain_events.events.causation_id is 'The command or event that led to this one';
comment on column domain_events.events.caused_by is 'Who did it: the actor of the context, else the session user';
comment on column domain_events.events.schema_version is 'Version of the payload''s shape, for upcasting';
comment on column domain_events.events.occurred_at is 'When it happened; the caller may say';
comment on column domain_events.events.recorded_at is
  'The server''s clock while the stream was held; rises with the version';
comment on column domain_events.events.origin is
  'How it came here, said by the store and by no caller: captured from a table, appended by append_event(), '
  'imported from another server, adopted from a legacy table. What happened to a captured row, '
  'only captured events tell';
comment on constraint events_pkey on domain_events.events is 'Positions are unique';
comment on constraint uk_aggregate_version on domain_events.events is
  'One event per version of a stream: what arbitrates between writers in the end';
comment on constraint events_event_id_key on domain_events.events is 'An event is stored once';
comment on constraint events_aggregate_version_check on domain_events.events is 'Versions count from 1';

create function domain_events._refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception '% on domain_events.events is refused: the event store is append-only', lower(tg_op)
    using errcode = '23001',
          detail = 'Stored events are never changed or removed.',
          hint = 'Record a correcting event with domain_events.append_event().';
end
$$;

comment on function domain_events._refuse_change() is
  'Trigger: refuses update, delete and truncate of the store, also for its owner and a superuser''s plain statement.';

create trigger events_append_only before delete or update on domain_events.events
  for each statement execute function domain_events._refuse_change();
create trigger events_append_only_truncate before truncate on domain_events.events
  for each statement execute function domain_events._refuse_change();

-- ALWAYS: session_replication_role = replica does not get round them.
alter table domain_events.events enable always trigger events_append_only;
alter table domain_events.events enable always trigger events_append_only_truncate;

comment on trigger events_append_only on domain_events.events is 'Keeps the store append-only';
comment on trigger events_append_only_truncate on domain_events.events is 'Keeps the store append-only';

create view domain_events.streams as
  select aggregate_type, aggregate_id,
         max(aggregate_version) as version,
         min(recorded_at) as first_recorded_at,
         max(recorded_at) as last_recorded_at
    from domain_events.events
   group by aggregate_type, aggregate_id;

comment on view domain_events.streams is
  'Every stream with its newest version and the times of its first and last event';
comment on column domain_events.streams.aggregate_type is 'Kind of aggregate';
comment on column domain_events.streams.aggregate_id is 'Identity of the aggregate';
comment on column domain_events.streams.version is 'Newest version of the stream';
comment on column domain_events.streams.first_recorded_at is 'When the first event was recorded';
comment on column domain_events.streams.last_recorded_at is 'When the newest event was recorded';

create function domain_events.engine(out engine text, out version text)
language sql immutable parallel safe
as $$ select 'portable'::text, '0.1.0'::text $$;

comment on function domain_events.engine() is
  'Which engine runs the store, native or portable, and its version. Same names, results and error codes; '
  'native is faster, goes on under REPEATABLE READ where portable may raise 40001, '
  'and refuses what needs an event trigger.';
