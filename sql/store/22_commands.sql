-- What an owner has done to the store for a table of theirs: the one door through which a lesser role's command runs
-- with the rights of the store's owner.
--
-- A SECURITY DEFINER function cannot see who called it: session_user and the setting "role" are those of the session,
-- and a superuser may be firing somebody's trigger. So a command is a row inserted into a view. Its first trigger runs
-- with the rights of whoever inserts and demands that they own the table; its second runs with those of the store's
-- owner and acts. Both see the same row, one right after the other: there is no value in between that could be kept,
-- passed on or made elsewhere, as a parameter of a domain type could. Nothing is stored.

create view domain_events.commands as
  select null::regclass as target, null::text as verb, null::jsonb as arguments, null::jsonb as result where false;

comment on view domain_events.commands is
  'Takes what the owner of a table asks of the store, one row per command; shows nothing';
comment on column domain_events.commands.target is 'The table; who inserts must own it';
comment on column domain_events.commands.verb is 'What is to be done: see domain_events._run_command()';
comment on column domain_events.commands.arguments is 'How';
comment on column domain_events.commands.result is 'What it gave';

create function domain_events._demand_ownership() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  owner oid := (select c.relowner from pg_class c where c.oid = new.target);
begin
  if new.target is null then
    raise exception 'the table must not be null'
      using errcode = '22004', hint = 'Name a table, for example ''public.users''.';
  elsif owner is null then
    raise exception 'relation with OID % does not exist', new.target::oid
      using errcode = '42P01', hint = 'Name an existing table, for example ''public.users''.';
  elsif not pg_has_role(owner, 'usage') then
    raise exception 'must be owner of table %', new.target
      using errcode = '42501', hint = 'Run this as the table''s owner.';
  end if;
  return new;
end
$$;

comment on function domain_events._demand_ownership() is
  'Trigger, with the rights of whoever gives a command: raises 42501 unless they own the table';

create function domain_events._texts(value jsonb) returns text[]
language sql immutable
as $$ select case when pg_catalog.jsonb_typeof(value) = 'array'
                    then array(select pg_catalog.jsonb_array_elements_text(value)) end $$;

comment on function domain_events._texts(jsonb) is 'A JSON array of strings as an array; null for anything else';

-- Every verb leaves the rest to a function that nobody else may call, and that trusts its arguments no further than the
-- table.
create function domain_events._run_command() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  a constant jsonb := coalesce(new.arguments, '{}');
begin
  case new.verb
    when 'register capture' then
      new.result := to_jsonb(domain_events._register_capture(
        new.target, a ->> 'aggregate_type', domain_events._texts(a -> 'aggregate_id'),
        domain_events._texts(a -> 'include'), domain_events._texts(a -> 'exclude'), domain_events._texts(a -> 'redact'),
        nullif(a -> 'event_types', 'null'), a ->> 'event_name_style', a ->> 'payload', a ->> 'on_failure',
        a ->> 'baseline', a ->> 'replication'));
    when 'find capture' then
      if domain_events._restored_capture(new.target) is not null then
        perform domain_events._find_capture(new.target);
      end if;
    when 'open capture' then
      perform domain_events._open_capture(new.target);
    when 'seal capture' then
      perform domain_events._seal_capture(new.target);
    when 'capture state' then
      perform domain_events._set_capture_state(new.target, a ->> 'state');
    when 'unregister capture' then
      perform domain_events._unregister_capture(new.target, coalesce((a ->> 'keep_triggers')::boolean, false));
    when 'drop idle functions' then
      perform domain_events._drop_idle_functions();
    when 'record partitions' then
      perform domain_events._record_partitions(new.target);
    when 'baseline query' then
      new.result := to_jsonb(domain_events._baseline_query(new.target, (a ->> 'max_rows')::int));
    when 'store baseline' then
      new.result := to_jsonb(domain_events._store_baseline(new.target, a -> 'rows'));
    when 'end streams' then
      new.result := to_jsonb(domain_events._end_streams(new.target, domain_events._texts(a -> 'ids')));
    when 'register event table' then
      perform domain_events._note_event_table(new.target, (a ->> 'source')::oid,
                                              domain_events._texts(a -> 'stream_columns')::name[],
                                              (a ->> 'version_column')::name, (a ->> 'key')::oid,
                                              (a ->> 'reader')::oid);
    when 'unregister event table' then
      delete from domain_events.event_tables t where t.event_table = new.target;
      new.result := to_jsonb(found);
    else
      raise exception 'there is no command "%"', new.verb
        using errcode = '22023', hint = 'Use the functions of the schema domain_events.';
  end case;
  return new;
