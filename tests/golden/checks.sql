-- check_integrity, check_integrity_incremental, check_performance, check_infrastructure, stats, set_threshold, raise_alerts
select (domain_events.append_event('User', g::text, 'UserRegistered')).aggregate_version from generate_series(1, 3) as g;
select * from domain_events.check_integrity();
select * from domain_events.check_integrity('User');
select * from domain_events.check_integrity_incremental();
select * from domain_events.check_infrastructure();
select code, severity, object from domain_events.check_performance('User');
select metric, labels, value from domain_events.stats() where metric in ('events', 'streams', 'capture_failures_pending') order by 1;
create table users (id int primary key);
select domain_events.enable_capture('users');
select domain_events.pause_capture('users');
select code, severity, object, detail from domain_events.check_infrastructure();
select code, severity from domain_events.raise_alerts();
select code, severity from domain_events.raise_alerts() as a_second_time;
select domain_events.set_threshold('max_stream_events', 2);
select domain_events.set_threshold('no_such_threshold', 2);
select (domain_events.append_event('User', '1', 'UserRenamed')).aggregate_version from generate_series(1, 3);
select code, severity, object from domain_events.check_performance('User');
select domain_events.acknowledge_losses() as nothing_was_lost;
