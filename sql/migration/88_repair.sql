-- The map of "domain-events repair": which version an event had before, and which it has now. It is written before an
-- event is touched and marked in the transaction that renumbers it, so that a repair that was interrupted goes on where
-- it stopped.

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
create index repaired_versions_stream_idx
  on domain_events.repaired_versions (event_table, aggregate_type, aggregate_id, old_version);

comment on table domain_events.repaired_versions is
  'Old and new version of every event in the streams that "domain-events repair" renumbered in a legacy event table';
comment on column domain_events.repaired_versions.repair_id is 'The repair, a plan in migration_plans';
comment on column domain_events.repaired_versions.event_table is 'The legacy event table, schema-qualified';
comment on column domain_events.repaired_versions.row_key is
  'The event''s primary key as text; of several columns, a JSON array of texts';
comment on column domain_events.repaired_versions.batch is
  'The transaction that renumbers it: a stream is in one batch, whole';
comment on column domain_events.repaired_versions.aggregate_type is
  'The stream''s type; null where the table has no such column';
comment on column domain_events.repaired_versions.aggregate_id is 'The stream''s id';
comment on column domain_events.repaired_versions.old_version is 'Its version before';
comment on column domain_events.repaired_versions.new_version is 'Its version after; the same where the event keeps it';
comment on column domain_events.repaired_versions.is_late is
  'It was written after the repair was planned, and is numbered after the stream''s older events';
comment on column domain_events.repaired_versions.repaired_at is 'When it was renumbered; null while it waits';
comment on column domain_events.repaired_versions.undone_at is 'When its old version was put back';
comment on column domain_events.repaired_versions.written_by is
  'Who wrote this entry of the map; nobody but the store''s owner can give another name';
comment on constraint repaired_versions_pkey on domain_events.repaired_versions is
  'An event is renumbered once in a repair';
comment on constraint repaired_versions_new_version_check on domain_events.repaired_versions is 'Versions count from 1';
comment on index domain_events.repaired_versions_batch_idx is 'The events of one batch';
comment on index domain_events.repaired_versions_stream_idx is 'What an old version has become';