end
$$;

comment on function domain_events._run_command() is
  'Trigger, with the rights of the store''s owner: does what the owner of a table asks for';

-- By their names: the first is first.
create trigger commands_1_demand_ownership instead of insert on domain_events.commands
  for each row execute function domain_events._demand_ownership();
create trigger commands_2_run instead of insert on domain_events.commands
  for each row execute function domain_events._run_command();

comment on trigger commands_1_demand_ownership on domain_events.commands is 'Refuses commands for tables of others';
comment on trigger commands_2_run on domain_events.commands is 'Carries them out';

-- A view's triggers cannot be ALWAYS: where they do not fire, a command would be swallowed. Asked first by every
-- function that gives one, and by those that leave rows to a foreign key.
create function domain_events._check_session() returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('session_replication_role') = 'replica' then
    raise exception 'nothing is changed about captures and event tables while session_replication_role is replica'
      using errcode = '55000',
            detail = 'The triggers and foreign keys by which the store does it do not fire in such a session.',
            hint = 'Run: set session_replication_role = origin; then call this again.';
  end if;
end
$$;

comment on function domain_events._check_session() is 'Raises 55000 in a session whose triggers do not fire';

-- Code of users that is run for its result, and undone, leaves one thing behind: no rollback forgets a prepared
-- statement. A driver that executes one by its name would run the other's, with the rights of its own session.
create function domain_events._prepared_statements() returns text[]
language sql volatile set search_path = pg_catalog, pg_temp
as $$ select array(select format('%s %s', p.prepare_time, p.name) from pg_prepared_statements p) $$;

comment on function domain_events._prepared_statements() is
  'The session''s prepared statements, for _forget_prepared()';

create function domain_events._forget_prepared(known text[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  planted text;
begin
  for planted in select p.name from pg_prepared_statements p
                  where format('%s %s', p.prepare_time, p.name) <> all (known) loop
    execute format('deallocate %I', planted);
  end loop;
end
$$;

comment on function domain_events._forget_prepared(text[]) is
  'Drops the prepared statements that were not there when _prepared_statements() was asked';

create function domain_events._command(target regclass, verb text, arguments jsonb default null) returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  answer jsonb;
begin
  perform domain_events._check_session();
  insert into domain_events.commands as c (target, verb, arguments)
    values (_command.target, _command.verb, _command.arguments)
  returning c.result into answer;
  return answer;
end
$$;

comment on function domain_events._command(regclass, text, jsonb) is
  'Gives a command as the caller, who must own the table, and returns what it gave';

-- What enable_capture() and register_event_table() accept: a permanent table of one's own.
create function domain_events._check_target(target regclass) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  class record;
begin
  if target is null then
    raise exception 'the table must not be null'
      using errcode = '22004', hint = 'Name a table, for example ''public.users''.';
  end if;
  select c.relkind, c.relpersistence, c.relispartition,
         (select n.nspname from pg_namespace n where n.oid = c.relnamespace) as schema,
         pg_has_role(c.relowner, 'usage') as mine,
         case c.relkind when 'v' then 'a view' when 'm' then 'a materialized view' when 'f' then 'a foreign table'
                        when 'S' then 'a sequence' when 'i' then 'an index' when 'c' then 'a composite type'
                        else 'no table' end as kind
    into class
    from pg_class c where c.oid = target;
  if not found then
    raise exception 'relation with OID % does not exist', target::oid
      using errcode = '42P01', hint = 'Name an existing table, for example ''public.users''.';
  elsif class.relkind not in ('r', 'p') then
    raise exception '% is %, not a table', target, class.kind
      using errcode = '42809', hint = 'Name the table that holds the rows.';
  elsif class.relpersistence = 't' then
    raise exception '% is a temporary table', target
      using errcode = '42809', hint = 'Only permanent tables keep a history.';
  elsif class.schema in ('domain_events', 'pg_catalog', 'information_schema') then
    raise exception '% belongs to the system or to the event store itself', target
      using errcode = '42809', hint = 'Name a table of the application.';
  elsif not class.mine then
    raise exception 'must be owner of table %', target
      using errcode = '42501', hint = 'Run this as the table''s owner.';
  end if;
end
$$;

comment on function domain_events._check_target(regclass) is
  'Raises 22004, 42P01, 42809 or 42501 unless the caller owns a permanent table of that name';
