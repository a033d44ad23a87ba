-- Turning capture on, off, and holding it for a while. The public functions run as their caller, who owns the table;
-- what writes the store is behind the view domain_events.commands (store/22_commands.sql) and runs as the store's
-- owner. It believes that the target is the caller's, and nothing else.

create function domain_events._register_capture(
  target regclass, aggregate_type text, aggregate_id text[], include text[], exclude text[], redact text[],
  event_types jsonb, event_name_style text, payload text, on_failure text, baseline text, replication text
) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  id int;
  owner oid := (select c.relowner from pg_class c where c.oid = target);
  chosen text := coalesce(_register_capture.aggregate_type,
                          (select domain_events._default_aggregate_type(c.relname) from pg_class c
                            where c.oid = target));
  taken regclass;
  foreign_table regclass;
begin
  if not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                  where c.oid = target and c.relkind in ('r', 'p') and c.relpersistence <> 't' and not c.relispartition
                    and n.nspname not in ('domain_events', 'pg_catalog', 'information_schema')) then
    raise exception '% cannot be captured', target
      using errcode = '42809', hint = 'Call domain_events.enable_capture().';
  end if;
  perform domain_events._check_stream(chosen, 'x');
  perform domain_events._check_event_types(target, _register_capture.event_types);
  if octet_length(domain_events._event_type(chosen, _register_capture.event_name_style, 'Baselined')) > 255 then
    raise exception 'aggregate type "%" is too long', chosen
      using errcode = '22023', hint = 'The types of its events begin with it, and may have at most 255 bytes.';
  end if;
  -- One registration at a time: a check and an insert belong together. The table's own lock, which nobody else may
  -- take, as they may any advisory one; in a mode that leaves it readable, and writable for everybody's DDL.
  lock table domain_events.capture_config in share update exclusive mode;
  if exists (select from domain_events.capture_config c where c.relation = target) then
    raise exception 'table % is already captured', target
      using errcode = '42710', hint = 'To change how, disable_capture() it first; its history is kept.';
  end if;
  -- That of a table that is here again goes on.
  perform domain_events._find_capture(restored.target)
     from (select domain_events._relation_named(c.table_name) as target from domain_events.capture_config c
            where c.aggregate_type = chosen
              and not exists (select from pg_class gone where gone.oid = c.relation)) as restored
    where domain_events._restored_capture(restored.target) is not null;
  -- Nor do the streams of a table whose capture had ended before it was dropped go on under another owner.
  if exists (select from domain_events.capture_places p
              where p.aggregate_type = chosen and p.table_owner is not null
                and not exists (select from pg_class gone where gone.oid = p.relation)
                and not domain_events._succeeds(owner, p.table_owner)) then
    raise exception 'aggregate type "%" belongs to a former table of another owner', chosen
      using errcode = '42501',
            hint = format('Name another: enable_capture(%L, aggregate_type => ...), or let the store''s owner call '
                          'domain_events.forget_dropped_tables().',
                          target);
  end if;
  -- The capture of a table that was dropped does not keep its name or its type from the next one of its owner. Others
  -- would end the capture, and the redaction, of what is about to be restored.
  if exists (select from domain_events.capture_config c
              where (c.aggregate_type = chosen or c.table_name = domain_events._qualified_name(target))
                and not exists (select from pg_class gone where gone.oid = c.relation)
                and not domain_events._succeeds(owner, c.table_owner)) then
    raise exception 'the name of % or its aggregate type "%" belongs to the capture of a table of another owner, '
                    'which was dropped',
          target, chosen
      using errcode = '42710',
            hint = 'Choose another aggregate_type, or let the store''s owner call '
                   'domain_events.forget_dropped_tables().';
  end if;
  perform domain_events._keep_owner(c.aggregate_type, c.relation, c.table_owner) from domain_events.capture_config c
    where c.aggregate_type <> chosen and c.table_name = domain_events._qualified_name(target)
      and not exists (select from pg_class gone where gone.oid = c.relation);
  update domain_events.capture_places p set table_owner = null
   where p.aggregate_type = chosen and p.table_owner is not null
     and p.relation in (select t.relid from domain_events._partition_tree(target) as t);
  delete from domain_events.capture_config c
   where (c.aggregate_type = chosen or c.table_name = domain_events._qualified_name(target))
     and not exists (select from pg_class gone where gone.oid = c.relation);
  select c.relation into taken from domain_events.capture_config c where c.aggregate_type = chosen limit 1;
  if found and _register_capture.aggregate_type is null then
    raise exception 'aggregate type "%" is already used by table %', chosen, taken
      using errcode = '42710',
            hint = format('Name one: enable_capture(%L, aggregate_type => ...). Given explicitly, '
                          'two tables of one owner may share a type and its streams.',
                          target);
  end if;
  -- Its rows would be told in the streams of the other's, and hold them.
  select r.oid into foreign_table
    from pg_class r
   where (r.oid in (select c.relation from domain_events.capture_config c where c.aggregate_type = chosen)
          or r.oid in (select p.relation from domain_events.capture_places p where p.aggregate_type = chosen))
     and r.oid <> target and not pg_has_role(owner, r.relowner, 'usage')
   order by r.oid limit 1;
  if found then
    raise exception 'aggregate type "%" belongs to table % of another owner', chosen, foreign_table
      using errcode = '42501',
            hint = format('Name another: enable_capture(%L, aggregate_type => ...). Tables share a type where their '
                          'owner is one, or the owner of the one has the rights of the other''s.',
                          target);
  end if;
  insert into domain_events.capture_config
    (relation, relation_oid, store_oid, table_name, aggregate_type, include_only, shares_type, event_types,
     event_name_style, payload, on_failure, baseline, replication, whole_row_after, columns_seen, table_owner,
     enabled_as)
  values
    (target, target, 'domain_events.events'::regclass, domain_events._qualified_name(target), chosen,
     _register_capture.include is not null, taken is not null, coalesce(_register_capture.event_types, '[]'),
     _register_capture.event_name_style, _register_capture.payload, _register_capture.on_failure,
     _register_capture.baseline, _register_capture.replication,
     domain_events._newest_position(), domain_events._columns_signature(domain_events._watched_relations(target)),
     pg_get_userbyid(owner), domain_events._qualified_name(target))
  returning capture_id into id;
  insert into domain_events.capture_columns (capture_id, attnum, column_name, identity_position, captured, redacted)
  select id, a.attnum, a.attname, array_position(_register_capture.aggregate_id, a.attname::text),
         (_register_capture.include is null or a.attname = any (_register_capture.include))
           and a.attname <> all (coalesce(_register_capture.exclude, '{}')),
         a.attname = any (coalesce(_register_capture.redact, '{}'))
    from pg_attribute a
   where a.attrelid = target and a.attnum > 0 and not a.attisdropped and a.attgenerated <> 'v';
  if not exists (select from pg_partitioned_table p where p.partrelid = target) then
    if taken is null then
      perform domain_events._keep_unmarked(chosen, target);
    else
      perform domain_events._place_of(chosen, target);
    end if;
  end if;
  perform domain_events._write_capture_function(id);
  execute format('revoke all on function domain_events.%I() from public', 'capture_' || id);
  execute format('comment on function domain_events.%I() is %L', 'capture_' || id,
                 format('Trigger: captures the changes of %s as events of type %s', target, chosen));
  perform domain_events._open_capture(target);
  return id;
