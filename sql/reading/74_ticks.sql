-- Ticks: snapshots that readers of the whole store are bounded by.
--
-- Positions are drawn before commit, so who remembers the last position it saw loses what commits late. A reader
-- remembers a snapshot S instead. What it gets next is vis(S') minus vis(S), in the order of positions, where S' is a
-- later snapshot. Snapshots of one server only grow, so each event comes once; version n + 1 of a stream draws its
-- position after version n is committed, or in the same transaction, so a stream comes in its order; and nothing waits
-- for a transaction that is open.
--
-- The parts of a tick are read in this order: position_before, top, snapshot, position_after. A transaction has its
-- number before it draws a position (store/10_events.sql), so whoever has a number above top, which was drawn after
-- position_before was read, draws its positions above position_before; and all that the snapshot shows lies at or below
-- position_after. top is the number of the transaction that takes the tick or, where that had written before, of a
-- subtransaction. Two traps: the xmax of a snapshot is not the next transaction, but the newest that has ended + 1, so
-- transactions from there up to top may be running and are in no list; and a snapshot counts its own transaction as
-- ended once a later one has, so the transaction that takes the tick is added to those that run.
--
-- The tick is a row of the transaction that reads. Its commit is flushed, and with it every commit before it, so what
-- was handed out survives a crash, also where writers commit asynchronously; nobody goes by the tick of another before.
-- Standbys read up to the newest tick that reached them. Reading needs no old tick: a cursor holds what it needs.
--
-- Numbers of transactions mean nothing in another cluster. An era is a time in which they can be compared. A dump that
-- was restored begins an era: up to its boundary everything is committed, whatever the number says. A server that was
-- started anew, promoted, or recovered to a point in time, and a copy of the database in the same cluster, begin one
-- with the boundary of the last: the numbers go on, and what the original did after that point is lost, with its
-- cursors.

create table domain_events.eras (
  era      int generated always as identity,
  tag      text collate "C" not null,
  boundary bigint not null,
  cluster  bigint not null,
  place    text not null,
  top      xid8,
  began_at timestamptz not null default pg_catalog.clock_timestamp(),
  constraint eras_pkey primary key (era),
  constraint eras_tag_key unique (tag)
);

comment on table domain_events.eras is
  'Times of a server: a start, a restored dump, a promotion or a recovery begins another, at the next read';
comment on sequence domain_events.eras_era_seq is 'Numbers of eras';
comment on column domain_events.eras.era is 'Its number';
comment on column domain_events.eras.tag is
  'Random; cursors name the era by it, so that those of another store are told';
comment on column domain_events.eras.boundary is
  'Events up to this position were committed before it began, whatever their transaction_id says';
comment on column domain_events.eras.cluster is 'The system identifier of the server, which the numbers belong to';
comment on column domain_events.eras.place is
  'Timeline of the server''s log, database, table of events, and when the server was started';
comment on column domain_events.eras.top is
  'It serves when all transactions up to this one have ended; null where they had when it was begun';
comment on column domain_events.eras.began_at is 'When somebody first read in it';
comment on constraint eras_pkey on domain_events.eras is 'An era has a number';
comment on constraint eras_tag_key on domain_events.eras is 'A cursor is of one era';

create table domain_events.ticks (
  tick            bigint generated always as identity,
  era             int not null,
  boundary        bigint not null,
  position_before bigint not null,
  top             xid8 not null,
  taken_by        xid8 not null,
  snapshot        pg_snapshot not null,
  position_after  bigint not null,
  written_up_to   pg_lsn not null default pg_catalog.pg_current_wal_insert_lsn(),
  taken_at        timestamptz not null default pg_catalog.clock_timestamp(),
  constraint ticks_pkey primary key (tick)
);

comment on table domain_events.ticks is
  'The newest snapshots that readers of the whole store were bounded by; thinned at will';
comment on sequence domain_events.ticks_tick_seq is 'Numbers of ticks';
comment on column domain_events.ticks.tick is 'Its number';
comment on column domain_events.ticks.era is 'The era it was taken in';
comment on column domain_events.ticks.boundary is 'The boundary of that era';
comment on column domain_events.ticks.position_before is 'The position drawn last, read before the snapshot was taken';
comment on column domain_events.ticks.top is
  'A number of a transaction, drawn after position_before was read: those above draw positions above that';
comment on column domain_events.ticks.taken_by is 'The transaction that took it; never visible in it';
comment on column domain_events.ticks.snapshot is 'What was committed';
comment on column domain_events.ticks.position_after is 'The position drawn last, read after the snapshot was taken';
comment on column domain_events.ticks.written_up_to is
  'The end of the write-ahead log when it was taken: all that is visible in it was written before';
comment on column domain_events.ticks.taken_at is 'When';
comment on constraint ticks_pkey on domain_events.ticks is 'A tick has a number';

create function domain_events._cluster() returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return (select c.system_identifier from pg_control_system() as c);
exception when insufficient_privilege then
  return 0;  -- taken from everybody
end
$$;

comment on function domain_events._cluster() is
  'The system identifier of this server, 0 where one may not ask: numbers of transactions of another mean nothing here';

-- Where the store was installed. A sequence, as a dump restores its value also where it restores data alone, and the
-- extension's script runs again then: a row would say that the store was installed where it was restored.
create sequence domain_events.installed_in as bigint minvalue -9223372036854775808;

comment on sequence domain_events.installed_in is
  'The cluster that the store was installed in: whether its oldest transactions'' numbers are of this one';

do $$ begin
  perform pg_catalog.setval('domain_events.installed_in', domain_events._cluster());
end $$;

create function domain_events._is_visible(transaction_id xid8, tick domain_events.ticks) returns boolean
language sql immutable
as $$ select pg_catalog.pg_visible_in_snapshot(transaction_id, tick.snapshot) $$;

comment on function domain_events._is_visible(xid8, domain_events.ticks) is
  'Whether a transaction had committed or rolled back when a tick of its era was taken';

-- Snapshots of one server are in one order, also where the era is another: the boundary is the same as long as numbers
-- can be compared.
create function domain_events._covers(newer domain_events.ticks, older domain_events.ticks) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return newer.boundary > older.boundary
         or newer.boundary = older.boundary
            and pg_snapshot_xmax(newer.snapshot) >= pg_snapshot_xmax(older.snapshot)
            and not exists (select from pg_snapshot_xip(newer.snapshot) as x(running)
                             where domain_events._is_visible(x.running, older));
end
$$;

comment on function domain_events._covers(domain_events.ticks, domain_events.ticks) is
  'Whether all that was visible in the older tick is visible in the newer one';

-- A cursor is what a reader has seen: everything of one tick, or of that and, of what the next tick adds, up to a
-- position. The number at its end is such that a damaged one is told.
--
--   SEEN.NUMBER       all that is visible in the tick SEEN; NUMBER is made of the text before it
--   SEEN:UPTO:NUMBER  and what UPTO adds up to a position, 9797 times which is added; SEEN is empty from the beginning
--   a tick: era's tag - tick - xmin - xmax - top - position before - position after - running, each but tag and
--   tick as its distance from the number it is near to
create function domain_events._tick_text(tick domain_events.ticks) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  xmin numeric := pg_snapshot_xmin(tick.snapshot)::text::numeric;
begin
  return (select e.tag from domain_events.eras e where e.era = tick.era)
         || format('-%s-%s-%s-%s-%s-%s-', tick.tick, xmin, pg_snapshot_xmax(tick.snapshot)::text::numeric - xmin,
                   tick.top::text::numeric - xmin, tick.position_before, tick.position_after - tick.position_before)
         || coalesce((select string_agg((x.number - x.last)::text, ',' order by x.number)
                        from (select r.number, coalesce(lag(r.number) over (order by r.number), xmin) as last
                                from (select x::text::numeric as number from pg_snapshot_xip(tick.snapshot) as x)
                                       as r) as x), '');
end
$$;

comment on function domain_events._tick_text(domain_events.ticks) is 'A tick as a part of a cursor';

create function domain_events._tick_of(part text) returns domain_events.ticks
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  parts text[] := string_to_array(part, '-');
  xmin bigint := parts[3];
  running text := '';
  tick domain_events.ticks;
begin
  if part is null then
    return null;
  end if;
  select e.era, e.boundary into tick.era, tick.boundary from domain_events.eras e where e.tag = parts[1];
  tick.tick := parts[2];
  tick.top := (xmin + parts[5]::bigint)::text;
  tick.position_before := parts[6];
  tick.position_after := tick.position_before + parts[7]::bigint;
  if parts[8] <> '' then
    running := (select string_agg(r.number::text, ',' order by r.number)
                  from (select xmin + sum(d.distance::bigint) over (order by d.ordinality) as number
                          from unnest(string_to_array(parts[8], ',')) with ordinality as d(distance, ordinality)) as r);
  end if;
  tick.snapshot := format('%s:%s:%s', xmin, xmin + parts[4]::bigint, running);
  return tick;
end
$$;

comment on function domain_events._tick_of(text) is
  'The tick of a part of a cursor; its era is null where that is unknown';

-- 9,797 is 97 times 101, both prime: a changed digit, and two that change places, are found. No path of its own: it is
-- inlined.
create function domain_events._check_digits(part text) returns int
language sql immutable
as $$
  select ('x' || pg_catalog.encode(substring(pg_catalog.sha256(pg_catalog.decode(part, 'escape')) from 1 for 3),
                                   'hex'))::bit(24)::int % 9797
$$;

comment on function domain_events._check_digits(text) is
  'What the number at the end of a cursor leaves when divided by 9,797';

create function domain_events._cursor_parts(cursor text, out seen domain_events.ticks, out upto domain_events.ticks,
                                            out passed bigint, out prefix text)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  is_tick constant text := '^[0-9a-f]{8}(-[0-9]+){6}-[0-9,]*$';
  parts text[] := string_to_array(cursor, ':');
  number numeric;
begin
  if cardinality(parts) = 3 and (parts[1] = '' or parts[1] ~ is_tick) and parts[2] ~ is_tick then
    prefix := concat(parts[1], ':', parts[2], ':');
    number := parts[3];
    passed := div(number, 9797);
  elsif cardinality(parts) = 1 and split_part(cursor, '.', 1) ~ is_tick then
    parts := array[split_part(cursor, '.', 1), null];
    prefix := parts[1] || '.';
    number := substr(cursor, length(prefix) + 1);
  end if;
  if (number % 9797 = domain_events._check_digits(prefix)) is not true then
    raise exception 'not a cursor: %', left(cursor, 300)
      using errcode = '22023', detail = 'It is damaged, or was never handed out.',
            hint = 'A cursor is a whole value of the column "cursor" of domain_events.read_all(), unchanged.';
  end if;
  seen := domain_events._tick_of(nullif(parts[1], ''));
  upto := domain_events._tick_of(parts[2]);
exception when numeric_value_out_of_range or invalid_text_representation then
  raise exception 'not a cursor: %', left(cursor, 300)
    using errcode = '22023', hint = 'A cursor is a whole value of the column "cursor" of domain_events.read_all().';
end
$$;

comment on function domain_events._cursor_parts(text) is
  'The ticks and the position of a cursor: null where it has none. Raises 22023 for what is no cursor';

-- Of two that were begun side by side the one that shows more, whoever was first. Where writers could not be waited
-- for, an era waits for those that were open when it was noted: whoever comes later draws above its boundary. A number
-- of another cluster says nothing here.
create function domain_events._newest_era() returns domain_events.eras
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  era domain_events.eras;
begin
  select e.* into era from domain_events.eras e
   where e.top is null
         or e.top < pg_snapshot_xmin(pg_current_snapshot()) and e.cluster = domain_events._cluster()
   order by e.boundary desc, e.era desc limit 1;
  return era;
end
$$;

comment on function domain_events._newest_era() is 'The era that ticks are taken in, unless another is to begin';

create function domain_events._check_known(tick domain_events.ticks) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  newest domain_events.eras := domain_events._newest_era();
begin
  if tick.tick is null then
    return;
  elsif tick.era is null
        and (pg_is_in_recovery()
             or current_setting('transaction_isolation') not in ('read committed', 'read uncommitted')) then
    raise exception 'the cursor is newer than what can be seen here'
      using errcode = '40001',
            detail = format('Its era %s, or it is of another store.',
                            case when pg_is_in_recovery() then 'has not been received yet'
                                 else 'has begun since this transaction''s snapshot' end),
            hint = 'Repeat the transaction.';
  elsif tick.era is null then
    raise exception 'the cursor is of another store'
      using errcode = '55000',
            detail = 'It was handed out by another database, by a server whose events were lost in a recovery, or by '
                     'the first read of a store or after a restore, in a transaction that was rolled back.',
            hint = 'Read from the beginning, or from domain_events.latest_cursor(), and compare what you have. '
                   'Commit the transaction that reads.';
  elsif tick.era <> newest.era
        and tick.tick > (select max(t.tick) from domain_events.ticks t where t.era = tick.era) then
    raise exception 'the cursor is of a time that was lost'
      using errcode = '55000',
            detail = 'It was handed out after the backup, or the point of recovery, that this server was restored '
                     'from, so that events that were read are not here; or in a transaction that was rolled back, '
                     'before this server was started.',
            hint = 'Read from the beginning, or from domain_events.latest_cursor(), and compare what you have. '
                   'Commit the transaction that reads.';
  elsif tick.era = newest.era and not pg_is_in_recovery()
        and (tick.tick > coalesce(pg_sequence_last_value('domain_events.ticks_tick_seq'), 0)
             -- A fixed snapshot may be older than what another transaction was given.
             or current_setting('transaction_isolation') in ('read committed', 'read uncommitted')
                -- A restored store has the era of where it was until somebody could begin another.
                and pg_snapshot_xmax(tick.snapshot) > pg_snapshot_xmax(pg_current_snapshot())
                and newest.cluster = domain_events._cluster()) then
    raise exception 'the cursor is of the future'
      using errcode = '55000', detail = format('It is of tick %s, which was not taken here.', tick.tick),
            hint = 'Read from the beginning, or from domain_events.latest_cursor(), and compare what you have.';
  end if;
end
$$;

comment on function domain_events._check_known(domain_events.ticks) is
  'Raises 55000 unless this server took the tick of a cursor, or is a standby that may receive it';

create function domain_events.cursor_before(a text, b text) returns boolean
language plpgsql stable strict set search_path = pg_catalog, pg_temp
as $$
declare
  first record := domain_events._cursor_parts(a);
  second record := domain_events._cursor_parts(b);
  a_tick domain_events.ticks;
  b_tick domain_events.ticks;
begin
  if (coalesce((first.upto).era, (first.seen).era) is null) or (coalesce((second.upto).era, (second.seen).era) is null)
  then
    raise exception 'a cursor is of another store'
      using errcode = '55000', hint = 'Only cursors of this store are in one order.';
  end if;
  a_tick := case when (first.upto).tick is null then first.seen else first.upto end;
  b_tick := case when (second.upto).tick is null then second.seen else second.upto end;
  -- By what they show: a transaction with a fixed snapshot may have taken the later tick, and the older one.
  return row(a_tick.boundary, pg_snapshot_xmax(a_tick.snapshot),
             - (select count(*) from pg_snapshot_xip(a_tick.snapshot)), coalesce(first.passed, 9223372036854775807))
         < row(b_tick.boundary, pg_snapshot_xmax(b_tick.snapshot),
               - (select count(*) from pg_snapshot_xip(b_tick.snapshot)), coalesce(second.passed, 9223372036854775807));
end
$$;

comment on function domain_events.cursor_before(text, text) is
  'Whether the first cursor of a reader was handed out before the second. Raises 22023 for what is no cursor, '
  '55000 for one of another store.';
