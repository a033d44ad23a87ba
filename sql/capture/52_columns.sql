-- The columns of a captured table: whether they are still those that its trigger function was written for, and
-- following them through DDL with the rules that they carry.

create function domain_events._composite_relations(type oid) returns setof oid
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return query select p.relation from domain_events._parts_of_type(type) as p where p.relation >= 16384;
end
$$;

comment on function domain_events._composite_relations(oid) is
  'The relations behind the composite types that a value of this type is made of';

-- The relations whose columns a trigger function was written for: the table's and those of its composite types.
create function domain_events._watched_relations(relation oid) returns oid[]
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select array[relation] || coalesce(array_agg(distinct r order by r), '{}')
    from pg_attribute a, domain_events._composite_relations(a.atttypid) as r
   where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
$$;

comment on function domain_events._watched_relations(oid) is
  'The table and its composite types: when their columns change, the trigger function is written anew';

-- Names and types of the columns in their order, dropped ones under the name that Postgres gives them. Some trigger
-- functions carry the same expression inline: this and capture/58_function.sql agree.
create function domain_events._columns_signature(relations oid[]) returns text[]
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select array(select a.attname || a.atttypid::text from pg_attribute a
                where a.attrelid = any (relations) and a.attnum > 0 order by a.attrelid, a.attnum)
$$;

comment on function domain_events._columns_signature(oid[]) is
  'A list that changes with the columns of these relations';

-- Volatile, so that it has a snapshot of its own. By operators and casts of exactly these types: the first of a session
-- looks at no others, which is most of its price. A table's columns never get fewer: those that were dropped keep their
-- numbers.
create function domain_events._agrees(relation oid, signature text[]) returns boolean
language sql volatile
as $$
  select not exists (select from pg_catalog.pg_attribute a
                      where a.attrelid operator(pg_catalog.=) relation and a.attnum operator(pg_catalog.>) 0::int2
                        and (pg_catalog.textcat(a.attname::text, a.atttypid::text)
                             operator(pg_catalog.=) signature[a.attnum]) is not true)
$$;

comment on function domain_events._agrees(oid, text[]) is
  'Whether this is the _columns_signature() of one relation now, where the isolation level allows a new snapshot';

-- Called immutable, so that the answer becomes part of the plan of the expression that asks: Postgres makes a plan anew
-- when a relation has changed that it names by a constant of type regclass. Looking at every row was a sixth of its
-- cost. The plan outlives the statement and its snapshot, so the answer must not come from them; nobody may ask who has
-- a fixed one; and who asks holds a lock on the relation, for only then has it heard of all that has changed.
create function domain_events._has_columns(relation regclass, signature text[]) returns boolean
language sql immutable
as $$ select domain_events._agrees(relation, signature) $$;

comment on function domain_events._has_columns(regclass, text[]) is
  'Whether the columns of the relation, a constant, are those of the signature; '
  'asked by who writes it at READ COMMITTED';

-- Also out of date: the function of a table that has become a partition of a captured one. Both tables' triggers fire
-- there, and the other's is the one that tells.
create function domain_events._is_taken_over(relation oid) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (select from pg_partition_ancestors(relation) as a
                   join domain_events.capture_config c on c.relation = a.relid and a.relid <> _is_taken_over.relation);
end
$$;

comment on function domain_events._is_taken_over(oid) is 'True when a table above this partition is captured';

create function domain_events._tells(relation regclass) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return not domain_events._is_taken_over(relation);
end
$$;

comment on function domain_events._tells(regclass) is
  'Whether no table above the relation, a constant, is captured; asked as _has_columns() is';

-- Where equal values always have equal images, "is distinct from" finds the same changes as a comparison of images, for
-- half the price. Not so: numeric (1.0 = 1.00), interval, float (-0 = 0), jsonb, bpchar, citext ...
create function domain_events._has_image_equality(type oid, type_collation oid) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select domain_events._base_type(type) in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'oid'::regtype,
                                            'bool'::regtype, 'uuid'::regtype, 'date'::regtype, 'timestamp'::regtype,
                                            'timestamptz'::regtype)
         or (domain_events._base_type(type) in ('text'::regtype, 'varchar'::regtype)
             and exists (select from pg_collation c where c.oid = type_collation and c.collisdeterministic))
$$;

comment on function domain_events._has_image_equality(oid, oid) is
  'True when equal values of the type are the same bytes';

-- The table's columns as they are now, with the rules they carry. In the same table the attribute number decides (it
-- follows a rename), after a restore the name (numbers are dealt anew there). A redaction rule without a column keeps
-- its row, with a null attnum: its data may now be anywhere. So does a column of the aggregate id: without it there is
-- no id. An excluded column that is dropped leaves its name behind: one that is added under it is excluded, too. After
-- a restore nobody knows what the names stood for when they were last looked at, unless the columns are still the same
-- in the same order, with others behind them at most. Else every rule that hides a column also counts as one without a
-- column. Virtual generated columns (18) are none: they are stored nowhere and computed when read, so triggers see null
-- in their place.
create function domain_events._live_columns(capture_id int)
returns table (attnum int2, column_name name, type oid, identity_position int, captured boolean, redacted boolean,
               is_generated boolean, has_image_equality boolean)