end
$$;

comment on function domain_events._register_capture(regclass, text, text[], text[], text[], text[], jsonb, text, text,
                                                    text, text, text) is
  'The part of enable_capture() that writes the store; the table''s owner may create triggers with the new function '
  'until _seal_capture()';

create function domain_events._open_capture(target regclass) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  owner name := (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = target);
begin
  if owner <> current_user then
    execute format('grant execute on function domain_events.%I() to %I',
                   'capture_' || domain_events._capture_of(target), owner);
  end if;
end
$$;

comment on function domain_events._open_capture(regclass) is
  'Lets the table''s owner create the triggers: that alone needs the right to execute, firing them does not';

create function domain_events._seal_capture(target regclass) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  id int := domain_events._capture_of(target);
begin
  perform domain_events._grant_partitioning(id);
  perform domain_events._invalidate_capture(target);
end
$$;

comment on function domain_events._seal_capture(regclass) is
  'Takes back what _open_capture() granted: nobody may execute a trigger function, but for _grant_partitioning()';

-- Creating or attaching a partition clones the row triggers, and for that Postgres demands the right to execute their
-- function: without it the owner of a partitioned table could make no partition any more. Called on another table the
-- function does nothing. A right that is left to who does not own the table any more would keep the role from being
-- dropped.
create function domain_events._grant_partitioning(capture_id int) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  function regprocedure := to_regprocedure(format('domain_events.%I()', 'capture_' || capture_id));
  table_owner oid := (select r.relowner from domain_events.capture_config c join pg_class r on r.oid = c.relation
                       where c.capture_id = _grant_partitioning.capture_id and r.relkind = 'p');
  former oid;
