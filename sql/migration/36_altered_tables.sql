-- A legacy event table after DDL or a restore: what of it is not as it was registered, and who mends it how.
--
-- A wider version column, a renamed table or column: the reader goes on. What names the stream has another type: the
-- trigger of a ported table goes on, by queries that are written for each event, and monitor says that registering it
-- again is faster. What cannot go on by itself is told before the first write fails. Where there are event triggers,
-- _follow_event_tables() mends it at once.

-- Of every registered table that is still one. Columns are known by their numbers, after a restore by their names.
create function domain_events._event_table_states(
  out event_table regclass, out source regclass, out owner oid, out stream_columns name[], out version_column name,
  out is_renamed boolean, out was text[], out types text[], out reader oid
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  select t.event_table, t.source, c.relowner,
         case when x.is_whole then x.names[:cardinality(t.stream_columns)] end,
         case when x.is_whole then x.names[cardinality(t.stream_columns) + 1] end,
         x.names is distinct from t.stream_columns || t.version_column,
         t.column_types, x.types,
         (select p.oid from pg_proc p
           where p.proname = t.reader and md5(p.prosrc) = t.fingerprint and domain_events._is_reader(p.oid, t.source)
           limit 1)
    from domain_events.event_tables t
    join pg_class c on c.oid = t.source and c.relkind in ('r', 'p')
   cross join lateral (
     select array_agg(a.attname order by u.n) as names,
            count(a.attname) = cardinality(t.stream_columns) + 1 as is_whole,
            array_agg(format_type(a.atttypid, a.atttypmod)
                      || case when a.attcollation <> 0 then ' ' || a.attcollation::regcollation::text else '' end
                      order by u.n) as types
       from unnest(t.stream_columns || t.version_column, t.column_numbers) with ordinality as u(name, number, n)
       join pg_attribute a on a.attrelid = t.source and not a.attisdropped
                          and (a.attnum = u.number and t.source_oid = t.source::oid
                               or a.attname = u.name and t.source_oid <> t.source::oid)) as x
$$;

comment on function domain_events._event_table_states() is
  'Registered tables as they are now: their columns'' present names (null where one is gone), types then and now, '
  'and the reader, null where it is not theirs';

-- The triggers by which ported tables ask for versions, and the columns that they name: read from their text, since a
-- dump of the schema alone has nothing else.
create function domain_events._shims(
  out relation oid, out function oid, out function_owner oid, out stream_columns name[], out version_column name
) returns setof record
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select t.tgrelid, p.oid, p.proowner,
         array(select (parse_ident(m.found[1]))[1]::name
                 from regexp_matches(p.prosrc, $re$format\('%s', new\.("(?:[^"]|"")+"|[[:alnum:]_$]+)\)$re$, 'g')
                      with ordinality as m(found, n)
                order by m.n),
         (parse_ident(substring(
            p.prosrc from $re$new\.("(?:[^"]|"")+"|[[:alnum:]_$]+) := domain_events\.next_aggregate_version\($re$
          )))[1]::name
    from pg_trigger t join pg_proc p on p.oid = t.tgfoid
   where t.tgname = '~domain_events_version' and t.tgparentid = 0 and t.tgenabled in ('O', 'A')
     and p.prosrc ~ $re$new\.("(?:[^"]|"")+"|[[:alnum:]_$]+) := domain_events\.next_aggregate_version\($re$
$$;

comment on function domain_events._shims() is
  'Enabled triggers that assign the versions of ported tables, their functions, and the columns that these name';

create function domain_events._key_of(source regclass, stream_columns name[], version_column name) returns oid
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return domain_events._unique_key(source, stream_columns, version_column, true);
exception when invalid_table_definition then
  return null;
end
$$;

comment on function domain_events._key_of(regclass, name[], name) is '_unique_key(), or null where there is none';

