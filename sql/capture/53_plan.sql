-- From a table's configuration to the plan of its capture: whose capture a relation belongs to, what its events are
-- called, how large its values may be.

create function domain_events._event_type(aggregate_type text, style text, verb text) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select case style
           when 'dotted' then lower(regexp_replace(aggregate_type, '([a-z0-9])([A-Z])', E'\\1_\\2', 'g')) || '.'
                || lower(verb)
           else aggregate_type || verb
         end
$$;

comment on function domain_events._event_type(text, text, text) is
  'UserCreated in pascal style, user.created in dotted style';

-- Singular CamelCase: user_addresses gives UserAddress. Only the last word is made singular.
create function domain_events._default_aggregate_type(table_name name) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select coalesce(nullif(regexp_replace(w.camel,
           case when w.camel ~* 'ies$' then 'ies$'
                when w.camel ~* '(s|x|z|ch|sh)es$' then 'es$'
                when w.camel ~* '(ss|us|is)$' then '$'
                else 's$' end,
           case when w.camel ~* 'ies$' then 'y' else '' end, 'i'), ''), w.camel)
    from (select coalesce(string_agg(upper(left(p, 1)) || substr(p, 2), '' order by n), table_name::text) as camel
            from regexp_split_to_table(table_name::text, '[^[:alnum:]]+') with ordinality as u(p, n)
           where p <> '') as w
$$;

comment on function domain_events._default_aggregate_type(name) is 'The aggregate type a table gets when none is given';

create function domain_events._newest_position() returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  -- The sequence may have been set back, or restored over a store that was in use.
  return greatest(pg_sequence_last_value('domain_events.events_global_position_seq'),
                  (select max(e.global_position) from domain_events.events e), 0);
end
$$;

comment on function domain_events._newest_position() is
  'The newest position, drawn last or stored, 0 when there is none';

create function domain_events._qualified_name(relation oid) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
begin
  return (select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where c.oid = relation);
end
$$;

comment on function domain_events._qualified_name(oid) is 'schema.table, quoted where needed, whatever the search_path';

create function domain_events._with_ancestors(relation oid) returns oid[]
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  if pg_partition_root(relation) is null then
    return array[relation];  -- neither partitioned nor a partition
  end if;
  return array[relation] || array(select a.relid::oid
                                    from pg_partition_ancestors(relation) with ordinality as a(relid, n)
                                   where a.relid <> relation order by a.n);
end
$$;

comment on function domain_events._with_ancestors(oid) is
  'The relation, and the tables that it is a partition of, the nearest first';

-- to_regclass() raises 42501 where the schema of the name may not be used. What a check or another owner's command
-- looks for by a name that the store wrote down may be in any schema.
create function domain_events._relation_named(qualified_name text) returns regclass
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  parts text[];
begin
  parts := parse_ident(qualified_name);
  return (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where cardinality(parts) = 2 and n.nspname = parts[1]::name and c.relname = parts[2]::name);
exception when invalid_parameter_value then
  return null;  -- no name
end
$$;

comment on function domain_events._relation_named(text) is
  'The relation of this schema-qualified name, null where there is none; whoever asks';

