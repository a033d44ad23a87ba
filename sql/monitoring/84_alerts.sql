-- Findings that somebody should hear of, each once: when it appears, not in every run that sees it.

create table domain_events.alerts (
  alert_id    bigint generated always as identity,
  raised_at   timestamptz not null default pg_catalog.clock_timestamp(),
  source      text not null,
  code        text not null,
  severity    text not null,
  object      text not null,
  detail      text not null,
  seen_at     timestamptz not null default pg_catalog.clock_timestamp(),
  resolved_at timestamptz,
  constraint alerts_pkey primary key (alert_id),
  constraint alerts_source_check check (source in ('integrity', 'performance', 'infrastructure')),
  constraint alerts_severity_check check (severity in ('error', 'warning'))
);

create unique index alerts_open on domain_events.alerts (source, code, md5(object)) where resolved_at is null;

comment on table domain_events.alerts is
  'Findings of the checks, one row from when each appeared until it was gone; written by domain_events.raise_alerts()';
comment on column domain_events.alerts.alert_id is 'Order of the alerts';
comment on column domain_events.alerts.raised_at is 'When it was first found';
comment on column domain_events.alerts.source is 'The check: integrity, performance or infrastructure';
comment on column domain_events.alerts.code is 'The finding''s code';
comment on column domain_events.alerts.severity is 'error or warning';
comment on column domain_events.alerts.object is 'What it is about: a stream, a table, a function ...';
comment on column domain_events.alerts.detail is 'What was found, when it was found first';
comment on column domain_events.alerts.seen_at is 'When it was found last';
comment on column domain_events.alerts.resolved_at is 'When it was no longer found; null while it is open';
comment on index domain_events.alerts_open is 'One open alert per finding';
comment on sequence domain_events.alerts_alert_id_seq is 'Numbers the alerts';
