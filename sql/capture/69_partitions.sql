-- The partitions of captured tables: those that come and go, by DDL or unseen, with the rows in them.

create table domain_events.capture_partitions (
  capture_id int not null,
  relation   regclass not null,
  table_name text not null,
  constraint capture_partitions_pkey primary key (capture_id, relation)
);

comment on table domain_events.capture_partitions is
  'The partitions of captured tables when last looked at, so that one that is gone is noticed';
comment on column domain_events.capture_partitions.capture_id is 'The capture';
comment on column domain_events.capture_partitions.relation is
  'The partition; dumped by name, so a restore finds it under its new OID';
comment on column domain_events.capture_partitions.table_name is 'Its schema-qualified name, for when it is gone';
comment on constraint capture_partitions_pkey on domain_events.capture_partitions is
  'A partition is known once to each capture';

create function domain_events._present_partitions(capture_id int)
returns table (relation regclass, table_name text, isleaf boolean)
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select t.relid, domain_events._qualified_name(t.relid), t.isleaf
    from domain_events.capture_config c, domain_events._partition_tree(c.relation) as t
   where c.capture_id = _present_partitions.capture_id and t.level > 0
$$;

comment on function domain_events._present_partitions(int) is 'The partitions a captured table has now, at every level';

create function domain_events._check_secret_ids(capture_id int) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  secret record;
begin
  select k.column_name, ended.relation as partition, winner.relation as root into secret
    from domain_events.capture_config winner
   cross join lateral domain_events._partition_tree(winner.relation) as t
    join domain_events.capture_config ended on ended.relation = t.relid and ended.capture_id <> winner.capture_id
    join domain_events.capture_columns k on k.capture_id = winner.capture_id and k.identity_position is not null
    join domain_events.capture_columns r on r.capture_id = ended.capture_id and r.column_name = k.column_name
   where winner.capture_id = _check_secret_ids.capture_id and r.identity_position is null
     and (r.redacted or not r.captured)
   limit 1;
  if found then
    raise exception 'column "%" is part of the aggregate id of %, and is redacted or excluded in its partition %',
          secret.column_name, secret.root, secret.partition
      using errcode = '42P16', detail = 'The id of every event would show its value.',
            hint = format('Detach the partition, or capture %s by another aggregate_id; '
                          'where the values may be shown, end the capture of the partition first: '
                          'domain_events.disable_capture(%L).',
                          secret.root, secret.partition::text);
  end if;
end
$$;

comment on function domain_events._check_secret_ids(int) is
  'Raises 42P16 where a captured table would take a partition over whose secret column is in its aggregate id';

-- A captured table has become a partition of a captured table: one of them tells its rows, the outermost. Where they
-- have the same type, the streams go on; else they end here and go on as streams of the other type.
create function domain_events._take_over(capture_id int) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  winner domain_events.capture_config;
  ended domain_events.capture_config;
  newly_redacted name[];
begin
  select * into strict winner from domain_events.capture_config c where c.capture_id = _take_over.capture_id;
  perform domain_events._follow_columns(c.capture_id)
     from domain_events.capture_config c
     join domain_events._partition_tree(winner.relation) as t on t.relid = c.relation
    where c.capture_id <> winner.capture_id;
  perform domain_events._check_secret_ids(winner.capture_id);
  for ended in
    select c.* from domain_events.capture_config c
      join domain_events._partition_tree(winner.relation) as t on t.relid = c.relation
     where c.capture_id <> winner.capture_id order by c.capture_id
  loop
    -- What was secret stays secret; the columns of a partition have the names that they have above. What was excluded
    -- there is redacted: in the other partitions its changes are still told.
    with kept as (
      update domain_events.capture_columns k set redacted = true
       where k.capture_id = winner.capture_id and not k.redacted and k.captured and k.identity_position is null
         and k.attnum is not null
         and exists (select from domain_events.capture_columns r
                      where r.capture_id = ended.capture_id and (r.redacted or not r.captured)
                        and r.identity_position is null
                        and (r.column_name = k.column_name or r.redacted and r.attnum is null))
      returning k.column_name
    )
    select array_agg(k.column_name order by k.column_name) into newly_redacted from kept as k;
    perform domain_events._table_event(ended.relation, 'CaptureDisabled',
      jsonb_build_object('aggregate_type', ended.aggregate_type,
                         'taken_over_by', domain_events._qualified_name(winner.relation),
                         'continues_as', winner.aggregate_type)
      || case when newly_redacted is null then '{}' else jsonb_build_object('redacts', newly_redacted) end
      || domain_events._scope_of(ended.capture_id));
    update domain_events.capture_config c set state = 'paused' where c.capture_id = ended.capture_id;
    perform domain_events._write_capture_function(ended.capture_id);
    perform domain_events._invalidate_capture(ended.relation);
    perform domain_events._keep_owner(ended.aggregate_type, ended.relation, pg_get_userbyid(r.relowner)) from pg_class r
      where r.oid = ended.relation;
    delete from domain_events.capture_config c where c.capture_id = ended.capture_id;
    raise notice 'the capture of % ends: it is a partition of %, whose capture takes over', ended.relation,
          winner.relation
      using detail = case when ended.aggregate_type = winner.aggregate_type then 'The streams of its rows go on.'
                          else format('Its rows are told as %s from now on; their streams as %s end.',
                                      winner.aggregate_type, ended.aggregate_type) end
                     || case when newly_redacted is null then ''
                             else format(' Redacted in %s from now on, as it was in the partition: %s.',
                                         winner.relation, array_to_string(newly_redacted, ', ')) end,
            hint = 'To capture it by itself again, detach it and call domain_events.enable_capture().';
  end loop;
