-- Raising alerts: runs every check, tells what is new, closes what is gone.

-- One at a time, or two would raise the same. Everybody who may call it may also leave their transaction open
-- afterwards, and the alerts of that one are nobody else's to see: who comes next does not wait for it for ever, nor
-- end as if all were well.
create function domain_events._lock_alerts(own_limit interval) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
begin
  perform set_config('lock_timeout',
                     greatest(extract(epoch from least(nullif(own_limit, '0'), '2 s')) * 1000, 1)::int::text, true);
  lock table domain_events.alerts in share row exclusive mode;
exception when lock_not_available then
  raise exception 'another transaction is raising alerts, and has not ended'
    using errcode = '55P03',
          detail = format('It is that of the server processes with these ids: %s.',
                          (select string_agg(l.pid::text, ', ' order by l.pid) from pg_locks l
                            where l.locktype = 'relation' and l.relation = 'domain_events.alerts'::regclass
                              and l.mode = 'ShareRowExclusiveLock' and l.granted
                              and l.database = (select d.oid from pg_database d where d.datname = current_database()))),
          hint = 'Call raise_alerts() again when it has ended, or end it: pg_terminate_backend(). '
                 'Call raise_alerts() in a transaction of its own.';
end
$$;

comment on function domain_events._lock_alerts(interval) is
  'Lets nobody else raise alerts until the transaction ends; raises 55P03 when somebody does for two seconds, '
  'or the caller''s own limit';

create function domain_events.raise_alerts() returns setof domain_events.alerts
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  began timestamptz := clock_timestamp();
  alert domain_events.alerts;
begin
  perform domain_events._lock_alerts(current_setting('lock_timeout')::interval);
  for alert in
    with finding as (
      select distinct on (f.source, f.code, f.object) f.source, f.code, f.severity,
             domain_events._valid_text(f.object) as object, domain_events._valid_text(f.detail) as detail
        from (select 'integrity' as source, i.code, i.severity,
                     coalesce(i.stream_type || coalesce(' ' || i.stream_id, ''),
                              substring(i.detail from 'positions [0-9]+ and [0-9]+'), 'domain_events.events') as object,
                              i.detail
                from domain_events.check_integrity_incremental() as i
              union all
              select 'performance', p.code, p.severity, p.object, p.detail from domain_events.check_performance() as p
              union all
              select 'infrastructure', s.code, s.severity, s.object, s.detail
                from domain_events.check_infrastructure() as s) as f
       where f.severity in ('error', 'warning')
       order by f.source, f.code, f.object, f.detail
    ), found as materialized (
      -- A store that is broken all over is told of as well by a thousand alerts as by a million.
      select * from (select n.*, row_number() over (partition by n.source, n.code order by n.object) as n
                       from finding n) as numbered
       where numbered.n <= 1000
    )
    insert into domain_events.alerts as a (source, code, severity, object, detail)
    select f.source, f.code, f.severity, f.object, f.detail from found f
    on conflict (source, code, md5(object)) where resolved_at is null do update set seen_at = clock_timestamp()
    returning a.*
  loop
    if alert.raised_at >= began then
      -- A payload has room for 8,000 bytes.
      perform pg_notify('domain_events_alerts',
                        jsonb_build_object('alert_id', alert.alert_id, 'source', alert.source, 'code', alert.code,
        'severity', alert.severity, 'object', left(alert.object, 500), 'detail', left(alert.detail, 500))::text);
      return next alert;
    end if;
  end loop;
  update domain_events.alerts a set resolved_at = clock_timestamp() where a.resolved_at is null and a.seen_at < began;
end
$$;

comment on function domain_events.raise_alerts() is
  'Runs all checks, writes each finding that was not there before into domain_events.alerts, '
  'notifies the channel domain_events_alerts of it, and returns it; findings that are gone are noted as resolved. '
  'Call it every minute; the reader may.';
