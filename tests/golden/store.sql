-- engine, uuid_v7, append_event, read_stream, streams, next_aggregate_version
select engine in ('portable', 'native') as engine, version from domain_events.engine();
select substr(domain_events.uuid_v7()::text, 15, 1) as uuid_version, domain_events.uuid_v7() <> domain_events.uuid_v7() as differ;

select aggregate_version, event_type, event_data, metadata, schema_version, caused_by, occurred_at = recorded_at as same_time
  from domain_events.append_event('User', '1', 'UserRegistered');
select aggregate_version, event_type, event_name, event_data, metadata, correlation_id, causation_id, caused_by, schema_version, occurred_at
  from domain_events.append_event('User', '1', 'UserRenamed', '{"name": "Ada"}', event_name => 'Renamed', metadata => '{"ip": "::1"}',
    expected_version => 1, event_id => '018f0000-0000-7000-8000-000000000001', caused_by => 'ada', correlation_id => 'c-1',
    causation_id => 'k-1', occurred_at => '2026-01-02 03:04:05+00', schema_version => 2);

-- the same event_id again: the stored event, whatever is expected
select aggregate_version, recorded_at < clock_timestamp() as stored_before
  from domain_events.append_event('User', '1', 'UserRenamed', '{"name": "Ada"}', expected_version => 1,
    event_id => '018f0000-0000-7000-8000-000000000001', schema_version => 2);
select domain_events.append_event('User', '1', 'UserRenamed', '{"name": "Eve"}', event_id => '018f0000-0000-7000-8000-000000000001', schema_version => 2);

-- expected_version
select aggregate_version from domain_events.append_event('User', '2', 'UserRegistered', expected_version => 0);
select domain_events.append_event('User', '2', 'UserRegistered', expected_version => 0);
select domain_events.append_event('User', '2', 'UserRenamed', expected_version => 5);
select domain_events.append_event('User', '2', 'UserRenamed', expected_version => -1);

-- bad input
select domain_events.append_event(null, '1', 'X');
select domain_events.append_event('User', null, 'X');
select domain_events.append_event('User', '1', null);
select domain_events.append_event('User', '1', 'X', null);
select domain_events.append_event('', '1', 'X');
select domain_events.append_event('User', '', 'X');
select domain_events.append_event('User', '1', '');
select domain_events.append_event(repeat('t', 256), '1', 'X');
select domain_events.append_event('User', repeat('i', 1025), 'X');
select domain_events.append_event('User', '1', repeat('e', 256));
select domain_events.append_event('User', '1', 'X', metadata => '[1]');
select domain_events.append_event('User', '1', 'X', schema_version => 0);
select domain_events.append_event('domain_events.Table', 'public.users', 'TableTruncated');
select domain_events.next_aggregate_version('domain_events.Table', 'public.users');

-- versions
select domain_events.next_aggregate_version('User', '1'), domain_events.next_aggregate_version('User', '1') as again,
       domain_events.next_aggregate_version('User', 'new') as of_a_new_stream;
select domain_events.next_aggregate_version('User', null);
select domain_events.next_aggregate_version('User', '1', null);
begin transaction read only;
select domain_events.next_aggregate_version('User', '1');
rollback;

-- reading
select aggregate_version, event_type, event_data, origin from domain_events.read_stream('User', '1');
select aggregate_version from domain_events.read_stream('User', '1', from_version => 2);
select aggregate_version from domain_events.read_stream('User', '1', to_version => 1, max_count => 10);
select count(*) as of_an_unknown_stream from domain_events.read_stream('User', 'nobody');
select * from domain_events.read_stream('User', '1', from_version => 0);
select * from domain_events.read_stream('User', '1', from_version => 2, to_version => 1);
select aggregate_type, aggregate_id, version, first_recorded_at <= last_recorded_at as in_order from domain_events.streams order by 1, 2;

-- append-only
update domain_events.events set event_type = 'Y';
delete from domain_events.events;
truncate domain_events.events;
select * from domain_events.check_integrity();