end
$$;

comment on function domain_events._take_over(int) is
  'Ends the captures of tables that have become partitions of this capture''s';

-- Records partitions that came and went since the last call; the caller sees to the triggers of the new ones.
create function domain_events._record_partitions(target regclass) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform domain_events._grant_partitioning(domain_events._capture_of(target));  -- the owner may be another one now
  perform domain_events._meet_partitions(domain_events._capture_of(target));
end
$$;

comment on function domain_events._record_partitions(regclass) is
  'Stores PartitionDetached and PartitionDropped, remembers the present partitions, '
  'and takes over those that were captured by themselves';

create function domain_events._meet_partitions(capture_id int) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  config domain_events.capture_config;
  gone record;
  has_left boolean := false;
  come regclass[];
  still_exists boolean;
begin
  perform domain_events._take_over(capture_id);
  select * into strict config from domain_events.capture_config c where c.capture_id = _meet_partitions.capture_id;
  for gone in
    select k.relation, k.table_name from domain_events.capture_partitions k
     where k.capture_id = config.capture_id
       and not exists (select from domain_events._present_partitions(config.capture_id) as p
                        where p.relation = k.relation)
     order by k.table_name
  loop
    still_exists := exists (select from pg_class r where r.oid = gone.relation);
    perform domain_events._table_event(config.relation,
                                       case when still_exists then 'PartitionDetached' else 'PartitionDropped' end,
      jsonb_build_object('aggregate_type', config.aggregate_type,
                         'partition', coalesce(domain_events._qualified_name(gone.relation), gone.table_name))
      || domain_events._only_in(config.aggregate_type, array[gone.relation],
                                coalesce(domain_events._qualified_name(gone.relation), gone.table_name)));
    delete from domain_events.capture_partitions k
     where k.capture_id = config.capture_id and k.relation = gone.relation;
    if not still_exists then
      delete from domain_events.capture_places p where p.relation = gone.relation and p.table_owner is null;
    end if;
    has_left := true;
  end loop;
  update domain_events.capture_partitions k set table_name = domain_events._qualified_name(k.relation)
   where k.capture_id = config.capture_id and k.table_name <> domain_events._qualified_name(k.relation);
  with arrived as (
    insert into domain_events.capture_partitions (capture_id, relation, table_name)
    select config.capture_id, p.relation, p.table_name from domain_events._present_partitions(config.capture_id) as p
     where not exists (select from domain_events.capture_partitions k
                        where k.capture_id = config.capture_id and k.relation = p.relation)
    returning relation
  )
  select array_agg(a.relation) into come from arrived as a;
  perform domain_events._place_of(config.aggregate_type, r.oid) from pg_class r
    where r.oid = any (come) and r.relkind <> 'p';
  if has_left or exists (select from unnest(come) as c where pg_relation_size(c) > 0) then
    -- Rows have gone that may come back, and be others then; or have come.
    perform domain_events._tell_whole_rows(config.capture_id);
  elsif come is not null then
    perform domain_events._write_capture_function(config.capture_id);
  end if;
end
$$;

comment on function domain_events._meet_partitions(int) is
  'What _record_partitions() does, for the trigger that meets a new partition first';

create function domain_events.follow_partitions(target regclass) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  id int;
  gone regclass;
  left_over name;
