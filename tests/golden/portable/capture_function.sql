-- The trigger function that the portable engine writes for a table: whole of a plain one, of a partitioned one, and of whole rows
-- with rules; of others what is in none of these. OIDs are shown as the names of what they stand for.
create function written(target regclass) returns setof text language plpgsql as $$
declare
  def text := pg_get_functiondef(format('domain_events.%I()', 'capture_' || domain_events._capture_of(target))::regprocedure);
  named record;
begin
  for named in select r.oid, r.relname as name from pg_class r where r.oid >= 16384 and r.relnamespace = 'public'::regnamespace
                union all
               select t.oid, t.typname from pg_type t where t.oid >= 16384 and t.typnamespace = 'public'::regnamespace
  loop
    def := regexp_replace(def, format('(?<![0-9])%s(?![0-9])', named.oid), format('<%s>', named.name), 'g');
  end loop;
  return query select l from regexp_split_to_table(def, '\n') with ordinality as u(l, n) order by n;
end
$$;
\pset pager off
\pset tuples_only on
create table users (id int primary key, name text, email varchar(40), logins bigint default 0, rate numeric, seen timestamptz, about jsonb);
select domain_events.enable_capture('users', event_types =>
  '[{"on": "update", "when_changed": ["email"], "type": "UserEmailChanged", "name": "Email changed"}, {"on": "delete", "type": "UserLeft"}]');
\echo --- a plain table
select written('users');

create table orders (region text, id uuid, total money, note text, primary key (region, id)) partition by list (region);
create table orders_eu partition of orders for values in ('eu');
create table orders_us partition of orders for values in ('us');
select domain_events.enable_capture('orders', redact => '{note}', on_failure => 'abort');
\echo --- a partitioned table, with a key of two columns and a redacted column
select written('orders');

create table notes (actor text, subject text, body text, draft text, made date);
select domain_events.enable_capture('notes', aggregate_id => '{actor}', redact => '{body}', exclude => '{draft}', payload => 'full', event_name_style => 'dotted');
\echo --- whole rows, with redacted and ignored columns, several rows a stream
select written('notes');

create table seen as select l, count(*) from (select written('users') as l union all select written('orders') union all select written('notes')) as s group by l;
create table logs (actor text, day date, size int) partition by range (day);
create table logs_2026 partition of logs for values from ('2026-01-01') to ('2027-01-01');
select domain_events.enable_capture('logs', aggregate_id => '{actor}', payload => 'full');
\echo --- partitioned, whole rows, several rows a stream
select l from written('logs') as l where l not in (select seen.l from seen);

create type address as (street text, city text);
create table people (id bigint primary key, home address, flags bool[], score float8);
create table staff (id bigint primary key, home address);
select domain_events.enable_capture('people', aggregate_type => 'Person');
select domain_events.enable_capture('staff', aggregate_type => 'Person', on_failure => 'abort');
\echo --- composite types
select l from written('people') as l where l not in (select seen.l from seen);
\echo --- a type that another table has as well
select l from written('staff') as l where l not in (select seen.l from seen);

create table "odd {{place}} %s" ("by" int primary key, "{{id_new}}" text, "%1$s ' $b$" text);
select domain_events.enable_capture('"odd {{place}} %s"', aggregate_type => 'Odd {{type}} %s $b$');
\echo --- names that look like parts of a template
select l from written('"odd {{place}} %s"') as l where l not in (select seen.l from seen);

alter table orders drop column note;
update users set id = id;
insert into orders values ('eu', '00000000-0000-0000-0000-000000000001', 1);
\echo --- a redacted column is gone
select l from written('orders') as l where l not in (select seen.l from seen);
select domain_events.pause_capture('notes');
\echo --- paused
select written('notes');