begin
  for former in
    select a.grantee from pg_proc p, aclexplode(p.proacl) as a
     where p.oid = function and a.grantee not in (p.proowner, 0) and a.grantee is distinct from table_owner
  loop
    execute format('revoke execute on function %s from %I', function, pg_get_userbyid(former));
  end loop;
  if table_owner is not null and not has_function_privilege(table_owner, function, 'execute') then
    execute format('grant execute on function %s to %I', function, pg_get_userbyid(table_owner));
  end if;
end
$$;

comment on function domain_events._grant_partitioning(int) is
  'Lets the owner of a captured partitioned table, and nobody else, make partitions of it';

-- The native engine keeps plans in memory and replaces this function by one that tells every session to forget them.
create function domain_events._invalidate_capture(relation regclass) returns void
language sql volatile set search_path = pg_catalog, pg_temp
as $$ select $$;

comment on function domain_events._invalidate_capture(regclass) is
  'Tells every session that the plan of this table''s capture has changed; nothing to do on the portable engine';

create function domain_events.enable_capture(
  target regclass, aggregate_type text default null, aggregate_id text[] default null,
  include text[] default null, exclude text[] default null, redact text[] default null, event_types jsonb default null,
  event_name_style text default 'pascal', payload text default 'changes', on_failure text default 'dead_letter',
  baseline text default 'lazy', replication text default 'origin'
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  key text[];
  id int;
  wrong text;
  untold text;
  is_partitioned boolean;
begin
  perform domain_events._check_session();
  perform domain_events._check_target(target);
  perform domain_events._meet_restored(target);
  perform domain_events._check_choice('event_name_style', event_name_style, '{pascal,dotted}');
  perform domain_events._check_choice('payload', payload, '{changes,full}');
  perform domain_events._check_choice('on_failure', on_failure, '{abort,dead_letter}');
  perform domain_events._check_choice('baseline', baseline, '{lazy,now}');
  perform domain_events._check_choice('replication', replication, '{origin,always}');
  perform domain_events._check_columns(target, aggregate_id, 'aggregate_id');
  perform domain_events._check_columns(target, include, 'include');
  perform domain_events._check_columns(target, exclude, 'exclude');
  perform domain_events._check_columns(target, redact, 'redact');
  perform domain_events._check_stored(target, aggregate_id, 'aggregate_id');
  perform domain_events._check_stored(target, include, 'include');
  perform domain_events._check_stored(target, redact, 'redact');
  perform domain_events._check_event_types(target, event_types);
  if (select c.relispartition from pg_class c where c.oid = target) then
    raise exception '% is a partition', target
      using errcode = '42809',
            hint = format('Capture the whole table: enable_capture(%L).', pg_partition_root(target)::regclass);
  end if;
  if include is not null and exclude is not null then
    raise exception 'include and exclude cannot be given together'
      using errcode = '22023', hint = 'include names all captured columns, exclude those that are not.';
  end if;
  if cardinality(aggregate_id) = 0 then
    raise exception 'aggregate_id names no column'
      using errcode = '22023', hint = 'Leave it out for the primary key, or name at least one column.';
  end if;
  key := coalesce(aggregate_id, domain_events._primary_key(target));
  if coalesce(cardinality(key), 0) = 0 then
    raise exception 'table % has no primary key', target
      using errcode = '42P16',
            hint = format('Name the columns that identify an aggregate: enable_capture(%L, '
                          'aggregate_id => ''{column}'').',
                          target);
  end if;
  perform domain_events._check_known_before(target, key);
  select k into wrong from unnest(key) as k where k = any (redact) limit 1;
  if found then
    raise exception 'column "%" identifies the aggregate and cannot be redacted', wrong
      using errcode = '22023', hint = 'The aggregate id would show its value; choose another aggregate_id.';
  end if;
  select r into wrong from unnest(redact) as r where r = any (exclude) or r <> all (include) limit 1;
  if found then
    raise exception 'column "%" is redacted and not captured', wrong
      using errcode = '22023', hint = 'An excluded column appears nowhere and needs no redaction.';
  end if;

  if not exists (select from domain_events.captures c where c.target = enable_capture.target) then
    -- left behind by disable_capture(.., keep_triggers => true)
    perform domain_events._drop_foreign_triggers(target, null);
  end if;
  id := domain_events._command(target, 'register capture', jsonb_build_object(
    'aggregate_type', aggregate_type, 'aggregate_id', key, 'include', include, 'exclude', exclude, 'redact', redact,
    'event_types', event_types, 'event_name_style', event_name_style, 'payload', payload, 'on_failure', on_failure,
    'baseline', baseline, 'replication', replication));

  is_partitioned := (select c.relkind = 'p' from pg_class c where c.oid = target);
  -- A leading blank sorts before any name a person would choose: triggers fire by name, and the change must be recorded
  -- before another trigger makes the next one.
  execute format('create trigger %I after insert or update or delete on %s for each row execute function '
                 'domain_events.%I()', domain_events._trigger_name(' domain_events_capture', id, is_partitioned),
                   target, 'capture_' || id);
  execute format('comment on trigger %I on %s is %L',
                 domain_events._trigger_name(' domain_events_capture', id, is_partitioned), target,
                 'Captures changes as domain events; the name fires first');
  if is_partitioned then
    -- And this one after all others: what it sees is what will move.
    execute format('create trigger %I before update on %s for each row execute function domain_events.%I()',
                   domain_events._trigger_name('~domain_events_move', id, true), target, 'capture_' || id);
    execute format('comment on trigger %I on %s is %L', domain_events._trigger_name('~domain_events_move', id, true),
                   target, 'Notes rows that move to another partition; the name fires last');
  end if;
  perform domain_events._watch_truncation(target, id);
  execute format('comment on trigger %I on %s is %L',
                 domain_events._trigger_name(' domain_events_truncate', id, is_partitioned), target,
                 'Records truncation as a domain event');
  if is_partitioned then
    perform domain_events._command(target, 'record partitions');
    perform domain_events._drop_foreign_triggers(target, id);
  end if;
  perform domain_events._command(target, 'seal capture');
  if replication = 'always' then
    perform domain_events._fire_always(target, id);
  end if;

  select string_agg(quote_ident(v), ', ') into untold from unnest(domain_events._virtual_columns(target)) as v
   where include is null and v <> all (coalesce(exclude, '{}'));
  if untold is not null then
    raise notice 'virtual generated columns of % are not captured: %', target, untold
      using detail = 'A virtual column is stored nowhere: it is computed when it is read, '
                     'and triggers see null in its place.',
            hint = 'Its value follows from the columns that are captured. Name it in exclude to say that this is '
                   'known, or make it a stored generated column.';
  end if;
  if not domain_events._is_unique(target, key) then
    raise notice 'several rows of % can share a stream', target
      using detail = 'Writers of one stream then wait for each other until commit, '
                     'and writers of two streams in opposite orders can deadlock (40P01), as with any gapless number.',
            hint = 'Write the rows of several aggregates in one order.';
  end if;
  if exists (select from pg_attribute a
              where a.attrelid = target and a.attname::text = any (key) and not a.attnotnull) then
    raise notice 'rows of % whose id is null have no stream', target
      using detail = 'Their changes become dead letters that no retry can store, or errors with on_failure => '
                     '''abort''.',
            hint = 'Declare the columns of aggregate_id NOT NULL, or choose others.';
  end if;
  if baseline = 'now' then
    perform domain_events.baseline_capture(target, null);
  end if;
end
$$;

comment on function domain_events.enable_capture(regclass, text, text[], text[], text[], text[], jsonb, text, text,
                                                 text, text, text) is
  'From now on every change of the table is an event. Needs the role domain_events_admin and ownership of the table. '
  'Only target is needed: the type comes from the table''s name, the id from its primary key, '
  'all columns are captured.';