begin
  perform domain_events._check_session();
  perform domain_events._check_target(target);
  perform domain_events._meet_restored(target);
  id := domain_events._capture_of(target);
  for gone, left_over in
    select k.relation, t.tgname from domain_events.capture_partitions k
      join pg_trigger t on t.tgrelid = k.relation
           and t.tgfoid = to_regprocedure(format('domain_events.%I()', 'capture_' || id))
      join pg_class c on c.oid = k.relation
     where k.capture_id = id and t.tgname = domain_events._trigger_name(' domain_events_truncate', id, true)
       and pg_has_role(c.relowner, 'usage')
       and k.relation not in (select p.relid from domain_events._partition_tree(target) as p)
  loop
    execute format('drop trigger %I on %s', left_over, gone);
  end loop;
  if exists (select from domain_events._unwatched(target, id)) then
    perform domain_events._command(target, 'open capture');
    perform domain_events._watch_truncation(target, id);
    perform domain_events._command(target, 'seal capture');
  end if;
  if (select c.replication from domain_events.captures c where c.target = follow_partitions.target) = 'always' then
    perform domain_events._fire_always(target, id);
  end if;
  perform domain_events._command(target, 'record partitions');
  perform domain_events._drop_foreign_triggers(target, id);
end
$$;

comment on function domain_events.follow_partitions(regclass) is
  'After partitions were added, attached, detached or dropped: watches the new ones for TRUNCATE, '
  'takes over what captured them before, and records those that are gone. Where event triggers may be created it runs '
  'by itself.';

-- Where the dump's own statements are going to make the triggers, or unmake them. Such a session is set up as the
-- scripts of pg_dump set theirs up: three settings that nobody else has together.
create function domain_events._is_restoring() returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return current_setting('check_function_bodies') = 'off' and current_setting('row_security') = 'off'
         and current_setting('client_min_messages') = 'warning';
end
$$;

comment on function domain_events._is_restoring() is 'True in a session that restores a dump';

-- Everybody's commands let every capture follow, and wait for nobody's transaction while they do: neither for a lock on
-- a table or a function of another owner nor for a row of the store. What is held by somebody is followed with the next
-- command, the next write or the owner's follow_partitions(). Who changes a table of their own waits for it as their
-- command does.
create function domain_events._follow_grant(capture_id int) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp set lock_timeout = '1ms'
as $$
begin
  perform domain_events._grant_partitioning(capture_id);
  return true;
exception when lock_not_available or deadlock_detected or serialization_failure or internal_error then
  return false;  -- "tuple concurrently updated" is the last of them
end
$$;

comment on function domain_events._follow_grant(int) is
  'Calls _grant_partitioning(); false where that would have to wait for another transaction, or came too late';