language sql stable set search_path = pg_catalog, pg_temp
as $$
  with config as (
    select c.*, c.relation_oid = c.relation::oid and c.store_oid = 'domain_events.events'::regclass::oid as same_table
      from domain_events.capture_config c where c.capture_id = _live_columns.capture_id
  ), live as (
    select a.attnum, a.attname, a.atttypid, a.attgenerated <> '' as is_generated,
           domain_events._has_image_equality(a.atttypid, a.attcollation) as has_image_equality,
           case when config.same_table then a.attnum::text else a.attname::text end as key
      from config join pg_attribute a on a.attrelid = config.relation and a.attnum > 0 and not a.attisdropped
           and a.attgenerated <> 'v'
  ), known as (
    select k.*, case when config.same_table then k.attnum::text
                     when row_number() over (partition by k.column_name
                                             order by k.attnum nulls last, k.redacted desc) = 1
                     then k.column_name::text end as key
      from config join domain_events.capture_columns k on k.capture_id = config.capture_id
  ), excluded as (
    select k.column_name from config cross join known k
     where not k.captured and not k.redacted and k.identity_position is null and not config.include_only
       and not exists (select from live where live.key = k.key)
  )
  select live.attnum, coalesce(live.attname, known.column_name), live.atttypid, known.identity_position,
         coalesce(known.captured, not config.include_only
                  and live.attname not in (select x.column_name from excluded x)),
         coalesce(known.redacted, false), live.is_generated, live.has_image_equality
    from config
    cross join (live full join known on live.key = known.key)
   where live.attnum is not null or known.redacted or known.identity_position is not null
      or known.column_name in (select x.column_name from excluded x)
         and known.column_name not in (select l.attname from live l)
  union all
  select null, known.column_name, null, null, false, true, null, null
    from config cross join known
   where not config.same_table and known.attnum is not null and known.identity_position is null
     and (known.redacted or not known.captured)
     and (array(select k.column_name::text from known k where k.attnum is not null order by k.attnum)
          is distinct from array(select l.attname::text from live l order by l.attnum
                                  limit (select count(*) from known k where k.attnum is not null))
          -- A type of a user has another OID after a restore.
          or exists (select from live l join known k on k.attnum is not null and k.column_name = l.attname
                      where l.atttypid < 16384 and l.attname || l.atttypid::text <> all (config.columns_seen)))
$$;

comment on function domain_events._live_columns(int) is
  'The present columns of a captured table with the rules they carry, and what lost its column: '
  'redaction rules, parts of the aggregate id and names that are excluded';

create function domain_events._sync_columns(capture_id int) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  before domain_events.capture_columns[];
  after domain_events.capture_columns[];
begin
  -- Another session may be at it, or may just have done it.
  perform from domain_events.capture_config c where c.capture_id = _sync_columns.capture_id for update;
  before := array(select k from domain_events.capture_columns k where k.capture_id = _sync_columns.capture_id);
  after := array(select row(null, _sync_columns.capture_id, l.attnum, l.column_name, l.identity_position, l.captured,
                            l.redacted)::domain_events.capture_columns
                   from domain_events._live_columns(_sync_columns.capture_id) as l);
  delete from domain_events.capture_columns k where k.capture_id = _sync_columns.capture_id;
  insert into domain_events.capture_columns (capture_id, attnum, column_name, identity_position, captured, redacted)
  select a.capture_id, a.attnum, a.column_name, a.identity_position, a.captured, a.redacted from unnest(after) as a;

  update domain_events.capture_config c
     set -- A mapping names columns: let it follow a rename.
         event_types = (
           select coalesce(jsonb_agg(
                    case when jsonb_exists(m.entry, 'when_changed')
                         then m.entry || jsonb_build_object('when_changed',
                           (select jsonb_agg(coalesce((select a.column_name from unnest(before) as b
                                                         join unnest(after) as a on a.attnum = b.attnum
                                                        where b.column_name = w), w))
                              from jsonb_array_elements_text(m.entry -> 'when_changed') as w))
                         else m.entry end order by m.n), '[]')
             from jsonb_array_elements(c.event_types) with ordinality as m(entry, n)
            where c.relation_oid = c.relation::oid)
   where c.capture_id = _sync_columns.capture_id and c.relation_oid = c.relation::oid;
  update domain_events.capture_config c
     set relation_oid = c.relation::oid,
         store_oid = 'domain_events.events'::regclass::oid,
         table_name = domain_events._qualified_name(c.relation),
         table_owner = coalesce((select pg_get_userbyid(r.relowner) from pg_class r where r.oid = c.relation),
                                c.table_owner),
         columns_seen = domain_events._columns_signature(domain_events._watched_relations(c.relation)),
         fail_closed = exists (select from unnest(after) as a where a.attnum is null and a.redacted),
         -- Between the tables of a data-only restore the store may still be empty.
         whole_row_after = greatest(c.whole_row_after, domain_events._newest_position())
   where c.capture_id = _sync_columns.capture_id;
end
$$;

comment on function domain_events._sync_columns(int) is
  'Records the present columns of a captured table; every stream''s next event then carries the whole row';