-- pg_partition_tree() locks every partition: it waits for whoever has one of them locked, and keeps others from locking
-- it. PostgreSQL 13 has no inhdetachpending: reading it through to_jsonb(), in one query for all, takes 15 ms for 1,000
-- partitions instead of 5.
create function domain_events._partition_tree(root oid) returns table (relid regclass, level int, isleaf boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  if (select c.relkind from pg_class c where c.oid = root) is distinct from 'p' then
    return query select root::regclass, 0, true;
  elsif current_setting('server_version_num')::int >= 140000 then
    return query
      with recursive tree(relation, depth) as (
        select root, 0
         union all
        select i.inhrelid, t.depth + 1 from tree t
          join pg_inherits i on i.inhparent = t.relation and not i.inhdetachpending
      ) select t.relation::regclass, t.depth, c.relkind <> 'p' from tree t join pg_class c on c.oid = t.relation;
  else
    return query
      with recursive tree(relation, depth) as (
        select root, 0
         union all
        select i.inhrelid, t.depth + 1 from tree t join pg_inherits i on i.inhparent = t.relation
      ) select t.relation::regclass, t.depth, c.relkind <> 'p' from tree t join pg_class c on c.oid = t.relation;
  end if;
end
$$;

comment on function domain_events._partition_tree(oid) is
  'The relation itself, at level 0, and its partitions at every level, found without a lock on any of them';

-- The capture of a table that was dropped is for the next table of that name or type that belongs to the same owner, or
-- to a role that has the owner's rights. A superuser restores it where that owner is gone.
create function domain_events._succeeds(owner oid, former name) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (select from pg_roles r where r.rolname = former and pg_has_role(owner, r.oid, 'usage'))
         or not exists (select from pg_roles r where r.rolname = former)
            and exists (select from pg_roles r where r.oid = owner and r.rolsuper);
end
$$;

comment on function domain_events._succeeds(oid, name) is
  'Whether a table of this owner may go on with what a dropped table of that owner had';

-- The capture that a trigger on this relation serves: that of the outermost captured table that it is a partition of,
-- else its own, or, for a table that was dropped and restored, the one of the same name whose table is gone. Anybody
-- who may create tables there can make one of that name: it has to be its owner's.
create function domain_events._find_capture(relation oid) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  tables oid[] := domain_events._with_ancestors(relation);
  found_id int;
  gone oid;
  restored oid;
begin
  select c.capture_id into found_id from domain_events.capture_config c
   where c.relation = any (tables) order by array_position(tables, c.relation::oid) desc limit 1;
  if found_id is null then
    select c.capture_id, c.relation, t.relation into found_id, gone, restored
      from domain_events.capture_config c
      join unnest(tables) as t(relation) on c.table_name = domain_events._qualified_name(t.relation)
      join pg_class r on r.oid = t.relation
     where not exists (select from pg_class k where k.oid = c.relation)
       and domain_events._succeeds(r.relowner, c.table_owner)
     limit 1 for update of c;
    if found then
      update domain_events.capture_config c set relation = restored where c.capture_id = found_id;
      perform domain_events._restore_places(found_id, gone, restored);
      perform domain_events._grant_partitioning(found_id);  -- taken back when the table was dropped
    end if;
  end if;
  return found_id;
end
$$;

comment on function domain_events._find_capture(oid) is
  'The capture that serves a relation or the table it is a partition of; null when there is none';

-- Of a key change both events have one type: the one that ends the old stream, and the one that begins the new.
create function domain_events._end_types(capture_id int) returns text[]
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select array(select domain_events._event_type(c.aggregate_type, c.event_name_style, verb)
                 from unnest('{Deleted,Rekeyed}'::text[]) as verb
                union
               select m ->> 'type' from jsonb_array_elements(c.event_types) as m where m ->> 'on' = 'delete'
                order by 1)
    from domain_events.capture_config c where c.capture_id = _end_types.capture_id
$$;

comment on function domain_events._end_types(int) is 'The types of the capture''s events that may end a stream';

-- What the native trigger needs to know of a relation, columns already followed through DDL. The portable trigger has
-- the same baked into its text.
create function domain_events._capture_plan(relation oid) returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  id int := domain_events._find_capture(relation);
  config domain_events.capture_config;
begin
  if id is null then
    return null;
  end if;
  perform domain_events._follow_columns(id);
  select * into strict config from domain_events.capture_config c where c.capture_id = id;
  return jsonb_build_object(
    'capture_id', id, 'relation', config.relation::oid::bigint, 'state', config.state,
    'aggregate_type', config.aggregate_type, 'on_failure', config.on_failure, 'payload', config.payload,
    'table_name', config.table_name,
    'in_table', case when config.relation::oid <> relation or config.shares_type
                     then domain_events._place_of(config.aggregate_type, relation) end,
    'function', to_regprocedure(format('domain_events.%I()', 'capture_' || id))::oid::bigint,
    'identity_missing', exists (select from domain_events.capture_columns k
                                 where k.capture_id = id and k.attnum is null and k.identity_position is not null),
    'whole_row_after', config.whole_row_after, 'fail_closed', config.fail_closed,
    'max_bytes', domain_events._max_bytes(id), 'is_unique', domain_events._is_one_row(id),
    'types', jsonb_build_object(
      'insert', domain_events._event_type(config.aggregate_type, config.event_name_style, 'Created'),
      'update', domain_events._event_type(config.aggregate_type, config.event_name_style, 'Updated'),
      'delete', domain_events._event_type(config.aggregate_type, config.event_name_style, 'Deleted'),
      'rekey', domain_events._event_type(config.aggregate_type, config.event_name_style, 'Rekeyed')),
    'event_types', config.event_types,
    'columns', (select coalesce(jsonb_agg(jsonb_build_object('name', k.column_name, 'identity', k.identity_position,
                                                             'captured', k.captured, 'redacted', k.redacted)
                                          order by k.attnum), '[]')
                  from domain_events.capture_columns k
                 where k.capture_id = id and k.attnum is not null));
end
$$;

comment on function domain_events._capture_plan(oid) is
  'The plan of the capture that serves a relation, as JSON; null when there is none';

-- What has become of the streams' rows is not known any more.
create function domain_events._tell_whole_rows(capture_id int, is_truncated boolean default false) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  target regclass;
begin
  update domain_events.capture_config c set whole_row_after = domain_events._newest_position()
   where c.capture_id = _tell_whole_rows.capture_id returning c.relation into target;
  if is_truncated then
    perform domain_events._renew_capture_function(capture_id);
  else
    perform domain_events._write_capture_function(capture_id);
  end if;
  perform domain_events._invalidate_capture(target);
end
$$;

comment on function domain_events._tell_whole_rows(int, boolean) is
  'From now on each stream''s next event carries the whole row; after a truncation nothing else of the capture has '
  'changed';

-- Two values of every wide column have to fit into one jsonb of at most 2^28 - 1 bytes; see also _is_wide().
create function domain_events._max_bytes(capture_id int) returns bigint
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select 268000000 / (2 * greatest(count(*), 1))
    from domain_events._live_columns(_max_bytes.capture_id) as l
   where l.captured and not l.redacted and domain_events._is_wide(domain_events._base_type(l.type))
$$;

comment on function domain_events._max_bytes(int) is
  'How many bytes a value of this table may have as jsonb, and half of those in the output of COPY; '
  'what is larger is written as the unrepresentable marker';
