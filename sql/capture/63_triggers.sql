-- The triggers of captures: their names, and where they have to be.

-- Postgres clones the row triggers of a partitioned table to its partitions under their names, and refuses where the
-- partition has a trigger of that name. A captured table has one: so those of partitioned tables are numbered, and any
-- captured table can be attached to another.
create function domain_events._trigger_name(kind text, capture_id int, is_partitioned boolean) returns name
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select (kind || case when is_partitioned then '_' || capture_id else '' end)::name $$;

comment on function domain_events._trigger_name(text, int, boolean) is 'Name of a capture''s trigger';

create function domain_events._capture_triggers(target regclass)
returns table (relation regclass, name name, capture_id int, kind text, enabled "char", is_clone boolean)
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select t.tgrelid::regclass, t.tgname, substr(p.proname, 9)::int, substring(t.tgname from 'capture|truncate|move'),
         t.tgenabled, t.tgparentid <> 0
    from pg_trigger t join pg_proc p on p.oid = t.tgfoid
   where t.tgrelid in (select r.relid from domain_events._partition_tree(target) as r)
     and p.pronamespace = 'domain_events'::regnamespace and p.proname ~ '^capture_[0-9]{1,9}$'
     and t.tgname ~ '^( domain_events_(capture|truncate)|~domain_events_move)(_[0-9]+)?$'
$$;

comment on function domain_events._capture_triggers(regclass) is
  'The triggers of captures on a table and its partitions';

-- A table that was dropped and restored: its triggers say of which capture it is. They cannot be made without a right
-- on its function, which the owner of another table may have had: it has to be its owner's.
create function domain_events._restored_capture(target regclass) returns int
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select c.capture_id from domain_events.capture_config c
    join pg_class r on r.oid = target and domain_events._succeeds(r.relowner, c.table_owner)
   where c.table_name = domain_events._qualified_name(target)
     and not exists (select from pg_class gone where gone.oid = c.relation)
     and exists (select from domain_events._capture_triggers(target) as t
                  where t.relation = target and t.kind = 'capture' and t.capture_id = c.capture_id)
$$;

comment on function domain_events._restored_capture(regclass) is
  'The capture whose table was dropped and restored as this one, until the first of its triggers or a command finds it '
  'again; else null';

create function domain_events._meet_restored(target regclass) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if domain_events._restored_capture(target) is not null then
    perform domain_events._command(target, 'find capture');
  end if;
end
$$;

comment on function domain_events._meet_restored(regclass) is
  'Lets the capture of a table that was dropped and restored go on, as its next write would';

-- Who may create triggers with the function of a capture should be the owner of its partitioned table, and nobody else.
create function domain_events._outdated_grants() returns setof int
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select c.capture_id
    from pg_proc p
    join domain_events.capture_config c on 'capture_' || c.capture_id = p.proname
    left join pg_class r on r.oid = c.relation
         -- By their names, which are indexed, not by their schema.
   where p.proname >= 'capture_' and p.proname < 'capture`' and p.pronargs = 0
     and p.pronamespace = 'domain_events'::regnamespace
     and (exists (select from aclexplode(p.proacl) as a
                   where a.grantee not in (p.proowner, 0)
                     and (r.relkind is distinct from 'p' or a.grantee <> r.relowner))
          or r.relkind = 'p' and not has_function_privilege(r.relowner, p.oid, 'execute'));
end
$$;

comment on function domain_events._outdated_grants() is
  'Captures whose table has another owner than it had, or is gone, and whose function somebody may still use';

-- TRUNCATE fires no trigger of the tables above: each partition has one of its own. A foreign table can have none
-- before 16.
create function domain_events._unwatched(target regclass, capture_id int) returns setof regclass
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select r.relid
    from domain_events._partition_tree(target) as r
    join pg_class c on c.oid = r.relid and (c.relkind <> 'f' or current_setting('server_version_num')::int >= 160000)
   where not exists (select from domain_events._capture_triggers(target) as t
                      where t.relation = r.relid and t.kind = 'truncate' and t.capture_id = _unwatched.capture_id)
$$;

comment on function domain_events._unwatched(regclass, int) is
  'The captured table and its partitions, as far as they need a truncate trigger and have none';

create function domain_events._watch_truncation(target regclass, capture_id int) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  name name := domain_events._trigger_name(' domain_events_truncate', capture_id,
                                           (select c.relkind = 'p' from pg_class c where c.oid = target));
  leaf regclass;
begin
  foreach leaf in array array(select domain_events._unwatched(target, capture_id)) loop
    execute format('create trigger %I after truncate on %s for each statement execute function domain_events.%I()',
                   name, leaf, 'capture_' || capture_id);
  end loop;
end
$$;

comment on function domain_events._watch_truncation(regclass, int) is
  'Creates the truncate trigger on a captured table and on those of its partitions that have none';

-- A restore of data alone with --disable-triggers makes ordinary triggers of all.
create function domain_events._fire_always(target regclass, capture_id int) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  ordinary record;
begin
  for ordinary in
    select t.relation, t.name from domain_events._capture_triggers(target) as t
     where t.capture_id = _fire_always.capture_id and t.enabled = 'O'
  loop
    execute format('alter table only %s enable always trigger %I', ordinary.relation, ordinary.name);
  end loop;
end
$$;

comment on function domain_events._fire_always(regclass, int) is
  'Lets the triggers of a capture fire for rows applied by replication too';

create function domain_events._drop_foreign_triggers(target regclass, capture_id int) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  left_over record;
begin
  for left_over in
    select t.relation, t.name from domain_events._capture_triggers(target) as t join pg_class c on c.oid = t.relation
     where t.capture_id is distinct from _drop_foreign_triggers.capture_id and not t.is_clone
       and pg_has_role(c.relowner, 'usage')
       -- Of a capture, and of this table's: the number may have been given anew since a dump of the schema alone.
       and not exists (select from domain_events.capture_config k
                        where k.capture_id = t.capture_id
                          and (k.relation = t.relation
                               or k.relation in (select a.relid from pg_partition_ancestors(t.relation) as a)))
  loop
    execute format('drop trigger %I on %s', left_over.name, left_over.relation);
  end loop;
  perform domain_events._command(target, 'drop idle functions');
end
$$;

comment on function domain_events._drop_foreign_triggers(regclass, int) is
  'Drops what captures that have ended have left on a table and its partitions';