-- Whose rows one may change, and about whose objects one's entries decide. The store's owner answers for every row.
create function domain_events._answers_for(role text, writer text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return role = writer
         or exists (select from pg_roles r, pg_class store
                     where store.oid = 'domain_events.events'::regclass and domain_events._valid_text(r.rolname) = role
                       and (pg_has_role(r.oid, store.relowner, 'usage')
                            or exists (select from pg_roles w
                                        where domain_events._valid_text(w.rolname) = writer
                                          and pg_has_role(r.oid, w.oid, 'usage'))));
end
$$;

comment on function domain_events._answers_for(text, text) is
  'Whether a role has the rights of the one that wrote a row of the journal or of a repair''s map, '
  'or is the store''s owner';

-- A grant is for every row of a table, and the role that may write a journal of its own is not to change what others
-- wrote in theirs.
create function domain_events._guard_written() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  me constant text := domain_events._valid_text(current_user);
  foreign_row record;
begin
  case
    when tg_table_name = 'migration_plans' then
      select w.plan_id as id, w.applied_by as writer into foreign_row from written as w
       where not domain_events._answers_for(me, w.applied_by) limit 1;
    when tg_table_name = 'migration_journal' then
      select w.plan_id as id, p.applied_by as writer into foreign_row
        from (select distinct w.plan_id from written as w) as w
        left join domain_events.migration_plans p on p.plan_id = w.plan_id
       where not domain_events._answers_for(me, coalesce(p.applied_by, '')) limit 1;
    when tg_op = 'INSERT' then
      select w.repair_id as id, p.applied_by as writer into foreign_row
        from (select distinct w.repair_id from written as w) as w
        left join domain_events.migration_plans p on p.plan_id = w.repair_id
       where not domain_events._answers_for(me, coalesce(p.applied_by, '')) limit 1;
    else
      select w.repair_id as id, w.written_by as writer into foreign_row
        from (select distinct w.repair_id, w.written_by from written as w) as w
       where not domain_events._answers_for(me, w.written_by) limit 1;
  end case;
  if found then
    raise exception 'plan % is not one that % applied', foreign_row.id, me
      using errcode = '42501',
            detail = case when foreign_row.writer is null then 'No such plan was applied here.'
                          else format('It was written by %s.', foreign_row.writer) end,
            hint = 'Run this as the role that wrote it, or as the owner of schema domain_events.';
  end if;
  return null;
end
$$;

comment on function domain_events._guard_written() is
  'Trigger, with the rights of whoever writes: refuses (42501) changes of the plans, '
  'the journal and the repairs of roles that they cannot act for';

create trigger migration_plans_guard after update on domain_events.migration_plans referencing old table as written
  for each statement execute function domain_events._guard_written();
create trigger migration_journal_guard after insert on domain_events.migration_journal referencing new table as written
  for each statement execute function domain_events._guard_written();
create trigger repaired_versions_guard_insert after insert
  on domain_events.repaired_versions referencing new table as written
  for each statement execute function domain_events._guard_written();
create trigger repaired_versions_guard_update after update
  on domain_events.repaired_versions referencing old table as written
  for each statement execute function domain_events._guard_written();

alter table domain_events.migration_plans enable always trigger migration_plans_guard;
alter table domain_events.migration_journal enable always trigger migration_journal_guard;
alter table domain_events.repaired_versions enable always trigger repaired_versions_guard_insert;
alter table domain_events.repaired_versions enable always trigger repaired_versions_guard_update;

comment on trigger migration_plans_guard on domain_events.migration_plans is
  'Plans are changed by those who can act for their writer';
comment on trigger migration_journal_guard on domain_events.migration_journal is
  'Entries are added to plans by those who can act for their writer';
comment on trigger repaired_versions_guard_insert on domain_events.repaired_versions is
  'Events are added to repairs by those who can act for their writer';
comment on trigger repaired_versions_guard_update on domain_events.repaired_versions is
  'Events of a repair are marked by those who can act for its writer';

-- What counts the store's own rows, beside the positions of events: a server that took over tables by logical
-- replication has the rows and not the counters.
create function domain_events._counters_behind(out counter text, out stands_at bigint, out rows_up_to bigint)
  returns setof record
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  counted record;
begin
  for counted in
    select a.attrelid::regclass as relation, a.attname,
           pg_get_serial_sequence(a.attrelid::regclass::text, a.attname) as sequence
      from pg_attribute a join pg_class c on c.oid = a.attrelid
     where c.relnamespace = 'domain_events'::regnamespace and c.relkind = 'r' and a.attidentity <> ''
       and not a.attisdropped
     order by a.attrelid::regclass::text
  loop
    counter := counted.sequence;
    continue when not has_table_privilege(counted.relation, 'select') or not has_sequence_privilege(counter, 'select');
    execute format('select case when is_called then last_value else 0 end from %s', counter) into stands_at;
    execute format('select max(%I) from %s', counted.attname, counted.relation) into rows_up_to;
    if rows_up_to > stands_at then
      return next;
    end if;
  end loop;
  -- The secret number counts nothing: it is there, or the keys of locks are no secret.
  counter := 'domain_events.lock_salt';
  if has_sequence_privilege(counter, 'select') and pg_sequence_last_value(counter) is null then
    stands_at := 0;
    rows_up_to := null;
    return next;
  end if;
end
$$;

comment on function domain_events._counters_behind() is
  'Sequences of the store, but for that of the positions, that are behind the rows they number, '
  'and lock_salt without a number; as far as the caller may see them';

create function domain_events._counter_findings(
  out code text, out severity text, out object text, out detail text
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select 'counter_behind', 'error', c.counter,
         case when c.rows_up_to is null
                then 'the number that the keys of locks are made with is not set: it was not replicated'
              else format('stands at %s, and rows are numbered up to %s: they were restored or replicated without it, '
                          'and what needs a new number fails',
                          c.stands_at, c.rows_up_to) end
           || '. The owner runs: select domain_events.set_sequences()'
    from domain_events._counters_behind() as c
$$;

comment on function domain_events._counter_findings() is 'What _counters_behind() finds, as findings';

create function domain_events.set_sequences() returns setof text
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  behind record;
begin
  for behind in select c.counter from domain_events._counters_behind() as c loop
    -- What it always has; it locks out who would draw a number.
    execute format('alter sequence %s cache 1', behind.counter);
    perform case when c.rows_up_to is null
                 then setval(c.counter, hashtextextended(concat(gen_random_uuid(), gen_random_uuid()), 0))
                 else setval(c.counter, c.rows_up_to) end
       from domain_events._counters_behind() as c where c.counter = behind.counter;
    return next behind.counter;
  end loop;
end
$$;

comment on function domain_events.set_sequences() is
  'Sets the store''s sequences, but for that of the positions, forward to the rows they number, '
  'as after a switch-over by logical replication; returns those that were behind. For the owner; '
  '"domain-events repair --sequence" does it and the positions too.';