create function domain_events._follow_capture(capture_id int, has_partitions boolean, has_columns boolean,
                                              has_name boolean, patience text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set lock_timeout = '1ms'
as $$
declare
  target regclass := (select c.relation from domain_events.capture_config c
                       where c.capture_id = _follow_capture.capture_id);
begin
  perform set_config('lock_timeout', patience, true);
  if has_partitions then
    perform domain_events.follow_partitions(target);
  end if;
  if has_columns then
    perform domain_events._follow_columns(capture_id);
  end if;
  if has_name then
    update domain_events.capture_config c
       set table_name = domain_events._qualified_name(c.relation), table_owner = pg_get_userbyid(r.relowner)
      from pg_class r where c.capture_id = _follow_capture.capture_id and r.oid = c.relation;
  end if;
end
$$;

comment on function domain_events._follow_capture(int, boolean, boolean, boolean, text) is
  'Lets a capture follow what became of its partitions, its columns, and its name or owner; '
  'raises 55P03 where it would wait longer than this lock_timeout';

-- The event trigger that does it, and lets a capture follow ALTER TABLE at once instead of at the next write. Nearly
-- all commands concern no captured table, and find that out by one query that calls nothing for each capture.
create function domain_events._follow_ddl() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
declare
  captured record;
  outdated int;
  altered oid[];
  has_partitions boolean;
  is_own boolean;
  held int := 0;
begin
  if domain_events._is_restoring() then
    return;
  end if;
  -- Only the function of a partitioned table is granted to somebody. By their names, which are indexed, not by their
  -- schema.
  if exists (select from domain_events.capture_config c join pg_class r on r.oid = c.relation where r.relkind = 'p')
     or exists (select from pg_proc p
                 where p.proname >= 'capture_' and p.proname < 'capture`' and cardinality(p.proacl) > 1) then
    for outdated in select o from domain_events._outdated_grants() as o loop
      if not domain_events._follow_grant(outdated) then
        held := held + 1;
        exit when held >= 10;  -- even a moment for each of many is a wait
      end if;
    end loop;
  end if;
  if tg_event = 'ddl_command_start' then
    return;
  elsif tg_tag = 'ALTER TABLE' and tg_event = 'ddl_command_end' then
    altered := array(with recursive below(relation) as (
                       select d.objid from pg_event_trigger_ddl_commands() as d where d.classid = 'pg_class'::regclass
                        union select i.inhrelid from pg_inherits i join below on i.inhparent = below.relation)
                     select b.relation from below as b);
  end if;
  for captured in
    select c.capture_id, c.relation, r.relkind,
           c.table_name <> format('%I.%I', n.nspname, r.relname)
           or c.table_owner <> pg_get_userbyid(r.relowner) as has_other_name
      from domain_events.capture_config c
      join pg_class r on r.oid = c.relation
      join pg_namespace n on n.oid = r.relnamespace
     where (r.relkind = 'p'
            or c.table_name <> format('%I.%I', n.nspname, r.relname) or c.table_owner <> pg_get_userbyid(r.relowner)
            -- More columns were seen than the table has where they are of composite types, which may be what was
            -- altered.
            or (c.relation = any (altered)
                or tg_tag in ('ALTER TABLE', 'ALTER TYPE') and cardinality(c.columns_seen) <> r.relnatts)
               and (c.relation_oid <> c.relation::oid
                    or c.columns_seen <> array(select textcat(a.attname::text, a.atttypid::text) from pg_attribute a
                                                where a.attrelid = c.relation and a.attnum > 0 order by a.attnum)))
     -- None yet: pg_restore is between two tables of a data-only dump.
       and exists (select from domain_events.capture_columns k where k.capture_id = c.capture_id)
  loop
    -- Another one may have taken it over in this loop.
    continue when not exists (select from domain_events.capture_config c where c.capture_id = captured.capture_id);
    has_partitions := captured.relkind = 'p'
      and exists (select from (select r.oid, format('%I.%I', n.nspname, r.relname) as table_name
                                 from domain_events._partition_tree(captured.relation) as t
                                 join pg_class r on r.oid = t.relid
                                 join pg_namespace n on n.oid = r.relnamespace
                                where t.level > 0) as p
                   full join (select k.* from domain_events.capture_partitions k
                               where k.capture_id = captured.capture_id) as k
                     on k.relation = p.oid and k.table_name = p.table_name
                  where k.relation is null or p.oid is null)
      and exists (select from domain_events._capture_triggers(captured.relation) as t
                   where t.relation = captured.relation and t.kind = 'capture' and t.capture_id = captured.capture_id);
    continue when not has_partitions and not captured.has_other_name and tg_tag not in ('ALTER TABLE', 'ALTER TYPE');
    is_own := case tg_event
                when 'ddl_command_end' then
                  exists (select from pg_event_trigger_ddl_commands() as d
                           where d.classid = 'pg_class'::regclass
                             and captured.relation = any (domain_events._with_ancestors(d.objid)))
                else
                  exists (select from pg_event_trigger_dropped_objects() as d
                            join domain_events.capture_partitions k on k.relation = d.objid
                           where d.classid = 'pg_class'::regclass and k.capture_id = captured.capture_id)
              end;
    continue when held >= 10 and not is_own;
    begin
      perform domain_events._follow_capture(captured.capture_id, has_partitions,
                                            tg_tag in ('ALTER TABLE', 'ALTER TYPE'), captured.has_other_name,
                                            case when is_own then current_setting('lock_timeout') else '1ms' end);
    exception when others then
      -- What one owner has done to a captured table is not in the way of everybody's commands. A check finds what was
      -- not followed.
      if is_own and tg_event = 'ddl_command_end' then
        raise;
      elsif not is_own and sqlstate in ('55P03', '40P01', '40001', 'XX000') then
        held := held + 1;
      else
        raise warning 'the capture of % does not follow its table: %', captured.relation, sqlerrm
          using errcode = sqlstate,
                hint = format('Let its owner call domain_events.follow_partitions(%L).', captured.relation);
      end if;
    end;
  end loop;
end
$$;

comment on function domain_events._follow_ddl() is
  'Event trigger: captures follow changes of columns, partitions, names and owners at once';
