-- Where a row is, is part of what is known of it: the end of a table or a partition ends the streams of its rows.
-- Events say it by a mark that the table gets once and keeps whatever becomes of its name: the name it has then or,
-- where another table of the type has had that before, one made of it. What carries a mark is found by its OID, which a
-- dump writes as the name.

create table domain_events.capture_places (
  place_id       int generated always as identity,
  aggregate_type text collate "C" not null,
  relation       regclass not null,
  mark           text collate "C",
  table_owner    name,
  constraint capture_places_pkey primary key (place_id)
);

create index capture_places_relation on domain_events.capture_places (relation, aggregate_type);

comment on table domain_events.capture_places is
  'How events say in which table or partition their row is ("in_table"); it outlives captures, as their events do';
comment on column domain_events.capture_places.place_id is
  'Two sessions that meet a new partition at once give it two places and wait for nobody';
comment on column domain_events.capture_places.aggregate_type is 'Type of the streams';
comment on column domain_events.capture_places.relation is 'The table or partition';
comment on column domain_events.capture_places.mark is
  'What the events say; null where the table had the type to itself, and they say nothing';
comment on column domain_events.capture_places.table_owner is
  'Owner of the table when its capture ended: once it is dropped, its type is theirs until forget_dropped_tables(); '
  'else null';
comment on constraint capture_places_pkey on domain_events.capture_places is 'Places are numbered';
comment on index domain_events.capture_places_relation is 'Finds the marks of a table';
comment on sequence domain_events.capture_places_place_id_seq is 'Numbers the places';

-- A transaction with a fixed snapshot does not see what marks others have given since: it takes one that nobody else
-- gives.
create function domain_events._place_of(aggregate_type text, relation oid) returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  name text := domain_events._qualified_name(relation);
  found_mark text;
begin
  select p.mark into found_mark from domain_events.capture_places p
   where p.aggregate_type = _place_of.aggregate_type and p.relation = _place_of.relation and p.mark is not null
   order by p.place_id limit 1;
  if found_mark is null and name is not null then
    select m.mark into found_mark
      from (select name as mark, 0 as n where current_setting('transaction_isolation') = 'read committed'
             union all
            select format('%s#%s', name, _place_of.relation), 1
             union all
            select format('%s#%s-%s', name, _place_of.relation, more.n), 1 + more.n
              from generate_series(1, 1000) as more(n)) as m
     where not exists (select from domain_events.capture_places p
                        where p.aggregate_type = _place_of.aggregate_type and p.mark = m.mark)
     order by m.n limit 1;
    insert into domain_events.capture_places (aggregate_type, relation, mark)
      values (_place_of.aggregate_type, _place_of.relation, found_mark);
  end if;
  return found_mark;
end
$$;

comment on function domain_events._place_of(text, oid) is
  'The mark that events of this type carry for rows of this table or partition';

create function domain_events._keep_unmarked(aggregate_type text, relation oid) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  insert into domain_events.capture_places (aggregate_type, relation)
  select _keep_unmarked.aggregate_type, _keep_unmarked.relation
   where not exists (select from domain_events.capture_places p
                      where p.aggregate_type = _keep_unmarked.aggregate_type and p.relation = _keep_unmarked.relation
                        and p.mark is null);
end
$$;

comment on function domain_events._keep_unmarked(text, oid) is
  'Events of this type that carry no mark are of this table';

-- A capture ends: its streams stay those of the table's owner, also when the table is dropped afterwards.
create function domain_events._keep_owner(aggregate_type text, relation oid, owner name) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  tables oid[] := array(select t.relid::oid from domain_events._partition_tree(_keep_owner.relation) as t);
begin
  -- A table whose partitions were all dropped has no place any more.
  if not exists (select from domain_events.capture_places p
                  where p.aggregate_type = _keep_owner.aggregate_type and p.relation = any (tables)) then
    insert into domain_events.capture_places (aggregate_type, relation, mark)
    values (_keep_owner.aggregate_type, _keep_owner.relation, format('#%s', _keep_owner.relation));
  end if;
  update domain_events.capture_places p set table_owner = _keep_owner.owner
   where p.aggregate_type = _keep_owner.aggregate_type and p.relation = any (tables)
     and p.table_owner is distinct from _keep_owner.owner;
end
$$;

comment on function domain_events._keep_owner(text, oid, name) is
  'Notes whose the streams of this type are when the capture of a table ends';

-- What events say that end the streams of some tables' rows; nothing where the name says it.
create function domain_events._only_in(aggregate_type text, relations oid[], name text default null) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  marks jsonb := (select coalesce(jsonb_agg(distinct p.mark), '[]') from domain_events.capture_places p
                   where p.aggregate_type = _only_in.aggregate_type and p.relation = any (relations));
begin
  return case when name is not null and marks = jsonb_build_array(name) then '{}'
              else jsonb_build_object('only_in', marks) end;
end
$$;

comment on function domain_events._only_in(text, oid[], text) is
  'The marks that the rows of these tables have had, as an event says them';

-- A captured table was dropped and restored, its partitions with it: their names lead from the old ones to the new.
create function domain_events._restore_places(capture_id int, gone oid, restored oid) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  update domain_events.capture_places p set relation = n.new
    from (select _restore_places.gone as old, _restore_places.restored as new
           union all
          select k.relation, domain_events._relation_named(k.table_name) from domain_events.capture_partitions k
           where k.capture_id = _restore_places.capture_id
             and not exists (select from pg_class r where r.oid = k.relation)) as n
   where p.relation = n.old and n.new = any (array(select t.relid from domain_events._partition_tree(restored) as t));
  update domain_events.capture_partitions k set relation = domain_events._relation_named(k.table_name)
   where k.capture_id = _restore_places.capture_id and not exists (select from pg_class r where r.oid = k.relation)
     and domain_events._relation_named(k.table_name) in (select t.relid
                                                           from domain_events._partition_tree(restored) as t);
end
$$;

comment on function domain_events._restore_places(int, oid, oid) is
  'Lets the tables of a capture that was dropped and restored keep their marks';
