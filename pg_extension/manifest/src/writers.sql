-- A statement under way would look up its trigger's function again at its next row, and take the name of the C function for PL/pgSQL.
-- So whoever writes a captured table, or the store, is waited for: not long, for others wait behind, and in less than
-- deadlock_timeout. What was not to be had in time is taken first in the next try, as writers who hold it do.
do $writers$
declare
  own_limit text := current_setting('lock_timeout');
  tables oid[] := array(
    select c.oid from pg_class c join pg_trigger t on t.tgrelid = c.oid join pg_proc p on p.oid = t.tgfoid
     where c.relkind in ('r', 'p') and p.pronamespace = 'domain_events'::regnamespace
       and (p.proname ~ '^capture_[0-9]+$' or c.oid = 'domain_events.events'::regclass)
     group by c.oid order by c.oid = 'domain_events.events'::regclass, c.oid);
  wanted oid;
begin
  for attempt in 1 .. 20 loop
    begin
      if own_limit = '0' then
        set local lock_timeout = '500ms';
      end if;
      foreach wanted in array tables loop
        execute format('lock table only %s in share row exclusive mode', wanted::regclass);
      end loop;
      perform set_config('lock_timeout', own_limit, true);
      return;
    exception when lock_not_available then
      tables := wanted || array_remove(tables, wanted);
      perform pg_sleep(0.02 * attempt);
    end;
  end loop;
  raise exception 'the engine is not switched while % is being written', wanted::regclass
    using errcode = '55P03', detail = 'Transactions that have written it did not end in time, in 20 tries.',
          hint = 'Run the command again, or set lock_timeout to wait longer: who writes waits behind it.';
end
$writers$;