-- What it takes to be told to somebody: the call, who makes it, and what that role still lacks for it.
create function domain_events._how_to_register(event_table oid, source oid, stream_columns name[], version_column name)
  returns text
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select format('its owner %s%s runs: select domain_events.%s(%L, %L::name[], %L);', o.owner,
                case when store.rolsuper then ', or a superuser,' else '' end,
                case when c.oid = _how_to_register.source
                          and domain_events._key_of(source, stream_columns, version_column) is not null
                     then 'register_event_table' else '_register_event_table' end,
                c.oid::regclass, stream_columns, version_column)
         || case when not o.may_register and not exists (select from pg_roles r where r.rolname = 'domain_events_admin')
                 then format(' It takes a role with the rights of %s as well, whose the store is.',
                             quote_ident(store.rolname)) else '' end
         || coalesce(format(' Before that %s needs: ', o.owner) || nullif(concat_ws(' ',
              case when not o.may_register and exists (select from pg_roles r where r.rolname = 'domain_events_admin')
                   then format('grant domain_events_admin to %s;', o.owner) end,
              case when not has_schema_privilege(c.relowner, n.oid, 'usage')
                        or not has_schema_privilege(c.relowner, n.oid, 'create')
                   then format('grant usage, create on schema %I to %s;', n.nspname, o.owner) end), ''), '')
    from pg_class c
    join pg_class s on s.oid = _how_to_register.source
    join pg_namespace n on n.oid = s.relnamespace
   cross join (select r.rolname, r.rolsuper from pg_namespace x join pg_roles r on r.oid = x.nspowner
                where x.nspname = 'domain_events') as store
   cross join lateral (
     select quote_ident(pg_get_userbyid(c.relowner)) as owner,
            has_function_privilege(c.relowner,
                                   'domain_events.register_event_table(regclass, name[], name)'::regprocedure,
                                   'execute')
              and has_table_privilege(c.relowner, 'domain_events.commands'::regclass, 'insert') as may_register) as o
   where c.oid = _how_to_register.event_table
$$;

comment on function domain_events._how_to_register(oid, oid, name[], name) is
  'Who registers a table with which call, and what that role is to be granted before';

-- The text of the trigger's function names columns. It stays its owner's.
create function domain_events._follow_shim(source oid, old_names name[], new_names name[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
declare
  shim record;
  body text;
  definition text;
  delimiter text;
begin
  for shim in
    select p.oid, p.prosrc from domain_events._shims() as s join pg_proc p on p.oid = s.function
     where s.relation = source and pg_has_role(s.function_owner, 'usage')
  loop
    body := shim.prosrc;
    -- In two steps, since two columns may have exchanged their names.
    for n in 1 .. coalesce(cardinality(old_names), 0) loop
      body := regexp_replace(body,
                             '\mnew\.' || regexp_replace(quote_ident(old_names[n]), '([].*+?(){}|^$\\[])', '\\\1', 'g')
                             || '(?![[:alnum:]_$"])',
                             format('new.~%s~', n), 'g');
    end loop;
    for n in 1 .. coalesce(cardinality(new_names), 0) loop
      body := replace(body, format('new.~%s~', n), 'new.' || quote_ident(new_names[n]));
    end loop;
    definition := pg_get_functiondef(shim.oid);
    delimiter := substring(definition from '([$]functionx*[$])\n$');
    -- The new text as a literal: the name of a column may hold the delimiter that was chosen for the old one.
    -- With the same text too: a session that ran it with columns of other types raises 42804 until it is another
    -- function.
    execute left(definition, -(length(shim.prosrc) + 2 * length(delimiter) + 1)) || quote_literal(body);
  end loop;
end
$$;

comment on function domain_events._follow_shim(oid, name[], name[]) is
  'Lets the function of a ported table''s trigger name columns as they are called now, and every session compile it '
  'anew, for whoever may replace it';

-- For the event trigger: with the rights of the store's owner, who is a superuser then. Nothing of the table's owner
-- runs, and what was the former owner's is written anew before it is given to the present one.
create function domain_events._follow_event_tables(altered oid[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  one record;
begin
  for one in
    select s.*, t.stream_columns || t.version_column as registered
      from domain_events._event_table_states() as s join domain_events.event_tables t on t.event_table = s.event_table
     where s.stream_columns is not null and (altered is null or s.source = any (altered))
       and (s.is_renamed or s.was <> s.types
            -- That of a former owner. Where there is none, somebody dropped or altered it.
            or s.reader is null
               and exists (select from pg_proc p
                            where p.proname = t.reader and md5(p.prosrc) = t.fingerprint
                              and domain_events._is_reader(p.oid, t.source, p.proowner)))
  loop
    begin
      perform domain_events._make_reader(one.event_table, one.source, one.stream_columns, one.version_column,
                                         domain_events._key_of(one.source, one.stream_columns, one.version_column));
      perform domain_events._follow_shim(one.source, one.registered, one.stream_columns || one.version_column);
    exception when others then
      raise warning 'event table % is not as it was registered: %', one.event_table, sqlerrm
        using errcode = sqlstate, hint = 'See domain_events.check_infrastructure().';
    end;
  end loop;
end
$$;

comment on function domain_events._follow_event_tables(oid[]) is
  'Lets the readers and triggers of these tables (null: of all) follow their owners, types and columns';
