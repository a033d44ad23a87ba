-- What "domain-events apply" did to users' objects, with what they were before: rollback reads nothing else.

create table domain_events.migration_plans (
  plan_id      text not null,
  state        text not null,
  plan         jsonb not null,
  -- Not the session's user: a superuser's session may be running a lesser role's code.
  applied_by   text not null default domain_events._valid_text(current_user),
  applied_at   timestamptz not null default pg_catalog.clock_timestamp(),
  changed_at   timestamptz not null default pg_catalog.clock_timestamp(),
  tool_version text not null,
  constraint migration_plans_pkey primary key (plan_id),
  constraint migration_plans_state_check check (state in ('applying', 'applied', 'finished', 'rolled_back'))
);

comment on table domain_events.migration_plans is
  'Plans carried out by "domain-events apply", with everything needed to take them back';
comment on column domain_events.migration_plans.plan_id is 'The plan''s id';
comment on column domain_events.migration_plans.state is
  'applying, applied, finished (old triggers dropped) or rolled_back';
comment on column domain_events.migration_plans.plan is 'The plan file as it was: decisions, SQL, old definitions';
comment on column domain_events.migration_plans.applied_by is
  'Who applied it: nobody but the store''s owner can give another name, and the command line runs a plan for nobody '
  'whom this role must not act for';
comment on column domain_events.migration_plans.applied_at is 'When it was applied';
comment on column domain_events.migration_plans.changed_at is 'When its state changed last';
comment on column domain_events.migration_plans.tool_version is 'Version of the command line';

create table domain_events.migration_journal (
  plan_id      text not null,
  entry        int not null,
  action       text not null,
  step         text not null,
  statement    text not null,
  object_kind  text,
  object       text,
  before_state jsonb,
  after_state  jsonb,
  done_by      text not null default domain_events._valid_text(current_user),
  done_at      timestamptz not null default pg_catalog.clock_timestamp(),
  constraint migration_journal_pkey primary key (plan_id, entry),
  constraint migration_journal_action_check check (action in ('apply', 'finish', 'rollback'))
);

comment on table domain_events.migration_journal is
  'Every statement of every plan, with the object before and after it; written in the transaction that did it';
comment on column domain_events.migration_journal.plan_id is 'The plan';
comment on column domain_events.migration_journal.entry is 'Order within the plan';
comment on column domain_events.migration_journal.action is 'apply, finish or rollback';
comment on column domain_events.migration_journal.step is 'What was done, for people';
comment on column domain_events.migration_journal.statement is 'The SQL that ran';
comment on column domain_events.migration_journal.object_kind is 'trigger, function, capture or event_table';
comment on column domain_events.migration_journal.object is 'Qualified identity of the object';
comment on column domain_events.migration_journal.before_state is
  'Fingerprint, definition, enabled state, owner, comment and privileges before; null when it did not exist';
comment on column domain_events.migration_journal.after_state is
  'The same afterwards; null when it does not exist any more';
comment on column domain_events.migration_journal.done_by is 'Who did it';
comment on column domain_events.migration_journal.done_at is 'When it was done';
