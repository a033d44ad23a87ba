-- Legacy event tables: how their next version is read, and by whom.
--
-- Whatever reads a user's table runs code of its owner, planning included: index expressions and predicates, checks,
-- statistics, partition bounds, policies, casts. So nothing here reads one with the rights of the store.
-- register_event_table(), run by the table's owner, leaves a reader beside the table: a SECURITY DEFINER function that
-- belongs to the table's owner and holds the statement that finds a stream's newest version, so that its plan is kept.
-- next_aggregate_version() runs with its caller's rights: it asks the catalogue for the reader and whether that is
-- still the one that was registered, asks the reader for the stream's key, has the store hold that key, and then asks
-- the reader for the version.
--
-- Which texts name one stream is decided by the equality of the table's unique key: "bob" and "Bob" are one in citext,
-- "a" and "a " in char(3), 1.0 and 1 in numeric. The stream is held by the hash that goes with that equality. Two
-- streams that share a hash of 64 bits wait for each other, which does no harm.

create table domain_events.event_tables (
  event_table    regclass not null,
  source         regclass not null,
  source_oid     oid not null,
  stream_columns name[] not null,
  type_column    name,
  id_column      name not null,
  version_column name not null,
  column_numbers int2[] not null,
  column_types   text[] not null,
  table_name     text not null,
  last_version   bigint not null,
  reader         name not null,
  fingerprint    text not null,
  registered_at  timestamptz not null default pg_catalog.clock_timestamp(),
  constraint event_tables_pkey primary key (event_table)
);

comment on table domain_events.event_tables is
  'Legacy event tables that next_aggregate_version() serves; see register_event_table()';
comment on column domain_events.event_tables.event_table is
  'The legacy table, or the view that an adopted one has become';
comment on column domain_events.event_tables.source is 'The table with the rows: the same, or the one below the view';
comment on column domain_events.event_tables.source_oid is
  'Its OID when it was registered; another OID means that the numbers of its columns are others too';
comment on column domain_events.event_tables.stream_columns is 'Its columns that name a stream, in their order';
comment on column domain_events.event_tables.type_column is
  'Of these the one before the last, which usually is the aggregate type; null where there is one only';
comment on column domain_events.event_tables.id_column is 'Of these the last, which usually is the aggregate id';
comment on column domain_events.event_tables.version_column is 'Its column with the version';
comment on column domain_events.event_tables.column_numbers is
  'Attribute numbers of the stream''s columns and the version: they follow a rename';
comment on column domain_events.event_tables.column_types is
  'Their types and collations: the reader was written for these';
comment on column domain_events.event_tables.table_name is 'Name of the source when its reader was written';
comment on column domain_events.event_tables.last_version is 'The largest version that its column can hold';
comment on column domain_events.event_tables.reader is
  'Name of the function of the table''s owner that reads its versions';
comment on column domain_events.event_tables.fingerprint is
  'Of that function''s text: another text is another function';
comment on column domain_events.event_tables.registered_at is 'When it was registered';
comment on constraint event_tables_pkey on domain_events.event_tables is 'A table is registered once';

-- The columns as the reader needs them, from the catalogue alone. Without a key the types' own equality counts.
create function domain_events._stream_columns(source regclass, stream_columns name[], key oid)
returns table (n bigint, column_name name, column_number int2, base_type text, refused text, operator text,
               collation_name text, made_kind text)
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  with recursive base as (
    select u.n, a.attname, a.attnum, a.atttypid as type, a.atttypmod as modifier, a.attcollation, 0 as depth
      from unnest(stream_columns) with ordinality as u(name, n)
      join pg_attribute a on a.attrelid = source and a.attname = u.name and a.attnum > 0 and not a.attisdropped
    union all
    select b.n, b.attname, b.attnum, t.typbasetype, case when t.typtypmod >= 0 then t.typtypmod else b.modifier end,
           b.attcollation, b.depth + 1
      from base b join pg_type t on t.oid = b.type and t.typtype = 'd'
  ), keyed as (
    select b.*, t.typtype, t.typcategory,
           case when i.indexrelid is null
                then (select o.oid from pg_opclass o
                       where o.opcmethod = 403 and o.opcdefault
                         and o.opcintype in (b.type, case when t.typtype = 'e' then 'anyenum'::regtype
                                                          when b.type = 'varchar'::regtype then 'text'::regtype end)
                       order by o.opcintype = b.type desc limit 1)
                else i.indclass[place.at] end as class,
           case when i.indexrelid is null then b.attcollation else i.indcollation[place.at] end as key_collation
      from base b
      join pg_type t on t.oid = b.type and t.typtype <> 'd'
      left join pg_index i on i.indexrelid = key and i.indrelid = source
      left join lateral (select p.at from generate_series(0, i.indnkeyatts - 1) as p(at) where i.indkey[p.at] = b.attnum
                          limit 1) as place on true
  )
  select k.n, k.attname, k.attnum, format_type(k.type, k.modifier),
         case when k.typtype not in ('b', 'e') or k.typcategory = 'A'
              then 'A stream is named by texts, numbers, times, UUIDs or enums.'
              when o.oid is null
                   or not exists (
                     select from pg_amop h
                       join pg_opclass hc on hc.opcfamily = h.amopfamily and hc.opcmethod = h.amopmethod
                            and hc.opcdefault and hc.opcintype = h.amoplefttype
                      where h.amopmethod = 405 and h.amopstrategy = 1 and h.amopopr = o.oid)
                then 'Its key''s equality has no hash function, so it cannot be told which texts name one stream.' end,
         format('operator(%I.%s)', n.nspname, o.oprname),
         (select format('%I.%I', cn.nspname, c.collname) from pg_collation c
            join pg_namespace cn on cn.oid = c.collnamespace where c.oid = k.key_collation),
         case when k.type >= 16384 then k.typtype::text end  -- not the server's own
    from keyed k
    left join pg_opclass class on class.oid = k.class
    left join pg_amop equal on equal.amopfamily = class.opcfamily and equal.amopstrategy = 3
                           and equal.amoplefttype = class.opcintype and equal.amoprighttype = class.opcintype
    left join pg_operator o on o.oid = equal.amopopr
    left join pg_namespace n on n.oid = o.oprnamespace
   order by k.n
$$;

comment on function domain_events._stream_columns(regclass, name[], oid) is
  'Columns that name a stream: the types to which texts are brought, the equality of the unique key and its hash; '
  'refused says why one cannot; made_kind is "e" for an enum, "b" for another type that somebody made';
